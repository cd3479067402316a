//! The screen's layout, for drawing and for paging.

use ratatui::layout::{Constraint, Layout, Rect};

use super::model::{Model, Tab};

/// The areas of the screen, from the top.
pub(super) struct Areas {
    pub(super) header: Rect,
    pub(super) alert: Rect,
    pub(super) bars: Rect,
    pub(super) titles: Rect,
    pub(super) body: Rect,
    pub(super) footer: Rect,
}

/// Divides a screen of this size.
pub(super) fn areas(model: &Model, screen: Rect) -> Areas {
    let list = model.detail.is_none() && model.tab == Tab::Exchanges;
    let bars = if list { bars(model, screen.height) } else { 0 };
    let titles = u16::from(model.detail.is_none());
    let in_full = model.detail.is_none() && model.tab == Tab::Limits;
    let alert = model.limits_alert.as_ref().map_or(0, |_| if in_full { 3 } else { 1 });
    let header = 2 + archive(model, screen.height);
    let [header, alert, bars, titles] = [header, alert, bars, titles].map(Constraint::Length);
    let rows = Layout::vertical([header, alert, bars, titles, Constraint::Min(0), Constraint::Length(1)]);
    let [header, alert, bars, titles, body, footer] = rows.areas(screen);
    Areas { header, alert, bars, titles, body, footer }
}

/// Lines for the archive, if there is one; none on a tiny screen.
fn archive(model: &Model, height: u16) -> u16 {
    u16::from(model.archive.is_some() && height >= 8)
}

/// Lines for the fullest limits above the list: fewer on a small screen.
fn bars(model: &Model, height: u16) -> u16 {
    let most = match height {
        0..16 => 0,
        16..30 => 2,
        _ => 4,
    };
    model.limits.as_ref().map_or(0, |limits| u16::try_from(limits.len()).unwrap_or(most).min(most))
}

fn screen(model: &Model) -> Rect {
    Rect::new(0, 0, model.size.0, model.size.1)
}

/// Lines of the list.
pub(super) fn list_height(model: &Model) -> usize {
    usize::from(areas(model, screen(model)).body.height).max(1)
}

/// Lines of the limits or the findings.
pub(super) fn table_height(model: &Model) -> usize {
    list_height(model)
}

/// Lines for an exchange's summary, above its two messages.
pub(super) fn summary_height(model: &Model) -> u16 {
    let findings = model.detail.as_ref().map_or(0, |detail| detail.row.found.min(3));
    2 + u16::try_from(findings).unwrap_or(0)
}

/// Lines for a message within its frame.
pub(super) fn pane_height(model: &Model) -> usize {
    let body = areas(model, screen(model)).body;
    usize::from(body.height.saturating_sub(summary_height(model) + 2)).max(1)
}
