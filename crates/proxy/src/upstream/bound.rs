//! How many connections to the upstream may be open at once.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nightaudit_exchange::FailureKind;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use super::pool::{Connection, Pool};
use crate::local_response::LocalResponse;

/// How often a request that waits looks for a connection that has become free: one of HTTP/2 tells nobody.
const AGAIN: Duration = Duration::from_millis(100);

/// The bound over all connections, of all hosts and all siblings of a proxy.
pub(crate) struct ConnectionBound {
    free: Arc<Semaphore>,
    most: usize,
    /// How many requests wait, in all pools.
    waiting: AtomicUsize,
    pools: Mutex<Vec<Weak<Pool>>>,
}

/// What a request gets that needs a connection.
pub(super) enum Granted {
    /// It may open one. The permit belongs to the connection and is given back when that has ended.
    Permit(OwnedSemaphorePermit),
    /// One that has become free meanwhile.
    Connection(Connection),
}

impl ConnectionBound {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(most)),
            most,
            waiting: AtomicUsize::new(0),
            pools: Mutex::default(),
        })
    }

    /// Unused connections of this pool are closed where others need them.
    pub(super) fn watch(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Whether anybody waits for a connection.
    pub(super) fn is_contended(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits, in the order of asking, until one more connection may be opened, or one of `pool` is free. Where all are in
    /// use and some carry nothing, the one that has been unused for longest is closed.
    ///
    /// # Errors
    ///
    /// [`FailureKind::Overloaded`] after `patience`.
    pub(super) async fn take(&self, pool: &Pool, patience: Duration) -> Result<Granted, LocalResponse> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(Granted::Permit(permit));
        }
        let _waiting = [Waiting::new(&self.waiting), Waiting::new(pool.waiting())];
        let deadline = Instant::now() + patience;
        let permit = Arc::clone(&self.free).acquire_owned();
        tokio::pin!(permit);
        loop {
            self.close_unused();
            tokio::select! {
                biased;
                permit = &mut permit => if let Ok(permit) = permit {
                    return Ok(Granted::Permit(permit));
                },
                () = pool.changed() => {}
                () = sleep(AGAIN) => {}
            }
            if let Some(connection) = pool.take().await {
                return Ok(Granted::Connection(connection));
            }
            if Instant::now() >= deadline {
                let message = format!(
                    "all {} connections to Mews were in use for {patience:?} (`max_upstream_connections`)",
                    self.most
                );
                return Err(LocalResponse::failed(FailureKind::Overloaded, message));
            }
        }
    }

    fn close_unused(&self) {
        let pools: Vec<_> = {
            let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.iter().filter_map(Weak::upgrade).collect()
        };
        let unused = pools.iter().filter_map(|pool| Some((pool.longest_unused()?, pool)));
        if let Some((_, pool)) = unused.max_by_key(|(unused, _)| *unused) {
            pool.close_unused();
        }
    }
}

/// Counts a request as waiting.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
