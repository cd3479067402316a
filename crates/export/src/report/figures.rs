//! Numbers, sizes and times formatted for people. Times are UTC, as in the log.

use std::time::Duration;

use nightaudit_exchange::Timestamp;
pub(super) use nightaudit_units::{by_number, count, counted_as as counted, period, size};

/// `2026-11-23 12:00:00 UTC`
pub(super) fn time(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock} UTC"),
        _ => text,
    }
}

/// `11-23 12:00:00.123`
pub(super) fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(5..10), text.get(11..23)) {
        (Some(day), Some(clock)) => format!("{day} {clock}"),
        _ => text,
    }
}

/// `143 us`, `85.1 ms`, `10.00 s`
pub(super) fn micros(micros: u64) -> String {
    nightaudit_units::duration(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_a_unit() {
        assert_eq!([143, 85_120, 10_004_000, 300_000_000].map(micros), ["143 us", "85.1 ms", "10.00 s", "5m 00s"]);
        let at: Timestamp = "2026-11-23T12:00:00.123456Z".parse().unwrap();
        assert_eq!((time(at), clock(at)), ("2026-11-23 12:00:00 UTC".into(), "11-23 12:00:00.123".into()));
    }
}
