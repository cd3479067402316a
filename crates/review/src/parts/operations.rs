//! Figures per operation.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use nightaudit_exchange::{Exchange, Outcome, Timestamp};
use nightaudit_mews::Contracts;

use crate::{
    body::BodySummary,
    names::{OperationNo, Operations},
    review::{LatencyMs, OperationReview, Run, Sizes},
};

/// The most filters tracked per operation.
const MOST_FILTERS: usize = 64;

/// The most statuses tracked per operation.
const MOST_STATUSES: usize = 64;

/// Latencies are recorded to two significant digits, up to an hour.
const DIGITS: u8 = 2;
const LONGEST_US: u64 = 3_600_000_000;

/// Counters per operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct OperationsPart {
    tallies: Vec<Option<Tally>>,
}

/// Counters of one operation.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) succeeded: u64,
    pub(crate) first_id: nightaudit_exchange::ExchangeId,
    sent: u64,
    hours: Hours,
    statuses: BTreeMap<u16, u64>,
    unanswered: u64,
    latency: Option<Box<Histogram<u32>>>,
    request: SizeTally,
    response: SizeTally,
    paged: u64,
    filters: BTreeMap<Box<str>, u64>,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

/// Calls by hour of the clock. Only the last few hours are kept: exchanges arrive almost in order.
#[derive(Debug, Clone, Default)]
struct Hours {
    last: BTreeMap<i64, u64>,
    busiest: u64,
}

impl Hours {
    /// Hours kept; an exchange that was in flight for longer counts as an hour of its own.
    const KEPT: usize = 4;

    fn add(&mut self, at: Timestamp) {
        let calls = self.last.entry(at.micros().div_euclid(3_600_000_000)).or_default();
        *calls += 1;
        self.busiest = self.busiest.max(*calls);
        if self.last.len() > Self::KEPT {
            self.last.pop_first();
        }
    }

    fn busiest(&self) -> u64 {
        self.busiest
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct SizeTally {
    count: u64,
    total: u64,
    max: u64,
}

impl SizeTally {
    fn add(&mut self, length: u64) {
        self.count += 1;
        self.total = self.total.saturating_add(length);
        self.max = self.max.max(length);
    }

    fn sizes(self) -> Sizes {
        Sizes { mean: self.total / self.count.max(1), max: self.max, total: self.total }
    }
}

impl OperationsPart {
    pub(crate) fn note(&mut self, number: OperationNo, exchange: &Exchange, asked: &BodySummary<'_>) {
        let index = usize::from(number.0);
        if index >= self.tallies.len() {
            self.tallies.resize(index + 1, None);
        }
        self.tallies[index].get_or_insert_with(|| Tally::new(exchange)).note(exchange, asked);
    }

    /// The counters of each operation.
    pub(crate) fn tallies(&self) -> impl Iterator<Item = (OperationNo, &Tally)> {
        self.tallies
            .iter()
            .enumerate()
            .filter_map(|(index, tally)| Some((OperationNo(u16::try_from(index).ok()?), tally.as_ref()?)))
    }

    pub(crate) fn report(&self, names: &Operations, run: &Run, contracts: &Contracts) -> Vec<OperationReview> {
        let mut reviews: Vec<_> =
            self.tallies().map(|(number, tally)| tally.review(names.name(number), run, contracts)).collect();
        reviews.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.operation.cmp(&b.operation)));
        reviews
    }
}

impl Tally {
    fn new(exchange: &Exchange) -> Self {
        Self {
            calls: 0,
            succeeded: 0,
            first_id: exchange.id,
            sent: 0,
            hours: Hours::default(),
            statuses: BTreeMap::new(),
            unanswered: 0,
            latency: None,
            request: SizeTally::default(),
            response: SizeTally::default(),
            paged: 0,
            filters: BTreeMap::new(),
            first: exchange.started_at,
            last: exchange.started_at,
        }
    }

    fn note(&mut self, exchange: &Exchange, asked: &BodySummary<'_>) {
        self.calls += 1;
        self.hours.add(exchange.started_at);
        self.sent += u64::from(exchange.times_us.forwarded.is_some());
        self.first = self.first.min(exchange.started_at);
        self.last = self.last.max(exchange.started_at);
        self.request.add(exchange.request.body.length);
        self.paged += u64::from(exchange.envelope.paginated);
        match &exchange.response {
            Some(response) => {
                if self.statuses.len() < MOST_STATUSES || self.statuses.contains_key(&response.status) {
                    *self.statuses.entry(response.status).or_default() += 1;
                }
                self.response.add(response.body.length);
                self.succeeded +=
                    u64::from(exchange.outcome == Outcome::Answered && (200..300).contains(&response.status));
            }
            None => self.unanswered += 1,
        }
        // A response that was slowed down on purpose says nothing about Mews.
        if let (Outcome::Answered, Some(sent), Some(end)) =
            (exchange.outcome, exchange.times_us.forwarded, exchange.times_us.response_end)
            && exchange.fault.is_none()
        {
            if self.latency.is_none() {
                self.latency = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok().map(Box::new);
            }
            if let Some(latency) = &mut self.latency {
                latency.saturating_record(end.saturating_sub(sent).max(1));
            }
        }
        for field in &asked.fields {
            if let Some(count) = self.filters.get_mut(&**field) {
                *count += 1;
            } else if self.filters.len() < MOST_FILTERS {
                self.filters.insert(field.chars().take(80).collect::<String>().into(), 1);
            }
        }
    }

    fn review(&self, name: &str, run: &Run, contracts: &Contracts) -> OperationReview {
        let known = contracts.operation(name);
        OperationReview {
            operation: name.to_owned(),
            title: known.map(|known| known.title.to_string()),
            calls: self.calls,
            sent: self.sent,
            succeeded: self.succeeded,
            per_hour: (run.per_hour(self.calls) * 100.0).round() / 100.0,
            busiest_hour: self.hours.busiest(),
            statuses: self.statuses.clone(),
            unanswered: self.unanswered,
            latency: self.latency.as_ref().map(|latency| {
                let ms = |micros: u64| micros as f64 / 1000.0;
                let at = |quantile| ms(latency.value_at_quantile(quantile).min(latency.max()));
                LatencyMs { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: ms(latency.max()) }
            }),
            request: self.request.sizes(),
            response: self.response.sizes(),
            paginated: known.is_some_and(|known| known.paginated),
            paged: self.paged,
            filters: self.filters.iter().map(|(name, count)| (name.to_string(), *count)).collect(),
            first: self.first,
            last: self.last,
        }
    }
}
