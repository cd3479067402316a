//! Simulator configuration.

use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use nightaudit_mews::Contracts;
use nightaudit_units::parse_duration;

use crate::limit::{Anchor, Limit};
use crate::option::InvalidOption;
use crate::webhook::WebhookUrl;

/// How a simulated Mews behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// The seed of all generated data: the same seed on the same day gives the same property.
    pub seed: u64,
    /// The contracts that requests are checked against.
    pub contracts: Contracts,
    /// Tokens accepted in addition to those that Mews publishes; each is valid as AccessToken and as ClientToken.
    pub tokens: Vec<String>,
    /// The request limit (default: the published one); `None` for no limit.
    pub limit: Option<Limit>,
    /// Where the limit's windows begin.
    pub anchor: Anchor,
    /// Errors injected into a share of requests.
    pub faults: Faults,
    /// Delay of each response.
    pub latency: Latency,
    /// Maximum request body size, in bytes (default 20 MiB).
    pub max_body: usize,
    /// Maximum response size that a request may ask for with `X-Simulator: size=…`, in bytes (default 64 MiB).
    pub max_size: u64,
    /// Maximum number of concurrent WebSockets (default 64).
    pub max_sockets: usize,
    /// Where webhooks are sent.
    pub webhook: Option<WebhookUrl>,
    /// The current time, which the property's data is centred on.
    pub now: fn() -> Timestamp,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            contracts: Contracts::built_in(),
            tokens: Vec::new(),
            limit: Some(Limit::PUBLISHED),
            anchor: Anchor::Sliding,
            faults: Faults::default(),
            latency: Latency::default(),
            max_body: 20 << 20,
            max_size: 64 << 20,
            max_sockets: 64,
            webhook: None,
            now: Timestamp::now,
        }
    }
}

/// Errors injected into a share of requests, written `5xx=1%,408=0.5%`.
///
/// ```
/// let faults: nightaudit_simulator::Faults = "5xx=1%, 408=0.5%".parse()?;
/// assert!("5xx=101%".parse::<nightaudit_simulator::Faults>().is_err());
/// # Ok::<(), nightaudit_simulator::InvalidOption>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults(Vec<(Fault, f64)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Status(StatusCode),
    /// Any server error.
    Server,
}

impl Faults {
    /// The injected error, if any; `share` (0 to 1) and `which` are random.
    pub(crate) fn pick(&self, share: f64, which: usize) -> Option<StatusCode> {
        let server = [
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        let mut upper = 0.0;
        for (fault, of) in &self.0 {
            upper += of;
            if share < upper {
                return Some(match fault {
                    Fault::Status(status) => *status,
                    Fault::Server => server[which % server.len()],
                });
            }
        }
        None
    }
}

impl FromStr for Faults {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        let invalid = || InvalidOption::new("a share of errors", text, "write it like 5xx=1%,408=0.5%");
        let mut faults = Vec::new();
        for part in text.split(',') {
            let (status, share) = part.split_once('=').ok_or_else(invalid)?;
            let fault = match status.trim() {
                "5xx" => Fault::Server,
                status => Fault::Status(error_status(status).ok_or_else(invalid)?),
            };
            let share: f64 = share.trim().strip_suffix('%').and_then(|share| share.parse().ok()).ok_or_else(invalid)?;
            if !(0.0..=100.0).contains(&share) {
                return Err(invalid());
            }
            faults.push((fault, share / 100.0));
        }
        if faults.iter().map(|(_, share)| share).sum::<f64>() > 1.0 {
            return Err(InvalidOption::new("a share of errors", text, "together they are more than 100%"));
        }
        Ok(Self(faults))
    }
}

/// A status that is an error.
pub(crate) fn error_status(text: &str) -> Option<StatusCode> {
    let status: StatusCode = text.parse().ok()?;
    (status.is_client_error() || status.is_server_error()).then_some(status)
}

/// Response delay, written `80ms` or `80ms±40ms` (`+-` also works).
///
/// ```
/// use std::time::Duration;
///
/// let latency: nightaudit_simulator::Latency = "80ms±40ms".parse()?;
/// assert_eq!(latency, "80ms+-40ms".parse()?);
/// assert_eq!(latency.mean, Duration::from_millis(80));
/// # Ok::<(), nightaudit_simulator::InvalidOption>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// The mean.
    pub mean: Duration,
    /// The maximum deviation, at most the mean.
    pub spread: Duration,
}

/// Maximum delay.
pub(crate) const MAX_LATENCY: Duration = Duration::from_secs(600);

impl Latency {
    /// A delay within the spread; `fraction` is from 0 to 1.
    pub(crate) fn draw(&self, fraction: f64) -> Duration {
        (self.mean + (self.spread * 2).mul_f64(fraction)).saturating_sub(self.spread)
    }
}

impl FromStr for Latency {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        let invalid = || InvalidOption::new("a latency", text, "write it like 80ms or 80ms±40ms, at most 10m");
        let parts = ["±", "+-", "+/-"].iter().find_map(|sign| text.split_once(sign));
        let (mean, spread) = parts.unwrap_or((text, "0s"));
        let mean = parse_duration(mean).ok().filter(|mean| *mean <= MAX_LATENCY).ok_or_else(invalid)?;
        let spread = parse_duration(spread).ok().filter(|spread| *spread <= mean).ok_or_else(invalid)?;
        Ok(Self { mean, spread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_cumulative() {
        let faults: Faults = "429=10%,5xx=20%".parse().unwrap();
        let picked = |share| faults.pick(share, 2).map(|status| status.as_u16());
        assert_eq!(
            [0.0, 0.099, 0.1, 0.299, 0.301, 0.99].map(picked),
            [Some(429), Some(429), Some(503), Some(503), None, None]
        );
        assert_eq!(Faults::default().pick(0.0, 0), None);
        for text in ["", "5xx", "5xx=1", "200=1%", "999=1%", "5xx=-1%", "5xx=60%,408=60%", "5xx=NaN%"] {
            assert!(text.parse::<Faults>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_latency_stays_within_its_spread() {
        let latency: Latency = "80ms ± 40ms".parse().unwrap();
        assert_eq!([0.0, 0.5, 1.0].map(|fraction| latency.draw(fraction).as_millis()), [40, 80, 120]);
        assert_eq!("1s".parse::<Latency>().unwrap().draw(0.9), Duration::from_secs(1));
        for text in ["", "80", "40ms±80ms", "-1s", "11m", "1s±"] {
            assert!(text.parse::<Latency>().is_err(), "{text}");
        }
    }
}
