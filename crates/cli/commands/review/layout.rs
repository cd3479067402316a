//! How a review is laid out in a terminal.

use std::fmt;

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use nightaudit_review::{Review, Severity};
use nightaudit_text::plain;

/// The width of the terminal, clamped to 60–120 columns; 80 without a terminal.
pub(crate) fn width() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0).clamp(60, 120))
}

/// A human-readable review.
pub(super) struct Summary<'a> {
    pub(super) review: &'a Review,
    pub(super) declaration: Option<&'a str>,
    pub(super) width: usize,
    pub(super) zone: &'a TimeZone,
}

/// Writes a section heading.
pub(super) fn heading(f: &mut fmt::Formatter<'_>, title: &str) -> fmt::Result {
    let style = Style::new().bold();
    writeln!(f, "\n{style}{title}{style:#}")
}

/// The colour of a severity.
pub(crate) fn severity_style(severity: Severity) -> Style {
    let color = match severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Note => AnsiColor::Cyan,
    };
    Style::new().fg_color(Some(color.into()))
}

/// Wraps text to `width`, each line indented, without control characters. Longer words are split.
pub(crate) fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let room = width.saturating_sub(indent.chars().count()).max(20);
    let mut lines: Vec<String> = vec![String::new()];
    let mut length = 0;
    for word in plain(text).split(' ').filter(|word| !word.is_empty()) {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(room) {
            if length > 0 && length + 1 + piece.len() > room {
                lines.push(String::new());
                length = 0;
            }
            if let Some(line) = lines.last_mut() {
                if length > 0 {
                    line.push(' ');
                    length += 1;
                }
                line.extend(piece);
                length += piece.len();
            }
        }
    }
    lines.iter().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n")
}

/// `60,000`
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let grouped = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap_or_default());
    grouped.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_to_the_width() {
        let text = format!("a bc {} d\u{1b}[2J", "x".repeat(50));
        let wrapped = wrapped(&text, 24, "    ");
        assert!(wrapped.lines().all(|line| line.chars().count() <= 24 && line.starts_with("    ")), "{wrapped}");
        assert!(!wrapped.contains('\u{1b}'));
        assert_eq!(super::wrapped("one two three", 20, ""), "one two three");
    }

    #[test]
    fn figures_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
