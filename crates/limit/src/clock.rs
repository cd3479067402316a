//! The limiter's time source.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Completes at an instant; see [`Clock::sleep_until`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A monotonic clock with a timer.
///
/// One trait for both, so that a wait and the check after it agree on the time.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since an arbitrary origin. Never decreases, on any thread.
    fn now(&self) -> u64;

    /// Completes once [`now`](Clock::now) is at least `instant`.
    fn sleep_until(&self, instant: u64) -> Sleep;
}

/// The machine's monotonic clock with tokio's timer, which tests can pause. Setting the wall clock (NTP, an operator)
/// does not affect it.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock {
    origin: Instant,
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for MonotonicClock {
    #[inline]
    fn now(&self) -> u64 {
        let elapsed = self.origin.elapsed();
        // 64 bits of nanoseconds last 584 years.
        elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos())
    }

    fn sleep_until(&self, instant: u64) -> Sleep {
        Box::pin(tokio::time::sleep_until(self.origin + Duration::from_nanos(instant)))
    }
}

/// A test clock that stands still until [advanced](FakeClock::advance).
///
/// Clones show the same time.
#[derive(Clone, Default)]
pub struct FakeClock {
    shared: Arc<Mutex<Fake>>,
}

#[derive(Default)]
struct Fake {
    now: u64,
    /// By instant, then in the order in which they went to sleep.
    sleepers: BTreeMap<(u64, u64), Waker>,
    next_sleeper: u64,
}

impl FakeClock {
    /// Advances time and wakes the sleepers that are due.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut fake = self.shared.lock();
            fake.now = fake.now.saturating_add(nanos(by));
            let after = (fake.now.saturating_add(1), 0);
            let later = fake.sleepers.split_off(&after);
            std::mem::replace(&mut fake.sleepers, later)
        };
        // Outside the lock: a waker may poll at once, which reads the clock.
        due.into_values().for_each(Waker::wake);
    }

    /// Time until the first sleeper wakes; `None` without sleepers.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let fake = self.shared.lock();
        let (&(instant, _), _) = fake.sleepers.first_key_value()?;
        Some(Duration::from_nanos(instant.saturating_sub(fake.now)))
    }
}

impl Clock for FakeClock {
    fn now(&self) -> u64 {
        self.shared.lock().now
    }

    fn sleep_until(&self, instant: u64) -> Sleep {
        let sleeper = {
            let mut fake = self.shared.lock();
            fake.next_sleeper += 1;
            fake.next_sleeper
        };
        Box::pin(FakeSleep { clock: self.clone(), key: (instant, sleeper) })
    }
}

impl fmt::Debug for FakeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FakeClock").field(&Duration::from_nanos(self.now())).finish()
    }
}

struct FakeSleep {
    clock: FakeClock,
    key: (u64, u64),
}

impl Future for FakeSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut fake = self.clock.shared.lock();
        if fake.now >= self.key.0 {
            return Poll::Ready(());
        }
        fake.sleepers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for FakeSleep {
    fn drop(&mut self) {
        self.clock.shared.lock().sleepers.remove(&self.key);
    }
}

/// A duration in nanoseconds. Saturates at `u64::MAX`.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
