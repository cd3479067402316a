//! Parsing what people write in flags, files and headers.

use std::{str::FromStr, time::Duration};

/// Text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: use 500ms, 30s, 15m or 90d")]
pub struct InvalidDuration(String);

/// Text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size: use 64 KiB, 8 MiB or 10 GB")]
pub struct InvalidSize(String);

/// Text that is not a [`Rate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a limit: use COUNT/TIME, such as 200/30s")]
pub struct InvalidRate(String);

/// Parses a duration: numbers with `us`, `ms`, `s`, `m`, `h`, `d` or `w`, the largest unit first, such as `500ms`, `1.5s`
/// or `1m 15s`. A day has 24 hours. The units' names are accepted, too.
///
/// Exact to the nanosecond, up to [`Duration::MAX`].
///
/// # Errors
///
/// [`InvalidDuration`] if the text isn't one, or is negative or too long.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    nanoseconds(text.trim())
        .and_then(|nanos| {
            let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
            Some(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).ok()?))
        })
        .ok_or_else(|| InvalidDuration(text.to_owned()))
}

fn nanoseconds(mut text: &str) -> Option<u128> {
    let (mut total, mut before) = (0_u128, u128::MAX);
    loop {
        let name = text.find(char::is_alphabetic)?;
        let end = text[name..].find(|letter: char| !letter.is_alphabetic()).map_or(text.len(), |length| name + length);
        let unit = unit(&text[name..end])?;
        if unit >= before {
            return None;
        }
        total = total.checked_add(multiplied(text[..name].trim_end(), unit)?)?;
        (before, text) = (unit, text[end..].trim_start());
        if text.is_empty() {
            return Some(total);
        }
    }
}

/// The unit's length in nanoseconds.
fn unit(name: &str) -> Option<u128> {
    Some(match name {
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        "w" | "week" | "weeks" => 604_800_000_000_000,
        _ => return None,
    })
}

/// A decimal number times a unit. In integers, because a float can't represent every written number.
fn multiplied(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 26 || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole.parse::<u128>().ok()?.checked_mul(scale)?.checked_add(fraction)?.checked_mul(unit)? / scale)
}

/// Parses a number of bytes: `64 KiB`, `8 MiB`, `10 GB`.
///
/// # Errors
///
/// [`InvalidSize`] if the text isn't one.
pub fn parse_size(text: &str) -> Result<u64, InvalidSize> {
    text.parse::<bytesize::ByteSize>().map(|size| size.as_u64()).map_err(|_| InvalidSize(text.to_owned()))
}

/// A number of requests in a window, as `--limit` has it: `200/30s`. Both may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many requests.
    pub requests: u32,
    /// The window's length.
    pub window: Duration,
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let invalid = || InvalidRate(text.to_owned());
        let (requests, window) = text.split_once('/').ok_or_else(invalid)?;
        Ok(Self {
            requests: requests.trim().parse().map_err(|_| invalid())?,
            window: parse_duration(window).map_err(|_| invalid())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_units_largest_first() {
        for (text, seconds) in [
            ("30s", 30),
            ("15m", 900),
            ("48h", 172_800),
            ("90d", 7_776_000),
            ("1w", 604_800),
            ("1m 15s", 75),
            ("1h30m", 5400),
            (" 2 minutes 5 sec ", 125),
            ("0s", 0),
            ("0.5h", 1800),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, nanos) in
            [("500ms", 500_000_000), ("1.000000001s", 1_000_000_001), ("250us", 250_000), ("1µs", 1000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn invalid_durations_are_named_with_an_example() {
        for text in [
            "",
            " ",
            "soon",
            "5",
            "s",
            "-5s",
            "3 months",
            "1e99s",
            "5s 1m",
            "5s 5s",
            "1m 15",
            "1.s1",
            "1..5s",
            ".5s",
            "٣s",
            "1ſ",
            "99999999999999999999999999w",
            "12:00:00",
            "PT5M",
            "1.0000000001s",
        ] {
            let error = parse_duration(text).unwrap_err();
            assert_eq!(error.to_string(), format!("`{text}` is not a duration: use 500ms, 30s, 15m or 90d"));
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal() {
        assert_eq!(parse_size("8 MiB"), Ok(8 << 20));
        assert_eq!(parse_size("10GB"), Ok(10_000_000_000));
        assert_eq!(parse_size("many").unwrap_err().to_string(), "`many` is not a size: use 64 KiB, 8 MiB or 10 GB");
    }

    #[test]
    fn a_rate_is_a_count_and_a_duration() {
        assert_eq!("200/30s".parse(), Ok(Rate { requests: 200, window: Duration::from_secs(30) }));
        assert_eq!(" 5 / 1m 30s ".parse(), Ok(Rate { requests: 5, window: Duration::from_secs(90) }));
        for text in ["", "200", "x/30s", "200/soon", "-1/30s", "200/30", "4294967296/1s", "1/2/3s"] {
            let error = text.parse::<Rate>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{text}` is not a limit: use COUNT/TIME, such as 200/30s"));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text in ".{0,40}", digits in "[0-9.]{0,30}", unit in "(us|ms|s|m|h|d|w)?") {
            let _ = parse_duration(&text);
            let _ = parse_duration(&format!("{digits}{unit}"));
            let _ = text.parse::<Rate>();
        }

        #[test]
        fn milliseconds_are_exact(milliseconds: u64) {
            prop_assert_eq!(parse_duration(&format!("{milliseconds}ms")), Ok(Duration::from_millis(milliseconds)));
        }
    }
}
