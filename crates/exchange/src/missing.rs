//! Exchanges that were recorded but are lost.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::SessionId;

/// Maximum number of ranges; the last one may include exchanges that exist.
const MAX_RANGES: usize = 1000;

/// Exchanges of a session that were recorded but are lost or unreadable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// The session.
    pub session: SessionId,
    /// Its name.
    pub session_name: String,
    /// The number of missing exchanges.
    pub count: u64,
    /// Their sequence numbers, as first and last of each range. Empty if unknown; the thousandth range may include
    /// exchanges that exist.
    pub ranges: Vec<(u64, u64)>,
    /// Whether the session's directory is gone with all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_session: bool,
}

impl Missing {
    /// Adds an exchange unless already included.
    fn add(&mut self, sequence: u64) {
        let index = self.ranges.partition_point(|(first, _)| *first <= sequence);
        if index > 0 && self.ranges[index - 1].1 >= sequence {
            return;
        }
        self.count += 1;
        if index > 0 && (self.ranges[index - 1].1 + 1 == sequence || self.ranges.len() >= MAX_RANGES) {
            self.ranges[index - 1].1 = sequence;
        } else {
            self.ranges.insert(index, (sequence, sequence));
        }
    }
}

impl Missing {
    /// Adds a range, as far as it isn't included.
    fn add_range(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let size = |(first, last): (u64, u64)| (last - first).saturating_add(1);
        let overlaps = self.ranges.iter().map(|(from, to)| ((*from).max(first), (*to).min(last)));
        let known = overlaps.filter(|(from, to)| from <= to).map(size).fold(0, u64::saturating_add);
        self.count = self.count.saturating_add(size((first, last)).saturating_sub(known));
        self.ranges.push((first, last));
        self.ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (first, last) in self.ranges.drain(..) {
            let is_full = joined.len() >= MAX_RANGES;
            match joined.last_mut() {
                Some((_, end)) if is_full || first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        self.ranges = joined;
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

/// Displays ranges of sequence numbers, at most twenty: `3, 7 to 9`.
#[derive(Debug, Clone, Copy)]
pub struct Ranges<'a>(pub &'a [(u64, u64)]);

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 20;
        for (index, (first, last)) in self.0.iter().take(MAX).enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match first == last {
                true => write!(f, "{first}")?,
                false => write!(f, "{first} to {last}")?,
            }
        }
        match self.0.len().saturating_sub(MAX) {
            0 => Ok(()),
            1 => f.write_str(" and 1 more range"),
            more => write!(f, " and {more} more ranges"),
        }
    }
}

/// Missing exchanges by session, collected while reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps(BTreeMap<SessionId, Missing>);

impl Gaps {
    /// Starts from known gaps.
    #[must_use]
    pub fn new(known: impl IntoIterator<Item = Missing>) -> Self {
        Self(known.into_iter().map(|missing| (missing.session, missing)).collect())
    }

    /// Adds unreadable exchanges by their first and last sequence number; `name` returns the session's name.
    ///
    /// At most as many are added as one part of an index can hold.
    pub fn add(&mut self, session: SessionId, (first, last): (u64, u64), name: impl FnOnce() -> String) {
        const MAX: u64 = 1 << 16;
        let new = || Missing { session, session_name: name(), count: 0, ranges: Vec::new(), whole_session: false };
        let missing = self.0.entry(session).or_insert_with(new);
        (first..=last.min(first.saturating_add(MAX))).for_each(|sequence| missing.add(sequence));
    }

    /// Adds a range of missing exchanges, however long; `name` returns the session's name.
    pub fn add_range(&mut self, session: SessionId, (first, last): (u64, u64), name: impl FnOnce() -> String) {
        let new = || Missing { session, session_name: name(), count: 0, ranges: Vec::new(), whole_session: false };
        if first <= last {
            self.0.entry(session).or_insert_with(new).add_range(first, last);
        }
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The gaps, session by session.
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
    fn displays_in_words() {
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

    #[test]
    fn a_range_of_any_length_is_added_at_once() {
        let session = SessionId::from_parts(1, 1);
        let mut gaps = Gaps::default();
        for range in [(5, 9), (1, 3), (4, 4), (8, 12), (2, 1), (20, u64::MAX), (30, 40)] {
            gaps.add_range(session, range, String::new);
        }
        let list = gaps.into_list();
        assert_eq!(list[0].ranges, [(1, 12), (20, u64::MAX)]);
        assert_eq!(list[0].count, 12 + (u64::MAX - 19));
    }

    proptest! {
        #[test]
        fn ranges_are_counted_as_their_numbers_are(ranges in prop::collection::vec((1..60_u64, 0..9_u64), 0..20)) {
            let session = SessionId::from_parts(1, 1);
            let (mut by_range, mut one_by_one) = (Gaps::default(), Gaps::default());
            for (first, more) in ranges {
                by_range.add_range(session, (first, first + more), String::new);
                one_by_one.add(session, (first, first + more), String::new);
            }
            let numbers = |gaps: Gaps| -> Option<(u64, Vec<u64>)> {
                let missing = gaps.into_list().pop()?;
                Some((missing.count, missing.ranges.iter().flat_map(|(first, last)| *first..=*last).collect()))
            };
            prop_assert_eq!(numbers(by_range), numbers(one_by_one));
        }

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
