//! The limit on memory for bodies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nightaudit_exchange::FailureKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::local_response::LocalResponse;

/// Bytes of each body that are not counted, so that small bodies need no accounting and never wait.
pub(crate) const FREE: usize = 16 << 10;

/// Smallest budget of a proxy, so that a single request with its tokens at the end of the body can always be forwarded.
pub(crate) const MIN_BUDGET: usize = 8 << 20;

/// The longest that a read waits for memory that only the record needs. Then the record is truncated, since the holders
/// of the memory may be waiting for each other, or for clients that don't read.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Memory for all bodies together, beyond the first 16 KiB of each: those to be recorded, and those that can't be
/// forwarded yet. A body that is both counts once.
///
/// Memory is granted in the order of requests.
#[derive(Debug)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    all: usize,
    /// Whether a wait timed out and no memory has been released since. Then no read waits for the record's sake: the
    /// clients that hold the memory would stall all others.
    stuck: AtomicBool,
    /// The budget that this one is a part of.
    parent: Option<Arc<Budget>>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let all = bytes.min(Semaphore::MAX_PERMITS);
        Arc::new(Self { free: Arc::new(Semaphore::new(all)), all, stuck: AtomicBool::new(false), parent: None })
    }

    /// Returns the half for requests. The other half is reserved for responses, so that exchanges that hold memory for
    /// their request can't deadlock on their responses.
    pub(crate) fn half(self: &Arc<Self>) -> Arc<Self> {
        let all = self.all / 2;
        let (free, parent) = (Arc::new(Semaphore::new(all)), Some(Arc::clone(self)));
        Arc::new(Self { free, all, stuck: AtomicBool::new(false), parent })
    }

    /// Returns an empty reservation.
    pub(crate) fn empty(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), permit: None, parent: None }
    }

    /// Reserves memory for so many bytes, if available. `None` also if the budget is smaller than that.
    pub(crate) fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        let parent = match &self.parent {
            Some(parent) => Some(Box::new(parent.try_reserve(bytes)?)),
            None => None,
        };
        Some(Reservation { budget: Arc::clone(self), permit: Some(permit), parent })
    }

    /// Waits for memory for so many bytes; `None` on timeout.
    pub(crate) async fn reserve(self: Arc<Self>, bytes: usize, patience: Duration) -> Option<Reservation> {
        if bytes > self.all {
            return None;
        }
        let bytes = u32::try_from(bytes).ok()?;
        let waiting = async {
            let permit = Some(Arc::clone(&self.free).acquire_many_owned(bytes).await.ok()?);
            let parent = match &self.parent {
                Some(parent) => {
                    let permit = Some(Arc::clone(&parent.free).acquire_many_owned(bytes).await.ok()?);
                    Some(Box::new(Reservation { budget: Arc::clone(parent), permit, parent: None }))
                }
                None => None,
            };
            Some(Reservation { budget: Arc::clone(&self), permit, parent })
        };
        let granted = tokio::time::timeout(patience, waiting).await;
        if granted.is_err() {
            self.stuck.store(true, Ordering::Relaxed);
        }
        granted.ok().flatten()
    }

    /// Returns whether waiting is futile: see [`PATIENCE`].
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed) || self.parent.as_ref().is_some_and(|parent| parent.is_stuck())
    }

    /// The local response for a request that must be buffered when no memory was available in time.
    pub(crate) fn exhausted() -> LocalResponse {
        let message = "out of memory for request bodies: too many large requests have no token near the start of their \
                       body (`body.keep_total`)";
        LocalResponse::failed(FailureKind::Overloaded, message)
    }

    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.free.available_permits()
    }
}

/// A reservation from the [`Budget`], released when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    permit: Option<OwnedSemaphorePermit>,
    /// The corresponding reservation from the parent budget.
    parent: Option<Box<Self>>,
}

impl Reservation {
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(crate) fn bytes(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Reserves so many bytes more, if available.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        self.budget.try_reserve(bytes).map(|more| self.merge(more)).is_some()
    }

    /// Merges another reservation into this one.
    pub(crate) fn merge(&mut self, mut more: Self) {
        match (&mut self.permit, more.permit.take()) {
            (Some(permit), Some(more)) => permit.merge(more),
            (permit @ None, more) => *permit = more,
            (Some(_), None) => {}
        }
        match (&mut self.parent, more.parent.take()) {
            (Some(parent), Some(more)) => parent.merge(*more),
            (parent @ None, more) => *parent = more,
            (Some(_), None) => {}
        }
    }

    /// Splits off all but `bytes`.
    pub(crate) fn split_beyond(&mut self, bytes: usize) -> Self {
        let beyond = self.bytes().saturating_sub(bytes);
        let permit = self.permit.as_mut().and_then(|permit| permit.split(beyond));
        let parent = self.parent.as_mut().map(|parent| Box::new(parent.split_beyond(bytes)));
        Self { budget: Arc::clone(&self.budget), permit, parent }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take().filter(|permit| permit.num_permits() > 0) else { return };
        drop(permit);
        // Waiting is worthwhile again only once a good part is free.
        if self.budget.is_stuck() && self.budget.free.available_permits() >= self.budget.all / 8 {
            self.budget.stuck.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn buffered_bodies_are_bounded_and_wait_for_memory() {
        let budget = Budget::new(4 << 20);
        let held: Vec<_> = (0..4).map(|_| budget.try_reserve(1 << 20).unwrap()).collect();
        assert!(budget.try_reserve(1).is_none());
        assert!(Arc::clone(&budget).reserve(1 << 20, Duration::from_secs(30)).await.is_none());
        drop(held);
        assert!(Arc::clone(&budget).reserve(1 << 20, Duration::from_secs(30)).await.is_some());
        // No wait for what can never fit.
        let start = Instant::now();
        assert!(Arc::clone(&budget).reserve(5 << 20, Duration::from_secs(30)).await.is_none());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_timeout_the_budget_is_stuck_until_memory_is_released() {
        let budget = Budget::new(8 << 20);
        let mut held = budget.try_reserve(8 << 20).unwrap();
        assert!(Arc::clone(&budget).reserve(1, PATIENCE).await.is_none());
        assert!(budget.is_stuck());
        drop(held.split_beyond((7 << 20) + 1));
        assert!(budget.is_stuck());
        drop(held.split_beyond(7 << 20));
        assert!(!budget.is_stuck());
        assert_eq!((held.bytes(), budget.left()), (7 << 20, 1 << 20));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_leave_half_of_the_memory_for_responses() {
        let budget = Budget::new(8 << 20);
        let requests = budget.half();
        let mut held = requests.try_reserve(3 << 20).unwrap();
        assert!(requests.try_reserve(2 << 20).is_none() && held.grow(1 << 20) && !held.grow(1));
        assert_eq!((requests.left(), budget.left()), (0, 4 << 20));
        let response = budget.try_reserve(4 << 20).unwrap();
        drop(held.split_beyond(1 << 20));
        assert_eq!((requests.left(), budget.left()), (3 << 20, 3 << 20));
        // Nothing stays reserved from the half if the whole is exhausted.
        let other = budget.try_reserve(3 << 20).unwrap();
        assert!(requests.try_reserve(1).is_none());
        assert!(Arc::clone(&requests).reserve(1, PATIENCE).await.is_none() && requests.is_stuck());
        assert_eq!(requests.left(), 3 << 20);
        drop((held, response, other));
        assert_eq!((requests.left(), budget.left()), (4 << 20, 8 << 20));
        assert!(!requests.is_stuck());
    }

    proptest! {
        /// For any order of reservations and releases, the limit holds, no memory is lost, and waiters are served in
        /// order once others have ended.
        #[test]
        fn the_limit_holds_and_all_waiters_are_served(
            steps in prop::collection::vec((1_usize..3 << 20, 0_usize..4, 0_usize..8), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).enable_time().build().unwrap();
            runtime.block_on(async {
                let parent = Budget::new(2 * MIN_BUDGET);
                let budget = parent.half();
                let (mut held, mut waiting) = (Vec::new(), VecDeque::new());
                for (bytes, kind, at) in steps {
                    match kind {
                        0 => drop((!held.is_empty()).then(|| held.swap_remove(at % held.len()))),
                        1 => if let Some(last) = held.last_mut() { Reservation::grow(last, bytes); },
                        2 => held.extend(budget.try_reserve(bytes)),
                        _ => waiting.push_back(tokio::spawn(Arc::clone(&budget).reserve(bytes, Duration::MAX))),
                    }
                    tokio::task::yield_now().await;
                    while waiting.front().is_some_and(tokio::task::JoinHandle::is_finished) {
                        held.push(waiting.pop_front().unwrap().await.unwrap().unwrap());
                    }
                    let used: usize = held.iter().map(Reservation::bytes).sum();
                    assert!(used + budget.left() <= MIN_BUDGET);
                    assert!(!waiting.is_empty() || used + budget.left() == MIN_BUDGET);
                }
                held.clear();
                while let Some(next) = waiting.pop_front() {
                    drop(next.await.unwrap().unwrap());
                }
                assert_eq!((budget.left(), parent.left()), (MIN_BUDGET, 2 * MIN_BUDGET));
            });
        }
    }
}
