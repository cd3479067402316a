//! Exchanges as they are recorded, as server-sent events.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Uri, header};
use http_body_util::channel::{Channel, Sender};
use nightaudit_exchange::Filter;
use nightaudit_store::{Followed, Follower, From};

use crate::{Shared, blocking, error::ApiError, now, pairs, take};

/// How often a silent stream says that it is there, so that a reader who has left is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The most history that a follower may ask for.
const MAX_LAST: usize = 10_000;

/// `GET /api/v1/follow`: an event `exchange` with its id for each exchange that matches, and `missed` with a number.
///
/// It begins with the last `last` exchanges, or after the exchange that `Last-Event-ID` or `after` names, or now. A
/// reader that is slow is read for from the disk; what is held for it in memory is one event.
pub(crate) async fn follow(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut pairs = pairs(&shared, &uri)?;
    let after = take(&mut pairs, "after");
    let last = take(&mut pairs, "last");
    // A browser that reconnects repeats the address and adds the header, so the header is the newer one.
    let resume = match headers.get("last-event-id") {
        Some(id) => Some(id.to_str().map_err(|_| ApiError::bad_request("`Last-Event-ID` is no text"))?.to_owned()),
        None => after,
    };
    let from = match (resume, last) {
        (Some(id), _) => From::After(id.parse().map_err(|error| ApiError::bad_request(format!("`after`: {error}")))?),
        (None, Some(last)) => {
            let last = last.parse().map_err(|_| ApiError::bad_request(format!("`last={last}` is not a number")))?;
            From::Last(usize::min(last, MAX_LAST))
        }
        (None, None) => From::Now,
    };
    let filter = Filter::from_query(pairs, now())?;
    let log = Arc::clone(&shared);
    let follower = blocking(move || log.log.follow(filter, from)).await??;
    let (sender, body) = Channel::<Bytes, io::Error>::new(1);
    let stopping = shared.stopping.clone();
    tokio::spawn(async move { stopping.run_until_cancelled(send(follower, sender)).await });
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response())
}

/// Sends until the log is closed or the reader has left.
async fn send(mut follower: Follower, mut sender: Sender<Bytes, io::Error>) {
    // Sent at once, so that the reader knows that it is being followed for.
    let mut event = Some(Bytes::from_static(b": following\n\n"));
    loop {
        if let Some(event) = event.take()
            && sender.send_data(event).await.is_err()
        {
            return;
        }
        event = match tokio::time::timeout(KEEP_ALIVE, follower.next()).await {
            Err(_) => Some(Bytes::from_static(b":\n\n")),
            Ok(None) => return,
            Ok(Some(followed)) => write_event(&followed),
        };
    }
}

fn write_event(followed: &Followed) -> Option<Bytes> {
    match followed {
        Followed::Exchange(exchange) => {
            // JSON has no line breaks but in texts, where they are escaped.
            let json = serde_json::to_string(exchange).ok()?;
            Some(format!("id: {}\nevent: exchange\ndata: {json}\n\n", exchange.id).into())
        }
        Followed::Missed(count) => Some(format!("event: missed\ndata: {count}\n\n").into()),
        _ => None,
    }
}
