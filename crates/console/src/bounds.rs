//! How much the console does at once, so that readers who don't read take neither its threads nor the memory.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use nightaudit_exchange::Exchange;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Exports, and queries whose response is a line for each exchange: each holds a thread for as long as it is read.
pub(crate) const EXPORTS: usize = 16;
/// Pages and single exchanges: as above, and mostly done at once.
pub(crate) const PAGES: usize = 32;
/// Streams of events.
pub(crate) const FOLLOWERS: usize = 64;

/// What else needs a thread for a moment.
const READS: usize = 64;

/// How long something waits for what is mostly free in a moment.
const PATIENCE: Duration = Duration::from_secs(2);

/// KiB that large events of all followers may have together while they are sent.
const EVENTS: u32 = 64 << 10;
/// Bytes of bodies up to which an event is not counted.
const SMALL: usize = 32 << 10;

/// The permits for what the console does.
#[derive(Debug)]
pub(crate) struct Bounds {
    exports: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    events: Arc<Semaphore>,
}

/// Held for as long as something goes on.
pub(crate) type Permit = OwnedSemaphorePermit;

impl Default for Bounds {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            exports: semaphore(EXPORTS),
            pages: semaphore(PAGES),
            followers: semaphore(FOLLOWERS),
            reads: semaphore(READS),
            events: semaphore(EVENTS as usize),
        }
    }
}

impl Bounds {
    /// A permit for an export.
    ///
    /// # Errors
    ///
    /// 503 where as many as may be are being read.
    pub(crate) fn export(&self) -> Result<Permit, ApiError> {
        at_once(&self.exports).ok_or_else(|| busy(EXPORTS, "exports"))
    }

    /// A permit for a page or a single exchange, waiting for a moment.
    ///
    /// # Errors
    ///
    /// 503 where as many as may be are being read still.
    pub(crate) async fn page(&self) -> Result<Permit, ApiError> {
        soon(&self.pages).await.ok_or_else(|| busy(PAGES, "pages"))
    }

    /// A permit for a follower.
    ///
    /// # Errors
    ///
    /// 503 where there are as many as may be.
    pub(crate) fn follower(&self) -> Result<Permit, ApiError> {
        at_once(&self.followers).ok_or_else(|| busy(FOLLOWERS, "followers"))
    }

    /// A permit for what needs a thread for a moment.
    ///
    /// # Errors
    ///
    /// 503 where none is free in time.
    pub(crate) async fn read(&self) -> Result<Permit, ApiError> {
        soon(&self.reads).await.ok_or_else(|| busy(READS, "reads"))
    }

    /// The memory for an event, waiting until it is free; none where it is hardly any.
    pub(crate) async fn event(&self, exchange: &Exchange) -> Option<Permit> {
        let bytes: usize = exchange.bodies().map(|body| body.bytes.len()).sum();
        if bytes <= SMALL {
            return None;
        }
        // In JSON a text grows by its escapes and anything else by a third; what was decoded stands there twice.
        let kib = u32::try_from(bytes.saturating_mul(3) >> 10).unwrap_or(u32::MAX).min(EVENTS);
        Arc::clone(&self.events).acquire_many_owned(kib).await.ok()
    }

    /// Whether somebody may have to wait, or was turned away, because of those who are there.
    pub(crate) fn are_reached(&self) -> bool {
        [&self.exports, &self.pages, &self.followers, &self.events].iter().any(|it| it.available_permits() == 0)
    }
}

fn at_once(semaphore: &Arc<Semaphore>) -> Option<Permit> {
    Arc::clone(semaphore).try_acquire_owned().ok()
}

async fn soon(semaphore: &Arc<Semaphore>) -> Option<Permit> {
    tokio::time::timeout(PATIENCE, Arc::clone(semaphore).acquire_owned()).await.ok()?.ok()
}

fn busy(most: usize, what: &str) -> ApiError {
    let message = format!("{most} {what} are under way already, as many as may be: try again when one has ended");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;
    use crate::tests::{ask, console};

    #[tokio::test(flavor = "multi_thread")]
    async fn regression_exports_that_nobody_read_hung_everything_else() {
        let opened = console();
        opened.record();
        let unread: Vec<_> = (0..EXPORTS).map(|_| opened.hold_export().unwrap()).collect();
        for path in ["/api/v1/export?format=csv", "/api/v1/exchanges?format=ndjson"] {
            let (status, body) = ask(&opened, "GET", path, true).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(body.contains("16 exports are under way already"), "{body}");
        }
        let refused = opened.get("/api/v1/export?format=csv", None).await;
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
        for path in ["/api/v1/sessions", "/api/v1/exchanges", "/api/v1/limits", "/metrics", "/api/v1/health"] {
            assert_eq!(ask(&opened, "GET", path, true).await.0, StatusCode::OK, "{path}");
        }
        drop(unread);
        assert_eq!(ask(&opened, "GET", "/api/v1/export?format=csv", true).await.0, StatusCode::OK);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn followers_have_a_bound() {
        let opened = console();
        let mut following = Vec::new();
        for _ in 0..FOLLOWERS {
            following.push(opened.get("/api/v1/follow", None).await);
        }
        assert!(following.iter().all(|response| response.status() == StatusCode::OK));
        let (status, body) = ask(&opened, "GET", "/api/v1/follow", true).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("64 followers"), "{body}");
        assert!(opened.is_crowded());
        assert_eq!(ask(&opened, "GET", "/api/v1/exchanges", true).await.0, StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn large_events_share_their_memory_and_small_ones_need_none() {
        let bounds = Bounds::default();
        let exchange = |bytes: usize| {
            let mut exchange: Exchange = serde_json::from_str(crate::tests::EXCHANGE).unwrap();
            exchange.request.body = nightaudit_exchange::Body::whole(vec![b'x'; bytes].into());
            exchange
        };
        assert!(bounds.event(&exchange(1000)).await.is_none());
        let large = exchange(8 << 20);
        let first = bounds.event(&large).await.unwrap();
        let second = bounds.event(&large).await.unwrap();
        let third = tokio::time::timeout(Duration::from_secs(3600), bounds.event(&large)).await;
        assert!(third.is_err());
        drop(first);
        assert!(bounds.event(&large).await.is_some());
        drop(second);
        // One that is larger than all there is has all of it.
        assert!(bounds.event(&exchange(40 << 20)).await.is_some());
    }
}
