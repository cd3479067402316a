//! The WebSocket that tells events.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use crate::response::Body;

/// Maximum size of a client's message; clients have no reason to send any.
const MAX_MESSAGE: usize = 64 << 10;

/// The response that opens a WebSocket; `None` if the request is not a valid handshake (RFC 6455, section 4.2.1).
pub(crate) fn accept(headers: &HeaderMap) -> Option<Response<Body>> {
    let has = |name: header::HeaderName, wanted: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    let is_opening = has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && has(header::SEC_WEBSOCKET_VERSION, "13")
        && headers.get_all(header::SEC_WEBSOCKET_KEY).iter().count() == 1;
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_opening)?;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Some(response)
}

/// Sends events until the client disconnects or `stop` is cancelled.
pub(crate) async fn serve(
    request: Request<Incoming>,
    mut events: broadcast::Receiver<Arc<str>>,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
) {
    let upgraded = match hyper::upgrade::on(request).await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => return tracing::debug!(%error, "a WebSocket was not opened"),
    };
    let bounds = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(bounds)).await;
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                let frame = CloseFrame { code: CloseCode::Away, reason: "the simulator stops".into() };
                let _ = socket.close(Some(frame)).await;
                return;
            }
            event = events.recv() => {
                let sent = match event {
                    Ok(event) => socket.send(Message::text(&*event)).await,
                    // The client read too slowly; later events still arrive.
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::warn!("a WebSocket missed {}: it reads too slowly", nightaudit_units::counted(missed, "message"));
                        continue;
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                if sent.is_err() {
                    return;
                }
            }
            // Client messages are ignored; reading answers pings and the close handshake.
            message = socket.next() => match message {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
