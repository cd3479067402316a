//! A limit in short form.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// A number of requests per window, written `200/30s`.
///
/// ```
/// use std::time::Duration;
/// use nightaudit_limit::Allowance;
///
/// let published: Allowance = "200/30s".parse()?;
/// assert_eq!(published, Allowance { requests: 200, window: Duration::from_secs(30) });
/// assert_eq!(published.to_string(), "200/30s");
/// # Ok::<(), nightaudit_limit::InvalidAllowance>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests per window.
    pub requests: u32,
    /// The window's length.
    pub window: Duration,
}

/// Not a valid [`Allowance`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a limit; write requests/window, with the window in whole ms, s, m or h: 200/30s or 500/15m (200 \
     requests in any 30 seconds, 500 in any 15 minutes)"
)]
pub struct InvalidAllowance(String);

/// Milliseconds of each unit, largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl FromStr for Allowance {
    type Err = InvalidAllowance;

    fn from_str(text: &str) -> Result<Self, InvalidAllowance> {
        let read = || {
            let (requests, window) = text.split_once('/')?;
            let digits = window.find(|c: char| !c.is_ascii_digit())?;
            let (number, unit) = window.split_at(digits);
            let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
            // `u32::from_str` accepts a plus sign; this form does not.
            let requests = Some(requests).filter(|requests| !requests.starts_with('+'))?;
            Some(Self {
                requests: requests.parse().ok()?,
                window: Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(millis)?),
            })
        };
        read().ok_or_else(|| InvalidAllowance(text.to_owned()))
    }
}

impl fmt::Display for Allowance {
    /// The form it is parsed from, to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = self.window.as_millis();
        let whole = |(_, millis): &(&str, u64)| window > 0 && window.is_multiple_of(u128::from(*millis));
        let (unit, millis) = UNITS.into_iter().find(whole).unwrap_or(("ms", 1));
        write!(f, "{}/{}{unit}", self.requests, window / u128::from(millis))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_unit_is_read() {
        for (text, millis) in [("1/250ms", 250), ("1/30s", 30_000), ("1/15m", 900_000), ("1/2h", 7_200_000)] {
            assert_eq!(text.parse(), Ok(Allowance { requests: 1, window: Duration::from_millis(millis) }));
        }
    }

    #[test]
    fn anything_else_is_rejected_with_the_expected_form() {
        for text in [
            "",
            "/",
            "200",
            "200/",
            "/30s",
            "200/30",
            "200/s",
            "-1/30s",
            "+1/30s",
            "200/+30s",
            "200/30 s",
            "200/30d",
            "200/1.5s",
            "200/30s ",
            "4294967296/30s",
            "200/18446744073709551615h",
            "200/30S",
            "200/3٣s",
        ] {
            let error = text.parse::<Allowance>().unwrap_err().to_string();
            assert!(error.contains("200/30s"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn parses_what_it_displays(requests: u32, millis in 0..1_000_000_000_u64) {
            let allowance = Allowance { requests, window: Duration::from_millis(millis) };
            prop_assert_eq!(allowance.to_string().parse(), Ok(allowance));
        }
    }
}
