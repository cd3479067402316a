//! The reviewer: exchanges in, a review out, at any time.

use std::collections::HashMap;

use nightaudit_exchange::Exchange;
use nightaudit_mews::{Contracts, operation};

use crate::{
    body::{self, Asked, Mail},
    declaration::Declaration,
    fact::{Fact, Known},
    findings::{Findings, count_of},
    names::{Operations, Tokens},
    order::{Clock, HORIZON, Order},
    parts::{coverage::Covering, identity::IdentityPart, operations::OperationsPart, run::RunPart},
    review::{Accuracy, Counts, Errors, Review, Verdict},
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
    rules: HashMap<String, u16>,
    clock: Clock,
    order: Order<Fact>,
    fold: Fold,
}

/// The parts of the review.
#[derive(Debug, Clone, Default)]
struct Fold {
    run: RunPart,
    operations: OperationsPart,
    identity: IdentityPart,
}

impl Fold {
    /// Looks at a fact in the order of sending.
    fn follow(&mut self, fact: &Fact) {
        self.run.follow(fact);
    }
}

/// The most rules of a limiter that are told apart.
const MOST_RULES: usize = 64;

impl Reviewer {
    /// A reviewer that holds a session against this declaration, and requests against the built-in contracts.
    #[must_use]
    pub fn new(declaration: Declaration) -> Self {
        Self {
            mail: Mail::new(&declaration.domains),
            declaration,
            contracts: Contracts::built_in(),
            operations: Operations::default(),
            access_tokens: Tokens::default(),
            client_tokens: Tokens::default(),
            rules: HashMap::new(),
            clock: Clock::default(),
            order: Order::default(),
            fold: Fold::default(),
        }
    }

    /// Holds requests against these contracts.
    #[must_use]
    pub fn with_contracts(mut self, contracts: Contracts) -> Self {
        self.contracts = contracts;
        self
    }

    /// Notes how many exchanges of the session are known to have passed unrecorded.
    pub fn set_unrecorded(&mut self, count: u64) {
        self.fold.run.set_unrecorded(count);
    }

    /// Takes the next exchange of the session.
    pub fn push(&mut self, exchange: &Exchange) {
        let offset = self.clock.offset(exchange);
        let (body, _) = exchange.request.body.decoded();
        let asked = if body.is_empty() { Asked::default() } else { body::read(&body, &self.mail) };
        let number = self.operations.number(&exchange.operation);
        self.fold.run.note(exchange, offset);
        self.fold.operations.note(number, exchange, &asked);
        self.fold.identity.note(exchange);
        let known = operation(&exchange.operation);
        let fact = Known {
            exchange,
            asked: &asked,
            offset,
            operation: number,
            access_token: self.access_tokens.number(exchange.envelope.access_token),
            client_token: self.client_tokens.number(exchange.envelope.client_token),
            rule: exchange.limit.as_ref().and_then(|note| self.rule(&note.rule)),
            paginated: known.is_some_and(|known| known.paginated),
        }
        .fact();
        self.order.push(fact);
        while let Some(fact) = self.order.pop() {
            self.fold.follow(&fact);
        }
    }

    fn rule(&mut self, name: &str) -> Option<u16> {
        if let Some(number) = self.rules.get(name) {
            return Some(*number);
        }
        let number = u16::try_from(self.rules.len()).ok().filter(|_| self.rules.len() < MOST_RULES)?;
        self.rules.insert(name.to_owned(), number);
        Some(number)
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
        let fold = &self.fold;
        let mut findings = Findings::new(&self.declaration);
        let run = fold.run.report(&self.clock, &mut findings);
        let covering = Covering::new(&self.declaration, &fold.operations, &self.operations);
        let coverage = covering.report(&mut findings);
        let use_case = covering.use_case(&mut findings);
        let identity = fold.identity.report(&self.declaration, &mut findings);
        self.bounds(&mut findings);
        let (findings, silenced, counts, bounds) = findings.finish();
        let verdict = verdict(run.exchanges, &counts);
        Review {
            verdict,
            summary: summary(verdict, &counts),
            counts,
            findings,
            silenced,
            declared: self.declaration.declared(),
            operations: fold.operations.report(&self.operations, fold.run.hours()),
            run,
            coverage,
            use_case,
            limits: Vec::new(),
            retries: Vec::new(),
            errors: Errors::default(),
            accuracy: Accuracy::default(),
            identity,
            habits: Vec::new(),
            data_care: Vec::new(),
            bounds,
        }
    }

    /// Says what there was too much of.
    fn bounds(&self, findings: &mut Findings<'_>) {
        let late = self.order.late();
        if late > 0 {
            findings.bounds.push(format!(
                "{} under way for more than {} minutes, or among too many at once, came too late for their place in the \
                 order of sending",
                count_of(late, "exchange"),
                HORIZON / 60_000_000
            ));
        }
        for (count, what) in [
            (self.operations.unnumbered, "operations"),
            (self.access_tokens.unnumbered, "access tokens"),
            (self.client_tokens.unnumbered, "client tokens"),
        ] {
            if count > 0 {
                findings.bounds.push(format!("{} have {what} beyond the first 1,000, counted together", count_of(count, "call")));
            }
        }
    }
}

fn verdict(exchanges: u64, counts: &Counts) -> Verdict {
    match counts {
        _ if exchanges == 0 => Verdict::Empty,
        Counts { errors: 1.., .. } => Verdict::NotReady,
        Counts { warnings: 1.., .. } => Verdict::Questions,
        _ => Verdict::Ready,
    }
}

fn summary(verdict: Verdict, counts: &Counts) -> String {
    let (errors, warnings) = (count_of(counts.errors, "error"), count_of(counts.warnings, "warning"));
    match verdict {
        Verdict::Empty => "There is nothing to review: the session has no exchange.".to_owned(),
        Verdict::Ready => "Ready: nothing stands that a reviewer would ask about.".to_owned(),
        Verdict::Questions => format!("Nearly ready: a reviewer would ask about {warnings}."),
        Verdict::NotReady if counts.warnings == 0 => format!("Not ready: {errors} would not pass the review."),
        Verdict::NotReady => {
            format!("Not ready: {errors} would not pass the review, and {} would be asked about.", warnings)
        }
    }
}

