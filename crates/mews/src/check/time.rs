//! Times as the API writes them.

use jiff::Span;
use jiff::civil::{Date, DateTime};

/// A time in UTC: `2026-01-31T13:00:00Z`, with or without a fraction of the second.
pub(super) fn utc(text: &str) -> Option<DateTime> {
    let civil = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    date_time(civil)
}

/// A day, or a time on it, with or without a zone.
pub(super) fn date(text: &str) -> Option<DateTime> {
    let plain = text.len() == "2026-01-31".len() && is_plain(text);
    if plain { text.parse::<Date>().ok().map(Date::into) } else { utc(text).or_else(|| date_time(text)) }
}

/// Whether more than so many calendar months lie between `start` and `end`.
pub(super) fn is_longer(start: DateTime, end: DateTime, months: u8) -> bool {
    start.checked_add(Span::new().months(months)).is_ok_and(|longest| end > longest)
}

fn date_time(text: &str) -> Option<DateTime> {
    // The parser also takes forms that the API isn't known to take: a space for the T, no colons, annotations.
    let shaped = text.len() >= "2026-01-31T13:00".len() && text.as_bytes()[10] == b'T' && text.as_bytes()[13] == b':';
    if shaped && is_plain(text) { text.parse().ok() } else { None }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b':' | b'.' | b'T'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_utc_are_told_from_others() {
        for good in [
            "2016-03-10T13:00:00Z",
            "2017-01-01T23:00:00.000Z",
            "2017-01-01T23:00:00.1234567Z",
            "2017-01-01T23:00:00+00:00",
            "2017-01-01T23:00Z",
        ] {
            assert!(utc(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "Z",
            "2016-03-10",
            "2016-03-10Z",
            "2016-03-10T13:00:00",
            "2016-03-10T13:00:00+01:00",
            "2016-03-10 13:00:00Z",
            "20160310T130000Z",
            "2016-13-10T13:00:00Z",
            "2016-02-30T13:00:00Z",
            "2016-03-10T25:00:00Z",
            "2016-03-10T13:00:00[Europe/Prague]Z",
            "10.03.2016",
            "é016-03-10T13:00:00Z",
        ] {
            assert_eq!(utc(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_may_have_a_time() {
        for good in ["2024-01-02", "2024-01-02T00:00:00", "2024-01-02T00:00:00Z"] {
            assert!(date(good).is_some(), "{good}");
        }
        for bad in ["2024-1-2", "2024-02-30", "today", "2024-01-02T", "20240102.."] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let time = |text| utc(text).unwrap();
        let start = time("2024-11-30T00:00:00Z");
        assert!(!is_longer(start, time("2025-02-28T00:00:00Z"), 3));
        assert!(is_longer(start, time("2025-02-28T00:00:01Z"), 3));
        assert!(!is_longer(time("9999-12-01T00:00:00Z"), time("9999-12-31T00:00:00Z"), 3));
        assert!(!is_longer(time("2025-02-28T00:00:00Z"), start, 3));
    }
}
