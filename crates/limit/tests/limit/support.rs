//! Test helpers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use nightaudit_limit::{
    Action, AdmissionRequest, Config, FakeClock, KeyParts, Limiter, Refusal, Rule, Verdict, WindowPermit,
};

pub(crate) const BY_ACCESS_TOKEN: KeyParts = KeyParts { access_token: true, client_token: false, operation: false };
pub(crate) const BY_OPERATION: KeyParts = KeyParts { access_token: true, client_token: false, operation: true };

/// A rule by access token.
pub(crate) fn rule(requests: u32, seconds: u64) -> Rule {
    Rule {
        name: format!("{requests}/{seconds}s"),
        key: BY_ACCESS_TOKEN,
        requests,
        window: Duration::from_secs(seconds),
        burst: None,
        paginated_factor: 1,
    }
}

pub(crate) fn limiter(rules: Vec<Rule>, action: Action) -> (Limiter, FakeClock) {
    let clock = FakeClock::default();
    let config = Config { rules, slack: Duration::ZERO, action };
    (Limiter::with_clock(config, clock.clone()).unwrap(), clock)
}

pub(crate) fn arrival(access_token: &str) -> AdmissionRequest<'_> {
    AdmissionRequest { access_token, client_token: "integration", operation: "configuration/get", paginated: false }
}

#[track_caller]
pub(crate) fn admitted(verdict: Verdict) -> WindowPermit {
    match verdict {
        Verdict::Admitted(permit) => permit,
        Verdict::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

#[track_caller]
pub(crate) fn refused(verdict: Verdict) -> Refusal {
    match verdict {
        Verdict::Admitted(permit) => panic!("admitted: {permit:?}"),
        Verdict::Refused(refusal) => refusal,
    }
}

/// The most units in any closed window of this length, counted in each window that begins with a send.
pub(crate) fn fullest_window(sends: &[(u64, u32)], length: Duration) -> u32 {
    let length = u64::try_from(length.as_nanos()).unwrap();
    let mut sends = sends.to_vec();
    sends.sort_unstable();
    let from = |first: usize| {
        let end = sends[first].0 + length;
        sends[first..].iter().take_while(|(at, _)| *at <= end).map(|(_, units)| units).sum()
    };
    (0..sends.len()).map(from).max().unwrap_or(0)
}

/// Futures in order of addition, polled when woken; the clock advances only when nothing else is left to do.
pub(crate) struct Tasks<'a, T> {
    tasks: Vec<Option<Task<'a, T>>>,
}

type Task<'a, T> = (Pin<Box<dyn Future<Output = T> + 'a>>, Arc<Woken>);

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<'a, T> Tasks<'a, T> {
    pub(crate) fn new() -> Self {
        Self { tasks: Vec::new() }
    }

    /// Adds a future without polling it. Returns its number.
    pub(crate) fn add(&mut self, future: impl Future<Output = T> + 'a) -> usize {
        self.tasks.push(Some((Box::pin(future), Arc::new(Woken(AtomicBool::new(true))))));
        self.tasks.len() - 1
    }

    /// Drops a future, as when its client disconnects.
    pub(crate) fn drop_task(&mut self, task: usize) {
        self.tasks[task] = None;
    }

    /// Polls woken futures until none is left. Returns the completed ones, in order of completion.
    pub(crate) fn run(&mut self) -> Vec<(usize, T)> {
        let mut completed = Vec::new();
        loop {
            let mut progress = false;
            for (index, slot) in self.tasks.iter_mut().enumerate() {
                let Some((future, woken)) = slot else { continue };
                if !woken.0.swap(false, Ordering::SeqCst) {
                    continue;
                }
                progress = true;
                let waker = Waker::from(Arc::clone(woken));
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    completed.push((index, output));
                    *slot = None;
                }
            }
            if !progress {
                return completed;
            }
        }
    }

    /// Runs until everything has completed, advancing the clock as needed.
    pub(crate) fn run_to_end(&mut self, clock: &FakeClock) -> Vec<(usize, T)> {
        let mut completed = self.run();
        while self.tasks.iter().any(Option::is_some) {
            let next = clock.next_wake().expect("a waiter sleeps on the clock");
            clock.advance(next);
            completed.extend(self.run());
        }
        completed
    }
}
