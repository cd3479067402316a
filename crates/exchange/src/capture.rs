//! What the proxy passes to the recorder.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::{
    AdmissionRecord, CallDirection, Destination, Digest, Direction, ExchangeId, Failure, InjectedFault, Note, Omitted,
    Outcome, Pseudonym, Timestamp,
};

/// One request with its response or failure, as it passed: secrets included, nothing hashed or encoded.
///
/// Held in memory only, until the recorder thread has turned it into an [`Exchange`](crate::Exchange) with
/// [`Redactor::exchange`](crate::Redactor::exchange) and written that. It can't be serialized, and its `Debug` form
/// shows no content.
pub struct Capture {
    /// The exchange's id.
    pub id: ExchangeId,
    /// The session named by `X-Nightaudit-Session`; `None` for the log's current session.
    pub session: Option<Arc<str>>,
    /// The environment's name.
    pub environment: Arc<str>,
    /// When the request's head was complete.
    pub received: Timestamp,
    /// From then until the request was handed to the upstream connection.
    pub forwarded: Option<Duration>,
    /// From then until the response's head arrived.
    pub response_head: Option<Duration>,
    /// From then until the response ended.
    pub response_end: Option<Duration>,
    /// The client's address.
    pub peer: SocketAddr,
    /// The upstream connection that carried the request, shared by many exchanges.
    pub destination: Option<Arc<Destination>>,
    /// The client and tokens named by the request.
    pub envelope: CapturedEnvelope,
    /// The request.
    pub request: CapturedRequest,
    /// The response the client received.
    pub response: Option<CapturedResponse>,
    /// The limiter's decision.
    pub limit: Option<AdmissionRecord>,
    /// The outcome.
    pub outcome: Outcome,
    /// Why there is no response from Mews.
    pub error: Option<Failure>,
    /// What fault rules did to it.
    pub fault: Option<Box<InjectedFault>>,
    /// Who sent the request.
    pub direction: CallDirection,
    /// Remarks about the messages.
    pub notes: Vec<Note>,
    /// WebSocket messages, if this is a part of a connection.
    pub web_socket: Option<Box<CapturedWebSocket>>,
    /// The exchange whose request this one sends again.
    pub resent_from: Option<ExchangeId>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("id", &self.id).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// The envelope's values, unredacted.
#[derive(Clone, Default)]
pub struct CapturedEnvelope {
    /// `AccessToken`.
    pub access_token: Option<CapturedToken>,
    /// `ClientToken`.
    pub client_token: Option<CapturedToken>,
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

/// A token with its pseudonym, so that it is hashed once.
#[derive(Clone)]
pub struct CapturedToken {
    value: Arc<str>,
    pseudonym: Pseudonym,
}

impl CapturedToken {
    /// The pseudonym of the token.
    #[must_use]
    pub fn pseudonym(&self) -> Pseudonym {
        self.pseudonym
    }
}

impl From<&str> for CapturedToken {
    fn from(token: &str) -> Self {
        Self { value: token.into(), pseudonym: Pseudonym::of(token.as_bytes()) }
    }
}

impl From<String> for CapturedToken {
    fn from(token: String) -> Self {
        Self::from(&*token)
    }
}

impl std::ops::Deref for CapturedToken {
    type Target = str;

    fn deref(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for CapturedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.pseudonym, f)
    }
}

/// A request as received.
pub struct CapturedRequest {
    /// The method; for anything that is not HTTP, the text in its place, shortened.
    pub method: Method,
    /// Scheme and authority of its host, such as `https://api.mews-demo.com`.
    pub origin: Arc<str>,
    /// Path and query as sent.
    pub target: Bytes,
    /// The client's HTTP version.
    pub version: Version,
    /// The headers.
    pub head: Head,
    /// The body.
    pub body: CapturedBody,
}

/// A response as the client received it.
pub struct CapturedResponse {
    /// The status.
    pub status: StatusCode,
    /// Mews' HTTP version; for local responses the client's.
    pub version: Version,
    /// The headers.
    pub head: Head,
    /// The body.
    pub body: CapturedBody,
}

/// A part of a WebSocket connection; see [`WebSocket`](crate::WebSocket).
pub struct CapturedWebSocket {
    /// The exchange of the handshake.
    pub handshake: ExchangeId,
    /// The part's number.
    pub part: u32,
    /// The messages.
    pub messages: Vec<CapturedMessage>,
    /// What was left out.
    pub omitted: Omitted,
    /// Bytes that are not WebSocket frames.
    pub unreadable_bytes: u64,
    /// Whether the connection ended in this part.
    pub ended: bool,
}

/// A WebSocket message, reassembled from its frames.
pub struct CapturedMessage {
    /// When its last byte passed.
    pub time: Timestamp,
    /// Who sent it.
    pub direction: Direction,
    /// The opcode of its first frame.
    pub opcode: u8,
    /// Its payload, unmasked.
    pub body: CapturedBody,
    /// The extension that could not be decoded; `None` if the payload is as the sender meant it.
    pub coding: Option<Box<str>>,
    /// Whether its end arrived.
    pub complete: bool,
}

/// A message's headers.
pub enum Head {
    /// An HTTP/1 head as on the wire, from the start line to the empty line; possibly malformed.
    Wire(Bytes),
    /// Headers as parsed by a library, serialized as HTTP/1 lines up to an empty line.
    Parsed(Bytes),
}

impl Head {
    /// The reason phrase of an HTTP/1 response; may be empty.
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
    /// Copies, since a clone of the map would keep the connection's whole read buffer alive.
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
        Self::Parsed(lines.into())
    }
}

/// A body as it passed through.
#[derive(Default)]
pub struct CapturedBody {
    /// The retained prefix, in the chunks in which it arrived.
    pub kept: Vec<Bytes>,
    /// The full length, in bytes.
    pub length: u64,
    /// The digest of the full body, if it is longer than the retained prefix; otherwise the recorder computes it.
    pub sha256: Option<Digest>,
    /// Dropped with the body; the proxy uses it to account for the memory of retained bodies.
    pub held: Option<Box<dyn std::any::Any + Send + Sync>>,
}

impl CapturedBody {
    /// A body retained in full.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self { length: bytes.len() as u64, kept: vec![bytes], sha256: None, held: None }
    }
}
