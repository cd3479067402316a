//! How full the limits' windows have been in the last hour, for the console.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use nightaudit_console::{LimitHistory, MAX_MINUTES, RuleHistory};
use nightaudit_exchange::Timestamp;
use nightaudit_limit::{Admit, Totals};

/// A step's length.
const STEP: Duration = Duration::from_secs(10);
const STEP_MICROS: i64 = 10_000_000;
const STEPS_PER_MINUTE: usize = 6;

/// Steps kept.
const KEPT: usize = MAX_MINUTES as usize * STEPS_PER_MINUTE;

/// Peaks and refusals, step by step. Cheap to clone; clones share them. Bounded: an hour, 4 bytes per rule and step.
#[derive(Debug, Clone, Default)]
pub(crate) struct History(Arc<Mutex<Steps>>);

#[derive(Debug, Default)]
struct Steps {
    /// Name, requests per window, and the window in milliseconds.
    rules: Vec<(String, u32, u64)>,
    /// The number of the last step, counted from 1970.
    last: i64,
    /// The latest; `None` for a step without a measurement.
    steps: VecDeque<Option<Step>>,
    /// Totals as of the last step.
    refused: u64,
    refused_by_host: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    peaks: Vec<u32>,
    refused: u64,
    refused_by_host: u64,
}

impl History {
    /// Measures at the end of every step, until it is dropped.
    pub(crate) async fn watch(self, limits: impl Admit) {
        loop {
            tokio::time::sleep(until_next(now())).await;
            // If the limits can't be reached, the step has no measurement.
            if let Ok(totals) = limits.totals().await {
                self.lock().push(now(), totals);
            }
        }
    }

    /// The last so many minutes.
    pub(crate) fn last(&self, minutes: u32) -> LimitHistory {
        self.lock().last(minutes as usize * STEPS_PER_MINUTE)
    }

    fn lock(&self) -> MutexGuard<'_, Steps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Steps {
    /// Adds what was measured at this time, which is at or after the end of its step.
    fn push(&mut self, at: Timestamp, totals: Totals) {
        let number = at.micros().div_euclid(STEP_MICROS) - 1;
        let step = Step {
            peaks: totals.peaks,
            // Totals only grow; a remote engine may have been restarted.
            refused: totals.refused.saturating_sub(self.refused),
            refused_by_host: totals.refused_by_host.saturating_sub(self.refused_by_host),
        };
        (self.refused, self.refused_by_host) = (totals.refused, totals.refused_by_host);
        let millis = |window: Duration| u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        self.rules =
            totals.rules.iter().map(|rule| (rule.rule.to_string(), rule.requests, millis(rule.window))).collect();
        match (number - self.last, self.steps.back_mut()) {
            // The clock was set back: what is known belongs to the latest step.
            (..=0, Some(last)) => last.get_or_insert_with(|| step.clone()).merge(&step),
            (ahead, Some(_)) => {
                // The machine was suspended, or the clock set forward.
                let gap = usize::try_from(ahead - 1).unwrap_or(KEPT).min(KEPT);
                self.steps.extend(std::iter::repeat_n(None, gap));
                self.steps.push_back(Some(step));
                self.last = number;
            }
            (_, None) => {
                self.steps.push_back(Some(step));
                self.last = number;
            }
        }
        self.steps.drain(..self.steps.len().saturating_sub(KEPT));
    }

    fn last(&self, most: usize) -> LimitHistory {
        let shown = self.steps.len().min(most);
        let steps = || self.steps.range(self.steps.len() - shown..);
        let count = i64::try_from(shown).unwrap_or(0);
        let rule = |(place, (rule, limit, window_ms)): (usize, &(String, u32, u64))| RuleHistory {
            rule: rule.clone(),
            limit: *limit,
            window_ms: *window_ms,
            points: steps().map(|step| step.as_ref().and_then(|step| step.peaks.get(place).copied())).collect(),
        };
        LimitHistory {
            from: (shown > 0).then(|| Timestamp::from_micros((self.last + 1 - count) * STEP_MICROS)),
            step_ms: u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX),
            rules: self.rules.iter().enumerate().map(rule).collect(),
            refused: steps().map(|step| step.as_ref().map(|step| step.refused)).collect(),
            refused_by_mews: steps().map(|step| step.as_ref().map(|step| step.refused_by_host)).collect(),
        }
    }
}

impl Step {
    fn merge(&mut self, other: &Self) {
        for (peak, other) in self.peaks.iter_mut().zip(&other.peaks) {
            *peak = (*peak).max(*other);
        }
        self.refused += other.refused;
        self.refused_by_host += other.refused_by_host;
    }
}

/// Time until the step ends.
fn until_next(now: Timestamp) -> Duration {
    let into = now.micros().rem_euclid(STEP_MICROS);
    Duration::from_micros(u64::try_from(STEP_MICROS - into).unwrap_or(0))
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use nightaudit_limit::RuleState;

    use super::*;

    fn totals(peak: u32, refused: u64, refused_by_host: u64) -> Totals {
        let rule = RuleState {
            rule: "published".into(),
            requests: 200,
            window: Duration::from_secs(30),
            keys: 1,
            refused,
            delayed: 0,
            refused_by_host,
        };
        Totals { rules: vec![rule], peaks: vec![peak], refused, refused_by_host }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn each_step_has_its_peak_and_what_was_refused_in_it() {
        let mut steps = Steps::default();
        // Measured a little late, as it is.
        for (seconds, totals) in [(10, totals(5, 0, 0)), (20, totals(200, 7, 1)), (31, totals(90, 7, 3))] {
            steps.push(at(seconds), totals);
        }
        let told = steps.last(100);
        assert_eq!((told.from, told.step_ms), (Some(at(0)), 10_000));
        assert_eq!(told.rules[0].points, [Some(5), Some(200), Some(90)]);
        assert_eq!((told.rules[0].limit, told.rules[0].window_ms), (200, 30_000));
        assert_eq!(told.refused, [Some(0), Some(7), Some(0)]);
        assert_eq!(told.refused_by_mews, [Some(0), Some(1), Some(2)]);
        let told = steps.last(2);
        assert_eq!((told.from, told.refused.len()), (Some(at(10)), 2));
    }

    #[test]
    fn a_suspended_machine_leaves_a_gap() {
        let mut steps = Steps::default();
        steps.push(at(10), totals(1, 1, 0));
        steps.push(at(50), totals(2, 4, 0));
        let told = steps.last(100);
        assert_eq!(told.rules[0].points, [Some(1), None, None, None, Some(2)]);
        assert_eq!(told.refused, [Some(1), None, None, None, Some(3)]);
        assert_eq!(told.from, Some(at(0)));
    }

    #[test]
    fn a_clock_set_back_adds_to_the_latest_step() {
        let mut steps = Steps::default();
        steps.push(at(1000), totals(9, 1, 1));
        steps.push(at(400), totals(3, 3, 1));
        steps.push(at(410), totals(12, 4, 2));
        let told = steps.last(100);
        assert_eq!((told.rules[0].points.as_slice(), told.from), (&[Some(12)][..], Some(at(990))));
        assert_eq!((told.refused, told.refused_by_mews), (vec![Some(4)], vec![Some(2)]));
    }

    #[test]
    fn an_hour_is_kept_whatever_the_clock_does() {
        let mut steps = Steps::default();
        for step in 1..1000 {
            steps.push(at(step * 10), totals(1, 0, 0));
        }
        assert_eq!(steps.steps.len(), KEPT);
        assert_eq!(steps.last(KEPT).from, Some(at((999 - KEPT as i64) * 10)));
        steps.push(at(9_000_000_000), totals(2, 0, 0));
        assert_eq!(steps.steps.len(), KEPT);
        let points = &steps.last(KEPT).rules[0].points;
        assert_eq!((points[0], points[KEPT - 1]), (None, Some(2)));
    }

    #[test]
    fn nothing_is_said_before_the_first_step() {
        let told = Steps::default().last(10);
        assert_eq!((told.from, told.rules.len(), told.step_ms), (None, 0, 10_000));
    }

    #[test]
    fn steps_end_at_the_clocks_tens_of_seconds() {
        assert_eq!(until_next(at(0)), STEP);
        assert_eq!(until_next(Timestamp::from_micros(9_999_999)), Duration::from_micros(1));
        assert_eq!(until_next(Timestamp::from_micros(-1)), Duration::from_micros(1));
    }

    #[tokio::test(start_paused = true)]
    async fn it_measures_what_the_limiter_admits() {
        let key = nightaudit_limit::KeyParts { access_token: true, ..Default::default() };
        let rule = nightaudit_limit::Rule {
            name: "published".into(),
            key,
            requests: 2,
            window: Duration::from_secs(30),
            burst: None,
            paginated_factor: 1,
        };
        let config = nightaudit_limit::Config { rules: vec![rule], ..Default::default() };
        let limiter = nightaudit_limit::Limiter::new(config).unwrap();
        let arrival = nightaudit_limit::AdmissionRequest {
            access_token: "a",
            client_token: "b",
            operation: "c",
            paginated: false,
        };
        let permits: Vec<_> = (0..3).map(|_| limiter.check(&arrival)).collect();
        let history = History::default();
        let watching = tokio::spawn(history.clone().watch(limiter.clone()));
        while history.last(1).refused.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        watching.abort();
        let told = history.last(1);
        assert_eq!((told.rules[0].points[0], told.refused[0]), (Some(2), Some(1)));
        drop(permits);
    }
}
