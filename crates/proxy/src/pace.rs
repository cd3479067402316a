//! The minimum rate of request bodies.

use std::time::Duration;

use nightaudit_exchange::FailureKind;

use crate::local_response::LocalResponse;

/// Limits the time spent waiting for a client within one body.
///
/// Each single wait is limited, and so is their sum: by the same limit, plus a second per `min_rate` bytes received. So
/// a body that keeps to the minimum rate is never aborted, however long, and one that trickles is. Time not spent
/// waiting for the client, because the request is delayed or Mews reads slowly, doesn't count.
#[derive(Debug, Clone)]
pub(crate) struct BodyPace {
    timeout: Duration,
    /// In bytes per second; 0 for no minimum.
    min_rate: u64,
    waited: Duration,
    /// The last wait.
    last: Duration,
    bytes: u64,
}

impl BodyPace {
    /// Allows `timeout` for each wait, and requires `min_rate` bytes per second over all of them; 0 for no minimum.
    pub(crate) fn new(timeout: Duration, min_rate: u64) -> Self {
        Self { timeout, min_rate, waited: Duration::ZERO, last: Duration::ZERO, bytes: 0 }
    }

    /// Returns how long the next wait may be.
    pub(crate) fn left(&self) -> Duration {
        if self.min_rate == 0 {
            return self.timeout;
        }
        let earned = Duration::from_secs_f64(self.bytes as f64 / self.min_rate as f64);
        (self.timeout + earned).saturating_sub(self.waited).min(self.timeout)
    }

    /// Returns the longest single wait.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Adds a wait.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
        self.last = time;
    }

    /// Adds received bytes.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The local response for a body whose last wait timed out.
    pub(crate) fn exhausted(&self) -> LocalResponse {
        let message = if self.last >= self.timeout {
            format!("the request body stalled for {:?}", self.timeout)
        } else {
            format!(
                "the request body was slower than {} bytes/s (`body.min_rate`): {} bytes in {:.0?}",
                self.min_rate, self.bytes, self.waited
            )
        };
        LocalResponse::failed(FailureKind::RequestTimeout, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Returns after how many seconds an endless body that sends `bytes` every `pause` times out.
    fn timed_out_after(mut pace: BodyPace, bytes: usize, pause: Duration) -> Option<u64> {
        let mut elapsed = Duration::ZERO;
        for _ in 0..100_000 {
            let left = pace.left();
            if left < pause {
                return Some((elapsed + left).as_secs());
            }
            elapsed += pause;
            pace.waited(pause);
            pace.received(bytes);
        }
        None
    }

    #[test]
    fn regression_a_trickling_body_stayed_forever() {
        let pace = || BodyPace::new(secs(30), 240);
        assert_eq!(timed_out_after(pace(), 1, secs(10)), Some(30));
        assert_eq!(timed_out_after(pace(), 120, secs(1)), Some(59));
        assert_eq!(timed_out_after(pace(), 233, secs(1)), Some(995));
        // At the minimum rate, and faster in large chunks.
        assert_eq!(timed_out_after(pace(), 240, secs(1)), None);
        assert_eq!(timed_out_after(pace(), 29 * 240, secs(29)), None);
        // Each wait stays limited, whatever was received before.
        assert_eq!(timed_out_after(pace(), 1 << 20, secs(31)), Some(30));
        assert_eq!(timed_out_after(BodyPace::new(secs(30), 0), 1, secs(29)), None);
    }

    #[test]
    fn the_message_says_which_limit_was_exceeded() {
        let message = |pace: &BodyPace| match pace.exhausted() {
            LocalResponse::Failed(failure) => failure.message,
            LocalResponse::Limited { .. } | LocalResponse::Injected { .. } => String::new(),
        };
        let mut pace = BodyPace::new(secs(30), 240);
        pace.waited(secs(30));
        assert_eq!(message(&pace), "the request body stalled for 30s");
        let mut pace = BodyPace::new(secs(30), 240);
        pace.waited(secs(20));
        pace.received(10);
        pace.waited(secs(10));
        let slow = message(&pace);
        assert_eq!(slow, "the request body was slower than 240 bytes/s (`body.min_rate`): 10 bytes in 30s");
    }
}
