//! The guard between an HTTP/1 connection and hyper.

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

pub(crate) use self::heads::{Heads, Passed};
use self::waiting::{Linger, Waiting};
use crate::{
    chunked::Chunked,
    head::{self, Fault, Framing, RefusalKind},
    link::Link,
};

/// What a client that knows HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What hyper reads in place of a refused head, so that the refusal is answered in its turn.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// How much is read at once.
const READ_SIZE: usize = 8 * 1024;

/// The protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// The bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of a head.
    pub(crate) max_head: usize,
    /// From a head's first byte to its last.
    pub(crate) head_timeout: Duration,
    /// From one request to the next.
    pub(crate) idle_timeout: Duration,
}

/// A connection whose HTTP/1 heads are checked and kept on their way to hyper.
pub(crate) struct Guard<S> {
    inner: S,
    bounds: Bounds,
    heads: Arc<Heads>,
    /// Read from the client, not yet handed to hyper. Nothing else holds any of it, so that it is allocated once.
    buffer: BytesMut,
    state: State,
    /// How much of `buffer` was searched for a head's end.
    searched: usize,
    /// How much of `buffer` is a head that has passed.
    passed: usize,
    /// To be handed to hyper in place of a refused head.
    stand_in: &'static [u8],
    waiting: Waiting,
    /// Whether the client may still be sending what nobody will read.
    lingers: bool,
    linger: Option<Linger>,
    /// Why every request is refused, if they are.
    refuses: Option<&'static str>,
}

#[derive(Debug)]
enum State {
    /// Before or within a head.
    Head,
    /// Within a body of this many bytes more.
    Length(u64),
    /// Within a chunked body.
    Chunked(Chunked),
    /// Not HTTP/1 any more.
    Opaque,
    /// A refusal is being answered: nothing more comes out, but to hyper an end would mean that the client has left.
    Refused,
    /// The client has closed its side after a complete request, which it may do and still read the response (RFC 9112,
    /// section 9.6). hyper would take the end for a client that has left.
    HalfClosed,
    /// Nothing more comes out.
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    pub(crate) fn new(inner: S, bounds: Bounds, link: Arc<Link>) -> Self {
        Self {
            inner,
            bounds,
            heads: Arc::new(Heads::new(link)),
            buffer: BytesMut::new(),
            state: State::Head,
            searched: 0,
            passed: 0,
            stand_in: &[],
            waiting: Waiting::default(),
            lingers: false,
            linger: None,
            refuses: None,
        }
    }

    /// Refuses whatever comes, with this message.
    pub(crate) fn refusing(mut self, message: &'static str) -> Self {
        self.refuses = Some(message);
        self
    }

    /// The heads that passed, for the service.
    pub(crate) fn heads(&self) -> Arc<Heads> {
        Arc::clone(&self.heads)
    }

    /// Tells by the first bytes which protocol the client speaks; none if it says nothing at all.
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
                // What began like the preface and went no further is left to the head's checks.
                Fill::Ended | Fill::Broken | Fill::TimedOut if self.buffer.is_empty() => return None,
                Fill::Ended | Fill::Broken | Fill::TimedOut => return Some(Protocol::Http1),
            }
        }
    }

    /// Lets everything pass from here on.
    pub(crate) fn opaque(&mut self) {
        self.state = State::Opaque;
    }

    /// Reads more into the buffer, for as long as the state allows to wait.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Fill> {
        self.buffer.reserve(READ_SIZE);
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * READ_SIZE {
            // What a large head has taken is not kept for as long as the connection lasts.
            self.buffer = BytesMut::with_capacity(READ_SIZE);
        }
        match poll_read_buf(Pin::new(&mut self.inner), cx, &mut self.buffer) {
            Poll::Ready(Ok(0)) => Poll::Ready(Fill::Ended),
            Poll::Ready(Err(_)) => Poll::Ready(Fill::Broken),
            Poll::Ready(Ok(_)) => Poll::Ready(Fill::Read),
            Poll::Pending => {
                let limit = match (&self.state, self.buffer.is_empty()) {
                    (State::Head, true) => self.bounds.idle_timeout,
                    (State::Head, false) => self.bounds.head_timeout,
                    // The service knows better how long a body may take.
                    _ => return Poll::Pending,
                };
                ready!(self.waiting.poll(cx, limit, || self.heads.are_unanswered()));
                Poll::Ready(Fill::TimedOut)
            }
        }
    }

    /// Takes a head from the buffer, reading more as needed.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // An empty line before a request is left over from a sloppy client's last body (RFC 9112, section 2.2).
            while self.searched == 0 && self.buffer.starts_with(b"\r\n") {
                self.buffer.advance(2);
            }
            match head::end(&self.buffer, self.searched) {
                Err(fault) => {
                    self.refuse(self.bounds.max_head, fault);
                    return Poll::Ready(());
                }
                Ok(Some(end)) if end <= self.bounds.max_head => {
                    self.searched = 0;
                    self.waiting.over();
                    match self
                        .refuses
                        .map_or_else(|| head::check(&self.buffer[..end]), |message| Err(Fault::malformed(message)))
                    {
                        Ok(framing) => self.pass(end, framing),
                        Err(fault) => self.refuse(end, fault),
                    }
                    return Poll::Ready(());
                }
                Ok(_) => self.searched = self.buffer.len(),
            }
            if self.buffer.len() > self.bounds.max_head {
                let message = format!("the request's head is larger than {} bytes", self.bounds.max_head);
                self.refuse(self.bounds.max_head, Fault { kind: RefusalKind::TooLarge, message });
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
                    self.refuse(self.bounds.max_head, fault);
                    return Poll::Ready(());
                }
                Fill::TimedOut => {
                    let message = format!("the request's head was not complete after {:?}", self.bounds.head_timeout);
                    self.refuse(self.bounds.max_head, Fault { kind: RefusalKind::Timeout, message });
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Lets the head pass that ends at `end`.
    fn pass(&mut self, end: usize, framing: Framing) {
        self.state = match framing {
            Framing::Length(0) => State::Head,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::WebSocket => State::Opaque,
        };
        self.passed = end;
        let opens_web_socket = framing == Framing::WebSocket;
        self.heads.push(Ok(Passed { wire: Bytes::copy_from_slice(&self.buffer[..end]), opens_web_socket }));
    }

    /// Refuses what has arrived of a head, of which `kept` bytes at most are told.
    fn refuse(&mut self, kept: usize, fault: Fault) {
        let wire = Bytes::copy_from_slice(&self.buffer[..kept.min(self.buffer.len())]);
        self.heads.push(Err(fault.refusal(wire)));
        self.stand_in = STAND_IN;
        self.state = State::Refused;
        self.lingers = true;
        self.buffer = BytesMut::new();
    }

    /// Hands out a head that has passed, and with it what the buffer holds of its body.
    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) {
        let step = self.passed.min(buf.remaining());
        buf.put_slice(&self.buffer[..step]);
        self.buffer.advance(step);
        self.passed -= step;
        if self.passed == 0 && !self.buffer.is_empty() && matches!(self.state, State::Length(_) | State::Chunked(_)) {
            // An error in it is met again when the body is asked for.
            let _ = self.pass_body(buf);
        }
    }

    /// Hands out what the buffer holds of a body.
    fn pass_body(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
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
            if !this.stand_in.is_empty() {
                let (step, rest) = this.stand_in.split_at(this.stand_in.len().min(buf.remaining()));
                buf.put_slice(step);
                this.stand_in = rest;
                return Poll::Ready(Ok(()));
            }
            if this.passed > 0 {
                this.hand_out(buf);
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Closed => return Poll::Ready(Ok(())),
                State::HalfClosed => {
                    ready!(this.heads.poll_answered(cx));
                    this.state = State::Closed;
                    continue;
                }
                // hyper asks again when the answer is written, and then the connection closes.
                State::Refused => return Poll::Pending,
                State::Head => {
                    ready!(this.poll_head(cx));
                    continue;
                }
                State::Length(_) | State::Chunked(_) | State::Opaque => {}
            }
            if this.buffer.is_empty() {
                // What needs no looking at is read past the buffer.
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
            return Poll::Ready(this.pass_body(buf));
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
    use crate::head::Refusal;

    const BOUNDS: Bounds =
        Bounds { max_head: 200, head_timeout: Duration::from_secs(10), idle_timeout: Duration::from_secs(60) };

    fn guarded() -> (DuplexStream, Guard<DuplexStream>, Arc<Heads>) {
        let (client, server) = duplex(4096);
        let guard = Guard::new(server, BOUNDS, Link::new());
        let heads = guard.heads();
        (client, guard, heads)
    }

    async fn refusal(bytes: &[u8]) -> Refusal {
        let (mut client, mut guard, heads) = guarded();
        client.write_all(bytes).await.unwrap();
        let mut read = vec![0; STAND_IN.len()];
        guard.read_exact(&mut read).await.unwrap();
        assert_eq!(read, STAND_IN);
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
        // The client may have gone, or only have no more to say: the end comes with the last response.
        (0..3).for_each(|_| heads.answered());
        assert_eq!(guard.read(&mut [0]).await.unwrap(), 0);
        for head in [first, second, third] {
            assert_eq!(heads.pop().unwrap().unwrap().wire, head);
        }
        assert!(heads.pop().is_none());
    }

    #[tokio::test]
    async fn faults_become_refusals_with_what_was_sent() {
        let refused = refusal(b"GET / HTTP/1.1\nHost: x\n\n").await;
        assert_eq!((refused.kind, &refused.wire[..]), (RefusalKind::Framing, &b"GET / HTTP/1.1\nHost: x\n\n"[..]));
        assert_eq!(refusal(b"hello\r\n\r\n").await.kind, RefusalKind::Malformed);
        assert_eq!(refusal(&[b'a'; 300]).await.kind, RefusalKind::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_and_silence_is_refused_after_the_head_time_out() {
        let (mut client, mut guard, heads) = guarded();
        client.write_all(b"GET / HT").await.unwrap();
        let start = Instant::now();
        guard.read_exact(&mut vec![0; STAND_IN.len()]).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 10);
        assert_eq!(heads.pop().unwrap().unwrap_err().kind, RefusalKind::Timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_between_requests_ends_the_connection_but_not_while_one_is_unanswered() {
        let (mut client, mut guard, heads) = guarded();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let start = Instant::now();
        let answer = async {
            tokio::time::sleep(Duration::from_secs(200)).await;
            heads.answered();
        };
        let mut read = Vec::new();
        let (end, ()) = tokio::join!(guard.read_to_end(&mut read), answer);
        end.unwrap();
        let elapsed = start.elapsed().as_secs();
        assert!((200 + 1..=200 + 2 * 60).contains(&elapsed), "{elapsed}");
        assert_eq!(read.len(), 27);
    }

    #[tokio::test]
    async fn a_client_that_closes_its_side_is_told_of_once_its_request_is_answered() {
        let (mut client, mut guard, heads) = guarded();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        let mut read = vec![0; 27];
        guard.read_exact(&mut read).await.unwrap();
        let answer = async {
            // Polled after the read, which therefore waits by then.
            tokio::task::yield_now().await;
            assert!(heads.has_half_closed());
            heads.answered();
        };
        let (end, ()) = tokio::join!(guard.read_u8(), answer);
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn an_invalid_chunk_is_an_error_of_the_body() {
        let (mut client, mut guard, _heads) = guarded();
        client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await.unwrap();
        let error = guard.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn the_preface_tells_http_2() {
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
