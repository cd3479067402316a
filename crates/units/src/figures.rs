//! Formatting for people.

use std::time::Duration;

/// A number with commas: `60,000`.
#[must_use]
pub fn count(number: u64) -> String {
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

/// A number of things: `1 exchange`, `12,345 exchanges`. The plural has an `s` at its end.
#[must_use]
pub fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// The word for a number of things: that for one, or that for any other number.
///
/// ```
/// use nightaudit_units::by_number;
///
/// assert_eq!([0, 1, 2].map(|number| by_number(number, "is", "are")), ["are", "is", "are"]);
/// ```
#[must_use]
pub const fn by_number<'w>(number: u64, one: &'w str, many: &'w str) -> &'w str {
    if number == 1 { one } else { many }
}

/// A number of things with what is said of them: `1 value looks real`, `2 values look real`.
///
/// ```
/// use nightaudit_units::counted_as;
///
/// let said = |number| counted_as(number, "value looks real", "values look real");
/// assert_eq!([0, 1, 2].map(said), ["0 values look real", "1 value looks real", "2 values look real"]);
/// ```
#[must_use]
pub fn counted_as(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), by_number(number, one, many))
}

/// A number of bytes: `412 B`, `2.0 KiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// A duration with three significant digits: `84.3 ms`, `1.25 s`, `3m 20s`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let seconds = duration.as_secs_f64();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..100_000 => format!("{:.1} ms", seconds * 1e3),
        100_000..1_000_000 => format!("{:.0} ms", seconds * 1e3),
        1_000_000..60_000_000 => format!("{seconds:.2} s"),
        _ => format!("{}m {:02}s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

/// A long duration in its two largest units, for a column: `42s`, `3m 20s`, `47h 30m`, `5d 2h`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..172_800 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A long duration for a sentence: `45 s`, `12 min`, `47 h 59 min`.
#[must_use]
pub fn period(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ if seconds % 3600 < 60 => format!("{} h", count(seconds / 3600)),
        _ => format!("{} h {} min", count(seconds / 3600), seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_commas() {
        assert_eq!([0, 999, 1_000, 60_000, 1_234_567].map(count), ["0", "999", "1,000", "60,000", "1,234,567"]);
    }

    #[test]
    fn one_is_singular() {
        let of = |number| counted(number, "exchange");
        assert_eq!(
            [0, 1, 2, 1_001].map(of),
            ["0 exchanges", "1 exchange", "2 exchanges", "1,001 exchanges"].map(str::to_owned)
        );
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!([0, 412, 1024, 2088, 5 << 20].map(size), ["0 B", "412 B", "1.0 KiB", "2.0 KiB", "5.0 MiB"]);
    }

    #[test]
    fn durations_have_three_figures() {
        let of = |micros| duration(Duration::from_micros(micros));
        assert_eq!(
            [of(0), of(999), of(84_312), of(843_120), of(1_250_000), of(200_000_000)],
            ["0 us", "999 us", "84.3 ms", "843 ms", "1.25 s", "3m 20s"]
        );
    }

    #[test]
    fn long_durations_have_two_units_at_most() {
        let of = |seconds| span(Duration::from_secs(seconds));
        assert_eq!([of(0), of(42), of(200), of(171_000), of(180_000)], ["0s", "42s", "3m 20s", "47h 30m", "2d 2h"]);
        assert_eq!(
            [45, 119, 120, 7199, 7200, 172_740, 172_800].map(period),
            ["45 s", "119 s", "2 min", "119 min", "2 h", "47 h 59 min", "48 h"]
        );
    }
}
