//! What the records of nodes lack, found while they are read.

use std::collections::BTreeMap;

use nightaudit_exchange::{Digest, Exchange, SessionId, chain};

use crate::{Chain, Session};

/// Follows the chains of nodes as they are read, and finds the numbers that are gone from them, also at their ends: what was
/// deleted from a shared log behind its back leaves no other trace.
#[derive(Debug, Default)]
pub struct Holes(BTreeMap<SessionId, Reached>);

/// How far a chain was read.
#[derive(Debug)]
struct Reached {
    sequence: u64,
    /// The hash there; `None` if it isn't known.
    hash: Option<Digest>,
    /// The last number that the log got.
    due: u64,
}

impl Holes {
    /// Expects all exchanges of these sessions' chains. What is shipped meanwhile may come, too.
    #[must_use]
    pub fn of(sessions: &[Session]) -> Self {
        let chains = sessions.iter().flat_map(|session| &session.chains).filter(|chain| chain.exchanges > 0);
        // What was deleted on purpose isn't expected.
        let start = |chain: &Chain| Reached {
            sequence: chain.dropped_to,
            hash: (chain.dropped_to == 0).then(|| chain::genesis(chain.session)),
            due: chain.last,
        };
        Self(chains.map(|chain| (chain.session, start(chain))).collect())
    }

    /// Takes the next exchange; returns the first and last number of those that are gone before it.
    pub fn read(&mut self, exchange: &Exchange) -> Option<(u64, u64)> {
        let reached = self.0.get_mut(&exchange.session)?;
        let gap = (reached.sequence.saturating_add(1), exchange.sequence.saturating_sub(1));
        // A number that was skipped in an unbroken chain was never recorded.
        let is_chained = reached.hash.is_none() || exchange.previous_hash == reached.hash;
        if exchange.sequence > reached.sequence {
            (reached.sequence, reached.hash) = (exchange.sequence, exchange.hash);
        }
        (!is_chained && gap.0 <= gap.1).then_some(gap)
    }

    /// Notes that exchanges up to this one are there, but can't be read.
    pub fn unreadable(&mut self, session: SessionId, last: u64) {
        if let Some(reached) = self.0.get_mut(&session).filter(|reached| reached.sequence < last) {
            (reached.sequence, reached.hash) = (last, None);
        }
    }

    /// Once all were read: the chains that end too early, and the first and last number of what is gone there.
    pub fn at_ends(self) -> impl Iterator<Item = (SessionId, (u64, u64))> {
        let gone =
            |(session, Reached { sequence, due, .. })| (sequence < due).then_some((session, (sequence + 1, due)));
        self.0.into_iter().filter_map(gone)
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::Timestamp;

    use super::*;

    fn id(number: u64) -> SessionId {
        SessionId::from_parts(number, 0)
    }

    /// A session of chains with these exchanges, last numbers, and numbers up to which they were deleted for their age.
    fn holes(chains: &[(u64, u64, u64)]) -> Holes {
        let mut session = Session::new(id(0), "ci", "demo", Timestamp::from_micros(0));
        let chain = |(number, (exchanges, last, dropped_to)): (u64, &(u64, u64, u64))| Chain {
            exchanges: *exchanges,
            last: *last,
            dropped_to: *dropped_to,
            ..Chain::new(id(number), &format!("n{number}"))
        };
        session.chains = (0..).zip(chains).map(chain).collect();
        Holes::of(&[session])
    }

    fn exchange(chain: u64, sequence: u64, previous: &[u8]) -> Exchange {
        Exchange {
            session: id(chain),
            sequence,
            previous_hash: Some(Digest::of(previous)),
            hash: Some(Digest::of(&sequence.to_le_bytes())),
            ..nightaudit_exchange::testing::sample()
        }
    }

    #[test]
    fn the_end_of_a_record_that_is_gone_is_missing_and_what_was_deleted_for_its_age_is_not() {
        let mut holes =
            holes(&[(3, 3, 0), (5, 5, 0), (2, 9, 7), (0, 4, 4), (u64::MAX, u64::MAX, 0), (1, 1, 0), (4, 4, 0)]);
        // Two were shipped while it was read, the last ones can't be read.
        for (chain, sequence) in [(0, 1), (0, 3), (1, 2), (0, 2), (0, 4), (5, 7)] {
            holes.read(&exchange(chain, sequence, b""));
        }
        holes.unreadable(id(6), 4);
        let gone: Vec<_> = holes.at_ends().collect();
        assert_eq!(gone, [(id(1), (3, 5)), (id(2), (8, 9)), (id(4), (1, u64::MAX))]);
    }

    #[test]
    fn only_what_breaks_the_chain_is_gone() {
        let mut holes = holes(&[(9, 9, 0), (9, 9, 4)]);
        assert_eq!(holes.read(&exchange(0, 3, b"of the second")), Some((1, 2)));
        // The fourth was never recorded, and of the sixth the hash isn't known.
        assert_eq!(holes.read(&exchange(0, 5, &3_u64.to_le_bytes())), None);
        holes.unreadable(id(0), 6);
        assert_eq!(holes.read(&exchange(0, 7, b"of the sixth")), None);
        assert_eq!(holes.read(&exchange(0, 9, b"of the eighth")), Some((8, 8)));
        // Replaced, not gone.
        assert_eq!(holes.read(&exchange(0, 10, b"else")), None);
        assert_eq!(holes.read(&exchange(1, 5, b"of what was deleted for its age")), None);
        assert_eq!(holes.read(&exchange(2, 7, b"of no chain that is known")), None);
        assert_eq!(holes.at_ends().collect::<Vec<_>>(), [(id(1), (6, 9))]);
    }
}
