//! The reviewer: exchanges in, a review out, at any time.

use nightaudit_exchange::{Exchange, ExchangeId, Import, Missing, Outcome};
use nightaudit_mews::{Contracts, Environment, OtherApi, operation};

use crate::{
    body::{self, Asked, Mail},
    checklist::checklist,
    declaration::Declaration,
    fact::{Blamed, Fact, Known},
    findings::{Findings, count_of},
    names::{Operations, Tokens},
    order::{Clock, HORIZON, Order},
    parts::{
        accuracy::AccuracyPart,
        coverage::Covering,
        errors::ErrorsPart,
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
    verdict::Grounds,
};

/// Takes the exchanges of a session in the order of their sequence, and says what it makes of them.
///
/// Its memory is bounded: by the operations, tokens and findings that it tells apart, each up to a bound that the review
/// names where it is met. Asking for a review changes nothing, so that more exchanges may follow.
#[derive(Debug, Clone)]
pub struct Reviewer {
    declaration: Declaration,
    contracts: Contracts,
    mail: Mail,
    operations: Operations,
    access_tokens: Tokens,
    client_tokens: Tokens,
    clock: Clock,
    order: Order<Fact>,
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
}

impl Fold {
    /// Looks at a fact in the order of sending.
    fn follow(&mut self, fact: &Fact) {
        self.run.follow(fact);
        self.errors.follow(fact);
        // What was rejected went nowhere, and mostly wasn't read.
        if fact.outcome != Outcome::Rejected {
            self.limits.follow(fact);
            self.retries.follow(fact);
            self.habits.follow(fact);
        }
    }
}

impl Reviewer {
    /// A reviewer that holds a session against this declaration, and requests against the built-in contracts.
    #[must_use]
    pub fn new(declaration: Declaration) -> Self {
        let mut fold = Fold::default();
        fold.run.set_every_hours(declaration.every_hours);
        Self {
            mail: Mail::new(&declaration.domains),
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

    /// Holds requests against these contracts.
    #[must_use]
    pub fn with_contracts(mut self, contracts: Contracts) -> Self {
        self.contracts = contracts;
        self
    }

    /// Holds requests against these limits, beside the one that Mews publishes for the session's environment.
    #[must_use]
    pub fn with_limits(mut self, limits: impl IntoIterator<Item = RequestLimit>) -> Self {
        limits.into_iter().for_each(|limit| self.fold.limits.add(limit));
        self
    }

    /// Notes how many exchanges of the session are known to have passed unrecorded.
    pub fn set_unrecorded(&mut self, count: u64) {
        self.fold.run.set_unrecorded(count);
    }

    /// Notes what of the session was recorded and is not in the log any more.
    pub fn set_missing(&mut self, missing: &Missing) {
        self.fold.run.set_missing(missing);
    }

    /// Notes what was found when the session was imported.
    pub fn set_imported(&mut self, import: Import) {
        self.fold.origin.set_imported(import);
    }

    /// Takes the next exchange of the session.
    ///
    /// A part of what was said over a WebSocket counts for the run's span only: its handshake was the request.
    pub fn push(&mut self, exchange: &Exchange) {
        let fold = &mut self.fold;
        if fold.run.is_empty() {
            fold.limits.set_environment(&exchange.environment);
        }
        let offset = self.clock.offset(exchange);
        // Before anything is left out: nothing that a declaration says changes who answered.
        fold.origin.push(exchange);
        if exchange.web_socket.is_some() {
            fold.run.note_span(exchange, offset);
            return;
        }
        if let Ok(index) = self.left_out.binary_search_by_key(&exchange.id, |own| own.exchange) {
            self.left_out[index].note(exchange);
            fold.run.note_span(exchange, offset);
            return;
        }
        fold.run.note(exchange, offset);
        if !is_call(exchange, &self.contracts) {
            return;
        }
        let (body, is_decoded) = exchange.request.body.decoded();
        let is_whole = is_decoded && !exchange.request.body.truncated;
        let asked = if body.is_empty() { Asked::default() } else { body::read(&body, &self.mail) };
        let number = self.operations.number(&exchange.operation);
        let mut blamed = Blamed::default();
        if exchange.outcome != Outcome::Rejected {
            fold.operations.note(number, exchange, &asked);
            blamed = fold.accuracy.note(number, exchange, &body, is_whole, &self.contracts);
            // Only the body of a POST is read by Mews.
            if exchange.request.method == "POST" || is_events(exchange) {
                fold.identity.note(exchange);
                fold.personal_data.note(number, exchange, &asked);
                fold.habits.note(number, exchange, &asked, &self.contracts);
            }
        }
        let fact = Known {
            exchange,
            asked: &asked,
            offset,
            operation: number,
            family: self.operations.family(number),
            access_token: self.access_tokens.number(exchange.envelope.access_token),
            client_token: self.client_tokens.number(exchange.envelope.client_token),
            rule: exchange.limit.as_ref().and_then(|note| fold.limits.number(&note.rule, note.limit)),
            paginated: operation(&exchange.operation).is_some_and(|known| known.paginated),
            blamed,
        }
        .fact();
        self.order.push(fact);
        while let Some(fact) = self.order.pop() {
            self.fold.follow(&fact);
        }
    }

    /// What is to be said of the exchanges so far.
    #[must_use]
    pub fn review(&self) -> Review {
        self.clone().into_review()
    }

    /// What is to be said of the exchanges.
    #[must_use]
    pub fn into_review(mut self) -> Review {
        while let Some(fact) = self.order.take() {
            self.fold.follow(&fact);
        }
        let fold = self.fold;
        let mut findings = Findings::new(&self.declaration);
        let run = fold.run.report(&self.clock, self.declaration.kind, &mut findings);
        let provenance = fold.origin.report(&mut findings);
        let covering = Covering::new(&self.declaration, &self.contracts, &fold.operations, &self.operations);
        let coverage = covering.report(&mut findings);
        let use_case = covering.use_case(&mut findings);
        let tokens = [&self.access_tokens, &self.client_tokens];
        let shared = |number| tokens[0].token(number).is_some_and(|token| fold.identity.is_shared(token));
        let limits = fold.limits.report(&self.operations, tokens, shared, &mut findings);
        let retries = fold.retries.report(&self.operations, tokens[0], &mut findings);
        let errors = fold.errors.report((&self.operations, &self.contracts), tokens[0], &mut findings);
        let accuracy = fold.accuracy.report(&self.operations, &mut findings);
        let identity = fold.identity.report(&self.declaration, &mut findings);
        let habits = fold.habits.report(&self.operations, &mut findings);
        let data_care = fold.personal_data.report(&self.operations, &mut findings);
        raise_bounds(&self.operations, tokens, self.order.late(), &mut findings);
        let (findings, silenced, counts, bounds) = findings.finish();
        let grounds = Grounds {
            exchanges: run.exchanges,
            counts: &counts,
            provenance: &provenance,
            findings: &findings,
            silenced: &silenced,
            left_out: &self.left_out,
        };
        let (verdict, headline, summary) = (grounds.verdict(), grounds.headline(), grounds.summary());
        let mut review = Review {
            verdict,
            headline,
            summary,
            provenance,
            checklist: Vec::new(),
            counts,
            findings,
            silenced,
            left_out: self.left_out,
            declared: self.declaration.declared(),
            operations: fold.operations.report(&self.operations, fold.run.hours(), &self.contracts),
            run,
            coverage,
            use_case,
            limits,
            retries,
            errors,
            accuracy,
            identity,
            habits,
            data_care,
            bounds,
        };
        review.checklist = checklist(&review, self.declaration.kind);
        review
    }
}

/// Whether an exchange is a call of the API, or was meant to be one. A browser that asks beforehand (OPTIONS) or visits the
/// address by hand, and a health check, are none.
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

impl LeftOut {
    fn of(exchange: ExchangeId, reason: &str) -> Self {
        Self { exchange, reason: reason.to_owned(), operation: None, status: None, at: None }
    }

    fn note(&mut self, exchange: &Exchange) {
        self.operation = Some(exchange.operation.chars().take(200).collect());
        (self.status, self.at) = (exchange.status(), Some(exchange.started_at));
    }
}

/// Says what there was too much of.
fn raise_bounds(operations: &Operations, tokens: [&Tokens; 2], late: u64, findings: &mut Findings<'_>) {
    if late > 0 {
        findings.bounds.push(format!(
            "{} under way for more than {} minutes, or among too many at once, came too late for their place in the order \
             of sending",
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
                .push(format!("{} have {what} beyond the first 1,000, counted together", count_of(count, "call")));
        }
    }
}
