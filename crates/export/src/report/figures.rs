//! Numbers, sizes and times formatted for people. Times are UTC, as in the log.

use nightaudit_exchange::Timestamp;

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

/// `12,345`
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12,345 calls`, `1 call`
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `412 B`, `2.0 KiB`
pub(super) fn size(bytes: u64) -> String {
    scaled(bytes, &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)])
}

/// `143 µs`, `85.1 ms`, `10.0 s`
pub(super) fn micros(micros: u64) -> String {
    scaled(micros, &[("µs", 1), ("ms", 1_000), ("s", 1_000_000)])
}

/// `48 h 12 min`, `3 min 20 s`, `12 s`
pub(super) fn period(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{} h {minutes} min", count(hours)),
    }
}

/// The number in the largest unit in which it is at least 1.
fn scaled(number: u64, units: &[(&str, u64)]) -> String {
    let (name, unit) = units.iter().rfind(|(_, unit)| number >= *unit).unwrap_or(&units[0]);
    if *unit == 1 {
        return format!("{} {name}", count(number));
    }
    #[expect(clippy::cast_precision_loss, reason = "only three digits are shown")]
    let value = number as f64 / *unit as f64;
    if value >= 100.0 { format!("{} {name}", count(number / unit)) } else { format!("{value:.1} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_a_unit() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1023, 1024, 5 << 20].map(size), ["0 B", "1,023 B", "1.0 KiB", "5.0 MiB"]);
        assert_eq!([143, 85_120, 10_004_000, 300_000_000].map(micros), ["143 µs", "85.1 ms", "10.0 s", "300 s"]);
        assert_eq!([5, 200, 172_800].map(period), ["5 s", "3 min 20 s", "48 h 0 min"]);
        assert_eq!((counted(1, "call", "calls"), counted(2, "call", "calls")), ("1 call".into(), "2 calls".into()));
        let at: Timestamp = "2026-11-23T12:00:00.123456Z".parse().unwrap();
        assert_eq!((time(at), clock(at)), ("2026-11-23 12:00:00 UTC".into(), "11-23 12:00:00.123".into()));
    }
}
