//! Follows an archive.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use nightaudit_exchange::{Exchange, Filter};
use nightaudit_log::{FollowFrom, Followed, ReadLog};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// Exchanges read ahead.
const AHEAD: usize = 64;
/// How often to look whether to stop.
const LOOK: Duration = Duration::from_millis(200);

/// What arrives in an archive, on a thread that may block.
pub(crate) struct Arriving {
    events: Receiver<Followed>,
    stop: CancellationToken,
}

impl Arriving {
    /// Follows a log from there on.
    pub(crate) fn start(
        log: Box<dyn ReadLog>,
        filter: Filter,
        from: FollowFrom,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let mut follower = log.follow(filter, from)?;
        let (sender, events) = mpsc::sync_channel(AHEAD);
        let failed = |error| crate::error::ConsoleError::Runtime(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let stopped = stop.clone();
        let follow = move || {
            runtime.block_on(async {
                loop {
                    let followed = tokio::select! {
                        followed = follower.next() => followed,
                        () = stopped.cancelled() => None,
                    };
                    let Some(followed) = followed else { return };
                    if sender.send(followed).is_err() {
                        return;
                    }
                }
            });
            // It is read through this log.
            drop(log);
        };
        thread::Builder::new().name("follow".to_owned()).spawn(follow).map_err(failed)?;
        Ok(Self { events, stop })
    }

    /// The next event; `None` once stopped.
    pub(crate) fn next(&self) -> Option<Followed> {
        loop {
            match self.events.recv_timeout(LOOK) {
                Ok(followed) => return Some(followed),
                Err(RecvTimeoutError::Timeout) if !self.stop.is_cancelled() => {}
                Err(_) => return None,
            }
        }
    }
}

/// A shared exchange of one's own.
pub(crate) fn own(exchange: std::sync::Arc<Exchange>) -> Exchange {
    std::sync::Arc::unwrap_or_clone(exchange)
}
