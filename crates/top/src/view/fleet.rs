//! Limits that several machines share.

use nightaudit_console::LimitState;
use nightaudit_text::{cut, plain};
use ratatui::{
    Frame,
    layout::{Margin, Rect},
    style::Color,
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::style::{BOLD, DIM};
use crate::model::Model;

/// What is done while the store of the limits can't be reached, and why it can't: in a line, or in full if there is room.
pub(super) fn draw_alert(model: &Model, area: Rect, frame: &mut Frame<'_>) {
    let Some(told) = &model.limits_alert else { return };
    let room = area.inner(Margin::new(1, 0));
    let style = BOLD.fg(Color::Red);
    if room.height > 1 {
        frame.render_widget(Paragraph::new(plain(told)).style(style).wrap(Wrap::default()), room);
    } else {
        frame.render_widget(Line::styled(cut(&plain(told), usize::from(room.width)), style), room);
    }
}

/// What each machine uses of a limit, in lines of this width; none if it isn't shared.
pub(super) fn node_lines(limit: &LimitState, width: usize) -> Vec<Line<'static>> {
    const INDENT: &str = "              ";
    let room = width.saturating_sub(INDENT.len() + 1).max(1);
    let mut lines: Vec<String> = Vec::new();
    for of in &limit.nodes {
        let text = cut(&format!("{} by {}", of.used, plain(&of.node)), room);
        match lines.last_mut() {
            Some(line) if line.chars().count() + 2 + text.chars().count() <= room => {
                line.push_str(", ");
                line.push_str(&text);
            }
            _ => lines.push(text),
        }
    }
    lines.into_iter().map(|line| Line::from(vec![Span::raw(INDENT), Span::styled(line, DIM)])).collect()
}
