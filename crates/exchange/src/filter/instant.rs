//! Parsing times as people write them, and as `tail` and `show` print them.

use jiff::{ToSpan as _, civil, tz::TimeZone};

use super::InvalidFilter;
use crate::Timestamp;

const ACCEPTED: &str = "10m, 2h or 3d (ago), a local time like 12:00, 12:00:00.123 or 2026-11-23 12:00, or \
                        2026-11-23T12:00:00Z";

/// Parses `--since` or `--until`: an age relative to `now` (`90s`, `10m`, `2h`, `3d`, `1w`), an RFC 3339 time, or a
/// date and a time, or either, in `zone`.
///
/// A date alone means its midnight. A time alone means the latest such time up to `now`, or with `after` the first one
/// after that.
pub(super) fn parse(
    flag: &'static str,
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
    after: Option<Timestamp>,
) -> Result<Timestamp, InvalidFilter> {
    let text = text.trim();
    if let Ok(ago) = nightaudit_units::parse_duration(text) {
        return Ok(now.minus(ago));
    }
    // `show` prints a space before the offset.
    let joined = [" +", " -"].iter().find_map(|gap| {
        let (time, offset) = text.rsplit_once(gap)?;
        Some(format!("{time}{}{offset}", &gap[1..]))
    });
    let instant = joined.as_deref().unwrap_or(text).parse().ok();
    instant.or_else(|| local(text, now, zone, after)).ok_or_else(|| InvalidFilter::value(flag, text, ACCEPTED))
}

fn local(text: &str, now: Timestamp, zone: &TimeZone, after: Option<Timestamp>) -> Option<Timestamp> {
    // Times that a clock change skips or repeats are resolved as in RFC 5545.
    let in_zone = |time: civil::DateTime| Some(Timestamp::from_micros(zone.to_timestamp(time).ok()?.as_microsecond()));
    if let Some(time) = time_of_day(text) {
        let day = |of: Timestamp| Some(zone.to_datetime(jiff::Timestamp::from_microsecond(of.micros()).ok()?).date());
        let (from, days) = match after {
            Some(after) => (day(after)?, [0, 1]),
            None => (day(now)?, [0, -1]),
        };
        let fits = |time: &Timestamp| after.map_or(*time <= now, |after| *time > after);
        let mut found = days.into_iter().filter_map(|days| {
            let date = from.checked_add(days.days()).ok()?;
            in_zone(date.to_datetime(time))
        });
        return found.find(fits);
    }
    // The parser would accept a zone and ignore it.
    if text.contains(['Z', 'z', '[', '+']) {
        return None;
    }
    in_zone(text.parse().ok()?)
}

/// `12:00`, `12:00:00` or `12:00:00.123`, and nothing ambiguous.
fn time_of_day(text: &str) -> Option<civil::Time> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    let hours = text.find(':')?;
    if !plain || hours == 0 || hours > 2 {
        return None;
    }
    // People write `9:05`; the parser wants `09:05`.
    format!("{text:0>width$}", width = text.len() + 2 - hours).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prague() -> TimeZone {
        // Spelled out as a rule, so the test needs no time zone database.
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn read(text: &str, now: &str, after: Option<&str>) -> Option<String> {
        let after = after.map(|after| after.parse().unwrap());
        parse("since", text, now.parse().unwrap(), &prague(), after).ok().map(|time| time.to_string())
    }

    #[test]
    fn ages_and_instants_are_parsed() {
        let now = "2026-11-23T12:00:00Z";
        for (text, instant) in [
            ("90s", "2026-11-23T11:58:30Z"),
            ("10m", "2026-11-23T11:50:00Z"),
            ("1.5h", "2026-11-23T10:30:00Z"),
            ("2 d", "2026-11-21T12:00:00Z"),
            ("1w", "2026-11-16T12:00:00Z"),
            (" 2026-11-23T13:00:00+02:00 ", "2026-11-23T11:00:00Z"),
            // As `show` prints it.
            ("2026-11-23 12:00:00.123456 +01:00", "2026-11-23T11:00:00.123456Z"),
            ("2026-11-23 12:00:00.123456 -05:00", "2026-11-23T17:00:00.123456Z"),
        ] {
            let instant: Timestamp = instant.parse().unwrap();
            assert_eq!(read(text, now, None), Some(instant.to_string()), "{text}");
        }
        for text in ["", "m", "-5m", "5", "1.5.5s", "99999999999999999999999w", "5 fortnights", "25:00", "12:60", ":30"]
        {
            assert_eq!(read(text, now, None), None, "{text}");
        }
        for text in ["123:00", "12:00Z", "2026-13-01", "2026-11-23 12:00 Prague", "2026-11-23T12:00[Europe/Nowhere]"] {
            assert_eq!(read(text, now, None), None, "{text}");
        }
    }

    #[test]
    fn local_times_as_printed_by_tail_are_parsed() {
        // 00:10 in Prague, of the 24th.
        let now = "2026-11-23T23:10:00Z";
        for (text, instant) in [
            ("00:05", "2026-11-23T23:05:00.000000Z"),
            ("0:05", "2026-11-23T23:05:00.000000Z"),
            ("00:10:00", "2026-11-23T23:10:00.000000Z"),
            // Not yet today: yesterday's.
            ("23:50:00.123", "2026-11-23T22:50:00.123000Z"),
            ("00:10:00.001", "2026-11-22T23:10:00.001000Z"),
            ("2026-11-24", "2026-11-23T23:00:00.000000Z"),
            ("2026-11-23 12:00", "2026-11-23T11:00:00.000000Z"),
            ("2026-11-23T12:00:00.5", "2026-11-23T11:00:00.500000Z"),
            // In summer.
            ("2026-07-01 12:00", "2026-07-01T10:00:00.000000Z"),
        ] {
            assert_eq!(read(text, now, None).as_deref(), Some(instant), "{text}");
        }
    }

    #[test]
    fn until_follows_since() {
        let now = "2026-11-24T09:00:00Z";
        let since = "2026-11-23T21:00:00Z";
        assert_eq!(read("23:00", now, Some(since)).as_deref(), Some("2026-11-23T22:00:00.000000Z"));
        assert_eq!(read("02:00", now, Some(since)).as_deref(), Some("2026-11-24T01:00:00.000000Z"));
        assert_eq!(read("22:00", now, Some(since)).as_deref(), Some("2026-11-24T21:00:00.000000Z"));
    }
}
