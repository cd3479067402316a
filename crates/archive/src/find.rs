//! Finding the exchange that a person means.

use std::sync::Arc;

use nightaudit_exchange::{Exchange, ExchangeId};
use nightaudit_log::FindError;
use tokio_postgres::Row;

use crate::{
    connection::Param,
    error::Error,
    pages,
    pool::{Pool, unavailable},
    row,
};

/// The minimum length of a suffix of an id.
const MIN_SUFFIX: usize = 4;
/// The letters of an id.
const LETTERS: usize = 26;

/// See [`ReadLog::find`](nightaudit_log::ReadLog::find).
pub(crate) fn find(pool: &Arc<Pool>, which: &str) -> Result<Exchange, FindError> {
    let none = || FindError::NotFound(which.to_owned());
    match which {
        "last" => return newest(pool, "true")?.map_or(Err(FindError::Empty), |row| read(&row)),
        "last-error" => return newest(pool, "wrong")?.map_or(Err(FindError::NoError), |row| read(&row)),
        _ if which.is_empty() || which.len() > LETTERS || !which.is_ascii() => return Err(none()),
        _ => {}
    }
    let wanted = which.to_ascii_uppercase();
    let mut found = match row::ids(&wanted) {
        Some((first, last)) => {
            matching(pool, "id BETWEEN $1 AND $2", vec![Box::new(first), Box::new(last)], &|_| true)?
        }
        None => Vec::new(),
    };
    if found.is_empty()
        && (MIN_SUFFIX..LETTERS).contains(&wanted.len())
        && let Some((first, last)) = row::tails(&wanted)
    {
        let params: Vec<Param> = vec![Box::new(first), Box::new(last)];
        found = matching(pool, "tail BETWEEN $1 AND $2", params, &|id| id.to_string().ends_with(&wanted))?;
    }
    if found.len() > 1 {
        return Err(FindError::Ambiguous { prefix: which.to_owned(), ids: found });
    }
    let id = found.pop().ok_or_else(none)?;
    let row = by_id(pool, id).map_err(unavailable)?.ok_or_else(none)?;
    read(&row)
}

/// The row of the exchange with this id.
pub(crate) fn by_id(pool: &Arc<Pool>, id: ExchangeId) -> Result<Option<Row>, Error> {
    let sql = of_id("written, session, sequence, hash, record");
    Ok(pool.rows(sql, vec![Box::new(id.to_bytes().to_vec())])?.pop())
}

/// Selects these columns of the exchange with an id: of the one that a node recorded, if others of that id were imported.
pub(crate) fn of_id(columns: &str) -> String {
    format!(
        "SELECT {columns} FROM nightaudit.exchanges WHERE id = $1 ORDER BY \
         (SELECT state->>'imported' IS NOT NULL FROM nightaudit.chains WHERE chains.session = exchanges.session), \
         written DESC LIMIT 1"
    )
}

fn read(row: &Row) -> Result<Exchange, FindError> {
    Ok(pages::exchange(row)?)
}

fn newest(pool: &Arc<Pool>, condition: &str) -> Result<Option<Row>, FindError> {
    let sql = format!(
        "SELECT written, session, sequence, hash, record FROM nightaudit.exchanges WHERE {condition} \
         ORDER BY written DESC, session DESC, sequence DESC LIMIT 1"
    );
    Ok(pool.rows(sql, Vec::new()).map_err(unavailable)?.pop())
}

/// The first eight ids that match, in order.
fn matching(
    pool: &Arc<Pool>,
    condition: &str,
    params: Vec<Param>,
    also: &dyn Fn(ExchangeId) -> bool,
) -> Result<Vec<ExchangeId>, FindError> {
    // Nearly all ids in the range of a suffix have it.
    let sql = format!("SELECT DISTINCT id FROM nightaudit.exchanges WHERE {condition} ORDER BY id LIMIT 64");
    let rows = pool.rows(sql, params).map_err(unavailable)?;
    let ids = rows.iter().map(|row| ExchangeId::from_bytes(row.get::<_, &[u8]>(0).try_into().unwrap_or_default()));
    Ok(ids.filter(|id| also(*id)).take(8).collect())
}
