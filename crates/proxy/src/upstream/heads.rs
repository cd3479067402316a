//! Captures upstream response heads as they are on the wire, for the record: hyper lowercases header names.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read buffer size and longest response head, in bytes; a longer head is an invalid response. hyper's default is three
/// times as much, which costs memory for every streamed response and gains no speed.
pub(super) const MAX_HEAD: usize = 128 << 10;

/// The most headers of a response: as many as fit in 64 KiB with 8 bytes each.
pub(super) const MAX_HEADERS: usize = 8192;

/// The head of an HTTP/1 response as it was on the wire; an extension of the response.
#[derive(Debug, Clone)]
pub(crate) struct WireHead(pub(crate) Bytes);

/// The response head that an HTTP/1 connection is receiving.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Whether a head is expected. Other data belongs to a body.
    is_expected: AtomicBool,
    received: Mutex<BytesMut>,
}

impl Heads {
    /// Called when a request is sent: the next data is a head.
    pub(super) fn expect(&self) {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.is_expected.store(true, Ordering::Release);
    }

    /// Takes the head received; `None` if it was too long.
    pub(super) fn take(&self) -> Option<WireHead> {
        let complete = !self.is_expected.swap(false, Ordering::AcqRel);
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let head = received.split().freeze();
        (complete && !head.is_empty()).then_some(WireHead(head))
    }

    fn read(&self, bytes: &[u8]) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = received.len();
        // Usually a head arrives in one read, along with the start of the body, which should not be copied.
        let whole = if seen == 0 { end(bytes, 0).filter(|end| *end <= MAX_HEAD && !is_interim(bytes)) } else { None };
        if let Some(end) = whole {
            *received = BytesMut::from(&bytes[..end]);
            self.is_expected.store(false, Ordering::Release);
            return;
        }
        received.extend_from_slice(&bytes[..bytes.len().min(MAX_HEAD - seen)]);
        let mut from = seen;
        while let Some(end) = end(&received, from) {
            if is_interim(&received) {
                // Another head follows.
                let _ = received.split_to(end);
                from = 0;
                continue;
            }
            received.truncate(end);
            self.is_expected.store(false, Ordering::Release);
            return;
        }
        if received.len() >= MAX_HEAD {
            received.clear();
            self.is_expected.store(false, Ordering::Release);
        }
    }
}

/// Returns the end of a head: after the empty line, which some servers end with a bare LF.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(3);
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at).find_map(|at| match &bytes[at + 1..] {
        [b'\r', b'\n', ..] => Some(at + 3),
        [b'\n', ..] => Some(at + 2),
        _ => None,
    })
}

/// Returns whether it is the head of an interim response: 1xx except 101.
fn is_interim(head: &[u8]) -> bool {
    let status = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    status.len() >= 3 && status[0] == b'1' && &status[..3] != b"101"
}

/// A connection that captures response heads.
pub(super) struct HeadCapture<S> {
    inner: S,
    heads: Arc<Heads>,
}

impl<S> HeadCapture<S> {
    pub(super) fn new(inner: S) -> (Self, Arc<Heads>) {
        let heads = Arc::<Heads>::default();
        (Self { inner, heads: Arc::clone(&heads) }, heads)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadCapture<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        if this.heads.is_expected.load(Ordering::Acquire) {
            this.heads.read(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadCapture<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pieces: &[&[u8]]) -> Option<Bytes> {
        let heads = Heads::default();
        heads.expect();
        for piece in pieces.iter().filter(|_| heads.is_expected.load(Ordering::Acquire)) {
            heads.read(piece);
        }
        heads.take().map(|head| head.0)
    }

    #[test]
    fn the_head_ends_before_the_body_across_any_split() {
        let response = b"HTTP/1.1 200 OK\r\nX-ODD: 1\r\n\r\nbody\r\n\r\n";
        for size in 1..response.len() {
            let pieces: Vec<&[u8]> = response.chunks(size).collect();
            assert_eq!(head(&pieces).unwrap(), &response[..29], "{size}");
        }
        assert_eq!(head(&[b"HTTP/1.1 200 OK\nA: b\n\nbody"]).unwrap(), "HTTP/1.1 200 OK\nA: b\n\n");
    }

    #[test]
    fn interim_heads_are_skipped() {
        let (early, last) = ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(head(&[format!("HTTP/1.1 100 Continue\r\n\r\n{early}{last}").as_bytes()]).unwrap(), last);
        let switch = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(head(&[switch.as_bytes(), b"\x81\x01a"]).unwrap(), switch);
    }

    #[test]
    fn an_endless_head_is_not_kept() {
        assert_eq!(head(&[&vec![b'x'; MAX_HEAD], b"\r\n\r\n"]), None);
        assert_eq!(head(&[b"HTTP/1.1 200 OK\r\n"]), None);
    }
}
