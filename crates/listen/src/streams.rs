//! Runs each HTTP/2 stream as a task that is aborted when its client stalls.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use hyper::rt::Executor;

use crate::link::{ClientProgress, StallTimeout};

/// Spawns the streams of one connection.
///
/// hyper calls the service and then immediately spawns the stream's task, so progress noted in between belongs to that
/// stream. A stream whose flow-control window is closed is not polled again, and its body can't end it: aborting the
/// task resets the stream.
#[derive(Clone)]
pub(crate) struct Streams {
    next: Arc<Mutex<Option<ClientProgress>>>,
    stall_timeout: StallTimeout,
}

impl Streams {
    pub(crate) fn new(stall_timeout: StallTimeout) -> Self {
        Self { next: Arc::default(), stall_timeout }
    }

    /// Notes the progress of the stream that is about to be spawned.
    pub(crate) fn begin(&self, progress: &ClientProgress) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let Some(progress) = self.next.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            tokio::spawn(stream);
            return;
        };
        let stall_timeout = self.stall_timeout.clone();
        tokio::spawn(async move {
            let stalled = async {
                stall_timeout.exhausted(&progress).await;
                // Set before the stream is dropped, since dropping notifies the handler.
                progress.stall();
            };
            tokio::select! {
                biased;
                () = stream => {}
                () = stalled => {}
            }
        });
    }
}
