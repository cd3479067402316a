//! The one bound over the memory that bodies take.

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

/// This much of each body is held without being counted, so that small bodies cost no accounting and never wait.
pub(crate) const FREE: usize = 16 << 10;

/// A proxy's budget is never smaller, so that one request whose tokens are at the end of its body can always be forwarded.
pub(crate) const LEAST: usize = 8 << 20;

/// How long reading waits at most for memory that is needed for the record alone. After that the record is cut, since
/// those who hold the memory may wait for each other, or for clients that don't read.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The memory for all bodies together, beyond the first 16 KiB of each: those kept for the record, and those that can't
/// be forwarded yet. A body that is both counts once.
///
/// Memory is granted in the order in which it was asked for.
#[derive(Debug)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    all: usize,
    /// Whether somebody waited in vain, and memory has not been given back since. Then nobody waits for the record's sake:
    /// the clients that hold the memory would hold up everybody else.
    stuck: AtomicBool,
    /// Of what this is a part.
    whole: Option<Arc<Budget>>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let all = bytes.min(Semaphore::MAX_PERMITS);
        Arc::new(Self { free: Arc::new(Semaphore::new(all)), all, stuck: AtomicBool::new(false), whole: None })
    }

    /// The half that requests may have: the other one is there for their responses, so that those who hold the memory of
    /// a request don't wait for each other with their responses.
    pub(crate) fn half(self: &Arc<Self>) -> Arc<Self> {
        let all = self.all / 2;
        let (free, whole) = (Arc::new(Semaphore::new(all)), Some(Arc::clone(self)));
        Arc::new(Self { free, all, stuck: AtomicBool::new(false), whole })
    }

    /// Memory that holds nothing yet.
    pub(crate) fn nothing(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), permit: None, whole: None }
    }

    /// Memory for so many bytes, if it is there. None for a body that is larger than the budget, either.
    pub(crate) fn at_once(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        let whole = match &self.whole {
            Some(whole) => Some(Box::new(whole.at_once(bytes)?)),
            None => None,
        };
        Some(Held { budget: Arc::clone(self), permit: Some(permit), whole })
    }

    /// Waits for memory for so many bytes. None where there is none in time.
    pub(crate) async fn wait(self: Arc<Self>, bytes: usize, patience: Duration) -> Option<Held> {
        if bytes > self.all {
            return None;
        }
        let bytes = u32::try_from(bytes).ok()?;
        let waiting = async {
            let permit = Some(Arc::clone(&self.free).acquire_many_owned(bytes).await.ok()?);
            let whole = match &self.whole {
                Some(whole) => {
                    let permit = Some(Arc::clone(&whole.free).acquire_many_owned(bytes).await.ok()?);
                    Some(Box::new(Held { budget: Arc::clone(whole), permit, whole: None }))
                }
                None => None,
            };
            Some(Held { budget: Arc::clone(&self), permit, whole })
        };
        let granted = tokio::time::timeout(patience, waiting).await;
        if granted.is_err() {
            self.stuck.store(true, Ordering::Relaxed);
        }
        granted.ok().flatten()
    }

    /// Whether waiting is of no use: see [`PATIENCE`].
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed) || self.whole.as_ref().is_some_and(|whole| whole.is_stuck())
    }

    /// Why a request is not forwarded that would have to be held, and for which there was no memory in time.
    pub(crate) fn exhausted() -> LocalResponse {
        let message = "too many requests have large bodies without a token at the beginning: there was no memory for this \
                       one in time (`body.keep_total`)";
        LocalResponse::failed(FailureKind::Overloaded, message)
    }

    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.free.available_permits()
    }
}

/// A part of the [`Budget`], given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    permit: Option<OwnedSemaphorePermit>,
    /// The same of the budget that this one's is a part of.
    whole: Option<Box<Self>>,
}

impl Held {
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(crate) fn bytes(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Takes so many bytes more, if they are there.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        self.budget.at_once(bytes).map(|more| self.merge(more)).is_some()
    }

    /// Adds what was granted apart.
    pub(crate) fn merge(&mut self, mut more: Self) {
        match (&mut self.permit, more.permit.take()) {
            (Some(permit), Some(more)) => permit.merge(more),
            (permit @ None, more) => *permit = more,
            (Some(_), None) => {}
        }
        match (&mut self.whole, more.whole.take()) {
            (Some(whole), Some(more)) => whole.merge(*more),
            (whole @ None, more) => *whole = more,
            (Some(_), None) => {}
        }
    }

    /// Takes all but `bytes` out of it.
    pub(crate) fn split_beyond(&mut self, bytes: usize) -> Self {
        let beyond = self.bytes().saturating_sub(bytes);
        let permit = self.permit.as_mut().and_then(|permit| permit.split(beyond));
        let whole = self.whole.as_mut().map(|whole| Box::new(whole.split_beyond(bytes)));
        Self { budget: Arc::clone(&self.budget), permit, whole }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take().filter(|permit| permit.num_permits() > 0) else { return };
        drop(permit);
        // Only once a good part is free again is there hope for the next one that waits.
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
    async fn what_is_held_until_it_can_be_forwarded_has_a_bound_and_is_waited_for() {
        let budget = Budget::new(4 << 20);
        let held: Vec<_> = (0..4).map(|_| budget.at_once(1 << 20).unwrap()).collect();
        assert!(budget.at_once(1).is_none());
        assert!(Arc::clone(&budget).wait(1 << 20, Duration::from_secs(30)).await.is_none());
        drop(held);
        assert!(Arc::clone(&budget).wait(1 << 20, Duration::from_secs(30)).await.is_some());
        // What never fits is not waited for.
        let start = Instant::now();
        assert!(Arc::clone(&budget).wait(5 << 20, Duration::from_secs(30)).await.is_none());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn after_one_has_waited_in_vain_others_know_until_memory_is_given_back() {
        let budget = Budget::new(8 << 20);
        let mut held = budget.at_once(8 << 20).unwrap();
        assert!(Arc::clone(&budget).wait(1, PATIENCE).await.is_none());
        assert!(budget.is_stuck());
        drop(held.split_beyond((7 << 20) + 1));
        assert!(budget.is_stuck());
        drop(held.split_beyond(7 << 20));
        assert!(!budget.is_stuck());
        assert_eq!((held.bytes(), budget.left()), (7 << 20, 1 << 20));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_leave_half_of_the_memory_to_responses() {
        let budget = Budget::new(8 << 20);
        let requests = budget.half();
        let mut held = requests.at_once(3 << 20).unwrap();
        assert!(requests.at_once(2 << 20).is_none() && held.grow(1 << 20) && !held.grow(1));
        assert_eq!((requests.left(), budget.left()), (0, 4 << 20));
        let response = budget.at_once(4 << 20).unwrap();
        drop(held.split_beyond(1 << 20));
        assert_eq!((requests.left(), budget.left()), (3 << 20, 3 << 20));
        // Nothing of the part is left held where the whole has nothing.
        let other = budget.at_once(3 << 20).unwrap();
        assert!(requests.at_once(1).is_none());
        assert!(Arc::clone(&requests).wait(1, PATIENCE).await.is_none() && requests.is_stuck());
        assert_eq!(requests.left(), 3 << 20);
        drop((held, response, other));
        assert_eq!((requests.left(), budget.left()), (4 << 20, 8 << 20));
        assert!(!requests.is_stuck());
    }

    proptest! {
        /// Whatever is asked for and given back in whatever order: the bound holds, nothing is lost, and whoever waits is
        /// served in order once others have ended.
        #[test]
        fn the_bound_holds_and_everybody_who_waits_goes_on(
            steps in prop::collection::vec((1_usize..3 << 20, 0_usize..4, 0_usize..8), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).enable_time().build().unwrap();
            runtime.block_on(async {
                let whole = Budget::new(2 * LEAST);
                let budget = whole.half();
                let (mut held, mut waiting) = (Vec::new(), VecDeque::new());
                for (bytes, kind, at) in steps {
                    match kind {
                        0 => drop((!held.is_empty()).then(|| held.swap_remove(at % held.len()))),
                        1 => if let Some(last) = held.last_mut() { Held::grow(last, bytes); },
                        2 => held.extend(budget.at_once(bytes)),
                        _ => waiting.push_back(tokio::spawn(Arc::clone(&budget).wait(bytes, Duration::MAX))),
                    }
                    tokio::task::yield_now().await;
                    while waiting.front().is_some_and(tokio::task::JoinHandle::is_finished) {
                        held.push(waiting.pop_front().unwrap().await.unwrap().unwrap());
                    }
                    let used: usize = held.iter().map(Held::bytes).sum();
                    assert!(used + budget.left() <= LEAST);
                    assert!(!waiting.is_empty() || used + budget.left() == LEAST);
                }
                held.clear();
                while let Some(next) = waiting.pop_front() {
                    drop(next.await.unwrap().unwrap());
                }
                assert_eq!((budget.left(), whole.left()), (LEAST, 2 * LEAST));
            });
        }
    }
}
