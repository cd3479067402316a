//! Request rate, latency and errors over the last minute.

use std::{collections::VecDeque, time::Duration};

use nightaudit_exchange::Timestamp;
use nightaudit_text::Row;

/// The window, in seconds.
const SECONDS: u64 = 60;
/// Latency buckets: four per doubling.
const STEPS: usize = 128;

/// The last minute, second by second, in constant memory.
#[derive(Debug, Default)]
pub(super) struct Rates {
    seconds: VecDeque<Second>,
}

#[derive(Debug)]
struct Second {
    at: i64,
    count: u32,
    failed: u32,
    took: Box<[u32; STEPS]>,
}

/// Figures of the last minute.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Figures {
    /// Exchanges per second over the last ten seconds.
    pub(super) rate: f64,
    /// Exchanges in the last minute.
    pub(super) count: u32,
    /// Failed ones among them: a status of 400 or above, or no response.
    pub(super) failed: u32,
    /// Median and p99 latency, within 20 %.
    pub(super) p50: Option<Duration>,
    pub(super) p99: Option<Duration>,
}

impl Rates {
    /// Counts a finished exchange, unless it is from another time, such as an imported one. The clock of who recorded it
    /// may be ahead of this one.
    pub(super) fn count(&mut self, row: &Row, now: Timestamp) {
        let (at, now) = (second_of(row.started.plus(row.took)), second_of(now));
        let is_near = |at: i64| now.abs_diff(at) < SECONDS;
        self.seconds.retain(|second| is_near(second.at));
        if !is_near(at) {
            return;
        }
        let place = self.seconds.partition_point(|second| second.at < at);
        if self.seconds.get(place).is_none_or(|second| second.at != at) {
            self.seconds.insert(place, Second { at, count: 0, failed: 0, took: Box::new([0; STEPS]) });
        }
        let Some(second) = self.seconds.get_mut(place) else { return };
        second.count += 1;
        second.failed += u32::from(row.status.is_none_or(|status| status >= 400));
        second.took[step(row.took)] += 1;
    }

    /// The current figures.
    pub(super) fn figures(&self, now: Timestamp) -> Figures {
        let now = second_of(now);
        let minute = || self.seconds.iter().filter(move |second| second.at <= now && now.abs_diff(second.at) < SECONDS);
        let recent: u32 =
            minute().filter(|second| (1..=10).contains(&(now - second.at))).map(|second| second.count).sum();
        let count: u32 = minute().map(|second| second.count).sum();
        let quantile = |share: f64| {
            let wanted = (f64::from(count) * share).ceil() as u32;
            let mut seen = 0;
            (0..STEPS).find(|step| {
                seen += minute().map(|second| second.took[*step]).sum::<u32>();
                seen >= wanted && wanted > 0
            })
        };
        Figures {
            rate: f64::from(recent) / 10.0,
            count,
            failed: minute().map(|second| second.failed).sum(),
            p50: quantile(0.5).map(length),
            p99: quantile(0.99).map(length),
        }
    }
}

fn second_of(time: Timestamp) -> i64 {
    time.micros().div_euclid(1_000_000)
}

fn step(took: Duration) -> usize {
    let micros = took.as_micros().max(1) as f64;
    ((micros.log2() * 4.0) as usize).min(STEPS - 1)
}

/// The midpoint of a bucket.
fn length(step: usize) -> Duration {
    Duration::from_micros(((step as f64 + 0.5) / 4.0).exp2() as u64)
}

#[cfg(test)]
mod tests {
    use nightaudit_mews::Contracts;
    use nightaudit_testkit::sample::exchange;

    use super::*;

    fn row(second: i64, milliseconds: u64, status: u16) -> Row {
        let mut exchange = exchange();
        exchange.started_at = Timestamp::from_micros(second * 1_000_000);
        exchange.times_us.response_end = Some(milliseconds * 1000);
        exchange.response.as_mut().unwrap().status = status;
        Row::new(&exchange, &Contracts::built_in())
    }

    #[test]
    fn the_last_minute_in_figures() {
        let mut rates = Rates::default();
        assert_eq!(rates.figures(Timestamp::from_micros(0)), Figures::default());
        for second in 1000..1100 {
            let now = Timestamp::from_micros(second * 1_000_000);
            for number in 0..100 {
                let row = row(second, if number < 98 { 100 } else { 900 }, if number == 0 { 500 } else { 200 });
                rates.count(&row, now);
            }
        }
        let figures = rates.figures(Timestamp::from_micros(1_100_000_000));
        assert_eq!((figures.rate, figures.count, figures.failed), (100.0, 5900, 59));
        let near = |found: Option<Duration>, wanted: f64| (found.unwrap().as_secs_f64() / wanted - 1.0).abs() < 0.2;
        assert!(near(figures.p50, 0.1) && near(figures.p99, 0.9), "{figures:?}");
        // A minute later nothing is left of it.
        assert_eq!(rates.figures(Timestamp::from_micros(1_200_000_000)), Figures::default());
        assert_eq!(rates.seconds.len() as u64, SECONDS);
    }

    #[test]
    fn regression_after_one_exchange_of_another_time_none_was_counted() {
        // Whether it is an imported one, or the clock was set back an hour after a busy minute.
        for (ahead, others) in [(1_000_000, 1), (-1_000_000, 1), (3600, 60)] {
            let mut rates = Rates::default();
            let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
            (1000 + ahead - others..1000 + ahead).for_each(|second| rates.count(&row(second, 100, 200), at(second)));
            (1000..1010).for_each(|second| rates.count(&row(second, 100, 200), at(second)));
            let figures = rates.figures(Timestamp::from_micros(1_010_000_000));
            assert_eq!((figures.rate, figures.count), (1.0, 10), "{ahead}");
        }
    }

    #[test]
    fn a_time_of_any_length_has_a_step() {
        assert_eq!((step(Duration::ZERO), step(Duration::MAX)), (0, STEPS - 1));
    }
}
