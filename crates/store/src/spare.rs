//! Captures whose memory is used again.

use std::sync::{Mutex, PoisonError};

use nightaudit_exchange::Capture;

/// Maximum number of captures kept: half a MiB to a MiB.
const MAX: usize = 128;

/// Captures without content, for their memory, which includes the boxes. Shared by one runtime, which takes them, and the
/// encoder, which returns each as soon as it is encoded: the fewer are under way, the more of them are in the processor's
/// caches.
#[derive(Default)]
pub(crate) struct SpareCaptures(#[expect(clippy::vec_box)] Mutex<Vec<Box<Capture>>>);

impl std::fmt::Debug for SpareCaptures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpareCaptures").finish_non_exhaustive()
    }
}

impl SpareCaptures {
    /// Returns the capture that was put here last.
    pub(crate) fn take(&self) -> Option<Box<Capture>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Drops what was captured, and keeps its memory, unless there is enough of it.
    pub(crate) fn put(&self, mut capture: Box<Capture>) {
        capture.clear();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX {
            kept.push(capture);
        }
    }
}
