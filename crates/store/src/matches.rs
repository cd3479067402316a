//! The matches of a filter: how many there are, where the n-th is, when they started and what values they have; from the
//! index alone.

use std::sync::Arc;

use nightaudit_exchange::Filter;
use nightaudit_log::{FacetCounts, Facets, Histogram, Place, Position, Query, ReadError, Start, Timeline};

use crate::{query::Exchanges, row_filter::RowFilter, shared::Shared, tallies::Selection};

/// See [`ReadLog::seek`](nightaudit_log::ReadLog::seek), for filters that need no bodies.
pub(crate) fn seek(shared: &Arc<Shared>, filter: &Filter, start: Start) -> Result<Place, ReadError> {
    let selection = resolved(shared, filter)?;
    // Before the rows are counted: if it changes meanwhile, the next place tells.
    let generation = shared.index.generation();
    let (total, from, mark, end) = shared.tallies.places.with(&shared.index, &selection, |places, end| {
        let from = start.of(places.total());
        (places.total(), from, places.before(from), end)
    });
    let after = match from - mark.number {
        // All matches are passed, so there is nothing to look for.
        _ if from == total => end,
        0 => mark.after,
        skipped => skip(shared, &selection, mark.after, skipped)?,
    };
    Ok(Place { total, from, after, generation })
}

/// See [`ReadLog::rank`](nightaudit_log::ReadLog::rank), for filters that need no bodies.
pub(crate) fn rank(shared: &Arc<Shared>, filter: &Filter, position: Position) -> Result<Option<u64>, ReadError> {
    let selection = resolved(shared, filter)?;
    let mark = shared.tallies.places.with(&shared.index, &selection, |places, _| places.at(position));
    for (number, hit) in (mark.number..).zip(hits(shared, &selection, mark.after)?) {
        if hit >= position {
            return Ok((hit == position).then_some(number));
        }
    }
    Ok(None)
}

/// See [`ReadLog::histogram`](nightaudit_log::ReadLog::histogram), for filters that need no bodies.
pub(crate) fn histogram(shared: &Shared, filter: &Filter, buckets: usize) -> Result<Histogram, ReadError> {
    let selection = resolved(shared, filter)?;
    let histogram = |timeline: &Timeline, _| timeline.histogram(filter.since, filter.until, buckets);
    Ok(shared.tallies.timelines.with(&shared.index, &selection, histogram))
}

/// See [`ReadLog::facets`](nightaudit_log::ReadLog::facets), for filters that need no bodies.
pub(crate) fn facets(shared: &Shared, filter: &Filter) -> Result<Facets, ReadError> {
    let selection = resolved(shared, filter)?;
    Ok(shared.tallies.values.with(&shared.index, &selection, |values: &FacetCounts, _| values.facets()))
}

/// The position of the match this many after `after`; the end if there are fewer.
fn skip(
    shared: &Arc<Shared>,
    selection: &Selection,
    after: Option<Position>,
    count: u64,
) -> Result<Option<Position>, ReadError> {
    let mut reached = after;
    for hit in hits(shared, selection, after)?.take(usize::try_from(count).unwrap_or(usize::MAX)) {
        reached = Some(hit);
    }
    Ok(reached)
}

/// The positions of the matches after `after`.
fn hits(
    shared: &Arc<Shared>,
    selection: &Selection,
    after: Option<Position>,
) -> Result<impl Iterator<Item = Position>, ReadError> {
    let query = Query { filter: selection.query(), after, ..Query::default() };
    Ok(Exchanges::new(shared, query)?.by_index(RowFilter::by_index(&selection.filter)).positions())
}

/// The filter with its sessions resolved.
fn resolved(shared: &Shared, filter: &Filter) -> Result<Selection, ReadError> {
    let resolve = |which: Option<&str>| which.map(|which| shared.resolve(which)).transpose();
    let (session, unwanted) = (resolve(filter.session.as_deref())?, resolve(filter.except_session())?);
    let except = filter.except.as_deref().map(|except| Box::new(Filter { session: None, ..except.clone() }));
    let filter = Filter { session: None, except, ..filter.clone() };
    Ok(Selection { filter, session, unwanted })
}
