//! Where the n-th match is.

use nightaudit_log::Position;

use super::scan::Tally;

/// Maximum number of marks. With more, every second one is dropped, and new ones are set half as often.
const MAX_MARKS: usize = 4096;

/// How many matches there are up to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The number of matches before.
    pub(crate) number: u64,
    /// A position before the match with this number, without other matches between; `None` for the start of the log.
    pub(crate) after: Option<Position>,
}

/// The number of matches, and marks among them.
#[derive(Debug)]
pub(crate) struct Places {
    total: u64,
    /// In order of both numbers and positions.
    marks: Vec<Mark>,
    /// The least number of matches between two marks.
    stride: u64,
}

impl Default for Places {
    fn default() -> Self {
        Self { total: 0, marks: Vec::new(), stride: 1 }
    }
}

impl Places {
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The last mark at or before the match with this number.
    pub(crate) fn before(&self, number: u64) -> Mark {
        self.last(self.marks.partition_point(|mark| mark.number <= number))
    }

    /// The last mark before a position.
    pub(crate) fn at(&self, position: Position) -> Mark {
        self.last(self.marks.partition_point(|mark| mark.after < Some(position)))
    }

    fn last(&self, count: usize) -> Mark {
        let mark = count.checked_sub(1).and_then(|last| self.marks.get(last));
        mark.copied().unwrap_or(Mark { number: 0, after: None })
    }

    /// Adds matches, which come after a position.
    fn add(&mut self, after: Position, count: u64) {
        let is_due = |places: &Self| places.marks.last().is_none_or(|last| places.total - last.number >= places.stride);
        // Marks of whole chunks are further apart than the first strides.
        while is_due(self) && self.marks.len() >= MAX_MARKS {
            self.thin();
        }
        if is_due(self) {
            self.marks.push(Mark { number: self.total, after: Some(after) });
        }
        self.total += count;
    }

    fn thin(&mut self) {
        self.stride *= 2;
        let mut kept: Option<u64> = None;
        self.marks.retain(|mark| {
            let is_kept = kept.is_none_or(|last| mark.number - last >= self.stride);
            if is_kept {
                kept = Some(mark.number);
            }
            is_kept
        });
    }
}

impl Tally for Places {
    const BY_NUMBER: bool = true;

    fn number(&mut self, after: Position, matches: u64) {
        self.add(after, matches);
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::SessionId;

    use super::*;

    fn position(number: u64) -> Position {
        Position { written: number, session: SessionId::from_parts(0, 1), sequence: number }
    }

    #[test]
    fn marks_are_bounded_and_near_every_match() {
        for (matches, at_a_time) in [(100, 1), (4096, 1), (4097, 1), (300_000, 1), (1_000_000, 512)] {
            let mut places = Places::default();
            for number in (0..matches).step_by(at_a_time) {
                places.add(position(number + 1).before(), at_a_time as u64);
            }
            assert!(places.marks.len() <= MAX_MARKS);
            let longest = places.stride * 2 + at_a_time as u64;
            assert!(longest <= 1 || longest < 4 * (matches / MAX_MARKS as u64 + 1) + at_a_time as u64);
            for number in (0..matches).step_by(97).chain([matches - 1, matches]) {
                let mark = places.before(number);
                assert!(number - mark.number <= longest, "{number}: {mark:?}");
                assert_eq!(mark.after, Some(position(mark.number + 1).before()));
            }
        }
    }

    #[test]
    fn the_mark_before_a_position_is_before_it() {
        let mut places = Places::default();
        (1..=100).for_each(|number| places.add(position(number * 10).before(), 1));
        assert_eq!(places.at(position(1)), Mark { number: 0, after: None });
        // Positions compare by stamp first, and that of a match is the stamp of the mark before it.
        for (at, number) in [(10, 0), (11, 0), (19, 0), (20, 1), (995, 98), (1000, 99), (5000, 99)] {
            assert_eq!(places.at(position(at)).number, number, "{at}");
        }
    }
}
