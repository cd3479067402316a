//! Styles of the view.

use anstyle::AnsiColor;
use nightaudit_text::status_style;
use ratatui::style::{Color, Modifier, Style};

pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// The style of a status, as in `tail`.
pub(super) fn status(status: Option<u16>) -> Style {
    let color = match status_style(status).get_fg_color() {
        Some(anstyle::Color::Ansi(AnsiColor::Green)) => Color::Green,
        Some(anstyle::Color::Ansi(AnsiColor::Cyan)) => Color::Cyan,
        Some(anstyle::Color::Ansi(AnsiColor::Yellow)) => Color::Yellow,
        _ => Color::Red,
    };
    Style::new().fg(color)
}
