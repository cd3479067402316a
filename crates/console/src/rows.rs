//! Rows of the page's list, by position.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{Uri, header};
use nightaudit_exchange::{Exchange, Filter};
use nightaudit_log::{Exchanges, Order, Position, Query, ReadError, Start};
use serde_json::{Value, json};

use crate::{
    Shared,
    error::ApiError,
    now, pairs, reading,
    row::{Row, Unreadable},
    stream::read_out,
    take,
};

/// Default and maximum number of rows.
const ROWS: usize = 100;
const MAX_ROWS: usize = 500;

/// How long a search through bodies takes before it returns what it has, and where to go on.
const SEARCH: Duration = Duration::from_secs(1);

/// `GET /api/v1/rows`: the matches from position `from`, and how many there are; with `contains`, which reads bodies,
/// what was found within a second.
pub(crate) async fn list(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, ApiError> {
    let mut pairs = pairs(&shared, &uri)?;
    let from = take(&mut pairs, "from");
    let limit = take(&mut pairs, "limit")
        .map(|text| text.parse().map_err(|_| ApiError::bad_request(format!("invalid limit `{text}`: not a number"))))
        .transpose()?;
    let limit = limit.unwrap_or(ROWS).clamp(1, MAX_ROWS);
    let order = match take(&mut pairs, "order").as_deref() {
        None | Some("oldest") => Order::Oldest,
        Some("newest") => Order::Newest,
        Some(other) => return Err(ApiError::bad_request(format!("invalid order `{other}`: use oldest or newest"))),
    };
    let after = take(&mut pairs, "after");
    let filter = Filter::from_query(pairs, now())?;
    match filter.needs_body() {
        true if from.is_some() => Err(ApiError::bad_request("`from` can't be used with `contains`: use `after`")),
        true => search(shared, filter, order, after, limit).await,
        false if after.is_some() => Err(ApiError::bad_request("`after` is for `contains`: use `from`")),
        false if order == Order::Newest => {
            Err(ApiError::bad_request("`order=newest` is for `contains`: use `from=-100` for the newest 100"))
        }
        false => page(shared, filter, start(from.as_deref())?, limit).await,
    }
}

/// `GET /api/v1/exchanges/{id}/row`
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path(id) = id?;
    let permit = shared.bounds.page().await?;
    let row = reading(&shared, move |shared| {
        let _permit = permit;
        let exchange = shared.log.find(&id)?;
        Ok::<_, ApiError>(serde_json::to_value(Row::new(&exchange, &shared.gauges.contracts)))
    });
    Ok(Json(row.await??.map_err(ApiError::internal)?))
}

/// `from`: a position, or with a minus how many of the newest.
fn start(from: Option<&str>) -> Result<Start, ApiError> {
    let Some(text) = from else { return Ok(Start::At(0)) };
    let parsed = match text.strip_prefix('-') {
        Some(count) => count.parse().map(Start::Newest),
        None => text.parse().map(Start::At),
    };
    parsed.map_err(|_| ApiError::bad_request(format!("invalid from `{text}`: not a number")))
}

async fn page(shared: Arc<Shared>, filter: Filter, start: Start, limit: usize) -> Result<Response, ApiError> {
    let permit = shared.bounds.page().await?;
    let (place, left, mut exchanges) = reading(&shared, move |shared| {
        let place = shared.log.seek(&filter, start)?;
        // No more than there are: a query that looks for another match reads the index to its end.
        let left = usize::try_from(place.total - place.from).unwrap_or(usize::MAX).min(limit);
        let query = Query { filter, order: Order::Oldest, after: place.after, limit: Some(left) };
        Ok::<_, ReadError>((place, left, shared.log.query(query)?))
    })
    .await??;
    let contracts = shared.gauges.contracts.clone();
    let body = read_out(&shared, permit, move |out| {
        write!(
            out,
            "{{\"total\":{},\"from\":{},\"log\":\"{:x}\",\"rows\":[",
            place.total, place.from, place.generation
        )?;
        let mut rows = 0;
        // Unreadable exchanges have positions, too, but don't count towards the query's limit.
        while rows < left
            && let Some(exchange) = exchanges.next()
        {
            let comma = if rows > 0 { "," } else { "" };
            match exchange {
                Ok(exchange) => {
                    out.write_all(comma.as_bytes())?;
                    serde_json::to_writer(&mut *out, &Row::new(&exchange, &contracts))?;
                }
                Err(error) => {
                    let Some(unreadable) = Unreadable::of(&error) else { continue };
                    out.write_all(comma.as_bytes())?;
                    serde_json::to_writer(&mut *out, &unreadable)?;
                }
            }
            rows += 1;
        }
        out.write_all(b"]}")
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Where a search goes on: how many it has found so far, and the position of the last exchange that it read.
fn resume(text: &str) -> Option<(u64, Position)> {
    let (found, position) = text.split_once('~')?;
    Some((found.parse().ok()?, position.parse().ok()?))
}

async fn search(
    shared: Arc<Shared>,
    filter: Filter,
    order: Order,
    after: Option<String>,
    limit: usize,
) -> Result<Response, ApiError> {
    let invalid = |text: &str| ApiError::bad_request(format!("invalid after `{text}`: use the `next` of a response"));
    let resumed = after.map(|text| resume(&text).ok_or_else(|| invalid(&text))).transpose()?;
    let before = resumed.map_or(0, |(found, _)| found);
    let permit = shared.bounds.page().await?;
    let wanted = filter.clone();
    let generation = shared.log.generation();
    // What the index decides; the rest is decided here, so that the time is bounded however few there are.
    let exchanges = reading(&shared, move |shared| {
        let except = filter.except.map(|except| Box::new(Filter { contains: None, ..*except }));
        let except = except.filter(|except| **except != Filter::default());
        let filter = Filter { contains: None, except, ..filter };
        let after = resumed.map(|(_, position)| position);
        shared.log.query(Query { filter, order, after, limit: None })
    })
    .await??;
    let contracts = shared.gauges.contracts.clone();
    let body = read_out(&shared, permit, move |out| {
        write!(out, "{{\"total\":null,\"from\":{before},\"log\":\"{generation:x}\",\"rows\":[")?;
        let mut matches = Matches { exchanges, filter: wanted, until: Instant::now() + SEARCH, found: 0, ended: false };
        while matches.found < limit
            && let Some(exchange) = matches.next()
        {
            out.write_all(if matches.found > 1 { b"," } else { b"" })?;
            serde_json::to_writer(&mut *out, &Row::new(&exchange, &contracts))?;
        }
        let found = before + matches.found as u64;
        let next = matches.position().map(|position| format!("{found}~{position}"));
        write!(out, "],\"atLeast\":{found},\"next\":{}}}", json!(next))
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The exchanges that a filter matches by their bodies, as long as there is time.
struct Matches {
    exchanges: Box<dyn Exchanges>,
    filter: Filter,
    until: Instant,
    found: usize,
    ended: bool,
}

impl Matches {
    fn next(&mut self) -> Option<Exchange> {
        loop {
            // At least one is read each time, so that a search comes to an end however slow the disk is.
            let Some(exchange) = self.exchanges.next() else {
                self.ended = true;
                return None;
            };
            if let Ok(exchange) = exchange
                && self.filter.matches(&exchange)
            {
                self.found += 1;
                return Some(exchange);
            }
            if Instant::now() >= self.until {
                return None;
            }
        }
    }

    /// Where to go on; `None` at the end.
    fn position(&self) -> Option<Position> {
        self.exchanges.last_position().filter(|_| !self.ended)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use nightaudit_log::{
        ManageSessions as _,
        testing::{exchange, exchanges},
    };

    use super::*;
    use crate::{
        Gauges,
        slow::Slow,
        tests::{Opened, ask, console, console_over},
    };

    /// A log with two sessions of 30 and 10 exchanges.
    fn opened() -> Opened {
        let opened = console();
        exchanges(1, "a", 30).into_iter().chain(exchanges(2, "b", 10)).for_each(|exchange| opened.log.record(exchange));
        opened
    }

    async fn get(opened: &Opened, query: &str) -> Value {
        let (status, body) = ask(opened, "GET", &format!("/api/v1/rows{query}"), true).await;
        assert_eq!(status, StatusCode::OK, "{query}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    fn shown(page: &Value) -> Vec<(String, u64)> {
        let rows = page["rows"].as_array().unwrap().iter();
        rows.map(|row| (row["sessionName"].as_str().unwrap().to_owned(), row["sequence"].as_u64().unwrap())).collect()
    }

    fn named(name: &str, sequences: impl IntoIterator<Item = u64>) -> Vec<(String, u64)> {
        sequences.into_iter().map(|sequence| (name.to_owned(), sequence)).collect()
    }

    #[tokio::test]
    async fn rows_are_found_by_position() {
        let opened = opened();
        for (query, total, from, rows) in [
            ("?limit=3", 40, 0, named("a", 1..=3)),
            ("?from=28&limit=4", 40, 28, [named("a", 29..=30), named("b", 1..=2)].concat()),
            ("?from=-2", 40, 38, named("b", 9..=10)),
            ("?from=-2&limit=1", 40, 38, named("b", [9])),
            ("?from=-1000&limit=2", 40, 0, named("a", 1..=2)),
            ("?from=39", 40, 39, named("b", [10])),
            ("?from=40", 40, 40, vec![]),
            ("?from=18446744073709551615", 40, 40, vec![]),
            ("?session=b&from=4&limit=2&order=oldest", 10, 4, named("b", 5..=6)),
            ("?operation=customers/*&from=9&limit=3", 13, 9, [named("a", [29]), named("b", [2, 5])].concat()),
            ("?status=404", 0, 0, vec![]),
        ] {
            let page = get(&opened, query).await;
            assert_eq!((&page["total"], &page["from"]), (&json!(total), &json!(from)), "{query}");
            assert_eq!(shown(&page), rows, "{query}");
        }
        let all = get(&opened, "?limit=100000").await;
        assert_eq!(shown(&all).len(), 40);
    }

    #[tokio::test]
    async fn what_is_recorded_later_keeps_positions_and_a_deleted_session_does_not() {
        let opened = opened();
        let before = get(&opened, "?from=35&limit=2").await;
        opened.log.record(exchange(3, "c", 1));
        let after = get(&opened, "?from=35&limit=2").await;
        assert_eq!((&after["total"], &after["log"]), (&json!(41), &before["log"]));
        assert_eq!(shown(&after), shown(&before));
        opened.log.delete_session("a").unwrap();
        let after = get(&opened, "?from=5&limit=2").await;
        assert_ne!(after["log"], before["log"]);
        assert_eq!((shown(&after), &after["total"]), (named("b", 6..=7), &json!(11)));
    }

    #[tokio::test]
    async fn an_unreadable_exchange_has_its_place() {
        let opened = opened();
        opened.log.damage(exchange(1, "a", 2).id);
        let page = get(&opened, "?limit=3").await;
        let rows = page["rows"].as_array().unwrap();
        assert_eq!((rows.len(), &rows[0]["sequence"], &rows[2]["sequence"]), (3, &json!(1), &json!(3)));
        assert_eq!((&rows[1]["id"], &rows[1]["sequence"]), (&Value::Null, &json!(2)));
        assert!(rows[1]["unreadable"].as_str().unwrap().contains("damaged"), "{}", rows[1]);
        let page = get(&opened, "?from=1&limit=1").await;
        assert_eq!(page["rows"].as_array().map(Vec::len), Some(1));
    }

    #[tokio::test]
    async fn a_page_asks_for_no_more_rows_than_there_are() {
        let read = Slow::default();
        read.go_on();
        let opened = console_over(read.log.clone(), Arc::new(read.clone()), Gauges::default());
        exchanges(1, "a", 30).into_iter().for_each(|exchange| opened.log.record(exchange));
        for (query, limit) in [
            ("?status=404&from=-100", 0),
            ("?operation=customers/*&from=-4", 4),
            ("?operation=customers/*&from=-100", 10),
            ("?operation=customers/*&from=-100&limit=3", 3),
            ("?from=30", 0),
        ] {
            let page = get(&opened, query).await;
            assert_eq!((shown(&page).len(), read.last_limit()), (limit, Some(limit)), "{query}");
        }
    }

    #[tokio::test]
    async fn a_search_in_bodies_pages_in_both_orders() {
        let opened = opened();
        for (order, newest) in [("", false), ("&order=newest", true)] {
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let page = get(&opened, &format!("?contains=customers&limit=4{order}{after}")).await;
                assert_eq!((&page["total"], &page["from"]), (&Value::Null, &json!(seen.len())));
                seen.extend(shown(&page));
                assert_eq!(page["atLeast"], json!(seen.len()));
                let Some(next) = page["next"].as_str() else { break };
                after = format!("&after={next}");
            }
            let mut expected = [named("a", (2..=29).step_by(3)), named("b", [2, 5, 8])].concat();
            if newest {
                expected.reverse();
            }
            assert_eq!(seen, expected);
        }
        let none = get(&opened, "?contains=customers&contains=!customers").await;
        assert_eq!((&none["rows"], &none["next"], &none["atLeast"]), (&json!([]), &Value::Null, &json!(0)));
        let others = get(&opened, "?contains=!customers&limit=500").await;
        assert_eq!((shown(&others).len(), &others["next"]), (27, &Value::Null));
    }

    #[tokio::test]
    async fn a_search_without_time_left_says_where_to_go_on() {
        let opened = opened();
        let exchanges = nightaudit_log::ReadLog::query(&opened.log, Query::default()).unwrap();
        let filter = Filter { contains: Some("nowhere".to_owned()), ..Filter::default() };
        let until = Instant::now();
        let mut matches = Matches { exchanges, filter, until, found: 0, ended: false };
        assert!(matches.next().is_none() && matches.position().is_some());
        for _ in 0..40 {
            assert!(matches.next().is_none());
        }
        assert_eq!(matches.position(), None);
    }

    #[tokio::test]
    async fn an_invalid_request_names_the_mistake() {
        let opened = opened();
        for (query, named) in [
            ("?from=x", "from"),
            ("?from=--1", "from"),
            ("?from=1.5", "from"),
            ("?limit=-1", "limit"),
            ("?order=up", "order"),
            ("?order=newest", "contains"),
            ("?after=x", "contains"),
            ("?contains=a&from=3", "after"),
            ("?contains=a&after=x", "next"),
            ("?contains=a&after=-1~0.0.0", "next"),
            ("?colour=red", "colour"),
        ] {
            let (status, body) = ask(&opened, "GET", &format!("/api/v1/rows{query}"), true).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
            let error: Value = serde_json::from_str(&body).unwrap();
            assert!(error["error"].as_str().unwrap().contains(named), "{query}: {body}");
        }
        assert_eq!(ask(&opened, "GET", "/api/v1/rows?session=none", true).await.0, StatusCode::NOT_FOUND);
        assert_eq!(ask(&opened, "GET", "/api/v1/exchanges/nothing/row", true).await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_row_of_one_exchange_is_that_of_the_list() {
        let opened = opened();
        let page = get(&opened, "?from=7&limit=1").await;
        let id = page["rows"][0]["id"].as_str().unwrap();
        let (status, row) = ask(&opened, "GET", &format!("/api/v1/exchanges/{id}/row"), true).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(serde_json::from_str::<Value>(&row).unwrap(), page["rows"][0]);
    }
}
