//! What the proxy passes to the recorder.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use smallvec::{SmallVec, smallvec};

use crate::{
    AdmissionRecord, CallDirection, Destination, Digest, Direction, ExchangeId, Failure, InjectedFault, Note, Omitted,
    Outcome, PackedBytes, Pseudonym, Timestamp,
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
    /// Memory for what is copied into the capture.
    pub memory: CaptureMemory,
}

impl Capture {
    /// Drops what was captured, but not the memory that was needed for it, which can serve the next capture.
    pub fn clear(&mut self) {
        (self.session, self.destination, self.limit, self.error) = (None, None, None, None);
        (self.fault, self.web_socket, self.response) = (None, None, None);
        (self.envelope, self.notes) = (CapturedEnvelope::default(), Vec::new());
        let CapturedRequest { target, head, body, .. } = &mut self.request;
        (*target, *head, *body) = (Bytes::new(), Head::Parsed(Bytes::new()), CapturedBody::default());
        self.memory.reclaim();
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("id", &self.id).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// Memory that heads and small bodies are copied to: one allocation for all of them, used again for another capture.
#[derive(Default)]
pub struct CaptureMemory {
    free: BytesMut,
    copied: usize,
}

impl CaptureMemory {
    /// Larger captures are not what memory is kept for, in bytes.
    const MAX: usize = 16 << 10;
    /// What is allocated at least, in bytes: enough for an ordinary exchange.
    const FIRST: usize = 4 << 10;

    /// Returns a copy of these bytes.
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        self.copied += bytes.len();
        if self.copied > Self::MAX {
            // The memory of a large capture is not used again.
            return Bytes::copy_from_slice(bytes);
        }
        if self.free.capacity() < bytes.len() {
            self.free.reserve(bytes.len().max(Self::FIRST));
        }
        self.free.extend_from_slice(bytes);
        self.free.split().freeze()
    }

    /// Makes room for as much again as was copied, unless a copy is still in use elsewhere.
    fn reclaim(&mut self) {
        let wanted = std::mem::take(&mut self.copied).next_power_of_two();
        if wanted > Self::MAX {
            self.free = BytesMut::new();
        } else if !self.free.try_reclaim(wanted) {
            self.free = BytesMut::with_capacity(wanted);
        }
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
    pub client: Option<Arc<str>>,
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
    pub kept: SmallVec<[Bytes; 1]>,
    /// More of the retained prefix, after `kept`: a long body is packed while it passes.
    pub packed: Option<Box<PackedBytes>>,
    /// The full length, in bytes; of an unfinished body, as announced, if it was.
    pub length: u64,
    /// The digest of the full body, if it is longer than the retained prefix or was spilled; otherwise the recorder computes it.
    pub sha256: Option<Digest>,
    /// Whether it was recorded before its end had arrived: the digest is that of what had.
    pub unfinished: bool,
    /// Dropped with the body; the proxy uses it to account for the memory of retained bodies.
    pub held: Option<Box<dyn std::any::Any + Send + Sync>>,
}

impl CapturedBody {
    /// A body retained in full.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self { length: bytes.len() as u64, kept: smallvec![bytes], ..Self::default() }
    }

    /// How many bytes of it are retained.
    #[must_use]
    pub fn retained(&self) -> usize {
        let packed = self.packed.as_ref().map_or(0, |packed| packed.len());
        self.kept.iter().map(Bytes::len).sum::<usize>() + packed
    }

    /// Takes the retained bytes, in one piece. A single chunk is not copied, and stays.
    #[must_use]
    pub fn join(&mut self) -> Bytes {
        if self.kept.len() <= 1 && self.packed.is_none() {
            return self.kept.first().cloned().unwrap_or_default();
        }
        let mut joined = BytesMut::with_capacity(self.retained());
        // Each chunk is dropped once copied, so that a large body is not held twice.
        std::mem::take(&mut self.kept).into_iter().for_each(|chunk| joined.extend_from_slice(&chunk));
        if let Some(packed) = self.packed.take() {
            packed.append_to(&mut joined);
        }
        joined.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_nothing_refers_to_it() {
        let mut memory = CaptureMemory::default();
        let first = [memory.copy(b"head"), memory.copy(&[7; 3000]), memory.copy(b"")];
        assert_eq!((&first[0][..], &first[1][..], first[2].len()), (&b"head"[..], &[7; 3000][..], 0));
        let place = first[0].as_ptr();
        drop(first);
        memory.reclaim();
        let second = memory.copy(b"HEAD");
        assert_eq!((second.as_ptr(), &second[..]), (place, &b"HEAD"[..]));
        // A copy that is still in use, by whoever follows the log, stays what it is.
        memory.reclaim();
        let third = memory.copy(b"more");
        assert_eq!((&second[..], &third[..]), (&b"HEAD"[..], &b"more"[..]));
    }

    #[test]
    fn memory_for_large_captures_is_not_kept() {
        let mut memory = CaptureMemory::default();
        for size in [CaptureMemory::MAX - 1, CaptureMemory::MAX, 4 * CaptureMemory::MAX] {
            let copies = [memory.copy(&vec![1; size]), memory.copy(b"the last")];
            assert_eq!((copies[0].len(), &copies[1][..]), (size, &b"the last"[..]));
            drop(copies);
            memory.reclaim();
            assert!(memory.free.capacity() <= CaptureMemory::MAX, "{size}");
        }
    }
}
