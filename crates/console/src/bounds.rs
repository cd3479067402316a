//! Concurrency limits, so that slow clients exhaust neither threads nor memory.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use nightaudit_exchange::Exchange;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Exports and NDJSON queries. Each holds a thread until its response is read.
pub(crate) const EXPORTS: usize = 16;
/// Pages and single exchanges. Same, but usually short.
pub(crate) const PAGES: usize = 32;
/// Event streams.
pub(crate) const FOLLOWERS: usize = 64;

/// Requests that wait for a review to change.
pub(crate) const POLLS: usize = 64;

/// Imports. Each changes the log for as long as its file takes.
const IMPORTS: usize = 1;

/// Requests that are sent again. Each waits for its response.
const RESENDS: usize = 16;

/// Other short reads.
const READS: usize = 64;

/// How long to wait for one of the few reads of the log that run at once.
const READER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for a permit that is usually free acquire.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);

/// KiB of large events of all followers that may be in memory at once.
const EVENTS: u32 = 64 << 10;
/// Events with at most this many bytes of bodies are not counted.
const SMALL: usize = 32 << 10;

/// The console's permits.
#[derive(Debug)]
pub(crate) struct Bounds {
    exports: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    polls: Arc<Semaphore>,
    imports: Arc<Semaphore>,
    resends: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    events: Arc<Semaphore>,
}

/// Held for the duration of an activity.
pub(crate) type Permit = OwnedSemaphorePermit;

impl Default for Bounds {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            exports: semaphore(EXPORTS),
            pages: semaphore(PAGES),
            followers: semaphore(FOLLOWERS),
            polls: semaphore(POLLS),
            imports: semaphore(IMPORTS),
            resends: semaphore(RESENDS),
            reads: semaphore(READS),
            readers: semaphore(readers()),
            events: semaphore(EVENTS as usize),
        }
    }
}

impl Bounds {
    /// A permit for an export.
    ///
    /// # Errors
    ///
    /// 503 if none is free.
    pub(crate) fn export(&self) -> Result<Permit, ApiError> {
        try_acquire(&self.exports).ok_or_else(|| busy(EXPORTS, "exports"))
    }

    /// A permit for a page or a single exchange; waits up to [`WAIT_TIMEOUT`].
    ///
    /// # Errors
    ///
    /// 503 if none is free in time.
    pub(crate) async fn page(&self) -> Result<Permit, ApiError> {
        acquire(&self.pages).await.ok_or_else(|| busy(PAGES, "pages"))
    }

    /// A permit for a follower.
    ///
    /// # Errors
    ///
    /// 503 if none is free.
    pub(crate) fn follower(&self) -> Result<Permit, ApiError> {
        try_acquire(&self.followers).ok_or_else(|| busy(FOLLOWERS, "followers"))
    }

    /// A permit to wait for a review to change.
    ///
    /// # Errors
    ///
    /// 503 if none is free.
    pub(crate) fn poll(&self) -> Result<Permit, ApiError> {
        try_acquire(&self.polls).ok_or_else(|| busy(POLLS, "requests that wait for a review"))
    }

    /// A permit for an import.
    ///
    /// # Errors
    ///
    /// 503 if none is free.
    pub(crate) fn import(&self) -> Result<Permit, ApiError> {
        try_acquire(&self.imports).ok_or_else(|| busy(IMPORTS, "imports"))
    }

    /// A permit to send a request again.
    ///
    /// # Errors
    ///
    /// 503 if none is free.
    pub(crate) fn resend(&self) -> Result<Permit, ApiError> {
        try_acquire(&self.resends).ok_or_else(|| busy(RESENDS, "requests that are sent again"))
    }

    /// A permit for another short read; waits up to [`WAIT_TIMEOUT`].
    ///
    /// # Errors
    ///
    /// 503 if none is free in time.
    pub(crate) async fn read(&self) -> Result<Permit, ApiError> {
        acquire(&self.reads).await.ok_or_else(|| busy(READS, "reads"))
    }

    /// A permit to read from the log; waits up to [`READER_TIMEOUT`].
    ///
    /// # Errors
    ///
    /// 503 if none is free in time.
    pub(crate) async fn reader(&self) -> Result<Reader, ApiError> {
        let all = Arc::clone(&self.readers);
        let permit = tokio::time::timeout(READER_TIMEOUT, Arc::clone(&all).acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or_else(|| busy(readers(), "reads of the log"))?;
        Ok(Reader { all, permit: Some(permit) })
    }

    /// Reserves memory for an event, waiting until it is free; `None` for small events.
    pub(crate) async fn event(&self, exchange: &Exchange) -> Option<Permit> {
        let bytes: usize = exchange.bodies().map(|body| body.bytes.len()).sum();
        if bytes <= SMALL {
            return None;
        }
        // JSON escapes and base64 make bodies larger, and a decoded body is there twice.
        let kib = u32::try_from(bytes.saturating_mul(3) >> 10).unwrap_or(u32::MAX).min(EVENTS);
        Arc::clone(&self.events).acquire_many_owned(kib).await.ok()
    }

    #[cfg(test)]
    pub(crate) fn polls_taken(&self) -> usize {
        POLLS - self.polls.available_permits()
    }

    /// Whether any limit is reached, so that others wait or are refused.
    pub(crate) fn any_reached(&self) -> bool {
        [&self.exports, &self.pages, &self.followers, &self.events].iter().any(|it| it.available_permits() == 0)
    }
}

/// How many read from the log at once. More threads would wait for the same cores, and each would keep memory for what it
/// unpacks.
fn readers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4))
}

/// Held while the log is read.
#[derive(Debug)]
pub(crate) struct Reader {
    all: Arc<Semaphore>,
    permit: Option<Permit>,
}

impl Reader {
    /// Lets another one read until `waiting` is done, such as for a slow client.
    pub(crate) async fn pause<T>(&mut self, waiting: impl Future<Output = T>) -> T {
        self.permit = None;
        let done = waiting.await;
        // It is never closed.
        self.permit = Arc::clone(&self.all).acquire_owned().await.ok();
        done
    }
}

fn try_acquire(semaphore: &Arc<Semaphore>) -> Option<Permit> {
    Arc::clone(semaphore).try_acquire_owned().ok()
}

async fn acquire(semaphore: &Arc<Semaphore>) -> Option<Permit> {
    tokio::time::timeout(WAIT_TIMEOUT, Arc::clone(semaphore).acquire_owned()).await.ok()?.ok()
}

fn busy(most: usize, what: &str) -> ApiError {
    let message = format!("too many {what} (at most {most} at once): try again when one has ended");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;
    use crate::tests::{ask, console};

    #[tokio::test(flavor = "multi_thread")]
    async fn regression_unread_exports_blocked_everything_else() {
        let opened = console();
        opened.record();
        let unread: Vec<_> = (0..EXPORTS).map(|_| opened.hold_export().unwrap()).collect();
        for path in ["/api/v1/export?format=csv", "/api/v1/exchanges?format=ndjson"] {
            let (status, body) = ask(&opened, "GET", path, true).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(body.contains("too many exports (at most 16 at once)"), "{body}");
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
    async fn the_number_of_followers_is_limited() {
        let opened = console();
        let mut following = Vec::new();
        for _ in 0..FOLLOWERS {
            following.push(opened.get("/api/v1/follow", None).await);
        }
        assert!(following.iter().all(|response| response.status() == StatusCode::OK));
        let (status, body) = ask(&opened, "GET", "/api/v1/follow", true).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("too many followers (at most 64 at once)"), "{body}");
        assert!(opened.is_crowded());
        assert_eq!(ask(&opened, "GET", "/api/v1/exchanges", true).await.0, StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn large_events_share_a_memory_budget() {
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
        // An event larger than the whole budget takes all of it.
        assert!(bounds.event(&exchange(40 << 20)).await.is_some());
    }
}
