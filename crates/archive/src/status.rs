//! How shipping goes, for those who watch and for retention.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use nightaudit_exchange::{SessionId, Timestamp};

/// How long what has arrived counts for the lag.
const RECENT: Duration = Duration::from_secs(2);

/// The state of shipping, shared by the shipper and those who watch it.
#[derive(Debug, Clone, Default)]
pub struct ShippingStatus(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    shipped: AtomicU64,
    failures: AtomicU64,
    behind: AtomicU64,
    /// When the oldest exchange that isn't in the archive ended, in microseconds since 1970; 0 if there is none.
    oldest: AtomicI64,
    /// When the last batch arrived, and how long its oldest exchange had waited, in microseconds.
    arrived: AtomicI64,
    waited: AtomicI64,
    failing: Mutex<Option<Arc<str>>>,
    /// How many exchanges of each session are in the archive, or are known to be lost.
    archived: Mutex<HashMap<SessionId, u64>>,
}

/// How shipping goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShippingState {
    /// Exchanges shipped since start.
    pub shipped: u64,
    /// Exchanges of the local log that aren't in the archive.
    pub behind: u64,
    /// How long the oldest of them has waited, or had when it arrived within the last two seconds.
    pub lag: Duration,
    /// Failed attempts since start.
    pub failures: u64,
    /// Why nothing can be shipped, while that is so.
    pub failing: Option<Arc<str>>,
}

impl ShippingStatus {
    /// How shipping goes now.
    #[must_use]
    pub fn state(&self) -> ShippingState {
        let inner = &*self.0;
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let oldest = inner.oldest.load(Ordering::Relaxed);
        let now = Timestamp::from_system(SystemTime::now());
        let waiting = if oldest == 0 { Duration::ZERO } else { now.since(Timestamp::from_micros(oldest)) };
        let arrived = Timestamp::from_micros(inner.arrived.load(Ordering::Relaxed));
        let waited = match now.since(arrived) <= RECENT {
            true => Duration::from_micros(inner.waited.load(Ordering::Relaxed).unsigned_abs()),
            false => Duration::ZERO,
        };
        ShippingState {
            shipped: number(&inner.shipped),
            behind: number(&inner.behind),
            lag: waiting.max(waited),
            failures: number(&inner.failures),
            failing: inner.failing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Whether the archive has this many exchanges of a session, so that the local ones may be deleted.
    #[must_use]
    pub fn has(&self, session: SessionId, exchanges: u64) -> bool {
        let archived = self.0.archived.lock().unwrap_or_else(PoisonError::into_inner);
        archived.get(&session).is_some_and(|archived| *archived >= exchanges)
    }

    pub(crate) fn set_archived(&self, session: SessionId, exchanges: u64) {
        self.0.archived.lock().unwrap_or_else(PoisonError::into_inner).insert(session, exchanges);
    }

    /// Forgets the sessions that are no longer in the local log.
    pub(crate) fn keep(&self, is_there: impl Fn(SessionId) -> bool) {
        self.0.archived.lock().unwrap_or_else(PoisonError::into_inner).retain(|session, _| is_there(*session));
    }

    /// Notes that a batch has arrived whose oldest exchange ended then.
    pub(crate) fn set_arrived(&self, oldest: Timestamp, now: Timestamp) {
        let waited = i64::try_from(now.since(oldest).as_micros()).unwrap_or(i64::MAX);
        self.0.waited.store(waited, Ordering::Relaxed);
        self.0.arrived.store(now.micros(), Ordering::Relaxed);
        self.set_oldest(None);
    }

    pub(crate) fn count_shipped(&self, exchanges: u64) {
        self.0.shipped.fetch_add(exchanges, Ordering::Relaxed);
    }

    /// Sets since when something waits; `None` if nothing does.
    pub(crate) fn set_oldest(&self, since: Option<Timestamp>) {
        self.0.oldest.store(since.map_or(0, |since| since.micros().max(1)), Ordering::Relaxed);
    }

    /// Takes the numbers of the local log's exchanges by session.
    pub(crate) fn set_local(&self, sessions: impl Iterator<Item = (SessionId, u64)>, now: Timestamp) {
        let archived = self.0.archived.lock().unwrap_or_else(PoisonError::into_inner);
        let behind =
            sessions.map(|(session, local)| local.saturating_sub(archived.get(&session).copied().unwrap_or(0))).sum();
        drop(archived);
        self.0.behind.store(behind, Ordering::Relaxed);
        match behind {
            0 => self.set_oldest(None),
            _ => drop(self.0.oldest.compare_exchange(0, now.micros(), Ordering::Relaxed, Ordering::Relaxed)),
        }
    }

    /// Sets why nothing can be shipped; whether that is news.
    pub(crate) fn set_failing(&self, cause: Option<&str>) -> bool {
        if cause.is_some() {
            self.0.failures.fetch_add(1, Ordering::Relaxed);
        }
        let mut failing = self.0.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = failing.as_deref() != cause;
        *failing = cause.map(Arc::from);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_may_be_deleted_once_all_of_it_is_in_the_archive() {
        let status = ShippingStatus::default();
        let session = SessionId::from_parts(1, 1);
        assert!(!status.has(session, 0), "nobody has asked the archive yet");
        status.set_archived(session, 3);
        assert!(status.has(session, 3) && !status.has(session, 4));
        status.set_local([(session, 5)].into_iter(), Timestamp::from_micros(1));
        assert_eq!(status.state().behind, 2);
        assert!(status.state().lag > Duration::ZERO);
        status.set_archived(session, 5);
        status.set_local([(session, 5)].into_iter(), Timestamp::from_micros(1));
        assert_eq!((status.state().behind, status.state().lag), (0, Duration::ZERO));
        status.keep(|_| false);
        assert!(!status.has(session, 3));
    }

    #[test]
    fn what_arrived_just_now_tells_the_lag() {
        let status = ShippingStatus::default();
        let now = Timestamp::from_system(SystemTime::now());
        status.set_arrived(now.minus(Duration::from_secs(7)), now.plus(Duration::from_secs(3600)));
        assert_eq!(status.state().lag, Duration::from_secs(3607));
        status.set_arrived(now.minus(Duration::from_secs(70)), now.minus(Duration::from_secs(60)));
        assert_eq!(status.state().lag, Duration::ZERO);
    }

    #[test]
    fn a_failure_is_news_once() {
        let status = ShippingStatus::default();
        assert!(status.set_failing(Some("down")) && !status.set_failing(Some("down")));
        assert!(status.set_failing(None) && !status.set_failing(None));
        assert_eq!(status.state().failures, 2);
    }
}
