//! The comparisons that are kept.

use std::sync::{Arc, Mutex, PoisonError, atomic::AtomicU64};

use nightaudit_compare::Differences;
use nightaudit_exchange::SessionId;
use nightaudit_review::Basis;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;

/// Comparisons that are kept.
const KEPT: usize = 4;

/// Comparisons made at once. Each reads two sessions, one after the other, and takes up to 100 MiB.
const READERS: usize = 1;

/// The comparisons asked for last.
#[derive(Debug)]
pub(crate) struct Comparisons {
    /// The one asked for last is last.
    kept: Mutex<Vec<Arc<Pair>>>,
    pub(super) readers: Arc<Semaphore>,
}

impl Default for Comparisons {
    fn default() -> Self {
        Self { kept: Mutex::default(), readers: Arc::new(Semaphore::new(READERS)) }
    }
}

/// What a comparison depends on: both sessions with their numbers of exchanges, and what is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) sessions: [(SessionId, u64); 2],
    pub(super) ignore: String,
}

/// A comparison, or how far it is.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: Key,
    pub(super) basis: Arc<Basis>,
    pub(super) read: AtomicU64,
    pub(super) result: watch::Sender<Option<Result<Arc<Differences>, ApiError>>>,
    pub(super) stop: CancellationToken,
}

impl Comparisons {
    /// The comparison of this key, begun if it isn't there. The second is whether it is new.
    pub(super) fn of(&self, key: Key, basis: &Arc<Basis>) -> (Arc<Pair>, bool) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // One that failed is tried again.
        kept.retain(|own| !matches!(&*own.result.borrow(), Some(Err(_))));
        if let Some(index) = kept.iter().position(|own| own.key == key && Arc::ptr_eq(&own.basis, basis)) {
            let own = kept.remove(index);
            kept.push(Arc::clone(&own));
            return (own, false);
        }
        if kept.len() >= KEPT {
            kept.remove(0).stop.cancel();
        }
        let own = Arc::new(Pair {
            key,
            basis: Arc::clone(basis),
            read: AtomicU64::new(0),
            result: watch::Sender::new(None),
            stop: CancellationToken::new(),
        });
        kept.push(Arc::clone(&own));
        (own, true)
    }
}
