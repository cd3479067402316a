//! Text for a terminal.

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use nightaudit_exchange::Timestamp;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::terminal::is_terminal_control;

/// The colour of a status.
pub fn status_style(status: Option<u16>) -> Style {
    let color = match status {
        Some(200..=299) => AnsiColor::Green,
        Some(100..=199 | 300..=399) => AnsiColor::Cyan,
        Some(400..=499) => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    Style::new().fg_color(Some(color.into()))
}

/// A time in the local zone, by a `strftime` pattern.
pub fn local(time: Timestamp, zone: &TimeZone, pattern: &str) -> String {
    match jiff::Timestamp::from_microsecond(time.micros()) {
        Ok(instant) => instant.to_zoned_datetime(zone.clone()).strftime(pattern).to_string(),
        Err(_) => time.to_string(),
    }
}

/// Replaces control characters in untrusted text on one line.
pub fn plain(text: &str) -> String {
    text.chars().map(|letter| if is_terminal_control(letter) { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

/// Like [`plain`], but keeps line breaks.
pub fn plain_lines(text: &str) -> String {
    let keep = |letter: char| !is_terminal_control(letter) || matches!(letter, '\n' | '\t');
    text.chars().map(|letter| if keep(letter) { letter } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// The text, cut at the end to fit `room` columns; some characters take two.
pub fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    text.chars().take_while(|letter| fits(*letter, &mut left)).chain(['…']).collect()
}

/// The text, cut at the start to fit; the end of an operation tells more than its start.
pub fn cut_before(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let kept = text.char_indices().rev().take_while(|(_, letter)| fits(*letter, &mut left)).last();
    format!("…{}", kept.map_or("", |(start, _)| &text[start..]))
}

/// An operation, shortened to fit: drops its version first, then cuts its end, so that the resource stays visible.
pub fn cut_operation(operation: &str, room: usize) -> String {
    if operation.width() <= room {
        return operation.to_owned();
    }
    let is_version = |last: &str| last.len() == 10 && last.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match operation.rsplit_once('/') {
        Some((before, last)) if is_version(last) => cut(before, room),
        _ => cut(operation, room),
    }
}

fn fits(letter: char, left: &mut usize) -> bool {
    let width = letter.width().unwrap_or(0);
    let fits = width <= *left;
    *left = left.saturating_sub(width);
    fits
}

/// Pads the text with blanks to `columns`, on the left if `right`.
pub fn pad(text: &str, columns: usize, right: bool) -> String {
    let blanks = " ".repeat(columns.saturating_sub(text.width()));
    if right { format!("{blanks}{text}") } else { format!("{text}{blanks}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_over_the_network_cant_drive_the_terminal() {
        assert_eq!(plain("\u{9b}31m\u{202e}evil\u{2066}"), "\u{fffd}31m\u{fffd}evil\u{fffd}");
        assert_eq!(plain("\u{1b}]0;owned\u{7}\r\nfake"), "\u{fffd}]0;owned\u{fffd}\u{fffd}\u{fffd}fake");
        assert_eq!(plain_lines("a\tb\n\u{1b}[2J"), "a\tb\n\u{fffd}[2J");
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!([cut("reservations", 12), cut("reservations", 6)], ["reservations", "reser…"]);
        // Letters that take two columns.
        assert_eq!([cut("予約を取得", 6), cut_before("予約を取得", 6)], ["予約…", "…取得"]);
        assert_eq!([pad("予約", 6, false), pad("予約", 6, true)], ["予約  ", "  予約"]);
        assert_eq!([cut_before("rates/getAll", 12), cut_before("rates/getAll", 7)], ["rates/getAll", "…getAll"]);
    }

    #[test]
    fn a_long_operation_keeps_its_resource_and_loses_its_version() {
        let of = |room| cut_operation("reservations/getAll/2023-06-06", room);
        assert_eq!(
            [of(30), of(29), of(19), of(12)],
            ["reservations/getAll/2023-06-06", "reservations/getAll", "reservations/getAll", "reservation…"]
        );
        assert_eq!(cut_operation("services/getAvailability", 20), "services/getAvailab…");
        assert_eq!(cut_operation("2023-06-06", 5), "2023…");
    }
}
