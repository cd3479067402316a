//! Streamed response bodies.

use std::io;

use axum::body::{Body, Bytes};
use http_body_util::channel::{Channel, Sender};
use hyper::body::Frame;
use tokio::runtime::Handle;

use crate::{
    Shared,
    bounds::{Permit, Reader},
    error::ApiError,
};

/// Large enough to amortize the channel, small enough for a quick first byte.
const CHUNK: usize = 32 << 10;

/// A body that `write` fills on a blocking thread. If it fails, the response is aborted, so that it can't be taken for
/// complete. The permit is released when `write` returns. Must be called within a tokio runtime.
pub(crate) fn written(
    permit: Permit,
    write: impl FnOnce(&mut (dyn io::Write + Send)) -> io::Result<()> + Send + 'static,
) -> Body {
    started(permit, None, write)
}

/// As [`written`], for a short read of the log, of which few run at once. One that waits for its client lets others read.
pub(crate) async fn read_out(
    shared: &Shared,
    permit: Permit,
    write: impl FnOnce(&mut (dyn io::Write + Send)) -> io::Result<()> + Send + 'static,
) -> Result<Body, ApiError> {
    Ok(started(permit, Some(shared.bounds.reader().await?), write))
}

fn started(
    permit: Permit,
    reader: Option<Reader>,
    write: impl FnOnce(&mut (dyn io::Write + Send)) -> io::Result<()> + Send + 'static,
) -> Body {
    let (sender, body) = Channel::new(2);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut chunks = Chunks { sender, reader, runtime, buffer: Vec::new() };
        let result = write(&mut chunks).and_then(|()| io::Write::flush(&mut chunks));
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                tracing::warn!(%error, "a console response was aborted");
                chunks.sender.abort(error);
            }
        }
    });
    Body::new(body)
}

/// Writes to a response body from a blocking thread, no faster than the client reads.
struct Chunks {
    sender: Sender<Bytes, io::Error>,
    reader: Option<Reader>,
    runtime: Handle,
    buffer: Vec<u8>,
}

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        let Err(frame) = self.sender.try_send(Frame::data(chunk)) else { return Ok(()) };
        let sending = self.sender.send(frame);
        let sent = match &mut self.reader {
            Some(reader) => self.runtime.block_on(reader.pause(sending)),
            None => self.runtime.block_on(sending),
        };
        // The receiver is dropped when the client disconnects.
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn permit() -> Permit {
        crate::bounds::Bounds::default().export().unwrap()
    }

    #[tokio::test]
    async fn everything_written_arrives() {
        let text = "line\n".repeat(50_000);
        let expected = text.clone();
        let body = written(permit(), move |out| out.write_all(text.as_bytes()));
        assert!(body.collect().await.unwrap().to_bytes() == expected.as_bytes());
    }

    #[tokio::test]
    async fn a_permit_is_held_until_the_response_is_read_or_dropped() {
        let free = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
        let held = std::sync::Arc::clone(&free).try_acquire_owned().unwrap();
        // More than the channel buffers.
        let body = written(held, |out| (0..10).try_for_each(|_| out.write_all(&[b'x'; CHUNK])));
        let soon = std::time::Duration::from_millis(100);
        assert!(tokio::time::timeout(soon, free.acquire()).await.is_err());
        drop(body);
        free.acquire().await.unwrap().forget();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn clients_that_read_nothing_leave_others_to_read() {
        let opened = crate::tests::console();
        let shared = opened.shared();
        let more = |out: &mut (dyn io::Write + Send)| (0..10).try_for_each(|_| out.write_all(&[b'x'; CHUNK]));
        // More of them than may read at once.
        let mut unread = Vec::new();
        for _ in 0..8 {
            unread.push(read_out(shared, permit(), more).await.unwrap());
        }
        let body = read_out(shared, permit(), |out| out.write_all(b"read")).await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "read");
        for body in unread {
            assert_eq!(body.collect().await.unwrap().to_bytes().len(), 10 * CHUNK);
        }
    }

    #[tokio::test]
    async fn an_error_aborts_the_response() {
        let body = written(permit(), |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk"))
        });
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_client_disconnect_stops_the_writer() {
        let (told, stopped) = tokio::sync::oneshot::channel();
        let body = written(permit(), move |out| {
            let result = loop {
                if let Err(error) = out.write_all(&[0; 4096]) {
                    break error;
                }
            };
            let _ = told.send(result.kind());
            Err(result)
        });
        drop(body);
        assert_eq!(stopped.await.unwrap(), io::ErrorKind::BrokenPipe);
    }
}
