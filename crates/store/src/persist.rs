//! The index thread.

use std::{
    sync::{atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use crate::{index::IndexError, shared::Shared};

/// How often the stored index is flushed.
const FLUSH: Duration = Duration::from_secs(1);

/// Stores what the index has in memory, until the writer is gone.
pub(crate) fn persist(shared: &Shared, jobs: &mpsc::Receiver<()>) {
    let mut flushed = Instant::now();
    let failed =
        |error: IndexError| tracing::error!(%error, "the index can't be stored; it is rebuilt at the next start");
    let (mut broken, mut noted) = (false, None);
    while let Some(is_news) = wait(jobs, shared.ledger_stale.load(Ordering::Relaxed).then(|| left(noted))) {
        while jobs.try_recv().is_ok() {}
        if shared.ledger_stale.load(Ordering::Relaxed) && left(noted).is_zero() {
            noted = Some(Instant::now());
            note(shared);
        }
        if !is_news || broken {
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
    if let Some(journal) = shared.journal.get() {
        let _ = journal.clear();
    }
}

/// Waits for news or a timeout (false); `None` when the writer is gone.
fn wait(jobs: &mpsc::Receiver<()>, longest: Option<Duration>) -> Option<bool> {
    match longest.map(|longest| jobs.recv_timeout(longest)) {
        None => jobs.recv().ok().map(|()| true),
        Some(Ok(())) => Some(true),
        Some(Err(mpsc::RecvTimeoutError::Timeout)) => Some(false),
        Some(Err(mpsc::RecvTimeoutError::Disconnected)) => None,
    }
}

/// The time until the ledger is due again.
fn left(noted: Option<Instant>) -> Duration {
    noted.map_or(Duration::ZERO, |noted| FLUSH.saturating_sub(noted.elapsed()))
}

/// Writes the ledger, at most once per [`FLUSH`]: losses of what is recorded in between go unnoticed if the process is
/// killed and the segments are truncated before the next start.
fn note(shared: &Shared) {
    // Before reading the sessions: later exchanges set it again.
    shared.ledger_stale.store(false, Ordering::Relaxed);
    if let Err(error) = shared.note(shared.notes(), false) {
        // The next batch triggers a retry.
        tracing::debug!(%error, "the ledger can't be written");
    }
}
