//! Validates HTTP/1 heads between the connection and hyper.

mod heads;
mod waiting;

use std::{
    future::poll_fn,
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

pub(crate) use self::heads::{AcceptedHead, Heads};
use self::waiting::{Linger, WaitTimeout};
use crate::{
    chunked::Chunked,
    head::{self, Framing},
    link::Link,
    refusal::{Fault, RefusalKind},
};

/// The HTTP/2 connection preface (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What hyper reads instead of a refused head, so that the refusal gets its response in pipeline order.
const PLACEHOLDER: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// The same for a HEAD request, whose response has no body.
const HEAD_PLACEHOLDER: &[u8] = b"HEAD / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// Bytes to read at once.
const READ_SIZE: usize = 8 * 1024;

/// The protocol the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Largest head, in bytes.
    pub(crate) max_head: usize,
    /// From the first byte of a head to its last.
    pub(crate) head_timeout: Duration,
    /// Between two requests.
    pub(crate) idle_timeout: Duration,
}

/// A connection whose HTTP/1 heads are validated and kept on their way to hyper.
pub(crate) struct Guard<S> {
    inner: S,
    limits: Limits,
    heads: Arc<Heads>,
    /// Read from the client and not yet passed to hyper. Most requests never come here: their heads arrive whole, and are
    /// read straight into hyper's buffer.
    buffer: BytesMut,
    state: State,
    /// How many bytes of `buffer` have been searched for the end of the head.
    searched: usize,
    /// How many bytes of `buffer` belong to an accepted head.
    accepted: usize,
    /// Where accepted heads are copied to, for the handler. Used again once it has dropped the head before.
    copied: BytesMut,
    /// What is left to pass to hyper instead of a refused head.
    placeholder: &'static [u8],
    wait_timeout: WaitTimeout,
    /// Whether the client may still be sending bytes that won't be processed.
    lingers: bool,
    linger: Option<Linger>,
    /// Refuses every request with this message.
    refuses: Option<&'static str>,
}

#[derive(Debug)]
enum State {
    /// Before or within a head.
    Head,
    /// Within a body with this many bytes left.
    Length(u64),
    /// Within a chunked body.
    Chunked(Chunked),
    /// No longer HTTP/1.
    Opaque,
    /// The response to a refusal is being written. Reads stay pending, since hyper would take EOF for a disconnect.
    Refused,
    /// The client has closed its side after a complete request, and may still read the response (RFC 9112, section
    /// 9.6). hyper would take EOF for a disconnect.
    HalfClosed,
    /// EOF.
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    pub(crate) fn new(inner: S, limits: Limits, link: Arc<Link>) -> Self {
        Self {
            inner,
            limits,
            heads: Arc::new(Heads::new(link)),
            buffer: BytesMut::new(),
            state: State::Head,
            searched: 0,
            accepted: 0,
            copied: BytesMut::new(),
            placeholder: &[],
            wait_timeout: WaitTimeout::default(),
            lingers: false,
            linger: None,
            refuses: None,
        }
    }

    /// Refuses every request with this message.
    pub(crate) fn refusing(mut self, message: &'static str) -> Self {
        self.refuses = Some(message);
        self
    }

    /// The accepted and refused heads, for the service.
    pub(crate) fn heads(&self) -> Arc<Heads> {
        Arc::clone(&self.heads)
    }

    /// Detects the protocol by the first bytes; `None` if the client sends nothing.
    pub(crate) async fn protocol(&mut self) -> Option<Protocol> {
        loop {
            let start = &self.buffer[..self.buffer.len().min(PREFACE.len())];
            if start == PREFACE {
                self.opaque();
                return Some(Protocol::Http2);
            }
            if !PREFACE.starts_with(start) {
                return Some(Protocol::Http1);
            }
            let was_idle = self.buffer.is_empty();
            match poll_fn(|cx| self.poll_fill(cx)).await {
                // What it waits for now began with these bytes.
                Fill::Read if was_idle => self.wait_timeout.reset(),
                Fill::Read => {}
                // A partial preface is left to head validation.
                Fill::Ended | Fill::Broken | Fill::TimedOut if self.buffer.is_empty() => return None,
                Fill::Ended | Fill::Broken | Fill::TimedOut => return Some(Protocol::Http1),
            }
        }
    }

    /// Passes all further bytes through unchecked.
    pub(crate) fn opaque(&mut self) {
        self.state = State::Opaque;
    }

    /// Reads into the buffer, within the timeout of the current state.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Fill> {
        self.buffer.reserve(READ_SIZE);
        let read = poll_read_buf(Pin::new(&mut self.inner), cx, &mut self.buffer);
        self.poll_filled(cx, read)
    }

    /// Reads straight into hyper's buffer. `None` if that made a whole head pass; anything else is moved to the own buffer.
    fn poll_pass(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Option<Fill>> {
        let start = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf).map_ok(|()| buf.filled().len() - start);
        match ready!(self.poll_filled(cx, read)) {
            Fill::Read if self.pass_head(buf, start) => Poll::Ready(None),
            filled => Poll::Ready(Some(filled)),
        }
    }

    /// What a read came to. A pending one has the timeout of the current state.
    fn poll_filled(&mut self, cx: &mut Context<'_>, read: Poll<io::Result<usize>>) -> Poll<Fill> {
        match read {
            Poll::Ready(Ok(0)) => Poll::Ready(Fill::Ended),
            Poll::Ready(Err(_)) => Poll::Ready(Fill::Broken),
            Poll::Ready(Ok(_)) => Poll::Ready(Fill::Read),
            Poll::Pending => {
                let limit = match &self.state {
                    State::Head if self.is_idle() => self.limits.idle_timeout,
                    State::Head => self.limits.head_timeout,
                    // The service times bodies.
                    _ => return Poll::Pending,
                };
                ready!(self.wait_timeout.poll(cx, limit, || self.heads.has_in_flight()));
                Poll::Ready(Fill::TimedOut)
            }
        }
    }

    /// Whether nothing of a head was received: a CR may be the start of an empty line.
    fn is_idle(&self) -> bool {
        b"\r".starts_with(&self.buffer)
    }

    /// Takes a head from the buffer, reading more as needed; or passes one to hyper's.
    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<()> {
        let mut was_idle = false;
        loop {
            // Some clients send an extra CRLF after a body (RFC 9112, section 2.2).
            while self.searched < 2 && self.buffer.starts_with(b"\r\n") {
                self.buffer.advance(2);
                self.searched = 0;
            }
            if was_idle && !self.is_idle() {
                // The wait for a request is over, and that for the rest of its head begins.
                self.wait_timeout.reset();
            }
            match head::end(&self.buffer, self.searched) {
                Err(fault) => {
                    self.refuse(self.limits.max_head, fault);
                    return Poll::Ready(());
                }
                Ok(Some(end)) if end <= self.limits.max_head => {
                    self.searched = 0;
                    self.wait_timeout.reset();
                    let wire = copied(&mut self.copied, &self.buffer[..end]);
                    match self.refuses.map_or_else(|| head::check(&wire), |message| Err(Fault::malformed(message))) {
                        Ok(framing) => {
                            self.accepted = wire.len();
                            self.accept(wire, framing);
                        }
                        Err(fault) => self.refuse(end, fault),
                    }
                    return Poll::Ready(());
                }
                Ok(_) => self.searched = self.buffer.len(),
            }
            if self.buffer.len() > self.limits.max_head {
                let message = format!("the request's head is larger than {} bytes", self.limits.max_head);
                self.refuse(self.limits.max_head, Fault { kind: RefusalKind::TooLarge, message });
                return Poll::Ready(());
            }
            was_idle = self.is_idle();
            if self.buffer.is_empty() {
                self.searched = 0;
            }
            let filled = if self.buffer.is_empty() && buf.remaining() >= READ_SIZE {
                match ready!(self.poll_pass(cx, buf)) {
                    Some(filled) => filled,
                    None => return Poll::Ready(()),
                }
            } else {
                ready!(self.poll_fill(cx))
            };
            match filled {
                Fill::Read => {}
                Fill::Ended if self.buffer.is_empty() => {
                    self.state = State::HalfClosed;
                    return Poll::Ready(());
                }
                Fill::Broken | Fill::TimedOut if self.buffer.is_empty() => {
                    self.state = State::Closed;
                    return Poll::Ready(());
                }
                Fill::Ended | Fill::Broken => {
                    let fault = Fault::malformed("the connection ended in the middle of the request's head");
                    self.refuse(self.limits.max_head, fault);
                    return Poll::Ready(());
                }
                Fill::TimedOut => {
                    let message = format!("the request's head was not complete after {:?}", self.limits.head_timeout);
                    self.refuse(self.limits.max_head, Fault { kind: RefusalKind::Timeout, message });
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Passes a valid head, with what came of its body, that hyper's buffer has from `start`. Returns whether it did:
    /// otherwise what was read is in the own buffer.
    fn pass_head(&mut self, buf: &mut ReadBuf<'_>, start: usize) -> bool {
        let read = &buf.filled()[start..];
        let whole = match head::end(read, 0) {
            Ok(Some(end)) if end <= self.limits.max_head && !read.starts_with(b"\r\n") && self.refuses.is_none() => {
                let wire = copied(&mut self.copied, &read[..end]);
                head::check(&wire).ok().map(|framing| (wire, framing))
            }
            _ => None,
        };
        let Some((wire, framing)) = whole else {
            self.keep(buf, start);
            return false;
        };
        let end = start + wire.len();
        self.wait_timeout.reset();
        self.accept(wire, framing);
        let body = match self.state {
            // An error recurs when the body is read.
            State::Length(_) | State::Chunked(_) => self.advance(&buf.filled()[end..]).unwrap_or_default(),
            _ => 0,
        };
        self.keep(buf, end + body);
        true
    }

    /// Moves what was read beyond this to the own buffer.
    fn keep(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        self.buffer.extend_from_slice(&buf.filled()[start..]);
        buf.set_filled(start);
    }

    /// Accepts a head.
    fn accept(&mut self, wire: Bytes, framing: Framing) {
        self.state = match framing {
            Framing::Length(0) => State::Head,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::WebSocket => State::Opaque,
        };
        let opens_web_socket = framing == Framing::WebSocket;
        self.heads.push(Ok(AcceptedHead { wire, opens_web_socket }));
    }

    /// Refuses a head, reporting at most `kept` bytes of it.
    fn refuse(&mut self, kept: usize, fault: Fault) {
        let wire = Bytes::copy_from_slice(&self.buffer[..kept.min(self.buffer.len())]);
        // Empty lines before the start line are allowed (RFC 9112, section 2.2).
        let is_head = self.buffer.trim_ascii_start().starts_with(b"HEAD ");
        self.heads.push(Err(fault.refusal(wire)));
        self.placeholder = if is_head { HEAD_PLACEHOLDER } else { PLACEHOLDER };
        self.state = State::Refused;
        self.lingers = true;
        self.buffer = BytesMut::new();
    }

    /// Copies out the accepted head, followed by what the buffer holds of its body.
    fn copy_head(&mut self, buf: &mut ReadBuf<'_>) {
        let step = self.accepted.min(buf.remaining());
        self.copy(buf, step);
        self.accepted -= step;
        if self.accepted == 0 && !self.buffer.is_empty() && matches!(self.state, State::Length(_) | State::Chunked(_)) {
            // An error recurs when the body is read.
            let _ = self.copy_body(buf);
        }
    }

    /// Copies out what the buffer holds of the body.
    fn copy_body(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let held = mem::take(&mut self.buffer);
        let step = self.advance(&held[..held.len().min(buf.remaining())]);
        self.buffer = held;
        self.copy(buf, step?);
        Ok(())
    }

    /// Copies out the start of the buffer, and releases it once it is empty: the next head hardly needs it.
    fn copy(&mut self, buf: &mut ReadBuf<'_>, step: usize) {
        buf.put_slice(&self.buffer[..step]);
        self.buffer.advance(step);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Follows the body through bytes that may go beyond it. Returns how many belong to it.
    fn advance(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Length(left) => {
                let step = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= step as u64;
                if *left == 0 {
                    self.state = State::Head;
                }
                Ok(step)
            }
            State::Chunked(chunked) => {
                let step = chunked.advance(bytes).map_err(|_| {
                    self.lingers = true;
                    io::Error::new(io::ErrorKind::InvalidData, "an invalid chunk in the request's body")
                })?;
                if chunked.is_end() {
                    self.state = State::Head;
                }
                Ok(step)
            }
            State::Head | State::Opaque | State::Refused | State::HalfClosed | State::Closed => Ok(bytes.len()),
        }
    }
}

/// A copy of a head, for the handler, in the memory of the one before if that was dropped.
fn copied(memory: &mut BytesMut, head: &[u8]) -> Bytes {
    if memory.capacity() > READ_SIZE {
        // Don't keep the memory of a large head for the life of the connection.
        *memory = BytesMut::new();
    }
    memory.extend_from_slice(head);
    memory.split().freeze()
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if !this.placeholder.is_empty() {
                let (step, rest) = this.placeholder.split_at(this.placeholder.len().min(buf.remaining()));
                buf.put_slice(step);
                this.placeholder = rest;
                return Poll::Ready(Ok(()));
            }
            if this.accepted > 0 {
                this.copy_head(buf);
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Closed => return Poll::Ready(Ok(())),
                State::HalfClosed => {
                    ready!(this.heads.poll_drained(cx));
                    this.state = State::Closed;
                    continue;
                }
                // hyper polls again once the response is written, and then closes the connection.
                State::Refused => return Poll::Pending,
                State::Head => {
                    let start = buf.filled().len();
                    ready!(this.poll_head(cx, buf));
                    if buf.filled().len() > start {
                        return Poll::Ready(Ok(()));
                    }
                    continue;
                }
                State::Length(_) | State::Chunked(_) | State::Opaque => {}
            }
            if !this.buffer.is_empty() {
                return Poll::Ready(this.copy_body(buf));
            }
            // Straight into hyper's buffer.
            let start = buf.filled().len();
            if let State::Length(left) = this.state {
                ready!(Pin::new(&mut (&mut this.inner).take(left)).poll_read(cx, buf))?;
            } else {
                ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
            }
            let step = this.advance(&buf.filled()[start..])?;
            this.keep(buf, start + step);
            return Poll::Ready(Ok(()));
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        this.heads.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            let within_body = matches!(this.state, State::Length(_) | State::Chunked(_));
            if !this.lingers && !within_body {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = this.linger.get_or_insert_with(Linger::new);
        linger.poll(cx, &mut this.inner).map(Ok)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fill {
    Read,
    /// The client has closed its side.
    Ended,
    /// The connection is gone.
    Broken,
    TimedOut,
}

#[cfg(test)]
mod tests;
