//! The limits and the findings as tables.

use std::time::Duration;

use nightaudit_console::LimitState;
use nightaudit_text::{cut, cut_before, duration, plain};
use ratatui::{
    Frame,
    style::{Color, Style},
    text::{Line, Span},
};

use super::{
    fleet::node_lines,
    style::{BOLD, DIM, SELECTED},
};
use crate::{layout::Areas, model::Model};

/// Every limit with its usage, refusals and delays.
pub(super) fn draw_limits(model: &Model, areas: &Areas, frame: &mut Frame<'_>) {
    let titles = Line::styled(" LIMIT        KEY            REFUSED  DELAYED", DIM);
    frame.render_widget(titles, areas.titles);
    let text = match &model.limits {
        None if model.limits_alert.is_some() => "",
        None => "limits exist only while `nightaudit serve` runs",
        Some(limits) if limits.is_empty() => "no requests counted yet",
        Some(_) => "",
    };
    frame.render_widget(Line::styled(text, DIM).centered(), areas.body);
    let (width, height) = (usize::from(areas.body.width), usize::from(areas.body.height).max(1));
    // A limit that several machines share has more than one line.
    let mut lines: Vec<(Line<'_>, bool)> = Vec::new();
    let mut end = height;
    for (place, limit) in fullest(model).into_iter().enumerate() {
        let counts = format!("{:>7}  {:>7} ", limit.refused, limit.delayed);
        let mut line = bar(limit, width.saturating_sub(counts.len() + 1));
        line.spans.insert(1, Span::styled(counts, DIM));
        let is_selected = place == model.place;
        lines.push((line, is_selected));
        lines.extend(node_lines(limit, width).into_iter().map(|line| (line, false)));
        if is_selected {
            end = end.max(lines.len());
        }
    }
    let visible = lines.into_iter().skip(end - height);
    for ((line, is_selected), area) in visible.zip(areas.body.rows()) {
        frame.render_widget(line, area);
        if is_selected {
            frame.buffer_mut().set_style(area, SELECTED);
        }
    }
}

/// The findings, grouped.
pub(super) fn draw_findings(model: &Model, areas: &Areas, frame: &mut Frame<'_>) {
    frame.render_widget(Line::styled("  TIMES  OPERATION                     FINDING", DIM), areas.titles);
    let findings = model.findings();
    if findings.is_empty() {
        let text = "no findings in the listed requests";
        frame.render_widget(Line::styled(text, DIM).centered(), areas.body);
    }
    let first = first(model.place, findings.len(), areas);
    for ((place, group), area) in findings.iter().enumerate().skip(first).zip(areas.body.rows()) {
        let line = Line::from(vec![
            Span::styled(format!("{:>7}  ", group.count), BOLD),
            Span::raw(format!("{:28}  ", cut_before(&group.operation, 28))),
            Span::styled(cut(&group.finding, usize::from(area.width).saturating_sub(39)), Color::Magenta),
        ]);
        frame.render_widget(line, area);
        if place == model.place {
            frame.buffer_mut().set_style(area, SELECTED);
        }
    }
}

/// The first visible line that keeps the cursor in view.
fn first(place: usize, lines: usize, areas: &Areas) -> usize {
    let height = usize::from(areas.body.height).max(1);
    (place + 1).saturating_sub(height).min(lines.saturating_sub(height))
}

/// The limits, fullest first.
pub(super) fn fullest(model: &Model) -> Vec<&LimitState> {
    let mut limits: Vec<&LimitState> = model.limits.iter().flatten().collect();
    // Thousandths, because floats aren't `Ord`.
    let left = |limit: &LimitState| u64::from(limit.left) * 1000 / u64::from(limit.used + limit.left).max(1);
    limits.sort_by_key(|limit| (left(limit), limit.rule.clone(), limit.key.clone()));
    limits
}

/// A limit's usage as a bar.
pub(super) fn bar(limit: &LimitState, width: usize) -> Line<'static> {
    let (used, whole) = (limit.used as usize, (limit.used + limit.left) as usize);
    let key = plain(limit.key.trim_start_matches("REDACTED:"));
    let name = format!(" {:12} {:14} ", cut(&plain(&limit.rule), 12), cut(&key, 14));
    let free = match (limit.closed_for_ms, limit.next_free_ms) {
        (Some(closed), _) => format!("blocked {}", duration(Duration::from_millis(closed))),
        (None, 0) => "free now".to_owned(),
        (None, wait) => format!("free in {}", duration(Duration::from_millis(wait))),
    };
    let text = format!(" {:>9} used  {free:15}", format!("{used}/{whole}"));
    let room = width.saturating_sub(name.chars().count() + text.chars().count() + 1);
    let full = (room * used).checked_div(whole).unwrap_or(0).min(room);
    let color = match (used * 100).checked_div(whole).unwrap_or(0) {
        0..70 => Color::Green,
        70..95 => Color::Yellow,
        _ => Color::Red,
    };
    Line::from(vec![
        Span::raw(name),
        Span::styled("█".repeat(full), color),
        Span::styled("░".repeat(room - full), DIM),
        Span::styled(text, if free == "free now" { DIM } else { Style::new().fg(Color::Red) }),
    ])
}
