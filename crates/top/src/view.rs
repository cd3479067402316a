//! Draws the model.

mod archive;
mod detail;
mod fleet;
mod style;
mod tables;

use std::time::Duration;

use jiff::tz::TimeZone;
use nightaudit_text::{Column, Columns, Mark, cut, duration, plain};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

use self::{
    style::{BOLD, DIM, SELECTED, status},
    tables::{bar, fullest},
};
use super::{
    keys::HELP,
    layout::{self, Areas},
    model::{Feed, Model, Tab},
    prompt::write_filter,
};

/// Draws everything, without colours if disabled.
pub(super) fn draw(model: &Model, zone: &TimeZone, colors: bool, frame: &mut Frame<'_>) {
    let areas = layout::areas(model, frame.area());
    draw_header(model, areas.header, frame);
    fleet::draw_alert(model, areas.alert, frame);
    match (&model.detail, model.tab) {
        (Some(detail), _) => detail::draw(model, detail, zone, areas.body, frame),
        (None, Tab::Exchanges) => draw_list(model, zone, &areas, frame),
        (None, Tab::Limits) => tables::draw_limits(model, &areas, frame),
        (None, Tab::Findings) => tables::draw_findings(model, &areas, frame),
    }
    draw_footer(model, areas.footer, frame);
    if model.help {
        draw_help(frame);
    }
    if !colors {
        remove_colors(frame.buffer_mut());
    }
}

fn draw_header(model: &Model, area: Rect, frame: &mut Frame<'_>) {
    let [tabs, figures, archive] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0)]).areas(area);
    archive::draw(model, archive, frame);
    let count = |tab: Tab| match tab {
        Tab::Exchanges => model.rows.len(),
        Tab::Limits => model.limits.as_ref().map_or(0, Vec::len),
        Tab::Findings => model.rows.iter().filter(|row| row.found > 0).count(),
    };
    let mut line = vec![Span::styled(" nightaudit ", BOLD)];
    for (tab, name) in [(Tab::Exchanges, "1 exchanges"), (Tab::Limits, "2 limits"), (Tab::Findings, "3 findings")] {
        let style = if tab == model.tab { SELECTED } else { Style::new() };
        line.push(Span::styled(format!(" {name} {} ", count(tab)), style));
        line.push(Span::raw(" "));
    }
    frame.render_widget(Line::from(line), tabs);
    let (state, color) = match model.feed {
        Feed::Opening => ("opening", Color::Yellow),
        Feed::Live if model.follow => ("live, following", Color::Green),
        Feed::Live => ("live", Color::Green),
        Feed::Waiting => ("serve is not running", Color::Yellow),
        Feed::Failed => ("stopped", Color::Red),
    };
    frame.render_widget(Line::styled(format!("{state} "), color).right_aligned(), tabs);

    let rates = model.rates.figures(model.now);
    let of = |took: Option<Duration>| took.map_or_else(|| "–".to_owned(), duration);
    let failed = if rates.count == 0 { 0.0 } else { 100.0 * f64::from(rates.failed) / f64::from(rates.count) };
    let text = format!(
        " {:.1}/s  p50 {}  p99 {}  {failed:.0} % errors of {} in 60 s",
        rates.rate,
        of(rates.p50),
        of(rates.p99),
        rates.count
    );
    frame.render_widget(Line::styled(text, DIM), figures);
    let filter = write_filter(&model.filter);
    if !filter.is_empty() {
        let room = usize::from(figures.width) / 2;
        let text = format!(" filter: {} ", cut(&plain(&filter), room));
        frame.render_widget(Line::styled(text, Color::Cyan).right_aligned(), figures);
    }
}

fn draw_list(model: &Model, zone: &TimeZone, areas: &Areas, frame: &mut Frame<'_>) {
    draw_bars(model, areas.bars, frame);
    // The left column is for the mark.
    let columns = Columns::fit(usize::from(areas.body.width).saturating_sub(2));
    let titles = columns.columns.iter().map(|(column, width)| {
        let title = column.title();
        if column.is_right() { format!("{title:>width$}  ") } else { format!("{title:width$}  ") }
    });
    frame.render_widget(Line::styled(format!("  {}", titles.collect::<String>()), DIM), areas.titles);
    if model.rows.is_empty() {
        let text = match model.feed {
            Feed::Opening => "reading the log",
            _ if model.filter == nightaudit_exchange::Filter::default() => "nothing recorded yet",
            _ => "no exchange matches the filter",
        };
        frame.render_widget(Line::styled(text, DIM).centered(), areas.body);
    }
    let rows = model.rows.iter().enumerate().skip(model.top);
    for ((place, row), area) in rows.zip(areas.body.rows()) {
        let mut spans = vec![Span::styled(if model.marked.contains(&row.id) { "* " } else { "  " }, BOLD)];
        for (column, width) in &columns.columns {
            let style = match column {
                Column::Status => status(row.status),
                Column::Operation => Style::new(),
                Column::Left if row.limit.is_some_and(|(left, _)| left == 0) => Style::new().fg(Color::Red),
                _ => DIM,
            };
            spans.push(Span::styled(columns.cell(row, *column, *width, zone), style));
            spans.push(Span::raw("  "));
        }
        for (mark, kind) in columns.marks(row) {
            let style = match kind {
                Mark::Event => BOLD.fg(Color::Red),
                Mark::Finding => BOLD.fg(Color::Magenta),
                Mark::Origin => DIM,
            };
            spans.push(Span::styled(mark, style));
            spans.push(Span::raw("  "));
        }
        let style = if place == model.selected { SELECTED } else { Style::new() };
        frame.render_widget(Line::from(spans).style(style), area);
        if place == model.selected {
            // To the edge, so that it looks like a bar.
            frame.buffer_mut().set_style(area, SELECTED);
        }
    }
}

/// The fullest limits, with the time until a permit is free.
fn draw_bars(model: &Model, area: Rect, frame: &mut Frame<'_>) {
    for (limit, area) in fullest(model).into_iter().zip(area.rows()) {
        frame.render_widget(bar(limit, usize::from(area.width)), area);
    }
}

fn draw_footer(model: &Model, area: Rect, frame: &mut Frame<'_>) {
    if let Some(prompt) = &model.prompt {
        let room = usize::from(area.width).saturating_sub(prompt.label().len() + 2);
        // Shows the end of the input.
        let skipped = prompt.text.chars().count().saturating_sub(room);
        let text: String = prompt.text.chars().skip(skipped).collect();
        let column = prompt.label().len() + text.chars().count();
        let hint = match &model.message {
            Some((message, _)) => Span::styled(format!("  {message}"), Color::Red),
            None => Span::styled(format!("  {}", prompt.hint()), DIM),
        };
        let line = Line::from(vec![Span::styled(prompt.label(), BOLD), Span::raw(text), Span::raw(" "), hint]);
        frame.render_widget(line, area);
        frame.set_cursor_position((area.x + u16::try_from(column).unwrap_or(area.width), area.y));
        return;
    }
    if let Some((message, wrong)) = &model.message {
        let style = if *wrong { BOLD.fg(Color::Red) } else { BOLD };
        return frame.render_widget(Line::styled(format!(" {}", plain(message)), style), area);
    }
    let keys = match (&model.detail, model.tab) {
        (Some(_), _) => "tab other side  enter fold  / search  J K next  w wide  ? keys  q back",
        (None, Tab::Exchanges) => "enter open  F follow  f filter  / search  x export  tab limits  ? keys  q quit",
        (None, Tab::Limits) => "tab findings  q back  ? keys",
        (None, Tab::Findings) => "enter open the last one  tab exchanges  q back  ? keys",
    };
    frame.render_widget(Line::styled(format!(" {keys}"), DIM), area);
    let marked = model.marked.len();
    if marked > 0 {
        frame.render_widget(Line::styled(format!(" {marked} marked "), BOLD).right_aligned(), area);
    }
}

fn draw_help(frame: &mut Frame<'_>) {
    let screen = frame.area();
    let (width, height) = (76.min(screen.width), (HELP.len() as u16 + 2).min(screen.height));
    let area = Rect::new((screen.width - width) / 2, (screen.height - height) / 2, width, height);
    let lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(keys, what)| Line::from(vec![Span::styled(format!(" {keys:19}"), BOLD), Span::raw(*what)]))
        .collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), area);
}

fn remove_colors(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
    }
}
