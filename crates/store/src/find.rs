//! Finding the exchange that a person means.

use std::sync::Arc;

use nightaudit_exchange::{Exchange, Filter, Outcome, OutcomeFilter};
use nightaudit_log::{FindError, Order, Position, Query, ReadError};

use crate::{
    lookup::ID_LENGTH,
    query::{Exchanges, Fetch},
    shared::Shared,
};

/// The minimum length of a suffix of an id: shorter ones are not worth scanning the index.
const MIN_SUFFIX: usize = 4;

/// See [`Log::find`](crate::Log::find).
pub(crate) fn find(shared: &Arc<Shared>, which: &str) -> Result<Exchange, FindError> {
    let none = || FindError::NotFound(which.to_owned());
    match which {
        "last" => return newest(shared, Filter::default())?.map(|(_, exchange)| exchange).ok_or(FindError::Empty),
        "last-error" => return newest_error(shared)?.ok_or(FindError::NoError),
        _ if which.is_empty() || which.len() > ID_LENGTH || !which.is_ascii() => return Err(none()),
        _ => {}
    }
    let mut found = match which.parse() {
        Ok(id) if which.len() == ID_LENGTH => shared.with_id(id)?.into_iter().collect(),
        _ => shared.with_prefix(which)?,
    };
    if found.is_empty() && (MIN_SUFFIX..ID_LENGTH).contains(&which.len()) {
        found = shared.with_suffix(which)?;
    }
    if found.len() > 1 {
        let ids = found.iter().map(|found| found.id).collect();
        return Err(FindError::Ambiguous { prefix: which.to_owned(), ids });
    }
    let found = found.pop().ok_or_else(none)?;
    let mut fetch = Fetch::new(Arc::clone(shared));
    fetch.exchange(found.position.session, found.position.sequence, found.at)?.ok_or_else(none)
}

/// The last recorded match, and its position.
fn newest(shared: &Arc<Shared>, filter: Filter) -> Result<Option<(Position, Exchange)>, ReadError> {
    let mut found = Exchanges::new(shared, Query { filter, order: Order::Newest, after: None, limit: Some(1) })?;
    let exchange = found.next().transpose()?;
    Ok(found.last_position().zip(exchange))
}

fn newest_error(shared: &Arc<Shared>) -> Result<Option<Exchange>, ReadError> {
    // Two queries that the index can answer alone.
    let failed = Filter { status: "400-999".parse().ok(), ..Filter::default() };
    let answered = Filter { outcome: Some(OutcomeFilter::Is(Outcome::Answered)), ..Filter::default() };
    let unanswered = Filter { except: Some(Box::new(answered)), ..Filter::default() };
    let found = [newest(shared, failed)?, newest(shared, unanswered)?];
    Ok(found.into_iter().flatten().max_by_key(|(position, _)| *position).map(|(_, exchange)| exchange))
}
