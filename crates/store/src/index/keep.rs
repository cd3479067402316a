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
    let (mut broken, mut noted) = (false, None);
    while jobs.recv().is_ok() {
        while jobs.try_recv().is_ok() {}
        if shared.unnoted.load(Ordering::Relaxed) {
            note(shared, &mut noted);
        }
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

/// Has the ledger know how far the sessions have come, at most once in [`FLUSH`]: what is recorded in between is not missed
/// if the process is killed and the segments are cut before the next start.
fn note(shared: &Shared, noted: &mut Option<Instant>) {
    if let Some(left) = noted.and_then(|noted| FLUSH.checked_sub(noted.elapsed())) {
        shared.wait_for_close(left);
    }
    // Before the sessions are looked at: what is recorded from now on says so anew.
    shared.unnoted.store(false, Ordering::Relaxed);
    if let Err(error) = shared.note(shared.notes(), false) {
        // The next batch has it tried again.
        tracing::debug!(%error, "the ledger can't be written");
    }
    *noted = Some(Instant::now());
}
