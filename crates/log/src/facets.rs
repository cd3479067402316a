//! The values that matches have, and how often.

use std::{collections::HashMap, hash::Hash};

use nightaudit_exchange::{Exchange, Outcome, Pseudonym, SessionId};

/// Maximum number of values of a kind that are counted.
const MAX_VALUES: usize = 5000;
/// Maximum bytes of a kind's texts.
const MAX_TEXT: usize = 256 << 10;
/// Maximum number of values of a kind that are listed.
const MAX_LISTED: usize = 500;

/// The values that matches have, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facets {
    /// Their sessions.
    pub sessions: Facet<SessionId>,
    /// Their operations.
    pub operations: Facet<Box<str>>,
    /// Their statuses; `None` without a response.
    pub statuses: Facet<Option<u16>>,
    /// Their outcomes.
    pub outcomes: Facet<Outcome>,
    /// Their access tokens and client tokens.
    pub tokens: Facet<Pseudonym>,
    /// The envelope's `Client`; matches without one aren't counted.
    pub clients: Facet<Box<str>>,
}

/// The values of one kind, most frequent first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet<T> {
    /// Each value with the number of matches that have it; at most 500.
    pub values: Vec<(T, u64)>,
    /// The number of values that were counted and are not listed.
    pub more: u64,
    /// The matches whose values were not counted, as there were 5,000 values or 256 KiB of texts before.
    pub uncounted: u64,
}

/// Counts the values of exchanges, in bounded memory.
#[derive(Debug, Clone, Default)]
pub struct FacetCounts {
    sessions: Counts<SessionId>,
    operations: Counts<Box<str>>,
    statuses: Counts<Option<u16>>,
    outcomes: Counts<Outcome>,
    tokens: Counts<Pseudonym>,
    clients: Counts<Box<str>>,
}

impl FacetCounts {
    /// Counts the values of an exchange.
    pub fn add(&mut self, exchange: &Exchange) {
        self.session(exchange.session, 1);
        self.operation(&exchange.operation, 1);
        self.status(exchange.status(), 1);
        self.outcome(exchange.outcome, 1);
        let (access, client) = (exchange.envelope.access_token, exchange.envelope.client_token);
        access.into_iter().chain(client.filter(|_| client != access)).for_each(|token| self.token(token, 1));
        if let Some(client) = &exchange.envelope.client {
            self.client(client, 1);
        }
    }

    /// Counts matches of a session.
    pub fn session(&mut self, session: SessionId, matches: u64) {
        self.sessions.add(session, matches);
    }

    /// Counts matches of an operation.
    pub fn operation(&mut self, operation: &str, matches: u64) {
        self.operations.add_text(operation, matches);
    }

    /// Counts matches with a status.
    pub fn status(&mut self, status: Option<u16>, matches: u64) {
        self.statuses.add(status, matches);
    }

    /// Counts matches with an outcome.
    pub fn outcome(&mut self, outcome: Outcome, matches: u64) {
        self.outcomes.add(outcome, matches);
    }

    /// Counts matches with a token.
    pub fn token(&mut self, token: Pseudonym, matches: u64) {
        self.tokens.add(token, matches);
    }

    /// Counts matches of a client.
    pub fn client(&mut self, client: &str, matches: u64) {
        self.clients.add_text(client, matches);
    }

    /// The counts so far.
    #[must_use]
    pub fn facets(&self) -> Facets {
        Facets {
            sessions: self.sessions.list(|session| *session),
            operations: self.operations.list(Clone::clone),
            statuses: self.statuses.list(|status| *status),
            outcomes: self.outcomes.list(|outcome| *outcome),
            tokens: self.tokens.list(|token| *token),
            clients: self.clients.list(Clone::clone),
        }
    }
}

#[derive(Debug, Clone)]
struct Counts<T> {
    values: HashMap<T, u64>,
    text: usize,
    uncounted: u64,
}

impl<T> Default for Counts<T> {
    fn default() -> Self {
        Self { values: HashMap::new(), text: 0, uncounted: 0 }
    }
}

impl<T: Eq + Hash + Clone> Counts<T> {
    fn add(&mut self, value: T, matches: u64) {
        if let Some(count) = self.values.get_mut(&value) {
            *count += matches;
        } else if self.values.len() < MAX_VALUES {
            self.values.insert(value, matches);
        } else {
            self.uncounted += matches;
        }
    }

    /// The most frequent values; among equally frequent ones the lower first.
    fn list<K: Ord>(&self, key: impl Fn(&T) -> K) -> Facet<T> {
        let mut values: Vec<_> = self.values.iter().map(|(value, count)| (value.clone(), *count)).collect();
        values.sort_by_cached_key(|(value, count)| (std::cmp::Reverse(*count), key(value)));
        let more = values.len().saturating_sub(MAX_LISTED) as u64;
        values.truncate(MAX_LISTED);
        Facet { values, more, uncounted: self.uncounted }
    }
}

impl Counts<Box<str>> {
    fn add_text(&mut self, value: &str, matches: u64) {
        if let Some(count) = self.values.get_mut(value) {
            *count += matches;
        } else if self.values.len() < MAX_VALUES && self.text + value.len() <= MAX_TEXT {
            self.text += value.len();
            self.values.insert(value.into(), matches);
        } else {
            self.uncounted += matches;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_values_come_first_and_the_rest_is_counted() {
        let mut counts = FacetCounts::default();
        for status in 100..1000 {
            counts.status(Some(status), u64::from(status % 3));
        }
        counts.status(None, 7);
        let statuses = counts.facets().statuses;
        assert_eq!(statuses.values[..3], [(None, 7), (Some(101), 2), (Some(104), 2)]);
        assert_eq!((statuses.values.len(), statuses.more, statuses.uncounted), (500, 401, 0));
    }

    #[test]
    fn memory_is_bounded_and_what_is_not_counted_is_said() {
        let mut counts = FacetCounts::default();
        for number in 0..20_000 {
            counts.operation(&format!("/scan/{number}"), 1);
            counts.client(&format!("{number}{}", "x".repeat(1000)), 2);
        }
        counts.operation("/scan/0", 1);
        let facets = counts.facets();
        assert_eq!(facets.operations.values[0], ("/scan/0".into(), 2));
        assert_eq!((facets.operations.more, facets.operations.uncounted), (4500, 15_000));
        let clients = &facets.clients;
        let kept = clients.values.len() as u64 + clients.more;
        assert!(kept < 262, "{kept}");
        assert_eq!(clients.uncounted, 2 * (20_000 - kept));
    }

    #[test]
    fn an_exchange_counts_once_for_each_of_its_values() {
        let token = |byte| Some(Pseudonym([byte; 6]));
        let mut exchange = nightaudit_log::testing::exchange(1, "a", 1);
        (exchange.envelope.access_token, exchange.envelope.client_token) = (token(1), token(1));
        let mut counts = FacetCounts::default();
        counts.add(&exchange);
        exchange.envelope.client_token = token(2);
        counts.add(&exchange);
        let facets = counts.facets();
        assert_eq!(facets.tokens.values, [(Pseudonym([1; 6]), 2), (Pseudonym([2; 6]), 1)]);
        assert_eq!(facets.operations.values, [("reservations/getAll".into(), 2)]);
        assert_eq!(facets.clients.values, [("Kiosk 1".into(), 2)]);
        assert_eq!(
            (facets.outcomes.values, facets.statuses.values),
            (vec![(Outcome::Answered, 2)], vec![(Some(200), 2)])
        );
    }
}
