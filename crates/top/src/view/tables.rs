//! The limits and the findings as tables.

use nightaudit_text::{cut, cut_before};
use ratatui::{
    Frame,
    style::Color,
    text::{Line, Span},
};

use super::{BOLD, DIM, SELECTED, bar, fullest};
use crate::{layout::Areas, model::Model};

/// Every limit with its usage, refusals and delays.
pub(super) fn draw_limits(model: &Model, areas: &Areas, frame: &mut Frame<'_>) {
    let titles = Line::styled(" LIMIT        KEY            REFUSED  DELAYED", DIM);
    frame.render_widget(titles, areas.titles);
    let text = match &model.limits {
        None => "limits exist only while `nightaudit serve` runs",
        Some(limits) if limits.is_empty() => "no requests counted yet",
        Some(_) => "",
    };
    frame.render_widget(Line::styled(text, DIM).centered(), areas.body);
    let limits = fullest(model);
    let first = first(model.place, limits.len(), areas);
    for ((place, limit), area) in limits.iter().enumerate().skip(first).zip(areas.body.rows()) {
        let counts = format!("{:>7}  {:>7} ", limit.refused, limit.delayed);
        let mut line = bar(limit, usize::from(area.width).saturating_sub(counts.len() + 1));
        line.spans.insert(1, Span::styled(counts, DIM));
        frame.render_widget(line, area);
        if place == model.place {
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
