//! One exchange: its summary, and request and response side by side.

use jiff::tz::TimeZone;
use nightaudit_exchange::Exchange;
use nightaudit_text::{Row, cut, duration, local, one_line, plain, size};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style},
    text::{Line, Span},
    widgets::{Block, BorderType},
};

use super::style::{BOLD, DIM, SELECTED, status};
use crate::{
    document::{Document, Kind},
    layout::summary_height,
    model::{Detail, Loaded, Model},
};

/// The minimum width for two panes side by side.
const SIDE_BY_SIDE: u16 = 60;

pub(super) fn draw(model: &Model, detail: &Detail, zone: &TimeZone, area: Rect, frame: &mut Frame<'_>) {
    let [summary, panes] =
        Layout::vertical([Constraint::Length(summary_height(model)), Constraint::Min(0)]).areas(area);
    let loaded = match &detail.loaded {
        None => return frame.render_widget(Line::styled(" loading", DIM), summary),
        Some(Err(error)) => {
            let line = format!(" {}", plain(&one_line(error)));
            return frame.render_widget(Line::styled(line, Color::Red), summary);
        }
        Some(Ok(loaded)) => loaded,
    };
    let marked = model.marked.contains(&detail.id);
    let lines = describe(&loaded.exchange, &detail.row, marked, zone);
    for (line, area) in lines.into_iter().zip(summary.rows()) {
        frame.render_widget(line, area);
    }
    let Loaded { request, response, .. } = loaded;
    if model.wide || panes.width < SIDE_BY_SIDE {
        let (title, document) = if detail.on_response { ("response", response) } else { ("request", request) };
        return draw_pane(title, document, true, panes, frame);
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(panes);
    draw_pane("request", request, !detail.on_response, left, frame);
    draw_pane("response", response, detail.on_response, right, frame);
}

/// An exchange's summary, and the violations of its contract.
fn describe(exchange: &Exchange, row: &Row, marked: bool, zone: &TimeZone) -> Vec<Line<'static>> {
    let mut first = vec![
        Span::raw(if marked { " * " } else { " " }),
        Span::styled(row.status.map_or_else(|| "---".to_owned(), |status| status.to_string()), status(row.status)),
        Span::styled(format!("  {}", row.operation), BOLD),
        Span::raw(format!("  {}", duration(row.took))),
    ];
    first.extend(row.events.iter().map(|event| Span::styled(format!("  {event}"), BOLD.fg(Color::Red))));
    first.extend(row.origin.map(|origin| Span::styled(format!("  {origin}"), DIM)));
    let sent_to = exchange.destination.as_ref().map(|destination| format!("  sent to {}", plain(&destination.address)));
    let limit = row.limit.map_or_else(String::new, |(left, limit)| format!("  {left}/{limit} left"));
    let second = format!(
        " {}  {}  {}{limit}  {} out, {} in  number {} of {}{}",
        exchange.id,
        local(exchange.started_at, zone, "%Y-%m-%d %H:%M:%S"),
        exchange.outcome,
        size(row.request),
        size(row.response),
        exchange.sequence,
        row.session,
        sent_to.unwrap_or_default(),
    );
    let findings = row.findings.iter().map(|finding| Line::styled(format!(" ! {finding}"), BOLD.fg(Color::Magenta)));
    let mut lines = vec![Line::from(first), Line::styled(second, DIM)];
    match row.found {
        0..=3 => lines.extend(findings),
        found => {
            lines.extend(findings.take(2));
            lines.push(Line::styled(format!(" ! and {} more: `nightaudit show`", found - 2), BOLD.fg(Color::Magenta)));
        }
    }
    lines
}

fn draw_pane(title: &str, document: &Document, has_keys: bool, area: Rect, frame: &mut Frame<'_>) {
    let (border, style) = if has_keys { (BorderType::Thick, BOLD) } else { (BorderType::Plain, DIM) };
    let block = Block::bordered().border_type(border).border_style(style).title(format!(" {title} "));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    for (shown, area) in document.shown(usize::from(inner.height)).zip(inner.rows()) {
        let style = match shown.kind {
            Kind::Head => BOLD,
            Kind::Header => Style::new().fg(Color::Cyan),
            Kind::Body => Style::new(),
            Kind::Note => DIM,
        };
        let width = usize::from(area.width);
        let text: String = shown.text.chars().skip(document.shifted()).collect();
        let mut line = Line::styled(cut(&text, width), style);
        if let Some(folded) = shown.folded {
            line.push_span(Span::styled(folded, DIM));
        }
        frame.render_widget(line, area);
        if shown.cursor && has_keys {
            frame.buffer_mut().set_style(area, SELECTED);
        }
    }
}
