//! Answers that are written while they are sent.

use std::io;

use axum::body::{Body, Bytes};
use http_body_util::channel::{Channel, Sender};
use tokio::runtime::Handle;

use crate::bounds::Permit;

/// Large enough that the channel costs nothing, small enough that a reader sees something soon.
const CHUNK: usize = 32 << 10;

/// A body that `write` writes on a thread of its own; if it fails, the answer breaks off, so that nobody takes it for
/// whole. The permit is given back when that has ended. Must be called within a tokio runtime.
pub(crate) fn written(
    permit: Permit,
    write: impl FnOnce(&mut (dyn io::Write + Send)) -> io::Result<()> + Send + 'static,
) -> Body {
    let (sender, body) = Channel::new(2);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut chunks = Chunks { sender, runtime, buffer: Vec::new() };
        let result = write(&mut chunks).and_then(|()| io::Write::flush(&mut chunks));
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                tracing::warn!(%error, "an answer of the console broke off");
                chunks.sender.abort(error);
            }
        }
    });
    Body::new(body)
}

/// Writes into an answer's body from a thread that may block, no faster than the client reads.
struct Chunks {
    sender: Sender<Bytes, io::Error>,
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
        // The receiving end goes away with the client's connection.
        self.runtime.block_on(self.sender.send_data(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
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
    async fn what_is_written_arrives_whole() {
        let text = "line\n".repeat(50_000);
        let expected = text.clone();
        let body = written(permit(), move |out| out.write_all(text.as_bytes()));
        assert!(body.collect().await.unwrap().to_bytes() == expected.as_bytes());
    }

    #[tokio::test]
    async fn a_permit_is_held_until_the_answer_is_read_or_given_up() {
        let free = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
        let held = std::sync::Arc::clone(&free).try_acquire_owned().unwrap();
        // More than waits to be read.
        let body = written(held, |out| (0..10).try_for_each(|_| out.write_all(&[b'x'; CHUNK])));
        let soon = std::time::Duration::from_millis(100);
        assert!(tokio::time::timeout(soon, free.acquire()).await.is_err());
        drop(body);
        free.acquire().await.unwrap().forget();
    }

    #[tokio::test]
    async fn a_failure_breaks_the_answer_off() {
        let body = written(permit(), |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk"))
        });
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_client_that_leaves_stops_the_writing() {
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
