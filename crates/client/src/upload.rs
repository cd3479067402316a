//! The body of a request that is a file, sent as it is read.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

/// The size of a chunk.
const CHUNK: usize = 64 << 10;
/// How many chunks are read ahead.
const AHEAD: usize = 4;

/// A file on its way. A thread reads it, because reading may block for as long as whoever writes into a pipe pauses.
#[derive(Debug)]
pub(crate) struct Upload {
    chunks: mpsc::Receiver<Bytes>,
    state: Arc<State>,
}

/// How far an upload is.
#[derive(Debug, Default)]
pub(crate) struct State {
    sent: AtomicU64,
    failure: Mutex<Option<io::Error>>,
}

impl State {
    /// The bytes that the connection has taken.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Why the file could not be read to its end.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Upload {
    /// Begins to read a file.
    pub(crate) fn start(file: impl io::Read + Send + 'static) -> (Self, Arc<State>) {
        let (sender, chunks) = mpsc::channel(AHEAD);
        let state = Arc::new(State::default());
        let reading = Arc::clone(&state);
        std::thread::spawn(move || {
            if let Err(error) = send(file, &sender) {
                *reading.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        (Self { chunks, state: Arc::clone(&state) }, state)
    }
}

/// Sends a file in chunks, to its end or until nothing is wanted any more.
fn send(mut file: impl io::Read, sender: &mpsc::Sender<Bytes>) -> io::Result<()> {
    loop {
        let mut chunk = vec![0; CHUNK];
        let count = loop {
            match file.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        chunk.truncate(count);
        if count == 0 || sender.blocking_send(chunk.into()).is_err() {
            return Ok(());
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let chunk = std::task::ready!(self.chunks.poll_recv(context));
        match chunk {
            Some(chunk) => {
                self.state.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            // A body that ends early must not pass for a whole one.
            None if self.state.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() => {
                Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())))
            }
            None => Poll::Ready(None),
        }
    }
}
