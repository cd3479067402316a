//! Exchanges that were recorded and can't be had any more.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::SessionId;

/// The most ranges that are told apart; the last one may hold exchanges that are there.
const MOST_RANGES: usize = 1000;

/// Exchanges of a session that were recorded and are not there any more, or can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// The session.
    pub session: SessionId,
    /// Its name.
    pub session_name: String,
    /// How many are missing.
    pub count: u64,
    /// Their sequence numbers: the first and the last of each range. Empty where nobody can tell which; the thousandth
    /// may hold some that are there.
    pub ranges: Vec<(u64, u64)>,
    /// Whether the session's folder is gone with all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_session: bool,
}

impl Missing {
    /// Adds an exchange, if it is not among them.
    fn add(&mut self, sequence: u64) {
        let place = self.ranges.partition_point(|(first, _)| *first <= sequence);
        if place > 0 && self.ranges[place - 1].1 >= sequence {
            return;
        }
        self.count += 1;
        if place > 0 && (self.ranges[place - 1].1 + 1 == sequence || self.ranges.len() >= MOST_RANGES) {
            self.ranges[place - 1].1 = sequence;
        } else {
            self.ranges.insert(place, (sequence, sequence));
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, session_name, count, ranges, whole_session } = self;
        let name = session_name.escape_debug();
        let exchanges = if *count == 1 { "exchange" } else { "exchanges" };
        if *whole_session {
            return write!(f, "session {name} ({session}) is missing with its {count} {exchanges}");
        }
        match ranges.is_empty() {
            true => write!(f, "{count} {exchanges} of session {name} ({session}) ")?,
            false => write!(f, "{exchanges} {} of session {name} ({session}) ", Ranges(ranges))?,
        }
        f.write_str(if *count == 1 { "is missing" } else { "are missing" })
    }
}

/// Ranges of sequence numbers in words: `3, 7 to 9`; at most twenty of them.
#[derive(Debug, Clone, Copy)]
pub struct Ranges<'a>(pub &'a [(u64, u64)]);

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 20;
        for (place, (first, last)) in self.0.iter().take(MOST).enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            match first == last {
                true => write!(f, "{first}")?,
                false => write!(f, "{first} to {last}")?,
            }
        }
        match self.0.len().saturating_sub(MOST) {
            0 => Ok(()),
            1 => f.write_str(" and 1 more range"),
            more => write!(f, " and {more} more ranges"),
        }
    }
}

/// What is missing of several sessions, gathered while their exchanges are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps(BTreeMap<SessionId, Missing>);

impl Gaps {
    /// Begins with what is known to be missing.
    #[must_use]
    pub fn new(known: impl IntoIterator<Item = Missing>) -> Self {
        Self(known.into_iter().map(|missing| (missing.session, missing)).collect())
    }

    /// Adds exchanges that can't be read, by the first and the last of their numbers; `name` gives their session's name.
    ///
    /// What claims to be more than a part of an index can hold counts as so many.
    pub fn add(&mut self, session: SessionId, (first, last): (u64, u64), name: impl FnOnce() -> String) {
        const MOST: u64 = 1 << 16;
        let new = || Missing { session, session_name: name(), count: 0, ranges: Vec::new(), whole_session: false };
        let missing = self.0.entry(session).or_insert_with(new);
        (first..=last.min(first.saturating_add(MOST))).for_each(|sequence| missing.add(sequence));
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is missing, session by session.
    #[must_use]
    pub fn into_list(self) -> Vec<Missing> {
        self.0.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_told_in_words() {
        let session = SessionId::from_parts(0, 0);
        let missing = |count, ranges: &[(u64, u64)], whole_session| {
            let session_name = "a\u{1b}b".to_owned();
            Missing { session, session_name, count, ranges: ranges.to_vec(), whole_session }.to_string()
        };
        let id = "00000000000000000000000000";
        let name = "a\\u{1b}b";
        let told = [
            (missing(1, &[(7, 7)], false), format!("exchange 7 of session {name} ({id}) is missing")),
            (missing(4, &[(1, 3), (9, 9)], false), format!("exchanges 1 to 3, 9 of session {name} ({id}) are missing")),
            (missing(4, &[], false), format!("4 exchanges of session {name} ({id}) are missing")),
            (missing(4, &[(1, 4)], true), format!("session {name} ({id}) is missing with its 4 exchanges")),
        ];
        told.into_iter().for_each(|(is, due)| assert_eq!(is, due));
        let many: Vec<_> = (0..22).map(|number| (number * 2, number * 2)).collect();
        assert!(Ranges(&many).to_string().ends_with("38 and 2 more ranges"));
    }

    proptest! {
        #[test]
        fn ranges_hold_what_was_added_in_any_order(mut numbers in prop::collection::vec(1..60_u64, 0..80)) {
            let session = SessionId::from_parts(1, 1);
            let mut gaps = Gaps::default();
            numbers.iter().for_each(|number| gaps.add(session, (*number, *number), String::new));
            numbers.sort_unstable();
            numbers.dedup();
            let list = gaps.into_list();
            let held: Vec<u64> = list.iter().flat_map(|missing| missing.ranges.iter().flat_map(|(a, b)| *a..=*b)).collect();
            prop_assert_eq!(&held, &numbers);
            prop_assert_eq!(list.iter().map(|missing| missing.count).sum::<u64>(), numbers.len() as u64);
        }
    }
}
