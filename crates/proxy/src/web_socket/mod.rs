//! Records the messages of a WebSocket as they pass.
//!
//! Recording never delays or changes the data: it only inspects bytes between the read and the write. Memory is bounded
//! per connection; messages beyond that are counted.

mod frames;
mod inflate;
mod reader;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header::SEC_WEBSOCKET_EXTENSIONS};
use nightaudit_exchange::{CapturedMessage, Direction, Omitted, Timestamp};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use self::{inflate::Extensions, reader::Reader};

/// Bytes kept of a message.
const MAX_MESSAGE_BYTES: usize = 256 << 10;
/// A part is complete at this many messages or bytes, or this long after its first message.
const PART_MESSAGES: usize = 256;
const PART_BYTES: usize = 1 << 20;
const PART_AGE: Duration = Duration::from_secs(1);
/// While the recorder is not ready, a part may grow to this multiple of its size.
const MAX_PARTS_BUFFERED: usize = 4;
/// Limits per connection.
const MAX_MESSAGES: u64 = 100_000;
const MAX_BYTES: u64 = 256 << 20;

/// The messages of one WebSocket.
pub(crate) struct Transcript {
    inner: Mutex<Inner>,
    changed: Notify,
}

struct Inner {
    send: Reader,
    receive: Reader,
    part: Part,
    messages_left: u64,
    bytes_left: u64,
}

/// Messages not recorded yet.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) messages: Vec<CapturedMessage>,
    pub(crate) omitted: Omitted,
    pub(crate) unreadable_bytes: u64,
    bytes: usize,
}

impl Part {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.omitted.is_none() && self.unreadable_bytes == 0
    }

    fn is_full(&self) -> bool {
        self.messages.len() >= PART_MESSAGES || self.bytes >= PART_BYTES
    }
}

impl Transcript {
    /// Creates the transcript of a connection with these handshake response headers; keeps at most `keep` bytes of a
    /// message.
    pub(crate) fn new(response: &HeaderMap, keep: usize) -> Arc<Self> {
        let extensions =
            Extensions::parse(response.get(SEC_WEBSOCKET_EXTENSIONS).and_then(|header| header.to_str().ok()));
        let reader = |direction| Reader::new(direction, keep.min(MAX_MESSAGE_BYTES), &extensions);
        let inner = Inner {
            send: reader(Direction::Send),
            receive: reader(Direction::Receive),
            part: Part::default(),
            messages_left: MAX_MESSAGES,
            bytes_left: MAX_BYTES,
        };
        Arc::new(Self { inner: Mutex::new(inner), changed: Notify::new() })
    }

    /// Waits until a part is due to be recorded.
    pub(crate) async fn due(&self) {
        let filled = |enough: fn(&Part) -> bool| async move {
            while !enough(&self.inner().part) {
                self.changed.notified().await;
            }
        };
        filled(|part| !part.is_empty()).await;
        let _ = tokio::time::timeout(PART_AGE, filled(Part::is_full)).await;
    }

    /// Takes what is not recorded yet.
    pub(crate) fn take(&self) -> Part {
        std::mem::take(&mut self.inner().part)
    }

    /// Like [`take`](Self::take), including incomplete messages.
    pub(crate) fn take_rest(&self) -> Part {
        let mut inner = self.inner();
        let now = now();
        for rest in [inner.send.take_incomplete(now), inner.receive.take_incomplete(now)].into_iter().flatten() {
            inner.keep(rest);
        }
        std::mem::take(&mut inner.part)
    }

    fn read(&self, direction: Direction, bytes: &[u8]) {
        let mut inner = self.inner();
        let (was_empty, was_full) = (inner.part.is_empty(), inner.part.is_full());
        inner.read(direction, bytes);
        if inner.part.is_empty() != was_empty || inner.part.is_full() != was_full {
            drop(inner);
            self.changed.notify_one();
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn read(&mut self, direction: Direction, bytes: &[u8]) {
        let mut complete = Vec::new();
        let reader = if direction == Direction::Send { &mut self.send } else { &mut self.receive };
        self.part.unreadable_bytes += reader.read(bytes, now(), |message| complete.push(message));
        complete.into_iter().for_each(|message| self.keep(message));
    }

    fn keep(&mut self, message: CapturedMessage) {
        let kept: usize = message.body.kept.iter().map(bytes::Bytes::len).sum();
        let part = &mut self.part;
        let has_room = part.messages.len() < MAX_PARTS_BUFFERED * PART_MESSAGES
            && part.bytes + kept <= MAX_PARTS_BUFFERED * PART_BYTES;
        if has_room && self.messages_left > 0 && self.bytes_left >= kept as u64 {
            self.messages_left -= 1;
            self.bytes_left -= kept as u64;
            part.bytes += kept;
            part.messages.push(message);
        } else {
            part.omitted.messages += 1;
            part.omitted.bytes += message.body.length;
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// A connection whose reads are recorded.
pub(crate) struct Tap<S> {
    inner: S,
    direction: Direction,
    transcript: Arc<Transcript>,
}

impl<S> Tap<S> {
    pub(crate) fn new(inner: S, direction: Direction, transcript: &Arc<Transcript>) -> Self {
        Self { inner, direction, transcript: Arc::clone(transcript) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        this.transcript.read(this.direction, &buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Arc<Transcript> {
        Transcript::new(&HeaderMap::new(), 1 << 20)
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_due_a_second_after_its_first_message_or_when_it_is_full() {
        let transcript = transcript();
        let start = tokio::time::Instant::now();
        transcript.read(Direction::Receive, b"\x81\x01a");
        transcript.due().await;
        assert_eq!(start.elapsed(), PART_AGE);
        assert_eq!(transcript.take().messages.len(), 1);
        transcript.read(Direction::Receive, &b"\x81\x01a".repeat(PART_MESSAGES));
        transcript.due().await;
        assert_eq!((start.elapsed(), transcript.take().messages.len()), (PART_AGE, PART_MESSAGES));
    }

    #[test]
    fn messages_beyond_the_buffer_are_counted_and_not_kept() {
        let transcript = transcript();
        transcript.read(Direction::Send, &b"\x81\x01a".repeat(10_000));
        let part = transcript.take();
        assert_eq!(part.messages.len(), MAX_PARTS_BUFFERED * PART_MESSAGES);
        let omitted = 10_000 - part.messages.len() as u64;
        assert_eq!(part.omitted, Omitted { messages: omitted, bytes: omitted });
        // The same with large messages.
        let long = [&b"\x82\x7f\0\0\0\0\0\x20\0\0"[..], &vec![0; 2 << 20]].concat();
        (0..40).for_each(|_| transcript.read(Direction::Receive, &long));
        let part = transcript.take();
        assert_eq!(
            (part.messages.len(), part.bytes),
            (MAX_PARTS_BUFFERED * PART_BYTES / MAX_MESSAGE_BYTES, MAX_PARTS_BUFFERED * PART_BYTES)
        );
    }

    #[test]
    fn the_recording_of_one_connection_is_bounded() {
        let transcript = transcript();
        let mut kept = 0;
        for _ in 0..=MAX_MESSAGES / 100 {
            transcript.read(Direction::Send, &b"\x81\x01a".repeat(100));
            kept += transcript.take().messages.len() as u64;
        }
        assert_eq!(kept, MAX_MESSAGES);
    }

    #[test]
    fn garbage_is_counted_and_the_other_direction_continues() {
        let transcript = transcript();
        transcript.read(Direction::Send, b"HTTP is no WebSocket");
        transcript.read(Direction::Send, b"at all");
        transcript.read(Direction::Receive, b"\x81\x02ok\x81\x05cu");
        let part = transcript.take_rest();
        assert!(part.unreadable_bytes > 20, "{}", part.unreadable_bytes);
        assert_eq!(part.messages.iter().map(|message| message.complete).collect::<Vec<_>>(), [true, false]);
    }
}
