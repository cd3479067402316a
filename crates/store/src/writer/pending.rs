//! What is packed and not yet written.

use nightaudit_exchange::Digest;

use crate::records::Records;

/// Packed blocks of a session, not yet written.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) bytes: Vec<u8>,
    /// The records, and the offset of their block in `bytes`.
    pub(super) blocks: Vec<(Records, u64)>,
    /// The hash and sequence number of the last exchange.
    pub(super) reached: Option<(Digest, u64)>,
    pub(super) exchanges: usize,
}

impl Pending {
    /// The hash and sequence number of the last exchange; `None` if nothing was packed.
    pub(super) fn reached(&self) -> Option<(Digest, u64)> {
        self.reached
    }
}
