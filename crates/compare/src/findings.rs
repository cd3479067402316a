//! What contradicts Mews' documentation, by operation.

use std::collections::{BTreeMap, HashMap};

use nightaudit_exchange::{Exchange, ExchangeId};
use nightaudit_mews::{Contracts, FindingKind};

/// The most places with findings, of all operations together.
pub(crate) const MOST_FINDINGS: usize = 4_000;

/// What was found in the requests of an operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// Requests that were checked.
    pub(crate) checked: u64,
    pub(crate) found: HashMap<(FindingKind, Box<str>), Found>,
}

/// A finding at a place.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Requests with it.
    pub(crate) requests: u64,
    pub(crate) first: ExchangeId,
    /// In words, as in the first request.
    pub(crate) text: Box<str>,
    /// Whether Mews' sources contradict each other everywhere that it was found.
    pub(crate) disputed: bool,
    /// The number of the last request with it.
    stamp: u64,
}

impl Findings {
    /// Checks a request; `room` is how many more places there may be.
    pub(crate) fn note(&mut self, exchange: &Exchange, contracts: &Contracts, room: &mut usize) {
        let body = &exchange.request.body;
        let is_whole = exchange.has_whole_request() && body.decoded().1;
        if exchange.request.method != "POST" || !is_whole || !contracts.has(&exchange.operation) {
            return;
        }
        self.checked += 1;
        for finding in contracts.check_exchange(exchange) {
            if finding.kind == FindingKind::More {
                continue;
            }
            let key = (finding.kind, without_indices(&finding.pointer).into());
            if let Some(found) = self.found.get_mut(&key) {
                found.disputed &= finding.disputed.is_some();
                if std::mem::replace(&mut found.stamp, self.checked) != self.checked {
                    found.requests += 1;
                }
            } else if *room > 0 {
                *room -= 1;
                let found = Found {
                    requests: 1,
                    first: exchange.id,
                    text: format!("expected {}, found {}", finding.expected, finding.found).into(),
                    disputed: finding.disputed.is_some(),
                    stamp: self.checked,
                };
                self.found.insert(key, found);
            }
        }
    }
}

impl Findings {
    /// What was found, by the JSON name of its kind and its place.
    pub(crate) fn sorted(&self) -> BTreeMap<(String, &str), &Found> {
        self.found.iter().map(|((kind, pointer), found)| ((kind_name(*kind), &**pointer), found)).collect()
    }
}

/// The JSON name of a finding's kind.
fn kind_name(kind: FindingKind) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A JSON pointer with `*` for array indices.
fn without_indices(pointer: &str) -> String {
    let part = |part: &str| {
        let is_index = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_index { "*".to_owned() } else { part.to_owned() }
    };
    pointer.split('/').map(part).collect::<Vec<_>>().join("/")
}
