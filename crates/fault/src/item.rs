//! The values in a rule: shares, ranges, rates.

use std::{ops::RangeInclusive, time::Duration};

use nightaudit_units::{parse_duration, parse_size};

/// A share of requests, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share(u32);

impl Share {
    /// Every request.
    pub(crate) const ALL: Self = Self(1_000_000);

    /// Parses `2%` or `0.5%`: more than nothing, at most 100, with at most four digits after the point.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() > 3 || fraction.len() > 4 {
            return None;
        }
        let fraction: u32 = format!("{fraction:0<4}").parse().ok()?;
        let millionths = whole.parse::<u32>().ok()? * 10_000 + fraction;
        (1..=Self::ALL.0).contains(&millionths).then_some(Self(millionths))
    }

    /// Both together; `None` if that is more than every request.
    pub(crate) fn and(self, other: Self) -> Option<Self> {
        Some(Self(self.0 + other.0)).filter(|sum| *sum <= Self::ALL)
    }

    /// Whether a number drawn from 0 to 1 falls into the share that begins at `from`.
    pub(crate) fn holds(self, from: u32, drawn: f64) -> bool {
        let drawn = drawn * f64::from(Self::ALL.0);
        f64::from(from) <= drawn && drawn < f64::from(from + self.0)
    }

    /// Millionths.
    pub(crate) fn millionths(self) -> u32 {
        self.0
    }
}

/// The longest latency: longer than clients wait.
const MOST_LATENCY: Duration = Duration::from_secs(600);

/// The longest `Retry-After`, as the limiter heeds it.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Parses `200ms` or `200ms..2s` into milliseconds, from 1 ms to 10 minutes.
pub(crate) fn latency(text: &str) -> Option<RangeInclusive<u64>> {
    let (least, most) = range(text)?;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).ok();
    (least >= Duration::from_millis(1) && most <= MOST_LATENCY).then_some(millis(least)?..=millis(most)?)
}

/// Parses `5s` or `5s..20s` into whole seconds, from 1 s to a day.
pub(crate) fn retry_after(text: &str) -> Option<RangeInclusive<u64>> {
    let (least, most) = range(text)?;
    let is_whole = least.subsec_nanos() == 0 && most.subsec_nanos() == 0;
    let is_within = least >= Duration::from_secs(1) && most <= MOST_RETRY_AFTER;
    (is_whole && is_within).then_some(least.as_secs()..=most.as_secs())
}

fn range(text: &str) -> Option<(Duration, Duration)> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let (least, most) = (parse_duration(least).ok()?, parse_duration(most).ok()?);
    (least <= most).then_some((least, most))
}

/// The fastest rate that counts as slow: 1 GB/s.
const MOST_RATE: u64 = 1_000_000_000;

/// Parses `20KB/s` into bytes per second.
pub(crate) fn rate(text: &str) -> Option<u64> {
    let size = text.strip_suffix("/s")?.trim_end();
    // The size's own parser accepts a bare number of bytes, which is more likely a forgotten unit.
    if !size.ends_with(['b', 'B']) {
        return None;
    }
    parse_size(size).ok().filter(|rate| (1..=MOST_RATE).contains(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_more_than_nothing_and_at_most_everything() {
        for (text, millionths) in [
            ("2%", 20_000),
            ("0.5%", 5_000),
            ("100%", 1_000_000),
            ("0.0001%", 1),
            ("12.5 %", 125_000),
            ("100.0%", 1_000_000),
        ] {
            assert_eq!(Share::parse(text), Some(Share(millionths)), "{text}");
        }
        for text in [
            "", "%", "2", "0%", "0.0%", "100.1%", "101%", "-1%", "+1%", "NaN%", "1e1%", ".5%", "5.%", "0.00001%",
            "1%%", "٣%",
        ] {
            assert_eq!(Share::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_range_goes_up() {
        assert_eq!(latency("200ms..2s"), Some(200..=2000));
        assert_eq!(latency("1s"), Some(1000..=1000));
        for text in ["", "..", "2s..1s", "0s", "0ms..1s", "11m", "1s..11m", "200", "-1s", "1s...2s", "100us"] {
            assert_eq!(latency(text), None, "{text}");
        }
        assert_eq!(retry_after("5s..1m"), Some(5..=60));
        for text in ["0s", "500ms", "1.5s", "2d", "5", "none"] {
            assert_eq!(retry_after(text), None, "{text}");
        }
    }

    #[test]
    fn a_rate_has_a_unit() {
        assert_eq!(rate("20KB/s"), Some(20_000));
        assert_eq!(rate("1 MiB/s"), Some(1 << 20));
        assert_eq!(rate("500 B/s"), Some(500));
        for text in ["", "/s", "20KB", "20/s", "0B/s", "-1KB/s", "2GB/s", "20KB/min", "fastB/s"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }
}
