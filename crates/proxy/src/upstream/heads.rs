//! Request and response heads on their way to and from an upstream: hyper lowercases header names. A request's are spelled as
//! the client did, and a response's head is captured as it is on the wire, for the record.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::spelling::respell;

/// Read buffer size and longest response head, in bytes; a longer head is an invalid response. hyper's default is three
/// times as much, which costs memory for every streamed response and gains no speed.
pub(super) const MAX_HEAD: usize = 128 << 10;

/// The most headers of a response: as many as fit in 64 KiB with 8 bytes each.
pub(super) const MAX_HEADERS: usize = 8192;

/// The response head that an HTTP/1 connection is receiving.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Whether a head is expected. Other data belongs to a body.
    is_expected: AtomicBool,
    received: Mutex<BytesMut>,
    /// The head of the request as the client sent it, if that was over HTTP/1, until it is written.
    original: Mutex<Option<Bytes>>,
    /// Whether something of a request is still to be written.
    is_writing: AtomicBool,
}

impl Heads {
    /// Called when a request is sent, whose head the client sent as `original` if over HTTP/1: the next data is a head.
    pub(super) fn expect(&self, original: Option<Bytes>) {
        *self.original.lock().unwrap_or_else(PoisonError::into_inner) = original;
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.is_expected.store(true, Ordering::Release);
    }

    /// Returns whether a head was received, which was not too long. Nothing is expected from then on.
    pub(super) fn has_captured(&self) -> bool {
        let complete = !self.is_expected.swap(false, Ordering::AcqRel);
        complete && !self.received.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Returns whether the whole request has been handed to the system. A response may come before that.
    pub(super) fn is_written(&self) -> bool {
        !self.is_writing.load(Ordering::Acquire)
    }

    /// Takes the head received.
    pub(super) fn take(&self) -> Bytes {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).split().freeze()
    }

    fn read(&self, bytes: &[u8]) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = received.len();
        // Usually a head arrives in one read, along with the start of the body, which should not be copied.
        let whole = if seen == 0 { end(bytes, 0).filter(|end| *end <= MAX_HEAD && !is_interim(bytes)) } else { None };
        if let Some(end) = whole {
            received.extend_from_slice(&bytes[..end]);
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
    /// A respelled head, and how much of it has been written.
    respelled: Vec<u8>,
    written: usize,
    /// Why nothing more can be written.
    broken: Option<io::Error>,
}

impl<S> HeadCapture<S> {
    pub(super) fn new(inner: S) -> (Self, Arc<Heads>) {
        let heads = Arc::<Heads>::default();
        let capture = Self { inner, heads: Arc::clone(&heads), respelled: Vec::new(), written: 0, broken: None };
        (capture, heads)
    }
}

/// Returns whether the server has closed the connection. It may have responded before.
fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted)
}

impl<S> HeadCapture<S> {
    /// Lets a write that failed because the server has closed the connection pass for a success: hyper would end the
    /// connection, and with it lose a response that is already there. What there is to read, or the error behind it, ends
    /// the exchange instead. Nothing counts as written from then on, so that no other request gets the connection.
    fn or_read<T>(&mut self, written: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Err(error)) if is_closed(&error) => {
                self.heads.is_writing.store(true, Ordering::Release);
                self.broken = Some(error);
                Poll::Ready(Ok(instead))
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> HeadCapture<S> {
    /// Writes what is left of a respelled head.
    fn poll_respelled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.respelled.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.respelled[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => self.written += more,
            }
        }
        (self.written, self.respelled) = (0, clear(std::mem::take(&mut self.respelled)));
        Poll::Ready(Ok(()))
    }

    fn poll_write_bufs(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if self.broken.is_some() {
            return Poll::Ready(Ok(all));
        }
        let written = self.poll_write_open(cx, bufs);
        self.or_read(written, all)
    }

    fn poll_flush_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_respelled(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.heads.is_writing.store(false, Ordering::Release);
        Poll::Ready(Ok(()))
    }

    fn poll_write_open(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_respelled(cx))?;
        let mut original = self.heads.original.lock().unwrap_or_else(PoisonError::into_inner);
        let head = match (&*original, bufs) {
            // hyper writes a head in one piece, and first if nothing is left of an earlier request.
            (Some(original), [first, ..]) if self.heads.is_written() => {
                head_of_request(first).map(|end| (end, original))
            }
            _ => None,
        };
        let Some((end, spelling)) = head else {
            *original = None;
            drop(original);
            self.heads.is_writing.store(true, Ordering::Release);
            return Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        };
        respell(&bufs[0][..end], spelling, &mut self.respelled);
        let mut parts = [IoSlice::new(&[]); MAX_PARTS];
        let rest = [IoSlice::new(&bufs[0][end..])].into_iter().chain(bufs[1..].iter().copied());
        let mut count = 1;
        parts[0] = IoSlice::new(&self.respelled);
        for (part, rest) in parts[1..].iter_mut().zip(rest) {
            (*part, count) = (rest, count + 1);
        }
        match Pin::new(&mut self.inner).poll_write_vectored(cx, &parts[..count]) {
            Poll::Ready(Ok(written)) => {
                *original = None;
                self.heads.is_writing.store(true, Ordering::Release);
                let beyond = written.saturating_sub(self.respelled.len());
                self.written = written - beyond;
                // To hyper the whole head is written; what is left of it comes before anything else.
                Poll::Ready(Ok(end + beyond))
            }
            // hyper tries again with the same head.
            other => {
                self.respelled.clear();
                other
            }
        }
    }
}

/// At most so many buffers are written at once.
const MAX_PARTS: usize = 16;

/// Empties a buffer, and releases it if it's large.
fn clear(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.shrink_to(4096);
    buffer
}

/// Returns the end of the request head that the bytes begin with.
fn head_of_request(bytes: &[u8]) -> Option<usize> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let line = bytes[..memchr::memchr(b'\r', bytes)?].ends_with(b" HTTP/1.1");
    line.then_some(end + 4)
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadCapture<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        if let Some(error) = this.broken.as_ref().filter(|_| buf.filled().len() == before && buf.remaining() > 0) {
            // The system reports a reset once, to whoever asks first: without it this would be an orderly end.
            return Poll::Ready(Err(io::Error::new(error.kind(), error.to_string())));
        }
        if this.heads.is_expected.load(Ordering::Acquire) {
            this.heads.read(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadCapture<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_bufs(cx, &[IoSlice::new(buf)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return Poll::Ready(Ok(()));
        }
        let flushed = this.poll_flush_open(cx);
        this.or_read(flushed, ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_respelled(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_bufs(cx, bufs)
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
        heads.expect(None);
        for piece in pieces.iter().filter(|_| heads.is_expected.load(Ordering::Acquire)) {
            heads.read(piece);
        }
        heads.has_captured().then(|| heads.take())
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

    /// Takes a few bytes per call, and none at every other call.
    struct Narrow {
        taken: Vec<u8>,
        width: usize,
        ready: bool,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.ready = !self.ready;
            if !self.ready {
                return Poll::Pending;
            }
            let all = bufs.iter().flat_map(|buf| buf.iter().copied()).take(self.width);
            let before = self.taken.len();
            self.taken.extend(all.collect::<Vec<u8>>());
            Poll::Ready(Ok(self.taken.len() - before))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Writes all of these buffers and flushes, as hyper does.
    fn write(capture: &mut HeadCapture<Narrow>, parts: &[&[u8]]) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut rest: Vec<u8> = parts.concat();
        let mut first = parts[0].len();
        while !rest.is_empty() {
            // The head is always alone in its buffer until it is written.
            let (head, body) = rest.split_at(first);
            let bufs = [IoSlice::new(head), IoSlice::new(body)];
            let bufs = if first == 0 { &bufs[1..] } else { &bufs };
            if let Poll::Ready(written) = Pin::new(&mut *capture).poll_write_vectored(&mut cx, bufs) {
                let written = written.unwrap();
                rest.drain(..written);
                first = first.saturating_sub(written);
            }
        }
        while Pin::new(&mut *capture).poll_flush(&mut cx).is_pending() {}
    }

    #[test]
    fn a_head_is_respelled_however_little_is_written_at_once() {
        let head = b"POST /a HTTP/1.1\r\nhost: x\r\nx-odd: 1\r\nempty: \r\n\r\n";
        let original = Bytes::from_static(b"POST /a HTTP/1.1\r\nHOST: y\r\nX-ODD: 1\r\nEmpty:\r\n\r\n");
        // A body that looks like a head is not touched.
        let body = b"POST /a HTTP/1.1\r\nhost: x\r\n\r\n";
        let expected = b"POST /a HTTP/1.1\r\nHOST: x\r\nX-ODD: 1\r\nEmpty:\r\n\r\n";
        for width in 1..140 {
            let (mut capture, heads) = HeadCapture::new(Narrow { taken: Vec::new(), width, ready: false });
            for _ in 0..2 {
                heads.expect(Some(original.clone()));
                write(&mut capture, &[head, body]);
                // More of the body.
                write(&mut capture, &[body]);
            }
            heads.expect(None);
            write(&mut capture, &[head, body]);
            let once = [&expected[..], body, body].concat();
            assert_eq!(capture.inner.taken, [&once[..], &once, head, body].concat(), "{width}");
        }
    }

    #[test]
    fn a_request_is_written_once_all_of_it_is_flushed() {
        let (mut capture, heads) = HeadCapture::new(Narrow { taken: Vec::new(), width: 9, ready: false });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(heads.is_written());
        for original in [None, Some(Bytes::from_static(b"GET / HTTP/1.1\r\nA: 1\r\n\r\n"))] {
            heads.expect(original);
            while Pin::new(&mut capture).poll_write(&mut cx, b"GET / HTTP/1.1\r\na: 1\r\n\r\n").is_pending() {}
            assert!(!heads.is_written());
            while Pin::new(&mut capture).poll_flush(&mut cx).is_pending() {}
            assert!(heads.is_written());
        }
    }

    #[test]
    fn a_head_after_unflushed_data_is_left_alone() {
        let (mut capture, heads) = HeadCapture::new(Narrow { taken: Vec::new(), width: 99, ready: false });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut put = |capture: &mut HeadCapture<Narrow>, bytes: &[u8]| {
            while Pin::new(&mut *capture).poll_write(&mut cx, bytes).is_pending() {}
        };
        put(&mut capture, b"the end of a body");
        heads.expect(Some(Bytes::from_static(b"GET / HTTP/1.1\r\nA: 1\r\n\r\n")));
        put(&mut capture, b"more of it\r\n\r\n");
        put(&mut capture, b"GET / HTTP/1.1\r\na: 1\r\n\r\n");
        assert_eq!(capture.inner.taken, b"the end of a bodymore of it\r\n\r\nGET / HTTP/1.1\r\na: 1\r\n\r\n");
    }
}
