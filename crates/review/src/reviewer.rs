//! The reviewer: takes exchanges, and produces a review at any time.

use nightaudit_exchange::{Exchange, ExchangeId, Import, Missing, Outcome};
use nightaudit_mews::{Contracts, Environment, OtherApi, operation};

use crate::{
    body::{self, BodySummary, MailDomains},
    checklist::checklist,
    declaration::Declaration,
    fact::{Blamed, Fact, FactInput},
    facts::SessionFacts,
    findings::{Findings, count_of},
    names::{Operations, Tokens},
    order::{Clock, HORIZON, Order},
    parts::{
        accuracy::AccuracyPart,
        coverage::CoveragePart,
        errors::ErrorsPart,
        events::EventsPart,
        habits::HabitsPart,
        identity::IdentityPart,
        limits::{LimitsPart, RequestLimit},
        operations::OperationsPart,
        origin::OriginTracker,
        personal_data::PersonalDataPart,
        retries::RetriesPart,
        run::RunPart,
    },
    review::{LeftOut, Review},
    step::Step,
    verdict::VerdictInput,
};

/// Reviews the exchanges of a session, taken in the order of their sequence.
///
/// Memory is bounded by the operations, tokens and findings it tracks; a review names each bound that was reached. Taking
/// a review doesn't end it: more exchanges may follow.
#[derive(Debug, Clone)]
pub struct Reviewer {
    declaration: Declaration,
    contracts: Contracts,
    mail: MailDomains,
    operations: Operations,
    access_tokens: Tokens,
    client_tokens: Tokens,
    clock: Clock,
    order: Order<Step>,
    fold: Fold,
    left_out: Vec<LeftOut>,
}

/// The parts of the review.
#[derive(Debug, Clone, Default)]
struct Fold {
    run: RunPart,
    origin: OriginTracker,
    operations: OperationsPart,
    identity: IdentityPart,
    accuracy: AccuracyPart,
    personal_data: PersonalDataPart,
    limits: LimitsPart,
    retries: RetriesPart,
    errors: ErrorsPart,
    habits: HabitsPart,
    events: EventsPart,
}

impl Fold {
    /// Takes the next step in the order of time.
    fn step(&mut self, step: &Step) {
        match step {
            Step::Call(fact) => self.follow(fact),
            Step::Message(message) => self.events.follow_message(message),
            Step::Reconnect(reconnect) => self.events.follow_reconnect(reconnect),
        }
    }

    /// Takes the next fact in the order of sending.
    fn follow(&mut self, fact: &Fact) {
        self.run.follow(fact);
        self.errors.follow(fact);
        // A rejected request was not forwarded, and often not parsed.
        if fact.outcome != Outcome::Rejected {
            self.limits.follow(fact);
            self.retries.follow(fact);
            self.habits.follow(fact);
            self.events.follow(fact);
        }
    }
}

impl Reviewer {
    /// A reviewer with this declaration and the built-in contracts.
    #[must_use]
    pub fn new(declaration: Declaration) -> Self {
        let mut fold = Fold::default();
        fold.run.set_every_hours(declaration.every_hours);
        fold.events.set_every_hours(declaration.every_hours);
        Self {
            mail: MailDomains::new(&declaration.domains),
            left_out: declaration.leave_out.iter().map(|(id, reason)| LeftOut::of(*id, reason)).collect(),
            declaration,
            contracts: Contracts::built_in(),
            operations: Operations::default(),
            access_tokens: Tokens::default(),
            client_tokens: Tokens::default(),
            clock: Clock::default(),
            order: Order::default(),
            fold,
        }
    }

    /// Checks requests against these contracts.
    #[must_use]
    pub fn with_contracts(mut self, contracts: Contracts) -> Self {
        self.contracts = contracts;
        self
    }

    /// Checks requests against these limits as well as the one that Mews publishes for the session's environment.
    #[must_use]
    pub fn with_limits(mut self, limits: impl IntoIterator<Item = RequestLimit>) -> Self {
        limits.into_iter().for_each(|limit| self.fold.limits.add(limit));
        self
    }

    /// Sets what the log knows of the session, in place of what it knew before.
    pub fn set_facts(&mut self, facts: &SessionFacts) {
        self.fold.run.set_facts(facts);
        if let Some(import) = facts.imported {
            self.fold.origin.set_imported(import);
        }
    }

    /// Replaces the declaration. Returns `false` and changes nothing if exchanges taken so far would have to be read
    /// again: their review depends on `domains`, `leave_out` and `every_hours`.
    #[must_use]
    pub fn redeclare(&mut self, declaration: &Declaration) -> bool {
        let read_by = |own: &Declaration| (own.domains.clone(), own.leave_out.clone(), own.every_hours);
        let fits = read_by(&self.declaration) == read_by(declaration);
        if fits {
            self.declaration = declaration.clone();
        }
        fits
    }

    /// Sets how many exchanges of the session are known to have passed unrecorded.
    pub fn set_unrecorded(&mut self, count: u64) {
        self.fold.run.set_unrecorded(count);
    }

    /// Sets which recorded exchanges are no longer in the log.
    pub fn set_missing(&mut self, missing: &Missing) {
        self.fold.run.set_missing(missing);
    }

    /// Sets what the import of the session found.
    pub fn set_imported(&mut self, import: Import) {
        self.fold.origin.set_imported(import);
    }

    /// Takes the next exchange of the session.
    ///
    /// A part of a WebSocket is no activity of the run: the handshake was the request.
    pub fn push(&mut self, exchange: &Exchange) {
        let fold = &mut self.fold;
        if fold.run.is_empty() {
            fold.limits.set_environment(&exchange.environment);
        }
        let offset = self.clock.offset(exchange);
        // Before anything is left out: a declaration can't change the origin. Marks of webhooks are the session's, too.
        fold.origin.push(exchange);
        // A webhook is none of the integration's calls, and goes to a host of its own.
        if exchange.is_webhook() {
            fold.run.note_record(exchange);
            if !note_left_out(&mut self.left_out, exchange)
                && let Some(message) = fold.events.webhook(exchange, offset)
            {
                self.order.push_in_time(Step::Message(message));
                self.follow();
            }
            return;
        }
        if let Some(reconnect) = fold.events.note(exchange, offset) {
            self.order.push_in_time(Step::Reconnect(reconnect));
        }
        if exchange.web_socket.is_some() {
            fold.run.note_record(exchange);
            for message in fold.events.socket_messages(exchange, offset) {
                self.order.push_in_time(Step::Message(message));
            }
            self.follow();
            return;
        }
        if note_left_out(&mut self.left_out, exchange) {
            fold.run.note_record(exchange);
            return;
        }
        fold.run.note(exchange, offset);
        if !is_call(exchange, &self.contracts) {
            return;
        }
        let (body, is_decoded) = exchange.request.body.decoded();
        let is_whole = is_decoded && exchange.has_whole_request();
        let asked = if body.is_empty() { BodySummary::default() } else { body::read(&body, &self.mail) };
        let number = self.operations.number(&exchange.operation);
        let mut blamed = Blamed::default();
        if exchange.outcome != Outcome::Rejected {
            fold.operations.note(number, exchange, &asked);
            blamed = fold.accuracy.note(number, exchange, &body, is_whole, &self.contracts);
            // Mews only reads the body of a POST.
            if exchange.request.method == "POST" || is_events(exchange) {
                fold.identity.note(exchange);
                // The handshake of a WebSocket has no body.
                if !is_events(exchange) {
                    fold.personal_data.note(number, exchange, &asked, is_whole);
                }
                fold.habits.note(number, exchange, &asked, &self.contracts);
            }
        }
        let fact = FactInput {
            exchange,
            asked: &asked,
            offset,
            operation: number,
            family: self.operations.family(number),
            access_token: self.access_tokens.number(exchange.envelope.access_token),
            client_token: self.client_tokens.number(exchange.envelope.client_token),
            rule: exchange.limit.as_ref().and_then(|note| fold.limits.number(&note.rule, note.limit)),
            paginated: operation(&exchange.operation)
                .filter(|known| known.paginated)
                .map(|_| self.operations.own_lists(number)),
            blamed,
        }
        .fact();
        self.order.push(Step::Call(fact));
        self.follow();
    }

    /// Takes the steps whose place in the order is known.
    fn follow(&mut self) {
        while let Some(step) = self.order.pop() {
            self.fold.step(&step);
        }
    }

    /// The review of the exchanges so far.
    #[must_use]
    pub fn review(&self) -> Review {
        self.report(self.fold.clone(), &self.order.waiting())
    }

    /// The review of all exchanges.
    #[must_use]
    pub fn into_review(mut self) -> Review {
        let fold = std::mem::take(&mut self.fold);
        self.report(fold, &self.order.waiting())
    }

    /// The review by what has been folded so far and the steps still waiting for their order.
    fn report(&self, mut fold: Fold, waiting: &[&Step]) -> Review {
        waiting.iter().for_each(|step| fold.step(step));
        let mut findings = Findings::new(&self.declaration, fold.run.filtered());
        let run = fold.run.report(&self.clock, self.declaration.kind, &mut findings);
        let provenance = fold.origin.report(&mut findings);
        let coverage_part = CoveragePart::new(&self.declaration, &self.contracts, &fold.operations, &self.operations);
        let coverage = coverage_part.report(&mut findings);
        let use_case = coverage_part.use_case(&mut findings);
        let tokens = [&self.access_tokens, &self.client_tokens];
        let shared = |number| tokens[0].token(number).is_some_and(|token| fold.identity.is_shared(token));
        let limits = fold.limits.report(&self.operations, tokens, shared, &mut findings);
        let retries = fold.retries.report(&self.operations, tokens[0], &mut findings);
        let errors = fold.errors.report((&self.operations, &self.contracts), tokens[0], &mut findings);
        let accuracy = fold.accuracy.report(&self.operations, &mut findings);
        let identity = fold.identity.report(&self.declaration, &mut findings);
        let habits = fold.habits.report(&self.operations, &mut findings);
        let events = fold.events.report(&run, &mut findings);
        let data_care = fold.personal_data.report(&self.operations, &mut findings);
        raise_bounds(&self.operations, tokens, self.order.late(), &mut findings);
        let (findings, silenced, counts, bounds) = findings.finish();
        let input = VerdictInput {
            exchanges: run.exchanges,
            filtered: run.filtered,
            counts: &counts,
            provenance: &provenance,
            findings: &findings,
            silenced: &silenced,
            left_out: &self.left_out,
        };
        let (verdict, headline, summary) = (input.verdict(), input.headline(), input.summary());
        let mut review = Review {
            verdict,
            headline,
            summary,
            provenance,
            checklist: Vec::new(),
            counts,
            findings,
            silenced,
            left_out: self.left_out.clone(),
            declared: self.declaration.declared(),
            operations: fold.operations.report(&self.operations, &run, &self.contracts),
            run,
            coverage,
            use_case,
            limits,
            retries,
            errors,
            accuracy,
            identity,
            habits,
            events,
            data_care,
            bounds,
        };
        review.checklist = checklist(&review, &self.declaration, &fold.personal_data.looked_at());
        review
    }
}

/// Whether an exchange is an API call, or was meant as one. CORS preflights (OPTIONS), visits by a browser and health checks
/// are not.
fn is_call(exchange: &Exchange, contracts: &Contracts) -> bool {
    match &*exchange.request.method {
        "POST" => true,
        "OPTIONS" => false,
        _ => {
            exchange.outcome == Outcome::Rejected
                || contracts.has(&exchange.operation)
                || is_events(exchange)
                || OtherApi::of(&exchange.operation).is_some()
        }
    }
}

fn is_events(exchange: &Exchange) -> bool {
    exchange.operation == Environment::EVENTS_PATH
}

/// Notes an exchange that the declaration leaves out; returns whether it is one.
fn note_left_out(left_out: &mut [LeftOut], exchange: &Exchange) -> bool {
    let index = left_out.binary_search_by_key(&exchange.id, |own| own.exchange);
    if let Ok(index) = index {
        left_out[index].note(exchange);
    }
    index.is_ok()
}

impl LeftOut {
    fn of(exchange: ExchangeId, reason: &str) -> Self {
        Self { exchange, reason: reason.to_owned(), operation: None, status: None, at: None }
    }

    fn note(&mut self, exchange: &Exchange) {
        self.operation = Some(exchange.operation.chars().take(200).collect());
        (self.status, self.at) = (exchange.status(), Some(exchange.started_at));
    }
}

/// Adds the bounds that were reached.
fn raise_bounds(operations: &Operations, tokens: [&Tokens; 2], late: u64, findings: &mut Findings<'_>) {
    if late > 0 {
        findings.bounds.push(format!(
            "{} in flight for more than {} minutes, or among too many at once, could not be put in the order of sending",
            count_of(late, "exchange"),
            HORIZON / 60_000_000
        ));
    }
    for (count, what) in [
        (operations.unnumbered, "operations"),
        (tokens[0].unnumbered, "access tokens"),
        (tokens[1].unnumbered, "client tokens"),
    ] {
        if count > 0 {
            findings
                .bounds
                .push(format!("{what} beyond the first 1,000 are counted together: {}", count_of(count, "call")));
        }
    }
}
