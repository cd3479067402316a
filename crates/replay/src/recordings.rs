//! The recordings, and which of them responds to a request.

use std::{collections::HashMap, ops::Range};

use nightaudit_exchange::{Digest, Exchange, ExchangeId, Outcome, Pseudonym};

use crate::{
    claims::Claims,
    comparison::Comparison,
    key::{Key, target},
};

/// Recorded requests with their responses, in the order of recording, found by what they ask for.
///
/// It has keys and ids, not the exchanges themselves: some 60 bytes for each.
#[derive(Debug)]
pub struct Recordings {
    comparison: Comparison,
    ids: Vec<ExchangeId>,
    /// By key, then in order.
    same: Vec<Entry>,
    alike: Vec<Entry>,
    operations: Vec<Operation>,
    /// The recordings of each operation, one operation after the other.
    of_operations: Vec<u32>,
    claims: Claims,
    /// The parts of WebSockets, by handshake and number.
    parts: Vec<(ExchangeId, u32, ExchangeId)>,
    left_out: LeftOut,
}

/// A recording by one of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: Key,
    recording: u32,
}

/// A method and operation, and the range of its recordings.
#[derive(Debug)]
struct Operation {
    method: Box<str>,
    name: Box<str>,
    recordings: Range<usize>,
}

/// Exchanges that are not served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Without a complete response from the host.
    pub unanswered: u64,
    /// More than can be numbered.
    pub surplus: u64,
}

/// How a recording matches a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// The body is the very same.
    Same,
    /// It differs in what doesn't count.
    Alike,
}

/// The recording that responds to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) recording: u32,
    pub(crate) by: Match,
    /// Whether it was served before, since there are no more.
    pub(crate) again: bool,
}

/// How many recordings of an operation there are, and how many were served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) operation: String,
    pub(crate) recordings: u64,
    pub(crate) unserved: u64,
    pub(crate) first_unserved: Option<ExchangeId>,
}

/// How many tokens of one request are told apart.
const MAX_TOKENS: usize = 256;

impl Recordings {
    /// The number of recordings.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// The number of operations recorded.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.len()
    }

    /// What is not served.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    pub(crate) fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    pub(crate) fn id(&self, recording: u32) -> ExchangeId {
        self.ids[recording as usize]
    }

    /// Finds the response to a request with this very body.
    pub(crate) fn find_same(&self, method: &str, target: &str, body: &Digest) -> Option<Found> {
        let group = group(&self.same, Key::same(method, target, body));
        self.claim(&self.same, group, Match::Same)
    }

    /// Finds the response to a request with an alike body; all of it is redacted.
    ///
    /// One of the same access token, if it is known here; a token that isn't stands for those that are.
    pub(crate) fn find_alike(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
        token: Option<Pseudonym>,
    ) -> Option<Found> {
        let key = Key::alike(method, target, body, token, &self.comparison);
        let own = group(&self.alike, key);
        if !own.is_empty() {
            return self.claim(&self.alike, own, Match::Alike);
        }
        let start = self.alike.partition_point(|entry| entry.key.hash() < key.hash());
        let mut tokens = Vec::new();
        let mut rest = &self.alike[start..];
        let mut at = start;
        while let Some(first) = rest.first().filter(|first| first.key.hash() == key.hash() && tokens.len() < MAX_TOKENS)
        {
            let length = rest.partition_point(|entry| entry.key <= first.key);
            tokens.push(at..at + length);
            (rest, at) = (&rest[length..], at + length);
        }
        // In the order of recording, whoever it was recorded for.
        let next = |group: &Range<usize>| {
            let member = |place: usize| self.alike[group.start + place].recording;
            self.claims.peek(number(group, Match::Alike), group.len(), member)
        };
        let chosen = tokens.iter().filter_map(|group| Some((next(group)?, group))).min_by_key(|(next, _)| *next);
        let last = || tokens.iter().max_by_key(|group| self.alike[group.end - 1].recording);
        let chosen = chosen.map(|(_, group)| group).or_else(last)?;
        self.claim(&self.alike, chosen.clone(), Match::Alike)
    }

    /// The next of a group in order, or the last one again.
    fn claim(&self, entries: &[Entry], group: Range<usize>, by: Match) -> Option<Found> {
        let last = entries[group.clone()].last()?.recording;
        let member = |place: usize| entries[group.start + place].recording;
        let next = self.claims.next(number(&group, by), group.len(), member);
        Some(Found { recording: next.unwrap_or(last), by, again: next.is_none() })
    }

    /// Recordings of this operation, at most `count` of them, and how many there are: those not served yet first, then from all
    /// over the recording.
    pub(crate) fn near(&self, method: &str, operation: &str, count: usize) -> (Vec<u32>, usize) {
        let found = self.operations.iter().find(|known| &*known.method == method && &*known.name == operation);
        let Some(known) = found else { return (Vec::new(), 0) };
        let all = &self.of_operations[known.recordings.clone()];
        if all.len() <= count {
            return (all.to_vec(), all.len());
        }
        let step = all.len().div_ceil(count / 2);
        let mut chosen: Vec<u32> = all.iter().copied().step_by(step).collect();
        let next = all.iter().copied().filter(|recording| !self.claims.is_served(*recording));
        chosen.extend(next.take(count - chosen.len()));
        chosen.sort_unstable();
        chosen.dedup();
        (chosen, all.len())
    }

    /// The methods with which an operation was recorded.
    pub(crate) fn methods(&self, operation: &str) -> Vec<&str> {
        let known = self.operations.iter().filter(|known| &*known.name == operation);
        known.map(|known| &*known.method).collect()
    }

    /// The recorded operation whose name is most like this one.
    pub(crate) fn similar(&self, operation: &str) -> Option<&str> {
        // Bounds the cost; no documented operation is as long.
        const MAX: usize = 128;
        const MAX_COMPARED: usize = 2000;
        if operation.len() > MAX {
            return None;
        }
        let names = self.operations.iter().map(|known| &*known.name).filter(|name| name.len() <= MAX);
        let (distance, name) = names
            .take(MAX_COMPARED)
            .map(|name| (strsim::osa_distance(&operation.to_ascii_lowercase(), &name.to_ascii_lowercase()), name))
            .min_by_key(|(distance, _)| *distance)?;
        (distance * 3 <= operation.len()).then_some(name)
    }

    /// The parts of a WebSocket, in order.
    pub(crate) fn parts(&self, handshake: ExchangeId) -> impl Iterator<Item = ExchangeId> + '_ {
        let start = self.parts.partition_point(|(of, ..)| *of < handshake);
        let parts = self.parts[start..].iter().take_while(move |(of, ..)| *of == handshake);
        parts.map(|(.., part)| *part)
    }

    /// What of each operation was served, in the order of their first recording.
    pub(crate) fn usage(&self) -> Vec<Usage> {
        let usage = self.operations.iter().map(|known| {
            let all = &self.of_operations[known.recordings.clone()];
            let mut unserved = all.iter().filter(|recording| !self.claims.is_served(**recording));
            let first_unserved = unserved.next().map(|recording| self.id(*recording));
            Usage {
                operation: name(&known.method, &known.name),
                recordings: all.len() as u64,
                unserved: unserved.count() as u64 + u64::from(first_unserved.is_some()),
                first_unserved,
            }
        });
        usage.collect()
    }
}

/// An operation as people know it: nearly all are `POST`.
pub(crate) fn name(method: &str, operation: &str) -> String {
    if method == "POST" { operation.to_owned() } else { format!("{method} {operation}") }
}

/// A group's number among those of both kinds.
fn number(group: &Range<usize>, by: Match) -> usize {
    2 * group.start + usize::from(by == Match::Same)
}

/// The entries with this key.
fn group(entries: &[Entry], key: Key) -> Range<usize> {
    let start = entries.partition_point(|entry| entry.key < key);
    start..start + entries[start..].partition_point(|entry| entry.key == key)
}

/// Collects recordings.
#[derive(Debug)]
pub struct Builder {
    comparison: Comparison,
    ids: Vec<ExchangeId>,
    same: Vec<Entry>,
    alike: Vec<Entry>,
    /// The operation of each recording.
    operation: Vec<u32>,
    operations: Vec<(Box<str>, Box<str>)>,
    numbers: HashMap<(Box<str>, Box<str>), u32>,
    parts: Vec<(ExchangeId, u32, ExchangeId)>,
    left_out: LeftOut,
}

impl Builder {
    /// None yet; `expected` exchanges will be added.
    #[must_use]
    pub fn new(comparison: Comparison, expected: usize) -> Self {
        // A wrong number must not reserve more than a log can hold in practice.
        let expected = expected.min(1 << 24);
        Self {
            comparison,
            ids: Vec::with_capacity(expected),
            same: Vec::with_capacity(expected),
            alike: Vec::with_capacity(expected),
            operation: Vec::with_capacity(expected),
            operations: Vec::new(),
            numbers: HashMap::new(),
            parts: Vec::new(),
            left_out: LeftOut::default(),
        }
    }

    /// Adds an exchange, in the order of recording. Only what the host responded to is served: an exchange without its
    /// response is counted and left out.
    pub fn add(&mut self, exchange: &Exchange) {
        if let Some(part) = &exchange.web_socket {
            self.parts.push((part.handshake, part.part, exchange.id));
            return;
        }
        if exchange.outcome != Outcome::Answered || exchange.response.is_none() || exchange.is_webhook() {
            self.left_out.unanswered += 1;
            return;
        }
        let Ok(recording) = u32::try_from(self.ids.len()) else {
            self.left_out.surplus += 1;
            return;
        };
        let request = &exchange.request;
        let (method, target) = (request.method.as_str(), target(&request.url));
        self.ids.push(exchange.id);
        self.same.push(Entry { key: Key::same(method, target, &request.body.sha256), recording });
        if !request.body.truncated && request.body.withheld.is_none() {
            let (body, _) = request.body.decoded();
            let token = exchange.envelope.access_token;
            let key = Key::alike(method, target, &body, token, &self.comparison);
            self.alike.push(Entry { key, recording });
        }
        let operation = self.number(method, &exchange.operation);
        self.operation.push(operation);
    }

    /// The recordings, ready to be found.
    #[must_use]
    pub fn build(self) -> Recordings {
        let Self { comparison, ids, mut same, mut alike, operation, operations, numbers, mut parts, left_out } = self;
        drop(numbers);
        // Entries are unique, so that an unstable sort, which needs no memory, is exact.
        same.sort_unstable();
        alike.sort_unstable();
        parts.sort_unstable();
        let mut counts = vec![0; operations.len()];
        operation.iter().for_each(|number| counts[*number as usize] += 1);
        let mut end = 0;
        let operations: Vec<Operation> = operations
            .into_iter()
            .zip(counts)
            .map(|((method, name), count)| {
                end += count;
                Operation { method, name, recordings: end - count..end }
            })
            .collect();
        let mut next: Vec<usize> = operations.iter().map(|known| known.recordings.start).collect();
        let mut of_operations = vec![0; operation.len()];
        for (recording, number) in (0..).zip(&operation) {
            let place = &mut next[*number as usize];
            of_operations[*place] = recording;
            *place += 1;
        }
        let claims = Claims::new(ids.len());
        Recordings { comparison, ids, same, alike, operations, of_operations, claims, parts, left_out }
    }

    fn number(&mut self, method: &str, operation: &str) -> u32 {
        let key = (Box::from(method), Box::from(operation));
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        // Never more than recordings, which have numbers of this size.
        let number = u32::try_from(self.operations.len()).unwrap_or(u32::MAX);
        self.operations.push(key.clone());
        self.numbers.insert(key, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Recorded, TARGET};

    fn recordings(all: &[Recorded]) -> Recordings {
        let mut builder = Builder::new(Comparison::default(), all.len());
        (0..).zip(all).for_each(|(number, recorded)| builder.add(&recorded.exchange(number)));
        builder.build()
    }

    fn same(recordings: &Recordings, body: &str) -> Option<Found> {
        recordings.find_same("POST", TARGET, &Digest::of(body.as_bytes()))
    }

    fn alike(recordings: &Recordings, body: &str, token: &str) -> Option<Found> {
        recordings.find_alike("POST", TARGET, body.as_bytes(), Some(Pseudonym::of(token.as_bytes())))
    }

    fn of(body: &'static str, token: &'static str) -> Recorded {
        Recorded { body: body.to_owned(), token: token.to_owned(), ..Recorded::default() }
    }

    #[test]
    fn of_several_recordings_each_is_served_once_and_the_last_one_again() {
        let recordings = recordings(&[of("{}", "a"), of("[]", "a"), of("{}", "a"), of("{ }", "a")]);
        let served: Vec<_> = (0..4).filter_map(|_| same(&recordings, "{}")).map(|f| (f.recording, f.again)).collect();
        assert_eq!(served, [(0, false), (2, false), (2, true), (2, true)]);
        // The one with a blank is only alike.
        let found = alike(&recordings, "{}", "a").unwrap();
        assert_eq!((found.recording, found.by, found.again), (3, Match::Alike, false));
        assert!(alike(&recordings, "{}", "a").unwrap().again);
        assert_eq!((same(&recordings, "{\n}"), alike(&recordings, "3", "a")), (None, None));
    }

    #[test]
    fn each_access_token_has_its_own_responses_and_a_stranger_takes_all_in_order() {
        let all = [of("{}", "a"), of("{}", "b"), of("{}", "a"), of("{}", "b")];
        let known = recordings(&all);
        let served = |recordings: &Recordings, token| alike(recordings, "{}", token).unwrap().recording;
        assert_eq!([served(&known, "b"), served(&known, "a"), served(&known, "b"), served(&known, "b")], [1, 0, 3, 3]);
        assert_eq!(served(&known, "a"), 2);
        let strange = recordings(&all);
        assert_eq!([0; 5].map(|_| served(&strange, "c")), [0, 1, 2, 3, 3]);
    }

    #[test]
    fn an_operation_lists_its_recordings_and_what_is_like_it() {
        let at = |target: &str, method: &str| Recorded {
            target: target.to_owned(),
            method: method.to_owned(),
            ..Recorded::default()
        };
        let prefix = "/api/connector/v1/";
        let all = [
            at(&format!("{prefix}rates/getAll"), "POST"),
            at("/ws/connector", "GET"),
            at(&format!("{prefix}rates/getAll"), "POST"),
        ];
        let recordings = recordings(&all);
        assert_eq!(recordings.near("POST", "rates/getAll", 10), (vec![0, 2], 2));
        assert_eq!(recordings.near("GET", "rates/getAll", 10), (vec![], 0));
        assert_eq!(recordings.methods("rates/getAll"), ["POST"]);
        assert_eq!(recordings.similar("rates/getAl"), Some("rates/getAll"));
        assert_eq!(recordings.similar("bills/close"), None);
        recordings.find_same("GET", "/ws/connector", &Digest::of(b"{}")).unwrap();
        let usage: Vec<_> = recordings.usage().into_iter().map(|u| (u.operation, u.recordings, u.unserved)).collect();
        assert_eq!(usage, [("rates/getAll".to_owned(), 2, 2), ("GET /ws/connector".to_owned(), 1, 0)]);
    }

    #[test]
    fn of_many_recordings_some_are_compared_the_next_ones_among_them() {
        let recordings = recordings(&vec![Recorded::default(); 1000]);
        for _ in 0..700 {
            same(&recordings, &Recorded::default().body);
        }
        let operation = Recorded::default().exchange(0).operation;
        let (chosen, all) = recordings.near("POST", &operation, 100);
        assert_eq!(all, 1000);
        assert!(chosen.len() <= 100 && chosen.contains(&0) && (700..750).all(|next| chosen.contains(&next)));
    }

    #[test]
    fn what_the_host_did_not_answer_is_left_out() {
        let mut builder = Builder::new(Comparison::default(), 0);
        for outcome in [Outcome::Refused, Outcome::Failed, Outcome::Aborted, Outcome::Answered] {
            builder.add(&Exchange { outcome, ..Recorded::default().exchange(0) });
        }
        builder.add(&Exchange { response: None, ..Recorded::default().exchange(0) });
        let recordings = builder.build();
        assert_eq!((recordings.count(), recordings.left_out().unanswered), (1, 4));
    }

    #[test]
    fn a_truncated_request_is_found_by_its_digest_alone() {
        let mut exchange = Recorded::default().exchange(0);
        exchange.request.body.truncated = true;
        let mut builder = Builder::new(Comparison::default(), 1);
        builder.add(&exchange);
        let recordings = builder.build();
        let body = Recorded::default().body;
        assert!(same(&recordings, &body).is_some() && alike(&recordings, &body, "a").is_none());
    }

    proptest! {
        /// Against a plain search through all recordings.
        #[test]
        fn a_request_gets_the_next_recording_of_its_kind(
            recorded in prop::collection::vec(("[ab]", "[xy]", "[ ]{0,1}"), 0..60),
            asked in prop::collection::vec(("[abc]", "[xyz]", "[ ]{0,1}"), 0..60),
        ) {
            let body = |value: &str, blank: &str| format!("{{\"V\":{blank}\"{value}\"}}");
            let all: Vec<Recorded> = recorded
                .iter()
                .map(|(value, token, blank)| Recorded { token: token.clone(), ..of_body(body(value, blank)) })
                .collect();
            let found = recordings(&all);
            let mut served = vec![false; all.len()];
            for (value, token, blank) in asked {
                let asked = body(&value, &blank);
                let next = |served: &[bool], is: &dyn Fn(usize) -> bool| {
                    let next = (0..all.len()).find(|at| is(*at) && !served[*at]);
                    next.or_else(|| (0..all.len()).rev().find(|at| is(*at)))
                };
                let is_same = |at: usize| all[at].body == asked;
                let is_alike = |at: usize| recorded[at].0 == value;
                let is_own = |at: usize| is_alike(at) && recorded[at].1 == token;
                let expected = match (next(&served, &is_same), (0..all.len()).any(is_own)) {
                    (Some(same), _) => Some(same),
                    (None, true) => next(&served, &is_own),
                    (None, false) => next(&served, &is_alike),
                };
                let got = same(&found, &asked).or_else(|| alike(&found, &asked, &token)).map(|f| f.recording as usize);
                prop_assert_eq!(got, expected);
                if let Some(at) = got {
                    served[at] = true;
                }
            }
            let unserved: u64 = found.usage().iter().map(|usage| usage.unserved).sum();
            prop_assert_eq!(unserved, served.iter().filter(|served| !**served).count() as u64);
        }
    }

    fn of_body(body: String) -> Recorded {
        Recorded { body, ..Recorded::default() }
    }
}
