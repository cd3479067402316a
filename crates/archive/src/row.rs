//! The columns by which exchanges are found.

use nightaudit_exchange::{Decision, Digest, Exchange, ExchangeId, Outcome, Pseudonym};

use crate::connection::Param;

/// Letters of an id's end that the column `tail` has.
pub(crate) const TAIL: usize = 8;

/// Exchanges of one chain, by column.
#[derive(Default)]
pub(crate) struct Columns {
    pub(crate) sequences: Vec<i64>,
    pub(crate) times: Vec<i64>,
    ids: Vec<Vec<u8>>,
    tails: Vec<i64>,
    environments: Vec<String>,
    incomings: Vec<bool>,
    starts: Vec<i64>,
    durations: Vec<i64>,
    operations: Vec<String>,
    statuses: Vec<Option<i16>>,
    outcomes: Vec<i16>,
    wrongs: Vec<bool>,
    delays: Vec<bool>,
    clients: Vec<Option<String>>,
    access_tokens: Vec<Option<Vec<u8>>>,
    client_tokens: Vec<Option<Vec<u8>>>,
    request_ids: Vec<Option<String>>,
    hashes: Vec<Vec<u8>>,
    records: Vec<Vec<u8>>,
    /// Bytes of records.
    pub(crate) bytes: usize,
}

impl Columns {
    /// Appends an exchange, its record, its place in time, and its hash.
    pub(crate) fn push(&mut self, exchange: &Exchange, record: Vec<u8>, written: i64, hash: Digest) {
        self.bytes += record.len();
        self.sequences.push(exchange.sequence.cast_signed());
        self.times.push(written);
        self.ids.push(exchange.id.to_bytes().to_vec());
        self.tails.push(tail(&exchange.id.to_string()));
        self.environments.push(text(&exchange.environment));
        self.incomings.push(!exchange.direction.is_outgoing());
        self.starts.push(exchange.started_at.micros());
        self.durations.push(i64::try_from(exchange.duration().as_micros()).unwrap_or(i64::MAX));
        self.operations.push(text(&exchange.operation));
        self.statuses.push(exchange.status().map(u16::cast_signed));
        self.outcomes.push(outcome(exchange.outcome));
        self.wrongs
            .push(exchange.outcome != Outcome::Answered || exchange.status().is_some_and(|status| status >= 400));
        self.delays.push(exchange.limit.as_ref().is_some_and(|limit| limit.decision == Decision::Delayed));
        self.clients.push(exchange.envelope.client.as_deref().map(text));
        self.access_tokens.push(exchange.envelope.access_token.map(token));
        self.client_tokens.push(exchange.envelope.client_token.map(token));
        self.request_ids.push(exchange.request_id().map(|id| text(&id.to_ascii_lowercase())));
        self.hashes.push(hash.0.to_vec());
        self.records.push(record);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.sequences.len()
    }

    /// The columns as parameters of `nightaudit.ship`, in its order.
    pub(crate) fn into_params(self) -> [Param; 19] {
        [
            Box::new(self.sequences),
            Box::new(self.times),
            Box::new(self.ids),
            Box::new(self.tails),
            Box::new(self.environments),
            Box::new(self.incomings),
            Box::new(self.starts),
            Box::new(self.durations),
            Box::new(self.operations),
            Box::new(self.statuses),
            Box::new(self.outcomes),
            Box::new(self.wrongs),
            Box::new(self.delays),
            Box::new(self.clients),
            Box::new(self.access_tokens),
            Box::new(self.client_tokens),
            Box::new(self.request_ids),
            Box::new(self.hashes),
            Box::new(self.records),
        ]
    }
}

/// The number of an outcome.
pub(crate) fn outcome(outcome: Outcome) -> i16 {
    Outcome::ALL.iter().position(|known| *known == outcome).and_then(|place| i16::try_from(place).ok()).unwrap_or(-1)
}

pub(crate) fn token(token: Pseudonym) -> Vec<u8> {
    token.0.to_vec()
}

/// The text as PostgreSQL can have it: without U+0000.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The last letters of an id as a number, of which the last letter is the most significant; so the ids that end alike are
/// beside each other.
pub(crate) fn tail(id: &str) -> i64 {
    id.bytes().rev().take(TAIL).fold(0, |number, letter| number << 5 | letter_value(letter).unwrap_or(0))
}

/// The range of [`tail`]s of ids with this end; `None` if no id has it.
pub(crate) fn tails(end: &str) -> Option<(i64, i64)> {
    let end = &end.as_bytes()[end.len().saturating_sub(TAIL)..];
    let first = end.iter().rev().try_fold(0, |number, letter| Some(number << 5 | letter_value(*letter)?))?;
    let open = 5 * (TAIL - end.len());
    let first = first << open;
    Some((first, first + ((1i64 << open) - 1)))
}

fn letter_value(letter: u8) -> Option<i64> {
    LETTERS.iter().position(|known| *known == letter).and_then(|value| i64::try_from(value).ok())
}

/// The range of ids that begin with these upper-case letters; `None` if none can.
pub(crate) fn ids(prefix: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let id = |letter: char| -> Option<ExchangeId> {
        let missing = 26usize.checked_sub(prefix.len())?;
        let text: String = prefix.chars().chain(std::iter::repeat_n(letter, missing)).collect();
        text.parse().ok()
    };
    // The first letter stands for three bits only.
    if !matches!(prefix.bytes().next(), Some(b'0'..=b'7'))
        || !prefix.bytes().all(|letter| letter_value(letter).is_some())
    {
        return None;
    }
    Some((id('0')?.to_bytes().to_vec(), id('Z')?.to_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_is_within_the_ranges_of_both_its_ends_and_others_are_not(
            time in 0u64..1 << 48, random in any::<u128>(), other in any::<u128>(), length in 1usize..=26,
        ) {
            let [one, other] = [random, other].map(|random| ExchangeId::from_parts(time, random));
            let (prefix, suffix) = (&one.to_string()[..length], &one.to_string()[26 - length..]);
            let (first, last) = ids(prefix).unwrap();
            let (from, to) = tails(suffix).unwrap();
            for id in [one, other] {
                let text = id.to_string();
                let bytes = id.to_bytes().to_vec();
                prop_assert_eq!((&first..=&last).contains(&&bytes), text.starts_with(prefix));
                if length <= TAIL {
                    prop_assert_eq!((from..=to).contains(&tail(&text)), text.ends_with(suffix));
                }
            }
        }
    }

    #[test]
    fn what_no_id_begins_or_ends_with_has_no_range() {
        for prefix in ["", "8", "L", "0L", "7u", "é", "nothing"] {
            assert_eq!(ids(prefix), None, "{prefix}");
        }
        assert_eq!(ids(&"0".repeat(27)), None);
        assert_eq!(tails("ILOU"), None);
    }
}
