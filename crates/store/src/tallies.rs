//! What is counted of the rows of the last filters.
//!
//! What was counted once is not read again, only what was recorded since. The memory is bounded by the number of filters
//! and the size of each tally, however large the log is.

mod places;
mod scan;
mod selection;
mod values;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nightaudit_log::{FacetCounts, Position, Timeline};

use self::scan::{Scan, Tally};
pub(crate) use self::{places::Places, selection::Selection};
use crate::{index::Index, row_filter::RowFilter};

/// Number of filters whose places are kept: at most 192 KiB each.
const PLACES: usize = 24;
/// Number of filters whose timelines are kept: at most 48 KiB each.
const TIMELINES: usize = 24;
/// Number of filters whose values are kept: a few KiB each, at most about 1.5 MiB.
const VALUES: usize = 4;
/// What costs less than reading this many rows is not kept.
const MIN_ROWS: u64 = 4096;

/// What is kept of the matches of the last filters.
#[derive(Debug)]
pub(crate) struct Tallies {
    pub(crate) places: Kept<Places>,
    pub(crate) timelines: Kept<Timeline>,
    pub(crate) values: Kept<FacetCounts>,
}

impl Default for Tallies {
    fn default() -> Self {
        Self { places: Kept::new(PLACES), timelines: Kept::new(TIMELINES), values: Kept::new(VALUES) }
    }
}

/// Tallies of the last filters, the most recently used first.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    most: usize,
    tallies: Mutex<Vec<(Selection, Tallied<T>)>>,
}

/// A tally with how far it got. Its lock is held while rows are read, so that two readers of one filter don't both read
/// them.
type Tallied<T> = Arc<Mutex<Scan<T>>>;

impl<T: Tally> Kept<T> {
    fn new(most: usize) -> Self {
        Self { most, tallies: Mutex::default() }
    }

    /// What `read` makes of the tally of a selection, brought up to date, and of the position up to where it has counted.
    pub(crate) fn with<R>(
        &self,
        index: &Index,
        selection: &Selection,
        read: impl FnOnce(&T, Option<Position>) -> R,
    ) -> R {
        let tallied = self.get(selection);
        let mut scan = tallied.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = RowFilter::by_index(&selection.filter);
        scan.update(index, selection, &mut rows);
        if scan.rows_read() < MIN_ROWS {
            self.tallies().retain(|(known, _)| known != selection);
        }
        read(scan.tally(), scan.reached())
    }

    fn get(&self, selection: &Selection) -> Tallied<T> {
        let mut tallies = self.tallies();
        let known = tallies.iter().position(|(known, _)| known == selection);
        let entry = match known {
            Some(at) => tallies.remove(at),
            None => (selection.clone(), Tallied::default()),
        };
        let tallied = Arc::clone(&entry.1);
        tallies.insert(0, entry);
        tallies.truncate(self.most);
        tallied
    }

    fn tallies(&self) -> MutexGuard<'_, Vec<(Selection, Tallied<T>)>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
