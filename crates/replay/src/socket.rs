//! WebSockets whose messages are replayed.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use nightaudit_exchange::{Direction, Exchange, ExchangeId, Message, Timestamp};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{answer::whole_body, readers::Readers};

/// The largest message that a client may send; it is only counted.
const MAX_MESSAGE: usize = 1 << 20;

/// Headers of the recorded handshake that belong to that connection: the key of the other handshake, and extensions that the messages
/// were freed of.
const OF_HANDSHAKE: [header::HeaderName; 2] = [header::SEC_WEBSOCKET_ACCEPT, header::SEC_WEBSOCKET_EXTENSIONS];

/// Completes the headers of a recorded handshake for this request; `false` if it has no key (RFC 6455, section 4.2.1).
pub(crate) fn accept(request: &HeaderMap, response: &mut HeaderMap) -> bool {
    let Some(key) = request.get(header::SEC_WEBSOCKET_KEY) else { return false };
    let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) else { return false };
    OF_HANDSHAKE.iter().for_each(|name| drop(response.remove(name)));
    response.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    true
}

/// Whether a recorded response opens a WebSocket.
pub(crate) fn opens(status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS
}

/// What is replayed to a client.
pub(crate) struct Recorded {
    /// The exchanges with the messages, in order.
    pub(crate) parts: Vec<ExchangeId>,
    /// When the handshake was complete, if messages keep their times.
    pub(crate) opened: Option<Timestamp>,
}

/// Why a replay of messages ends early.
enum Ended {
    /// The client has left.
    ByClient,
    /// The program stops.
    Stopping,
    /// A message can't be replayed; says why.
    Incomplete(String),
}

impl From<tungstenite::Error> for Ended {
    fn from(_: tungstenite::Error) -> Self {
        Self::ByClient
    }
}

/// Sends the recorded messages, each after as many from the client as were recorded before it.
pub(crate) async fn replay(
    upgrade: OnUpgrade,
    recorded: Recorded,
    readers: std::sync::Arc<Readers>,
    stop: CancellationToken,
) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => return tracing::debug!(%error, "a WebSocket was not opened"),
    };
    let bounds = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(bounds)).await;
    let mut player = Player { socket, stop, start: Instant::now(), opened: recorded.opened, received: 0, awaited: 0 };
    let (code, reason) = match player.play(&recorded.parts, &readers).await {
        Ok(()) | Err(Ended::ByClient) => return,
        Err(Ended::Stopping) => (CloseCode::Away, "the replay stops".to_owned()),
        Err(Ended::Incomplete(missing)) => {
            tracing::warn!("a WebSocket is not replayed to its end: {missing}");
            (CloseCode::Error, missing)
        }
    };
    let _ = player.socket.close(Some(CloseFrame { code, reason: shorten(&reason).into() })).await;
}

/// A close frame's reason: at most 123 bytes (RFC 6455, section 5.5).
fn shorten(reason: &str) -> String {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_owned()
}

struct Player {
    socket: WebSocketStream<TokioIo<Upgraded>>,
    stop: CancellationToken,
    start: Instant,
    opened: Option<Timestamp>,
    /// Messages from the client, so far and as recorded.
    received: usize,
    awaited: usize,
}

impl Player {
    async fn play(&mut self, parts: &[ExchangeId], readers: &Readers) -> Result<(), Ended> {
        for part in parts {
            let exchange = readers.read(*part).await.map_err(Ended::Incomplete)?;
            self.part(&exchange).await?;
        }
        // If the host didn't close, it is the client's turn to.
        loop {
            self.listen(None).await?;
        }
    }

    /// Replays a part.
    async fn part(&mut self, exchange: &Exchange) -> Result<(), Ended> {
        let Some(part) = &exchange.web_socket else { return Ok(()) };
        for message in &part.messages {
            let bytes = whole_body(exchange.id, &message.body).map_err(Ended::Incomplete)?;
            if message.body.content_encoding.is_some() {
                let missing = format!("a message of exchange {} was recorded compressed", exchange.id);
                return Err(Ended::Incomplete(missing));
            }
            match (message.direction, message.opcode) {
                // Only what the other side can wait for; pings and pongs are answered as they come.
                (Direction::Send, 1 | 2) => self.awaited += 1,
                (Direction::Send, 8) => self.awaited = usize::MAX,
                (Direction::Send, _) => {}
                (Direction::Receive, opcode) => self.send(message, opcode, bytes).await?,
            }
        }
        if !part.omitted.is_none() || part.unreadable_bytes > 0 {
            let missing = format!("messages after exchange {} were too large for the log", exchange.id);
            return Err(Ended::Incomplete(missing));
        }
        Ok(())
    }

    async fn send(&mut self, message: &Message, opcode: u8, bytes: bytes::Bytes) -> Result<(), Ended> {
        while self.received < self.awaited {
            self.listen(None).await?;
        }
        if let Some(opened) = self.opened {
            let due = self.start + message.time.since(opened);
            while Instant::now() < due {
                self.listen(Some(due)).await?;
            }
        }
        let message = match opcode {
            1 => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                tungstenite::Message::text(text)
            }
            2 => tungstenite::Message::binary(bytes),
            8 => tungstenite::Message::Close(close(&bytes)),
            9 => tungstenite::Message::Ping(bytes),
            10 => tungstenite::Message::Pong(bytes),
            // Reserved: no library sends it.
            _ => return Ok(()),
        };
        Ok(self.socket.send(message).await?)
    }

    /// Waits for a message from the client, until `due` at most.
    async fn listen(&mut self, due: Option<Instant>) -> Result<(), Ended> {
        let due = due.unwrap_or_else(|| Instant::now() + FAR);
        tokio::select! {
            () = self.stop.cancelled() => Err(Ended::Stopping),
            () = sleep_until(due) => Ok(()),
            message = self.socket.next() => match message {
                Some(Ok(message)) => {
                    self.received += usize::from(message.is_text() || message.is_binary());
                    Ok(())
                }
                Some(Err(_)) | None => Err(Ended::ByClient),
            },
        }
    }
}

/// As good as for ever; waiting goes on after it.
const FAR: Duration = Duration::from_secs(3600);

/// The content of a close frame: a code and a reason (RFC 6455, section 5.5.1).
fn close(payload: &[u8]) -> Option<CloseFrame> {
    let (code, reason) = payload.split_first_chunk()?;
    let reason = String::from_utf8_lossy(reason).into_owned();
    Some(CloseFrame { code: CloseCode::from(u16::from_be_bytes(*code)), reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_completed_for_the_client_that_opens_it() {
        let mut request = HeaderMap::new();
        let mut response = HeaderMap::new();
        response.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("permessage-deflate"));
        assert!(!accept(&request, &mut response));
        // The example of RFC 6455, section 1.3.
        request.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(accept(&request, &mut response));
        assert_eq!(response[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!response.contains_key(header::SEC_WEBSOCKET_EXTENSIONS));
    }

    #[test]
    fn a_reason_fits_into_a_close_frame() {
        assert_eq!(shorten(&"é".repeat(100)).len(), 122);
        assert_eq!(close(b"\x03\xe8bye").unwrap().reason, "bye");
        assert!(close(b"").is_none() && close(b"\x03").is_none());
    }
}
