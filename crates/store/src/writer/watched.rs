//! What is known of the files that are not being written.

use std::collections::BTreeMap;

use nightaudit_exchange::SessionId;

use crate::meta::Meta;

/// The progress of the checks, and their findings.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The last file checked; `None` to start over.
    pub(super) at: Option<SegmentKey>,
    /// Segments known to be gone, with the sequence numbers of their exchanges.
    pub(super) gone: BTreeMap<SegmentKey, Vec<(u64, u64)>>,
    /// Open sessions whose folder is gone.
    pub(super) lost: BTreeMap<SessionId, Meta>,
}

impl Watched {
    /// Forgets what is known of a session.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.gone.retain(|(of, _), _| *of != session);
    }
}

/// A session and the number of one of its segments; 0 is the folder of a session without segments.
pub(super) type SegmentKey = (SessionId, u32);
