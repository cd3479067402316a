//! Places and counts by reading every match: for filters that need bodies, and for engines without an index.

use nightaudit_exchange::Filter;

use crate::{Exchanges, FacetCounts, Facets, Histogram, Place, Position, Query, ReadError, Start, Timeline};

/// Runs a query of the log.
pub type Run<'r> = &'r dyn Fn(Query) -> Result<Box<dyn Exchanges>, ReadError>;

/// See [`ReadLog::seek`](crate::ReadLog::seek).
///
/// # Errors
///
/// Those of the query.
pub fn seek(run: Run<'_>, filter: &Filter, start: Start, generation: u64) -> Result<Place, ReadError> {
    let query = || run(Query { filter: filter.clone(), ..Query::default() });
    let total = query()?.count() as u64;
    let from = start.of(total);
    let mut passed = query()?;
    for _ in 0..from {
        passed.next();
    }
    Ok(Place { total, from, after: passed.last_position(), generation })
}

/// See [`ReadLog::rank`](crate::ReadLog::rank).
///
/// # Errors
///
/// Those of the query.
pub fn rank(run: Run<'_>, filter: &Filter, position: Position) -> Result<Option<u64>, ReadError> {
    let mut matches = run(Query { filter: filter.clone(), ..Query::default() })?;
    let mut number = 0;
    while matches.next().is_some() {
        match matches.last_position() {
            Some(here) if here == position => return Ok(Some(number)),
            Some(here) if here > position => break,
            _ => number += 1,
        }
    }
    Ok(None)
}

/// See [`ReadLog::histogram`](crate::ReadLog::histogram).
///
/// # Errors
///
/// Those of the query.
pub fn histogram(run: Run<'_>, filter: &Filter, buckets: usize) -> Result<Histogram, ReadError> {
    let mut timeline = Timeline::default();
    run(Query { filter: filter.clone(), ..Query::default() })?.flatten().for_each(|exchange| timeline.add(&exchange));
    Ok(timeline.histogram(filter.since, filter.until, buckets))
}

/// See [`ReadLog::facets`](crate::ReadLog::facets).
///
/// # Errors
///
/// Those of the query.
pub fn facets(run: Run<'_>, filter: &Filter) -> Result<Facets, ReadError> {
    let mut counts = FacetCounts::default();
    run(Query { filter: filter.clone(), ..Query::default() })?.flatten().for_each(|exchange| counts.add(&exchange));
    Ok(counts.facets())
}
