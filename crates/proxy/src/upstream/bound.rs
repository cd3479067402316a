//! Limits concurrent upstream connections.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nightaudit_exchange::{Api, FailureKind};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use super::pool::{Connection, Pool};
use crate::local_response::LocalResponse;

/// How often a waiting request checks for a free connection: HTTP/2 connections don't notify when one is.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The limit on all connections, of all hosts and all siblings of a proxy.
pub(crate) struct ConnectionLimit {
    api: &'static Api,
    free: Arc<Semaphore>,
    max: usize,
    /// The number of waiting requests, in all pools.
    waiting: Arc<AtomicUsize>,
    pools: Mutex<Vec<Weak<Pool>>>,
}

/// What a request that needs a connection gets.
pub(super) enum Granted {
    /// The permit to open one, held until the connection has ended.
    Permit(OwnedSemaphorePermit),
    /// One that has become free meanwhile.
    Connection(Connection),
}

impl ConnectionLimit {
    pub(crate) fn new(max: usize, api: &'static Api) -> Arc<Self> {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            api,
            free: Arc::new(Semaphore::new(max)),
            max,
            waiting: Arc::default(),
            pools: Mutex::default(),
        })
    }

    /// Registers a pool, whose idle connections are closed when others need them.
    pub(super) fn register(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Returns the number of requests that wait for a connection, in all pools.
    pub(super) fn waiting(&self) -> &Arc<AtomicUsize> {
        &self.waiting
    }

    /// Waits, in order, until another connection may be opened or one of `pool` is free. If the limit is reached,
    /// closes the connection that has been idle for longest.
    ///
    /// # Errors
    ///
    /// [`FailureKind::Overloaded`] after `timeout`.
    pub(super) async fn take(&self, pool: &Pool, timeout: Duration) -> Result<Granted, LocalResponse> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(Granted::Permit(permit));
        }
        let _waiting = [Waiting::new(&self.waiting), Waiting::new(pool.waiting())];
        let deadline = Instant::now() + timeout;
        let permit = Arc::clone(&self.free).acquire_owned();
        tokio::pin!(permit);
        loop {
            self.close_idle();
            tokio::select! {
                biased;
                permit = &mut permit => if let Ok(permit) = permit {
                    return Ok(Granted::Permit(permit));
                },
                () = pool.changed() => {}
                () = sleep(POLL_INTERVAL) => {}
            }
            if let Some(connection) = pool.take().await {
                return Ok(Granted::Connection(connection));
            }
            if Instant::now() >= deadline {
                let message = format!(
                    "all {} connections to {} were in use for {timeout:?} (`max_upstream_connections`)",
                    self.max, self.api.name
                );
                return Err(LocalResponse::failed(FailureKind::Overloaded, message));
            }
        }
    }

    fn close_idle(&self) {
        let pools: Vec<_> = {
            let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.iter().filter_map(Weak::upgrade).collect()
        };
        let idle = pools.iter().filter_map(|pool| Some((pool.longest_idle()?, pool)));
        if let Some((_, pool)) = idle.max_by_key(|(idle, _)| *idle) {
            pool.close_idle();
        }
    }
}

/// Counts a request as waiting until dropped.
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
