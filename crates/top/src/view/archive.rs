//! The archive's lag.

use std::time::Duration;

use nightaudit_console::ArchiveState;
use nightaudit_text::{counted, cut_before, duration, plain};
use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Style},
    text::{Line, Span},
};

use super::style::{BOLD, DIM};
use crate::model::Model;

/// What is behind is worth a look after this.
const LATE: Duration = Duration::from_secs(10);

/// What waits to be shipped, for how long, and what fails.
pub(super) fn draw(model: &Model, area: Rect, frame: &mut Frame<'_>) {
    let Some(archive) = model.archive.as_ref().filter(|_| !area.is_empty()) else { return };
    let state = state(archive);
    let style = match archive.failing {
        Some(_) => BOLD.fg(Color::Red),
        None if Duration::from_millis(archive.lag_ms) >= LATE => Style::new().fg(Color::Yellow),
        None => DIM,
    };
    let mut line = Line::from(vec![Span::styled(" archive  ", BOLD), Span::styled(state, style)]);
    if let Some(cause) = &archive.failing {
        let room = usize::from(area.width).saturating_sub(line.width() + 3);
        // It ends with what is wrong.
        line.push_span(Span::raw(format!("  {}", cut_before(&plain(cause), room))));
    }
    frame.render_widget(line, area);
}

fn state(archive: &ArchiveState) -> String {
    let lag = || duration(Duration::from_millis(archive.lag_ms));
    let behind = match (archive.behind, &archive.failing) {
        (0, None) => "up to date".to_owned(),
        (0, Some(_)) => "nothing waits".to_owned(),
        (behind, _) => format!("{} behind, oldest {}", counted(behind, "exchange"), lag()),
    };
    // One that goes on is told of by its cause.
    match archive.failures {
        failures if failures > 0 && archive.failing.is_none() => format!("{behind}, {}", counted(failures, "failure")),
        _ => behind,
    }
}
