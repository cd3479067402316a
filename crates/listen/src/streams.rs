//! HTTP/2's streams as tasks of their own, each ended when its client doesn't take the response.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use hyper::rt::Executor;

use crate::link::{ClientProgress, Patience};

/// Spawns the streams of one connection.
///
/// hyper asks for a response and hands over the stream's task directly after, so what is noted in between is the
/// stream's. A stream whose window is closed is never polled again by itself, and its body can't end it: ending the task
/// resets the stream.
#[derive(Clone)]
pub(crate) struct Streams {
    begun: Arc<Mutex<Option<ClientProgress>>>,
    patience: Patience,
}

impl Streams {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { begun: Arc::default(), patience }
    }

    /// Notes how the client takes the response that was just asked for.
    pub(crate) fn begin(&self, progress: &ClientProgress) {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let Some(progress) = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            tokio::spawn(stream);
            return;
        };
        let patience = self.patience.clone();
        tokio::spawn(async move {
            let stalled = async {
                patience.exhausted(&progress).await;
                // Said before the stream is dropped, which tells what answers the request.
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
