//! The index's own thread.

use std::{
    sync::{atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use super::Broken;
use crate::shared::Shared;

/// How often what the index has stored is made safe.
const FLUSH: Duration = Duration::from_secs(1);

/// Stores what the index has in memory, until the writer is gone.
pub(crate) fn keep(shared: &Shared, jobs: &mpsc::Receiver<()>) {
    let mut flushed = Instant::now();
    let failed =
        |error: Broken| tracing::error!(%error, "the index can't be stored; it is made again at the next start");
    let mut broken = false;
    while jobs.recv().is_ok() {
        while jobs.try_recv().is_ok() {}
        if broken {
            continue;
        }
        let stored = shared.index.store(false).and_then(|()| {
            if flushed.elapsed() < FLUSH {
                return Ok(());
            }
            flushed = Instant::now();
            shared.index.flush()
        });
        if let Err(error) = stored {
            broken = true;
            failed(error);
        }
    }
    if !broken && let Err(error) = shared.index.store(true).and_then(|()| shared.index.flush()) {
        failed(error);
    }
    // What could not be written stays in the journal, and shows as interrupted.
    if let (Some(journal), 0) = (shared.journal.get(), shared.lost.load(Ordering::Relaxed)) {
        let _ = journal.clear();
    }
}
