//! Detects requests that the HTTP/2 library refuses, by the frames it sends: it has no other way to report them.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};

use crate::refusal::{Refusal, RefusalKind};

/// The most refusals of a connection that are reported one by one; the rest is reported as a count.
const MAX_REPORTED: u64 = 100;

/// The most bytes of debug data in a GOAWAY that are reported.
const MAX_DEBUG: usize = 64;

const PREFACE: usize = 24;

/// Tracks the frames of a connection.
#[derive(Clone)]
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    refusals: mpsc::Sender<Refusal>,
}

struct Seen {
    inbound: Frames,
    outbound: Frames,
    /// The highest stream the client has opened.
    last_opened: u32,
    /// Requests received, counted by the ends of their heads.
    received: u64,
    /// Requests passed to the service.
    passed: u64,
    /// The stream of the response head last sent.
    last_response: u32,
    /// Streams that the library has reset, with error code: refused requests, unless already passed to the service.
    resets: Vec<(u32, u32)>,
    /// Why the library closed the connection.
    closed: Option<(u32, Box<str>)>,
    refused: u64,
}

impl Watch {
    /// Returns a watch, and the channel for its refusals.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Refusal>) {
        let (sender, refusals) = mpsc::channel(usize::try_from(MAX_REPORTED).unwrap_or(usize::MAX) + 2);
        let seen = Seen {
            inbound: Frames { skip: PREFACE, ..Frames::default() },
            outbound: Frames::default(),
            last_opened: 0,
            received: 0,
            passed: 0,
            last_response: 0,
            resets: Vec::new(),
            closed: None,
            refused: 0,
        };
        (Self { seen: Arc::new(Mutex::new(seen)), refusals: sender }, refusals)
    }

    /// Called when a request is passed to the service.
    pub(crate) fn passed(&self) {
        self.lock().passed += 1;
    }

    /// Reports refusals. Call it after polling the connection, when every request that was received and not refused has
    /// been passed to the service.
    pub(crate) fn report(&self) {
        let mut seen = self.lock();
        if seen.resets.is_empty() && seen.closed.is_none() {
            return;
        }
        for (stream, code) in std::mem::take(&mut seen.resets) {
            // A stream may also be reset because of its body, which the service reports itself.
            if seen.received > seen.passed + seen.refused {
                let too_large = seen.last_response == stream;
                self.report_one(&mut seen, refusal(stream, code, too_large));
            }
        }
        if let Some((code, debug)) = seen.closed.take() {
            let reason = if debug.is_empty() { String::new() } else { format!(", {debug}") };
            let message = format!("the HTTP/2 connection was closed: {}{reason}", name(code));
            self.report_one(&mut seen, Refusal { kind: kind(code), message, wire: Bytes::new() });
        }
    }

    fn report_one(&self, seen: &mut Seen, refusal: Refusal) {
        seen.refused += 1;
        if seen.refused <= MAX_REPORTED {
            // The channel has room for this many.
            let _ = self.refusals.try_send(refusal);
        }
    }

    /// Drives a connection and reports what it refuses.
    pub(crate) async fn drive<F: Future>(&self, mut connection: Pin<&mut F>) -> F::Output {
        poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx);
            self.report();
            ended
        })
        .await
    }

    /// Reports the remaining refusals at the end of the connection.
    pub(crate) fn end(self) {
        self.report();
        let more = self.lock().refused.saturating_sub(MAX_REPORTED);
        if more > 0 {
            let message = format!("{more} more HTTP/2 requests of the connection were refused");
            let _ = self.refusals.try_send(Refusal { kind: RefusalKind::Malformed, message, wire: Bytes::new() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn received(&mut self, bytes: &[u8]) {
        let Self { inbound, last_opened, received, .. } = self;
        inbound.advance(bytes, |frame| {
            // HEADERS that open no stream are trailers.
            let opens = frame.kind == HEADERS && frame.stream > *last_opened;
            if opens {
                *last_opened = frame.stream;
            }
            if frame.flags & END_HEADERS != 0 && (opens || frame.is_continuation_of(*last_opened)) {
                *received += 1;
            }
        });
    }

    fn sent(&mut self, bytes: &[u8]) {
        let Self { outbound, last_response, resets, closed, .. } = self;
        outbound.advance(bytes, |frame| match frame.kind {
            HEADERS => *last_response = frame.stream,
            RST_STREAM if is_refusal(frame.code(0)) => resets.push((frame.stream, frame.code(0))),
            GOAWAY if frame.code(4) != NO_ERROR => {
                let debug = String::from_utf8_lossy(frame.payload.get(8..).unwrap_or_default());
                *closed = Some((frame.code(4), debug.chars().filter(|letter| !letter.is_control()).collect()));
            }
            _ => {}
        });
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Returns whether a reset with this code was caused by the client. The service's own resets use others: NO_ERROR,
/// INTERNAL_ERROR, CANCEL.
fn is_refusal(code: u32) -> bool {
    matches!(code, 1 | 3..=7 | 9 | 11)
}

/// Returns the name of an error code (RFC 9113, section 7).
fn name(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("an unknown error")
}

fn kind(code: u32) -> RefusalKind {
    match code {
        REFUSED_STREAM | ENHANCE_YOUR_CALM => RefusalKind::TooMany,
        _ => RefusalKind::Malformed,
    }
}

fn refusal(stream: u32, code: u32, too_large: bool) -> Refusal {
    let (kind, why) = match code {
        // The library responds 431 itself, and then resets the stream.
        _ if too_large => (RefusalKind::TooLarge, "its headers are too large"),
        REFUSED_STREAM => (kind(code), "too many are in flight on the connection"),
        ENHANCE_YOUR_CALM => (kind(code), "the client is too fast"),
        _ => (kind(code), "it violates RFC 9113"),
    };
    let message = format!("the HTTP/2 request on stream {stream} was refused: {why} ({})", name(code));
    Refusal { kind, message, wire: Bytes::new() }
}

/// Parses the frames of one direction.
#[derive(Debug, Default)]
struct Frames {
    /// Bytes left to skip.
    skip: usize,
    head: Vec<u8>,
    payload: Vec<u8>,
    /// Bytes of the payload left to keep.
    keep: usize,
}

/// A frame, with the part of its payload that matters here.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

impl Frame<'_> {
    fn is_continuation_of(&self, stream: u32) -> bool {
        self.kind == CONTINUATION && self.stream == stream
    }

    /// Returns the 32-bit number at this offset of the payload.
    fn code(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(NO_ERROR, u32::from_be_bytes)
    }
}

impl Frames {
    fn advance(&mut self, mut bytes: &[u8], mut found: impl FnMut(&Frame<'_>)) {
        const HEAD: usize = 9;
        while !bytes.is_empty() {
            if self.keep > 0 {
                let (kept, rest) = bytes.split_at(self.keep.min(bytes.len()));
                self.payload.extend_from_slice(kept);
                self.keep -= kept.len();
                bytes = rest;
                if self.keep == 0 {
                    self.end(&mut found);
                }
            } else if self.skip > 0 {
                let step = self.skip.min(bytes.len());
                self.skip -= step;
                bytes = &bytes[step..];
            } else {
                let (head, rest) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if self.head.len() == HEAD {
                    let length =
                        usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2]);
                    self.keep = match self.head[3] {
                        RST_STREAM => length.min(4),
                        GOAWAY => length.min(8 + MAX_DEBUG),
                        _ => 0,
                    };
                    self.skip = length - self.keep;
                    if self.keep == 0 {
                        self.end(&mut found);
                    }
                }
            }
        }
    }

    fn end(&mut self, found: &mut impl FnMut(&Frame<'_>)) {
        if let [_, _, _, kind, flags, a, b, c, d] = self.head[..] {
            let stream = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
            found(&Frame { kind, flags, stream, payload: &self.payload });
        }
        self.head.clear();
        self.payload.clear();
    }
}

/// A stream whose frames are tracked.
pub(crate) struct Watched<S> {
    inner: S,
    watch: Watch,
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S, watch: &Watch) -> Self {
        Self { inner, watch: watch.clone() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        this.watch.lock().received(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        this.watch.lock().sent(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, bufs))?;
        let (mut left, mut seen) = (written, this.watch.lock());
        for buf in bufs {
            let step = left.min(buf.len());
            seen.sent(&buf[..step]);
            left -= step;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn reported(refusals: &mut mpsc::Receiver<Refusal>) -> Vec<(RefusalKind, String)> {
        std::iter::from_fn(|| refusals.try_recv().ok()).map(|refusal| (refusal.kind, refusal.message)).collect()
    }

    #[test]
    fn only_resets_of_requests_that_did_not_reach_the_service_are_reported() {
        let (watch, mut refusals) = Watch::new();
        let received = [
            vec![b'x'; PREFACE],
            frame(HEADERS, END_HEADERS, 1, b"head"),
            frame(HEADERS, 0, 3, b"head"),
            frame(CONTINUATION, END_HEADERS, 3, b"more"),
            // Trailers of the first.
            frame(HEADERS, END_HEADERS, 1, b"trailers"),
        ];
        watch.lock().received(&received.concat());
        watch.passed();
        watch.lock().sent(&frame(RST_STREAM, 0, 3, &1_u32.to_be_bytes()));
        watch.report();
        let [(RefusalKind::Malformed, message)] = &reported(&mut refusals)[..] else { panic!() };
        assert!(message.contains("stream 3") && message.contains("PROTOCOL_ERROR"), "{message}");
        // The first reached the service, and its body is invalid; the service's own resets are not refusals.
        for code in [1_u32, 0, 2, 8] {
            watch.lock().sent(&frame(RST_STREAM, 0, 1, &code.to_be_bytes()));
            watch.report();
            assert_eq!(reported(&mut refusals), []);
        }
        watch.lock().sent(&frame(GOAWAY, 0, 0, b"\0\0\0\x03\0\0\0\x0btoo_many_resets"));
        watch.end();
        let message = "the HTTP/2 connection was closed: ENHANCE_YOUR_CALM, too_many_resets".to_owned();
        assert_eq!(reported(&mut refusals), [(RefusalKind::TooMany, message)]);
    }

    #[test]
    fn reports_of_one_connection_are_bounded() {
        let (watch, mut refusals) = Watch::new();
        watch.lock().received(&[b'x'; PREFACE]);
        for stream in (1..5000).step_by(2) {
            watch.lock().received(&frame(HEADERS, END_HEADERS, stream, b""));
            watch.lock().sent(&frame(HEADERS, END_HEADERS, stream, b"431"));
            watch.lock().sent(&frame(RST_STREAM, 0, stream, &1_u32.to_be_bytes()));
            watch.report();
        }
        watch.end();
        let reported = reported(&mut refusals);
        assert_eq!(reported.len(), 101);
        assert_eq!(reported[0].0, RefusalKind::TooLarge);
        assert!(reported[100].1.starts_with("2400 more "), "{}", reported[100].1);
    }

    proptest! {
        #[test]
        fn frames_are_parsed_across_any_split(
            lengths in prop::collection::vec(0_usize..300, 1..8),
            read_sizes in prop::collection::vec(1_usize..40, 1..8),
        ) {
            let kinds = [0, HEADERS, RST_STREAM, GOAWAY, 8];
            let mut all = Vec::new();
            for (at, length) in lengths.iter().enumerate() {
                all.extend(frame(kinds[at % 5], 0, u32::try_from(at).unwrap(), &vec![b'x'; *length]));
            }
            let (mut frames, mut streams, mut at) = (Frames::default(), Vec::new(), 0);
            for size in read_sizes.iter().cycle() {
                if at == all.len() {
                    break;
                }
                let end = (at + size).min(all.len());
                frames.advance(&all[at..end], |frame| streams.push(frame.stream));
                at = end;
            }
            let expected: Vec<u32> = (0..u32::try_from(lengths.len()).unwrap()).collect();
            prop_assert_eq!(streams, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (watch, _refusals) = Watch::new();
            watch.lock().received(&bytes);
            watch.lock().sent(&bytes);
            watch.end();
        }
    }
}
