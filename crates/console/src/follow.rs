//! Live exchanges as server-sent events.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Uri, header};
use http_body_util::channel::{Channel, Sender};
use nightaudit_exchange::Filter;
use nightaudit_log::{Follow, FollowFrom, Followed, Position};
use nightaudit_mews::Contracts;

use crate::{Shared, bounds::Bounds, error::ApiError, now, pairs, reading, row::Row, take};

/// Keep-alive interval of an idle stream, by which a closed connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Maximum of `last`.
const MAX_LAST: usize = 10_000;

/// `GET /api/v1/follow`: an event `exchange` for each matching exchange, or with `rows=true` an event `row` with what a list
/// shows of it; and `missed` with a count.
///
/// Starts with the latest `last` exchanges, after the id in `Last-Event-ID` or `after`, or now. The ids of events are
/// positions in the log, not exchanges, which may be deleted before a client resumes; events without data carry them at
/// the start, and while nothing matches. A client that resumes from the last id misses nothing and sees nothing twice.
/// Slow clients are served from disk, with one event in memory.
pub(crate) async fn follow(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut pairs = pairs(&shared, &uri)?;
    let named = take(&mut pairs, "after");
    let last = take(&mut pairs, "last");
    let rows = match take(&mut pairs, "rows").as_deref() {
        None | Some("false") => None,
        Some("true") => Some(shared.gauges.contracts.clone()),
        Some(other) => return Err(ApiError::bad_request(format!("invalid rows `{other}`: use true or false"))),
    };
    // A reconnecting browser repeats the URL and adds the header, so the header is newer.
    let resume = match headers.get("last-event-id") {
        Some(id) => Some(id.to_str().map_err(|_| ApiError::bad_request("invalid `Last-Event-ID`"))?.to_owned()),
        None => named,
    };
    let from = match (resume, last) {
        (Some(id), _) => after(&id)?,
        (None, Some(last)) => {
            let last =
                last.parse().map_err(|_| ApiError::bad_request(format!("invalid last `{last}`: not a number")))?;
            FollowFrom::Last(usize::min(last, MAX_LAST))
        }
        (None, None) => FollowFrom::Now,
    };
    let filter = Filter::from_query(pairs, now())?;
    let permit = shared.bounds.follower()?;
    let follower = reading(&shared, move |shared| shared.log.follow(filter, from)).await??;
    let (sender, body) = Channel::<Bytes, io::Error>::new(1);
    let stopping = shared.stopping.clone();
    tokio::spawn(async move {
        let _permit = permit;
        stopping.run_until_cancelled(send(follower, sender, &shared.bounds, rows)).await
    });
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response())
}

/// Sends until the log is closed or the client disconnects: rows if there are contracts to check requests against.
async fn send(
    mut follower: Box<dyn Follow>,
    mut sender: Sender<Bytes, io::Error>,
    bounds: &Bounds,
    rows: Option<Contracts>,
) {
    // Sent at once, so that the client knows where its stream starts.
    let mut event = place(&*follower);
    // For the last large event. The one before it may still wait to be taken: to hold the memory of both while waiting for
    // more could make followers wait for each other.
    let mut memory = None;
    loop {
        if let Some(event) = event.take()
            && sender.send_data(event).await.is_err()
        {
            return;
        }
        event = match tokio::time::timeout(KEEP_ALIVE, follower.next()).await {
            Err(_) => place(&*follower),
            Ok(None) => return,
            Ok(Some(followed)) => {
                if let (Followed::Exchange(exchange), None) = (&followed, &rows) {
                    drop(memory.take());
                    memory = bounds.event(exchange).await;
                }
                write_event(&followed, follower.position(), rows.as_ref())
            }
        };
    }
}

/// An event without data: browsers don't dispatch it, but update the id to resume from.
fn place(follower: &dyn Follow) -> Option<Bytes> {
    Some(follower.position().map_or(Bytes::from_static(b":\n\n"), |place| format!("id: {place}\n\n").into()))
}

/// Where to resume after an event's id.
fn after(id: &str) -> Result<FollowFrom, ApiError> {
    if let Ok(place) = id.parse() {
        return Ok(FollowFrom::Position(place));
    }
    id.parse().map(FollowFrom::After).map_err(|error| ApiError::bad_request(format!("`after`: {error}")))
}

fn write_event(followed: &Followed, place: Option<Position>, rows: Option<&Contracts>) -> Option<Bytes> {
    match followed {
        Followed::Exchange(exchange) => {
            // Line breaks inside JSON strings are escaped, so the event stays on one line.
            let (event, json) = match rows {
                Some(contracts) => ("row", serde_json::to_string(&Row::new(exchange, contracts)).ok()?),
                None => ("exchange", serde_json::to_string(exchange).ok()?),
            };
            let id = place.map_or_else(|| exchange.id.to_string(), |place| place.to_string());
            Some(format!("id: {id}\nevent: {event}\ndata: {json}\n\n").into())
        }
        Followed::Missed(count) => Some(format!("event: missed\ndata: {count}\n\n").into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use crate::tests::{Opened, console};

    use super::*;

    /// Reads events until one contains `wanted`.
    async fn events(opened: &Opened, query: &str, last_event: Option<&str>, wanted: &str) -> String {
        let mut response = opened.get(&format!("/api/v1/follow{query}"), last_event).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        let mut text = String::new();
        while !text.contains(wanted) {
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            text.push_str(str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        text
    }

    #[tokio::test]
    async fn resuming_from_the_last_id_misses_and_repeats_nothing() {
        let opened = console();
        // An empty log also yields an id to resume from.
        let greeting = events(&opened, "", None, "\n\n").await;
        let place = greeting.strip_prefix("id: ").unwrap().trim_end();
        let exchange = opened.record();
        for (query, last_event) in
            [("", Some(place)), (&*format!("?after={place}"), None), ("?last=5", None), ("?after=x", Some(place))]
        {
            let seen = events(&opened, query, last_event, "data: ").await;
            assert!(seen.contains(&format!("\nevent: exchange\ndata: {{\"id\":\"{exchange}\"")), "{seen}");
        }
        // After the last exchange only an id to resume from follows.
        let nothing = events(&opened, "", Some(&exchange), "\n\n").await;
        assert!(nothing.starts_with("id: ") && !nothing.contains("event"), "{nothing}");
        assert_ne!(nothing, greeting);
    }

    #[tokio::test]
    async fn regression_an_event_had_the_id_of_its_exchange_which_may_be_deleted() {
        let opened = console();
        opened.record();
        let seen = events(&opened, "?last=1", None, "data: ").await;
        let (before, _) = seen.split_once("\nevent: exchange").unwrap();
        let (_, id) = before.rsplit_once("id: ").unwrap();
        assert!(id.parse::<Position>().is_ok(), "{id}");
        let nothing = events(&opened, "", Some(id), "\n\n").await;
        assert!(!nothing.contains("event"), "{nothing}");
    }

    #[tokio::test]
    async fn rows_have_the_same_ids_and_are_those_of_the_list() {
        let opened = console();
        let exchange = opened.record();
        let (_, row) = crate::tests::ask(&opened, "GET", "/api/v1/exchanges/last/row", true).await;
        let seen = events(&opened, "?last=5&rows=true", None, "data: ").await;
        let data = seen.split_once("\nevent: row\ndata: ").unwrap().1;
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(data), value(&row));
        let resumed = events(&opened, "?rows=true", Some(&exchange), "\n\n").await;
        assert!(!resumed.contains("event"), "{resumed}");
        let (status, _) = crate::tests::ask(&opened, "GET", "/api/v1/follow?rows=1", true).await;
        assert_eq!(status, http::StatusCode::BAD_REQUEST);
    }
}
