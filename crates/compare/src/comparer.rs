//! Collects differences.

use nightaudit_exchange::ExchangeId;
use nightaudit_review::Severity;

use crate::{
    difference::{Change, Difference, DifferenceKind, Example, Figure},
    ignore::Ignore,
    statistics::{Family, exact},
};

/// What was there in every one of so many cases, and in none of as many, needs no statistic.
const ALWAYS: u64 = 3;

/// So many of so many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) count: u64,
    pub(crate) of: u64,
}

impl Sample {
    fn is_all(self) -> bool {
        self.count == self.of && self.of >= ALWAYS
    }

    fn is_none(self) -> bool {
        self.count == 0 && self.of >= ALWAYS
    }
}

impl From<Sample> for Figure {
    fn from(Sample { count, of }: Sample) -> Self {
        Self::Share { count, of }
    }
}

/// A difference before it is known whether it may be chance.
pub(crate) struct Draft {
    pub(crate) difference: Difference,
    /// Its severity if it may be chance; `None` if it is none then.
    uncertain: Option<Severity>,
}

impl Draft {
    /// `severities`: if it is certain, and if it may be chance.
    pub(crate) fn new(
        kind: DifferenceKind,
        change: Change,
        severities: (Severity, Option<Severity>),
        operation: Option<&str>,
        subject: String,
        message: String,
    ) -> Self {
        let (severity, uncertain) = severities;
        let difference = Difference {
            kind,
            change,
            severity,
            certain: false,
            operation: operation.map(str::to_owned),
            place: None,
            subject,
            message,
            a: Figure::Count(0),
            b: Figure::Count(0),
            examples: Vec::new(),
        };
        Self { difference, uncertain }
    }

    /// With these figures instead of the shares that are tested.
    pub(crate) fn with(mut self, a: Figure, b: Figure) -> Self {
        (self.difference.a, self.difference.b) = (a, b);
        self
    }

    pub(crate) fn shown_by(mut self, side: char, exchange: Option<ExchangeId>) -> Self {
        self.difference.examples.extend(exchange.map(|exchange| Example { side, exchange }));
        self
    }
}

/// Collects differences, and tells those that may be chance.
pub(crate) struct Comparer<'c> {
    ignore: &'c Ignore,
    drafts: Vec<Draft>,
    latencies: Family,
    shares: Family,
}

impl<'c> Comparer<'c> {
    pub(crate) fn new(ignore: &'c Ignore) -> Self {
        Self { ignore, drafts: Vec::new(), latencies: Family::default(), shares: Family::default() }
    }

    pub(crate) fn ignores(&self, pointer: &str) -> bool {
        self.ignore.pointer(pointer)
    }

    /// The differences, the most serious first.
    pub(crate) fn finish(self) -> Vec<Difference> {
        let Self { mut drafts, latencies, shares, .. } = self;
        for number in latencies.judge().into_iter().chain(shares.judge()) {
            drafts[number].difference.certain = true;
        }
        let judged = drafts.into_iter().filter_map(|Draft { mut difference, uncertain }| {
            if !difference.certain {
                difference.severity = uncertain?;
                difference.message.push_str(" This may be chance.");
            }
            Some(difference)
        });
        let mut found: Vec<Difference> = judged.collect();
        found.sort_by(|a, b| {
            let key = |own: &Difference| (own.operation.clone(), own.kind, own.place, own.subject.clone(), own.change);
            b.severity.cmp(&a.severity).then_with(|| key(a).cmp(&key(b)))
        });
        found
    }

    /// A share that differs, tested unless it is all against none.
    pub(crate) fn share(&mut self, mut draft: Draft, a: Sample, b: Sample) {
        if self.ignore.kind(draft.difference.kind) {
            return;
        }
        if (a.is_all() && b.is_none()) || (a.is_none() && b.is_all()) {
            draft.difference.certain = true;
            self.shares.count();
        } else {
            self.shares.add(exact(a.count, a.of, b.count, b.of), self.drafts.len());
        }
        let own = &mut draft.difference;
        if own.a == own.b {
            (own.a, own.b) = (a.into(), b.into());
        }
        self.drafts.push(draft);
    }

    /// A latency that differs, tested with this p.
    pub(crate) fn latency_of(&mut self, draft: Draft, p: f64) {
        if !self.ignore.kind(draft.difference.kind) {
            self.latencies.add(p, self.drafts.len());
            self.drafts.push(draft);
        }
    }

    /// Counts a test of latencies that found nothing.
    pub(crate) fn count_latency(&mut self) {
        self.latencies.count();
    }

    /// A difference that needs no test.
    pub(crate) fn fact(&mut self, mut draft: Draft) {
        if !self.ignore.kind(draft.difference.kind) {
            draft.difference.certain = true;
            self.drafts.push(draft);
        }
    }
}
