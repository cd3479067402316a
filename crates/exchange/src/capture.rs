//! What the proxy hands to the recorder.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::{AdmissionRecord, Destination, Digest, Direction, ExchangeId, Failure, Note, Omitted, Outcome, Timestamp};

/// One request and what became of it, as it passed: secrets included, nothing hashed or encoded.
///
/// It lives in memory only, from the end of the exchange until what the recorder's thread makes of it, an
/// [`Exchange`](crate::Exchange) with [`Redactor::exchange`](crate::Redactor::exchange), is written. It can't be
/// serialised, and its `Debug` form shows no content.
pub struct Capture {
    /// The exchange's id.
    pub id: ExchangeId,
    /// The session named by `X-Nightaudit-Session`; none for the log's current session.
    pub session: Option<Arc<str>>,
    /// The environment's name.
    pub environment: Arc<str>,
    /// When the request's head had arrived.
    pub received: Timestamp,
    /// From then to the hand-over of the request to the connection to Mews.
    pub forwarded: Option<Duration>,
    /// From then to the arrival of the answer's head.
    pub response_head: Option<Duration>,
    /// From then to the arrival of the answer's end.
    pub response_end: Option<Duration>,
    /// The integration's address.
    pub peer: SocketAddr,
    /// The connection to Mews that the request was handed to, which many exchanges share.
    pub destination: Option<Arc<Destination>>,
    /// What the request says of its sender.
    pub envelope: CapturedEnvelope,
    /// The request.
    pub request: CapturedRequest,
    /// The answer that the integration got.
    pub response: Option<CapturedResponse>,
    /// What the limiter said.
    pub limit: Option<AdmissionRecord>,
    /// What became of the request.
    pub outcome: Outcome,
    /// Why there is no answer from Mews.
    pub error: Option<Failure>,
    /// What is to be known beside the messages.
    pub notes: Vec<Note>,
    /// What was said over a WebSocket, where this is a part of that.
    pub web_socket: Option<Box<CapturedWebSocket>>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("id", &self.id).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// The envelope's values, in clear.
#[derive(Clone, Default)]
pub struct CapturedEnvelope {
    /// `AccessToken`.
    pub access_token: Option<Box<str>>,
    /// `ClientToken`.
    pub client_token: Option<Box<str>>,
    /// `Client`.
    pub client: Option<Box<str>>,
    /// Whether there is a `Limitation`.
    pub paginated: bool,
}

impl fmt::Debug for CapturedEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapturedEnvelope").field("client", &self.client).finish_non_exhaustive()
    }
}

/// A request as it was received.
pub struct CapturedRequest {
    /// The method; for what is no HTTP, whatever stands in its place, cut short.
    pub method: Method,
    /// Scheme and authority of the host it is for, such as `https://api.mews-demo.com`.
    pub origin: Arc<str>,
    /// Path and query as they were sent.
    pub target: Bytes,
    /// The integration's HTTP version.
    pub version: Version,
    /// The header fields.
    pub head: Head,
    /// The body.
    pub body: CapturedBody,
}

/// An answer as the integration got it.
pub struct CapturedResponse {
    /// The status.
    pub status: StatusCode,
    /// Mews' HTTP version; for the proxy's own answers the integration's.
    pub version: Version,
    /// The header fields.
    pub head: Head,
    /// The body.
    pub body: CapturedBody,
}

/// A part of what was said over a WebSocket; see [`WebSocket`](crate::WebSocket).
pub struct CapturedWebSocket {
    /// The exchange of the handshake.
    pub handshake: ExchangeId,
    /// The part's number.
    pub part: u32,
    /// The messages.
    pub messages: Vec<CapturedMessage>,
    /// What was not kept.
    pub omitted: Omitted,
    /// Bytes that are no frames.
    pub unreadable_bytes: u64,
    /// Whether the connection ended with this part.
    pub ended: bool,
}

/// One message of a WebSocket, its frames put together.
pub struct CapturedMessage {
    /// When its last byte passed.
    pub time: Timestamp,
    /// Who sent it.
    pub direction: Direction,
    /// The opcode of its first frame.
    pub opcode: u8,
    /// Its payload, unmasked.
    pub body: CapturedBody,
    /// The extension that could not be undone; none where the payload is as the sender meant it.
    pub coding: Option<Box<str>>,
    /// Whether it came to its end.
    pub complete: bool,
}

/// A message's header fields.
pub enum Head {
    /// The head of an HTTP/1 message as it was on the wire, from the start line to the empty line; it may be broken.
    Wire(Bytes),
    /// The fields as a library has read them, each on a line as HTTP/1 has it, up to an empty line.
    Fields(Bytes),
}

impl Head {
    /// The reason phrase of a response of HTTP/1, which may be empty.
    #[must_use]
    pub fn reason(&self) -> Option<&[u8]> {
        let Self::Wire(wire) = self else { return None };
        let line = &wire[..memchr::memchr(b'\n', wire).unwrap_or(wire.len())];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut words = line.splitn(3, |byte| *byte == b' ');
        words.next().filter(|version| version.starts_with(b"HTTP/"))?;
        words.next()?;
        Some(words.next().unwrap_or_default())
    }
}

impl From<&HeaderMap> for Head {
    /// A copy, since a clone of the map would keep the whole buffer that the connection was read into.
    fn from(fields: &HeaderMap) -> Self {
        let length = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
        let mut lines = Vec::with_capacity(fields.iter().map(length).sum::<usize>() + 2);
        for (name, value) in fields {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        lines.extend_from_slice(b"\r\n");
        Self::Fields(lines.into())
    }
}

/// A body as it passed.
#[derive(Default)]
pub struct CapturedBody {
    /// The kept beginning, in the pieces in which it came.
    pub kept: Vec<Bytes>,
    /// The length of what passed, in bytes.
    pub length: u64,
    /// The digest of what passed, where more passed than is kept; else the recorder makes it from what is kept.
    pub sha256: Option<Digest>,
    /// Dropped with the body: by it the proxy knows how much memory all that are kept take.
    pub held: Option<Box<dyn std::any::Any + Send + Sync>>,
}

impl CapturedBody {
    /// A body that is kept whole.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self { length: bytes.len() as u64, kept: vec![bytes], sha256: None, held: None }
    }
}
