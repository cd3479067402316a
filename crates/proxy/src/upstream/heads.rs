//! The heads of Mews' answers as they are on the wire, for the record: hyper knows their names in lower case only.

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

/// The most that is read of an answer at once, and the longest head that one may have, in bytes; a longer one is no
/// valid answer. hyper's own is three times as much, which is memory for every answer that streams, and no speed.
pub(super) const LONGEST: usize = 128 << 10;

/// The most headers that a response may have: as many as a head of 64 KiB can hold if each is of 8 bytes.
pub(super) const MAX_HEADERS: usize = 8192;

/// The head of an answer of HTTP/1, as an extension of the answer.
#[derive(Debug, Clone)]
pub(crate) struct WireHead(pub(crate) Bytes);

/// What a connection of HTTP/1 has received of the head that is due.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Whether a head is due. What comes besides is a body's.
    due: AtomicBool,
    received: Mutex<BytesMut>,
}

impl Heads {
    /// A request goes out: the next thing to come is a head.
    pub(super) fn expect(&self) {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.due.store(true, Ordering::Release);
    }

    /// The head that has come; none where it could not be kept.
    pub(super) fn take(&self) -> Option<WireHead> {
        let came = !self.due.swap(false, Ordering::AcqRel);
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let head = received.split().freeze();
        (came && !head.is_empty()).then_some(WireHead(head))
    }

    fn read(&self, bytes: &[u8]) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = received.len();
        // Mostly a head comes in one piece, with the beginning of its body behind it, which is not to be copied too.
        let whole = if seen == 0 { end(bytes, 0).filter(|end| *end <= LONGEST && !is_interim(bytes)) } else { None };
        if let Some(end) = whole {
            *received = BytesMut::from(&bytes[..end]);
            self.due.store(false, Ordering::Release);
            return;
        }
        received.extend_from_slice(&bytes[..bytes.len().min(LONGEST - seen)]);
        let mut from = seen;
        while let Some(end) = end(&received, from) {
            if is_interim(&received) {
                // Another head follows.
                let _ = received.split_to(end);
                from = 0;
                continue;
            }
            received.truncate(end);
            self.due.store(false, Ordering::Release);
            return;
        }
        if received.len() >= LONGEST {
            received.clear();
            self.due.store(false, Ordering::Release);
        }
    }
}

/// Where a head ends: after an empty line, whose end a sloppy server may write as a bare line feed.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(3);
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at).find_map(|at| match &bytes[at + 1..] {
        [b'\r', b'\n', ..] => Some(at + 3),
        [b'\n', ..] => Some(at + 2),
        _ => None,
    })
}

/// Whether it is the head of an answer that precedes the real one: any of 1xx but 101.
fn is_interim(head: &[u8]) -> bool {
    let status = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    status.len() >= 3 && status[0] == b'1' && &status[..3] != b"101"
}

/// A connection on which heads are kept.
pub(super) struct Listening<S> {
    inner: S,
    heads: Arc<Heads>,
}

impl<S> Listening<S> {
    pub(super) fn new(inner: S) -> (Self, Arc<Heads>) {
        let heads = Arc::<Heads>::default();
        (Self { inner, heads: Arc::clone(&heads) }, heads)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        if this.heads.due.load(Ordering::Acquire) {
            this.heads.read(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listening<S> {
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
        for piece in pieces.iter().filter(|_| heads.due.load(Ordering::Acquire)) {
            heads.read(piece);
        }
        heads.take().map(|head| head.0)
    }

    #[test]
    fn the_head_ends_before_the_body_in_whatever_pieces_it_comes() {
        let answer = b"HTTP/1.1 200 OK\r\nX-ODD: 1\r\n\r\nbody\r\n\r\n";
        for size in 1..answer.len() {
            let pieces: Vec<&[u8]> = answer.chunks(size).collect();
            assert_eq!(head(&pieces).unwrap(), &answer[..29], "{size}");
        }
        assert_eq!(head(&[b"HTTP/1.1 200 OK\nA: b\n\nbody"]).unwrap(), "HTTP/1.1 200 OK\nA: b\n\n");
    }

    #[test]
    fn interim_heads_are_passed_over() {
        let (early, last) = ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(head(&[format!("HTTP/1.1 100 Continue\r\n\r\n{early}{last}").as_bytes()]).unwrap(), last);
        let switch = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(head(&[switch.as_bytes(), b"\x81\x01a"]).unwrap(), switch);
    }

    #[test]
    fn an_endless_head_is_not_kept() {
        assert_eq!(head(&[&vec![b'x'; LONGEST], b"\r\n\r\n"]), None);
        assert_eq!(head(&[b"HTTP/1.1 200 OK\r\n"]), None);
    }
}
