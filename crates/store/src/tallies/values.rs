//! Counting rows in time and by value.

use nightaudit_exchange::{Outcome, Pseudonym, SessionId, Timestamp};
use nightaudit_log::{Ending, FacetCounts, Timeline};

use super::scan::Tally;
use crate::index::{Chunk, Row};

impl Tally for Timeline {
    const BY_NUMBER: bool = false;

    fn values<'r>(&mut self, _: SessionId, _: &Chunk, matches: impl Iterator<Item = (&'r Row, i64)>) {
        for (row, started) in matches {
            self.count(Timestamp::from_micros(started), Ending::of(row.outcome, status(row)));
        }
    }
}

impl Tally for FacetCounts {
    const BY_NUMBER: bool = false;

    /// Counts within the chunk first, by the numbers that its texts have there.
    fn values<'r>(&mut self, session: SessionId, chunk: &Chunk, matches: impl Iterator<Item = (&'r Row, i64)>) {
        let mut operations = vec![0; chunk.operations.len()];
        let mut clients = vec![0; chunk.clients.len()];
        let mut statuses: Vec<(u16, u64)> = Vec::new();
        let mut outcomes: Vec<(Outcome, u64)> = Vec::new();
        let mut tokens: Vec<Pseudonym> = Vec::new();
        let mut total = 0;
        for (row, _) in matches {
            total += 1;
            if let Some(count) = operations.get_mut(usize::from(row.operation)) {
                *count += 1;
            }
            if let Some(count) = usize::from(row.client).checked_sub(1).and_then(|client| clients.get_mut(client)) {
                *count += 1;
            }
            count(&mut statuses, row.status);
            count(&mut outcomes, row.outcome);
            tokens.extend(row.access_token);
            tokens.extend(row.client_token.filter(|_| row.client_token != row.access_token));
        }
        if total == 0 {
            return;
        }
        self.session(session, total);
        let texts = |names: &'_ [Box<str>], counts: &[u64]| -> Vec<(Box<str>, u64)> {
            let counted = names.iter().zip(counts).filter(|(_, count)| **count > 0);
            counted.map(|(name, count)| (name.clone(), *count)).collect()
        };
        texts(&chunk.operations, &operations).iter().for_each(|(name, count)| self.operation(name, *count));
        texts(&chunk.clients, &clients).iter().for_each(|(name, count)| self.client(name, *count));
        for (code, count) in statuses {
            self.status((code > 0).then_some(code), count);
        }
        outcomes.iter().for_each(|(outcome, count)| self.outcome(*outcome, *count));
        tokens.sort_unstable();
        for same in tokens.chunk_by(|one, other| one == other) {
            self.token(same[0], same.len() as u64);
        }
    }
}

/// Adds one to the count of a value; there are few.
fn count<T: PartialEq>(counts: &mut Vec<(T, u64)>, value: T) {
    match counts.iter_mut().find(|(known, _)| *known == value) {
        Some((_, count)) => *count += 1,
        None => counts.push((value, 1)),
    }
}

fn status(row: &Row) -> Option<u16> {
    (row.status > 0).then_some(row.status)
}
