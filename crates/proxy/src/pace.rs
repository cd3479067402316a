//! How slowly a client may send a request's body.

use std::time::Duration;

use nightaudit_exchange::FailureKind;

use crate::local_response::LocalResponse;

/// The time that a client is waited for within one body.
///
/// Each wait has a bound, and so have all together: that one, and a second more for as many bytes as must come in one.
/// A body that keeps to the least rate is never cut, however long it is, and one that drips is. Time in which nobody
/// waits for the client, because the request waits for its turn or Mews is slow to read, doesn't count.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    patience: Duration,
    /// Bytes a second; 0 for any.
    least: u64,
    waited: Duration,
    /// The last wait.
    last: Duration,
    bytes: u64,
}

impl Pace {
    /// At most `patience` for each wait, and at least `least` bytes a second over all of them; 0 for any.
    pub(crate) fn new(patience: Duration, least: u64) -> Self {
        Self { patience, least, waited: Duration::ZERO, last: Duration::ZERO, bytes: 0 }
    }

    /// How long the next wait may be.
    pub(crate) fn left(&self) -> Duration {
        if self.least == 0 {
            return self.patience;
        }
        let earned = Duration::from_secs_f64(self.bytes as f64 / self.least as f64);
        (self.patience + earned).saturating_sub(self.waited).min(self.patience)
    }

    /// The longest that a single wait may be.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The client was waited for so long.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
        self.last = time;
    }

    /// So many bytes came.
    pub(crate) fn came(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Why a body is given up whose last wait was as long as it might be.
    pub(crate) fn exhausted(&self) -> LocalResponse {
        let message = if self.last >= self.patience {
            format!("the request's body stopped for {:?}", self.patience)
        } else {
            format!(
                "the request's body came slower than {} bytes a second (`body.min_rate`): {} bytes in {:.0?}",
                self.least, self.bytes, self.waited
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

    /// After how many seconds a client is given up that sends `bytes` every `pause`, of an endless body.
    fn given_up(mut pace: Pace, bytes: usize, pause: Duration) -> Option<u64> {
        let mut elapsed = Duration::ZERO;
        for _ in 0..100_000 {
            let left = pace.left();
            if left < pause {
                return Some((elapsed + left).as_secs());
            }
            elapsed += pause;
            pace.waited(pause);
            pace.came(bytes);
        }
        None
    }

    #[test]
    fn regression_a_body_that_dripped_stayed_for_ever() {
        let pace = || Pace::new(secs(30), 240);
        assert_eq!(given_up(pace(), 1, secs(10)), Some(30));
        assert_eq!(given_up(pace(), 120, secs(1)), Some(59));
        assert_eq!(given_up(pace(), 233, secs(1)), Some(995));
        // At the least rate, and faster in whatever pieces.
        assert_eq!(given_up(pace(), 240, secs(1)), None);
        assert_eq!(given_up(pace(), 29 * 240, secs(29)), None);
        // The wait for each piece stays bounded, whatever came before.
        assert_eq!(given_up(pace(), 1 << 20, secs(31)), Some(30));
        assert_eq!(given_up(Pace::new(secs(30), 0), 1, secs(29)), None);
    }

    #[test]
    fn the_reason_says_which_bound_it_was() {
        let message = |pace: &Pace| match pace.exhausted() {
            LocalResponse::Failed(failure) => failure.message,
            LocalResponse::Limited { .. } => String::new(),
        };
        let mut pace = Pace::new(secs(30), 240);
        pace.waited(secs(30));
        assert_eq!(message(&pace), "the request's body stopped for 30s");
        let mut pace = Pace::new(secs(30), 240);
        pace.waited(secs(20));
        pace.came(10);
        pace.waited(secs(10));
        let slow = message(&pace);
        assert_eq!(slow, "the request's body came slower than 240 bytes a second (`body.min_rate`): 10 bytes in 30s");
    }
}
