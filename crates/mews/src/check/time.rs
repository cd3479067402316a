//! Times in the API's formats.

use jiff::Span;
use jiff::civil::{Date, DateTime};

use crate::catalogue::{Delay, DelayUnit};

/// A time in UTC: `2026-01-31T13:00:00Z`, with or without a fraction of the second.
pub(super) fn utc(text: &str) -> Option<DateTime> {
    let civil = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    date_time(civil)
}

/// A date, or a time with or without a zone.
pub(super) fn date(text: &str) -> Option<DateTime> {
    let plain = text.len() == "2026-01-31".len() && is_plain(text);
    if plain { text.parse::<Date>().ok().map(Date::into) } else { utc(text).or_else(|| date_time(text)) }
}

/// Whether `start` to `end` is longer than `months` calendar months.
pub(super) fn is_longer(start: DateTime, end: DateTime, months: u8) -> bool {
    start.checked_add(Span::new().months(months)).is_ok_and(|longest| end > longest)
}

/// Whether `start` to `end` is longer than `days` days.
pub(super) fn is_longer_than_days(start: DateTime, end: DateTime, days: u16) -> bool {
    start.checked_add(Span::new().days(days)).is_ok_and(|longest| end > longest)
}

/// Whether this instant can be the start of a month in some time zone.
pub(super) fn may_begin_month(time: DateTime) -> bool {
    // Time zones range from UTC-12 to UTC+14.
    let is_last = || time.checked_add(Span::new().hours(14)).is_ok_and(|later| later.day() == 1);
    (time.day() == 1 && time.hour() <= 12) || is_last()
}

/// Whether this instant can be the start of a time unit in some time zone: offsets are multiples of 15 minutes.
pub(super) fn may_begin_time_unit(time: DateTime) -> bool {
    time.minute() % 15 == 0 && time.second() == 0 && time.subsec_nanosecond() == 0
}

/// `time` plus `delay`.
pub(super) fn later(time: DateTime, delay: Delay) -> Option<DateTime> {
    let span = match delay.unit {
        DelayUnit::Minutes => Span::new().try_minutes(delay.count),
        DelayUnit::Days => Span::new().try_days(delay.count),
        DelayUnit::Years => Span::new().try_years(delay.count),
    };
    time.checked_add(span.ok()?).ok()
}

/// Whether a month, `2026-01`, has started in every time zone by the instant `sent`.
pub(super) fn has_begun(month: &str, sent: DateTime) -> bool {
    // The last time zone is UTC-12.
    let last = sent.checked_sub(Span::new().hours(12));
    last.is_ok_and(|last| month <= &*format!("{:04}-{:02}", last.year(), last.month()))
}

/// A month: `2026-01`.
pub(super) fn is_month(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 7
        && bytes[4] == b'-'
        && bytes.iter().enumerate().all(|(at, byte)| at == 4 || byte.is_ascii_digit())
        && matches!(&bytes[5..], [b'0', b'1'..=b'9'] | [b'1', b'0'..=b'2'])
}

/// An ISO 8601 duration, including .NET's variants: `P0Y0M1DT0H0M0S`, `P1DT12H`, `-PT30M`, `PT0.5S`.
pub(super) fn is_duration(text: &str) -> bool {
    let Some(text) = text.strip_prefix(['-', '+']).unwrap_or(text).strip_prefix('P') else { return false };
    let (days, time) = text.split_once('T').map_or((text, None), |(days, time)| (days, Some(time)));
    let is_empty = days.is_empty() && time.is_none();
    let has_late_fraction = time.is_some() && days.contains(['.', ',']);
    !is_empty
        && !has_late_fraction
        && has_units(days, "YMWD")
        && time.is_none_or(|time| !time.is_empty() && has_units(time, "HMS"))
}

/// Whether `text` is a sequence of numbers followed by `units` in their order; the last number may have a fraction.
fn has_units(mut text: &str, units: &str) -> bool {
    let mut left = units;
    while !text.is_empty() {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let rest = &text[digits..];
        let fraction = match rest.as_bytes() {
            [b'.' | b',', more @ ..] => 1 + more.iter().take_while(|byte| byte.is_ascii_digit()).count(),
            _ => 0,
        };
        let after = &rest[fraction..];
        let Some(unit) = after.chars().next() else { return false };
        let Some(at) = left.find(unit) else { return false };
        let is_last = after.len() == unit.len_utf8();
        if digits == 0 || fraction == 1 || (fraction > 0 && !is_last) {
            return false;
        }
        left = &left[at + unit.len_utf8()..];
        text = &after[unit.len_utf8()..];
    }
    true
}

/// A hyphenated GUID in either case: `3fa85f64-5717-4562-b3fc-2c963f66afa6`.
pub(super) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn date_time(text: &str) -> Option<DateTime> {
    // The parser also accepts forms that the API isn't known to accept: a space for the T, no colons, annotations.
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
    fn durations_are_those_of_iso_8601() {
        for good in ["P0Y0M1DT0H0M0S", "P1DT12H", "PT30M", "-P1D", "P0M2DT0H0M0S", "P2W", "PT0.5S", "+P1Y", "PT36H"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in [
            "",
            "P",
            "PT",
            "1D",
            "P1",
            "P1DT",
            "PD",
            "P1H",
            "PT1D",
            "P1M1Y",
            "P1.5DT1H",
            "1.00:00:00",
            "24:00:00",
            "P1.D",
            "p1d",
            "P1D ",
            "-",
        ] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn guids_and_months_are_told_from_others() {
        for good in ["3fa85f64-5717-4562-b3fc-2c963f66afa6", "86336EAC-4168-46B1-A544-2A47251BF864"] {
            assert!(is_guid(good), "{good}");
        }
        let short = "3fa85f6457174562b3fc2c963f66afa6";
        for bad in ["", "1", short, "{3fa85f64-5717-4562-b3fc-2c963f66afa6}", "3fa85f64-5717-4562-b3fc-2c963f66afag"] {
            assert!(!is_guid(bad), "{bad}");
        }
        for good in ["2026-01", "2026-12"] {
            assert!(is_month(good), "{good}");
        }
        for bad in ["2026-13", "2026-00", "01/2026", "2026-1", "2026-01-01", "2026_01", "20é6-1"] {
            assert!(!is_month(bad), "{bad}");
        }
    }

    #[test]
    fn a_month_begins_at_midnight_somewhere() {
        let time = |text| utc(text).unwrap();
        for may in ["2026-01-01T00:00:00Z", "2026-01-31T23:00:00Z", "2026-01-01T12:00:00Z", "2025-12-31T10:00:00Z"] {
            assert!(may_begin_month(time(may)), "{may}");
        }
        for never in ["2026-01-02T00:00:00Z", "2026-01-01T13:00:00Z", "2026-01-31T09:00:00Z", "2026-01-15T00:00:00Z"] {
            assert!(!may_begin_month(time(never)), "{never}");
        }
    }

    #[test]
    fn time_units_begin_on_quarters_of_an_hour() {
        for may in ["2026-01-01T23:00:00Z", "2026-01-01T18:30:00Z", "2026-01-01T18:15:00.000Z", "2026-01-01T05:45Z"] {
            assert!(may_begin_time_unit(utc(may).unwrap()), "{may}");
        }
        for never in ["2026-01-01T23:59:59Z", "2026-01-01T18:31:00Z", "2026-01-01T18:15:00.001Z"] {
            assert!(!may_begin_time_unit(utc(never).unwrap()), "{never}");
        }
    }

    #[test]
    fn a_month_has_begun_once_it_has_everywhere() {
        let sent = |text| utc(text).unwrap();
        assert!(has_begun("2026-01", sent("2026-01-01T12:00:00Z")));
        assert!(!has_begun("2026-01", sent("2026-01-01T11:59:59Z")), "somewhere it is still December");
        assert!(has_begun("2025-12", sent("2026-01-01T00:00:00Z")));
        assert!(!has_begun("2026-02", sent("2026-01-31T23:00:00Z")));
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
