//! Validates HTTP/1 heads between the connection and hyper.

mod heads;
mod waiting;

use std::{
    future::poll_fn,
    io,
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
    /// Read from the client and not yet passed to hyper. Nothing else shares it, so it is allocated once.
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
            match poll_fn(|cx| self.poll_fill(cx)).await {
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
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * READ_SIZE {
            // Don't keep the memory of a large head for the life of the connection.
            self.buffer = BytesMut::with_capacity(READ_SIZE);
        }
        match poll_read_buf(Pin::new(&mut self.inner), cx, &mut self.buffer) {
            Poll::Ready(Ok(0)) => Poll::Ready(Fill::Ended),
            Poll::Ready(Err(_)) => Poll::Ready(Fill::Broken),
            Poll::Ready(Ok(_)) => Poll::Ready(Fill::Read),
            Poll::Pending => {
                let limit = match (&self.state, self.buffer.is_empty()) {
                    (State::Head, true) => self.limits.idle_timeout,
                    (State::Head, false) => self.limits.head_timeout,
                    // The service times bodies.
                    _ => return Poll::Pending,
                };
                ready!(self.wait_timeout.poll(cx, limit, || self.heads.has_in_flight()));
                Poll::Ready(Fill::TimedOut)
            }
        }
    }

    /// Takes a head from the buffer, reading more as needed.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Some clients send an extra CRLF after a body (RFC 9112, section 2.2).
            while self.searched == 0 && self.buffer.starts_with(b"\r\n") {
                self.buffer.advance(2);
            }
            match head::end(&self.buffer, self.searched) {
                Err(fault) => {
                    self.refuse(self.limits.max_head, fault);
                    return Poll::Ready(());
                }
                Ok(Some(end)) if end <= self.limits.max_head => {
                    self.searched = 0;
                    self.wait_timeout.reset();
                    if self.copied.capacity() > READ_SIZE {
                        // Nor that of a large one here.
                        self.copied = BytesMut::new();
                    }
                    self.copied.extend_from_slice(&self.buffer[..end]);
                    let wire = self.copied.split().freeze();
                    match self.refuses.map_or_else(|| head::check(&wire), |message| Err(Fault::malformed(message))) {
                        Ok(framing) => self.accept(wire, framing),
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
            if self.buffer.is_empty() {
                self.searched = 0;
            }
            match ready!(self.poll_fill(cx)) {
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

    /// Accepts the head at the start of the buffer.
    fn accept(&mut self, wire: Bytes, framing: Framing) {
        self.state = match framing {
            Framing::Length(0) => State::Head,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::WebSocket => State::Opaque,
        };
        self.accepted = wire.len();
        let opens_web_socket = framing == Framing::WebSocket;
        self.heads.push(Ok(AcceptedHead { wire, opens_web_socket }));
    }

    /// Refuses a head, reporting at most `kept` bytes of it.
    fn refuse(&mut self, kept: usize, fault: Fault) {
        let wire = Bytes::copy_from_slice(&self.buffer[..kept.min(self.buffer.len())]);
        self.heads.push(Err(fault.refusal(wire)));
        self.placeholder = PLACEHOLDER;
        self.state = State::Refused;
        self.lingers = true;
        self.buffer = BytesMut::new();
    }

    /// Copies out the accepted head, followed by what the buffer holds of its body.
    fn copy_head(&mut self, buf: &mut ReadBuf<'_>) {
        let step = self.accepted.min(buf.remaining());
        buf.put_slice(&self.buffer[..step]);
        self.buffer.advance(step);
        self.accepted -= step;
        if self.accepted == 0 && !self.buffer.is_empty() && matches!(self.state, State::Length(_) | State::Chunked(_)) {
            // An error recurs when the body is read.
            let _ = self.copy_body(buf);
        }
    }

    /// Copies out what the buffer holds of the body.
    fn copy_body(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let mut step = self.buffer.len().min(buf.remaining());
        match &mut self.state {
            State::Length(left) => {
                step = step.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= step as u64;
                if *left == 0 {
                    self.state = State::Head;
                }
            }
            State::Chunked(chunked) => {
                step = chunked.advance(&self.buffer[..step]).map_err(|_| {
                    self.lingers = true;
                    io::Error::new(io::ErrorKind::InvalidData, "an invalid chunk in the request's body")
                })?;
                if chunked.is_end() {
                    self.state = State::Head;
                }
            }
            State::Head | State::Opaque | State::Refused | State::HalfClosed | State::Closed => {}
        }
        buf.put_slice(&self.buffer[..step]);
        self.buffer.advance(step);
        Ok(())
    }
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
                    ready!(this.poll_head(cx));
                    continue;
                }
                State::Length(_) | State::Chunked(_) | State::Opaque => {}
            }
            if this.buffer.is_empty() {
                // Bytes that need no inspection bypass the buffer.
                match &mut this.state {
                    State::Opaque => return Pin::new(&mut this.inner).poll_read(cx, buf),
                    State::Length(left) => {
                        let before = buf.filled().len();
                        let mut body = (&mut this.inner).take(*left);
                        ready!(Pin::new(&mut body).poll_read(cx, buf))?;
                        *left -= (buf.filled().len() - before) as u64;
                        if *left == 0 {
                            this.state = State::Head;
                        }
                        return Poll::Ready(Ok(()));
                    }
                    _ => {}
                }
                if ready!(this.poll_fill(cx)) != Fill::Read {
                    return Poll::Ready(Ok(()));
                }
            }
            return Poll::Ready(this.copy_body(buf));
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
mod tests {
    use tokio::{
        io::{AsyncWriteExt as _, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;
    use crate::refusal::Refusal;

    const LIMITS: Limits =
        Limits { max_head: 200, head_timeout: Duration::from_secs(10), idle_timeout: Duration::from_secs(60) };

    fn guarded() -> (DuplexStream, Guard<DuplexStream>, Arc<Heads>) {
        let (client, server) = duplex(4096);
        let guard = Guard::new(server, LIMITS, Link::new());
        let heads = guard.heads();
        (client, guard, heads)
    }

    async fn refusal(bytes: &[u8]) -> Refusal {
        let (mut client, mut guard, heads) = guarded();
        client.write_all(bytes).await.unwrap();
        let mut read = vec![0; PLACEHOLDER.len()];
        guard.read_exact(&mut read).await.unwrap();
        assert_eq!(read, PLACEHOLDER);
        heads.pop().unwrap().unwrap_err()
    }

    #[tokio::test]
    async fn requests_pass_unchanged_and_their_heads_are_kept() {
        let (mut client, mut guard, heads) = guarded();
        let first = "POST /a HTTP/1.1\r\nHOST: x\r\ncontent-Length: 5\r\n\r\n";
        let second = "POST /b HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        let third = "GET /c HTTP/1.1\r\nHost: x\r\n\r\n";
        let all = format!("{first}hello{second}3\r\nabc\r\n0\r\n\r\n{third}");
        client.write_all(all.as_bytes()).await.unwrap();
        drop(client);
        let mut read = vec![0; all.len()];
        guard.read_exact(&mut read).await.unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), all);
        // The client may have left or only half-closed: EOF comes with the last response.
        (0..3).for_each(|_| heads.response_finished());
        assert_eq!(guard.read(&mut [0]).await.unwrap(), 0);
        for head in [first, second, third] {
            assert_eq!(heads.pop().unwrap().unwrap().wire, head);
        }
        assert!(heads.pop().is_none());
    }

    #[tokio::test]
    async fn faults_become_refusals_with_the_head_received() {
        let refused = refusal(b"GET / HTTP/1.1\nHost: x\n\n").await;
        assert_eq!((refused.kind, &refused.wire[..]), (RefusalKind::Framing, &b"GET / HTTP/1.1\nHost: x\n\n"[..]));
        assert_eq!(refusal(b"hello\r\n\r\n").await.kind, RefusalKind::Malformed);
        assert_eq!(refusal(&[b'a'; 300]).await.kind, RefusalKind::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_partial_head_is_refused_after_the_head_timeout() {
        let (mut client, mut guard, heads) = guarded();
        client.write_all(b"GET / HT").await.unwrap();
        let start = Instant::now();
        guard.read_exact(&mut vec![0; PLACEHOLDER.len()]).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 10);
        assert_eq!(heads.pop().unwrap().unwrap_err().kind, RefusalKind::Timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_closed_but_not_while_a_request_is_in_flight() {
        let (mut client, mut guard, heads) = guarded();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let start = Instant::now();
        let response = async {
            tokio::time::sleep(Duration::from_secs(200)).await;
            heads.response_finished();
        };
        let mut read = Vec::new();
        let (end, ()) = tokio::join!(guard.read_to_end(&mut read), response);
        end.unwrap();
        let elapsed = start.elapsed().as_secs();
        assert!((200 + 1..=200 + 2 * 60).contains(&elapsed), "{elapsed}");
        assert_eq!(read.len(), 27);
    }

    #[tokio::test]
    async fn a_half_closed_connection_ends_with_its_last_response() {
        let (mut client, mut guard, heads) = guarded();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        let mut read = vec![0; 27];
        guard.read_exact(&mut read).await.unwrap();
        let response = async {
            // Polled after the read, which is pending by then.
            tokio::task::yield_now().await;
            assert!(heads.has_half_closed());
            heads.response_finished();
        };
        let (end, ()) = tokio::join!(guard.read_u8(), response);
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn an_invalid_chunk_is_a_body_error() {
        let (mut client, mut guard, _heads) = guarded();
        client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await.unwrap();
        let error = guard.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn the_preface_selects_http_2() {
        let (mut client, mut guard, _) = guarded();
        client.write_all(PREFACE).await.unwrap();
        client.write_all(b"rest").await.unwrap();
        assert_eq!(guard.protocol().await, Some(Protocol::Http2));
        drop(client);
        let mut read = Vec::new();
        guard.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, [PREFACE, b"rest"].concat());

        let (mut client, mut guard, _) = guarded();
        client.write_all(b"PRO").await.unwrap();
        assert_eq!(guard.protocol().await, Some(Protocol::Http1));
    }
}
