//! The result of a comparison.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use nightaudit_exchange::Timestamp;
use nightaudit_review::Severity;
use nightaudit_units::count;
use serde::{Deserialize, Serialize};

use crate::{
    comparer::Comparer,
    difference::{Difference, DifferenceKind},
    ignore::Ignore,
    latency::Latency,
    recording::Recording,
    tally::Tally,
};

/// The most differences that are listed; the least serious ones are left out.
const MOST: usize = 2_000;

/// How the second of two recordings differs from the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Differences {
    /// The earlier recording.
    pub a: Side,
    /// The later recording.
    pub b: Side,
    /// Differences by severity.
    pub counts: Counts,
    /// The differences, most serious first. At most 2,000.
    pub differences: Vec<Difference>,
    /// Each operation with its figures, by name.
    pub operations: Vec<OperationFigures>,
    /// Bounds that were reached, so that something was left out.
    pub bounds: Vec<String>,
    /// By which statistics a difference is told from chance.
    pub method: String,
}

/// Differences by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Likely to break the integration.
    pub error: u64,
    /// Worth a look.
    pub warning: u64,
    /// Worth knowing.
    pub note: u64,
}

/// A recording that was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// The session or file.
    pub name: String,
    /// Exchanges, parts of WebSockets included.
    pub exchanges: u64,
    /// When the first one started.
    pub first: Option<Timestamp>,
    /// When the last one started.
    pub last: Option<Timestamp>,
    /// Calls by the host that answered, as far as it is recorded.
    pub hosts: BTreeMap<String, u64>,
    /// Exchanges that were edited or masked before they were imported.
    pub altered: u64,
    /// Exchanges that another tool recorded, whose times are its word.
    pub foreign: u64,
    /// Bodies that could not be read: truncated, withheld, or in a content coding that can't be decoded.
    pub unread: u64,
    /// The limits' rules.
    pub rules: BTreeMap<String, RuleFigures>,
}

/// A limit's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleFigures {
    /// Requests allowed in a window, as last recorded.
    pub limit: u32,
    /// The most that were used of a window.
    pub most_used: u32,
}

/// An operation's figures on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationFigures {
    /// The path after `/api/connector/v1/`, with the method if it isn't POST.
    pub operation: String,
    /// The earlier recording; `None` if it wasn't called.
    pub a: Option<SideFigures>,
    /// The later recording; `None` if it wasn't called.
    pub b: Option<SideFigures>,
}

/// An operation's figures on one side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SideFigures {
    /// Calls, whatever became of them.
    pub calls: u64,
    /// Calls with a status of 400 or more, or without a response from Mews.
    pub failed: u64,
    /// Latencies; `None` if Mews answered none.
    pub latency: Option<Latency>,
}

impl Differences {
    /// By which statistics a difference is told from chance, in a sentence or two.
    pub const METHOD: &str = "Latencies differ if the rank sum test of Mann and Whitney (1947) finds other medians, or Fisher's \
        exact test (1922) another share of slow calls, and if medians are 10 % and 5 ms apart, or 95th percentiles 25 % and \
        5 ms. Shares are certain by Fisher's exact test, or if all of three or more are against none of three or more. Each \
        kind of test is corrected for their number by Holm's method (1979), so that one comparison in a hundred finds a \
        difference that isn't there.";

    /// Compares two recordings.
    #[must_use]
    pub fn of(a: &Recording, b: &Recording, ignore: &Ignore) -> Self {
        let mut comparer = Comparer::new(ignore);
        comparer.compare(a, b);
        let mut differences = comparer.finish();
        let mut counts = Counts::default();
        for difference in &differences {
            *match difference.severity {
                Severity::Error => &mut counts.error,
                Severity::Warning => &mut counts.warning,
                Severity::Note => &mut counts.note,
            } += 1;
        }
        let mut bounds = bounds(a, "the first recording");
        bounds.extend(self::bounds(b, "the second recording"));
        if differences.len() > MOST {
            bounds.push(format!(
                "{} more differences are counted but not listed",
                count((differences.len() - MOST) as u64)
            ));
            differences.truncate(MOST);
        }
        Self {
            a: Side::of(a),
            b: Side::of(b),
            counts,
            differences,
            operations: operations(a, b),
            bounds,
            method: Self::METHOD.to_owned(),
        }
    }

    /// Whether there is no difference.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.counts.error + self.counts.warning + self.counts.note == 0
    }

    /// The most serious severity; `None` without a difference.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        self.differences.first().map(|difference| difference.severity)
    }

    /// The number of differences of each kind.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<DifferenceKind, u64> {
        let mut kinds = BTreeMap::new();
        for difference in &self.differences {
            *kinds.entry(difference.kind).or_default() += 1;
        }
        kinds
    }
}

/// `2 errors, 1 warning, 3 notes`, or `no difference`
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [(self.error, "error"), (self.warning, "warning"), (self.note, "note")];
        let said: Vec<String> = all
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" }))
            .collect();
        if said.is_empty() { f.write_str("no difference") } else { f.write_str(&said.join(", ")) }
    }
}

impl Side {
    fn of(recording: &Recording) -> Self {
        let facts = &recording.facts;
        let unread = recording.tallies.iter().flat_map(|(_, tally)| tally.shapes()).map(|shape| shape.bodies().unread);
        let rule = |(name, (limit, used)): (&String, &(u32, u32))| {
            (name.clone(), RuleFigures { limit: *limit, most_used: *used })
        };
        Self {
            name: recording.name.clone(),
            exchanges: facts.exchanges,
            first: facts.first,
            last: facts.last,
            hosts: facts.hosts.clone(),
            altered: facts.altered,
            foreign: facts.foreign,
            unread: unread.sum(),
            rules: facts.rules.iter().map(rule).collect(),
        }
    }
}

fn operations(a: &Recording, b: &Recording) -> Vec<OperationFigures> {
    let (a, b) = (a.operations(), b.operations());
    let figures =
        |tally: &&Tally| SideFigures { calls: tally.calls, failed: tally.failed, latency: tally.latencies.figures() };
    let names: BTreeSet<&str> = a.keys().chain(b.keys()).copied().collect();
    let each = names.into_iter().map(|name| OperationFigures {
        operation: name.to_owned(),
        a: a.get(name).map(figures),
        b: b.get(name).map(figures),
    });
    each.collect()
}

/// What was left out of a recording's summary.
fn bounds(recording: &Recording, which: &str) -> Vec<String> {
    let mut bounds = Vec::new();
    let facts = &recording.facts;
    if facts.unlisted > 0 {
        bounds.push(format!("{which} has {} calls of operations beyond the first 1,000", count(facts.unlisted)));
    }
    if recording.cursors.unlisted > 0 {
        bounds.push(format!(
            "{which} has {} runs through lists beyond those that are kept",
            count(recording.cursors.unlisted)
        ));
    }
    for (name, tally) in &recording.tallies {
        let properties: u64 = tally.shapes().map(nightaudit_shape::Shape::unlisted).sum();
        if properties > 0 {
            bounds.push(format!(
                "{which} has more properties of {name} than are kept: {} were left out",
                count(properties)
            ));
        }
        if tally.unlisted > 0 {
            bounds.push(format!("{which} has more statuses and messages of {name} than are kept"));
        }
    }
    bounds.truncate(100);
    bounds
}
