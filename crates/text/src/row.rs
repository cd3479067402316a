//! An exchange on one line, in columns that fit the width.

use std::{fmt, time::Duration};

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use nightaudit_exchange::{Alteration, Decision, Direction, Exchange, ExchangeId, Outcome, Timestamp};
use nightaudit_mews::{Contracts, WebhookEvents};
use nightaudit_review::OriginStatus;
use nightaudit_units::{duration, size};
use unicode_width::UnicodeWidthStr as _;

use crate::line::{cut, cut_operation, local, pad, plain, status_style};

/// An exchange's data for one line: small, and free of control characters.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its id.
    pub id: ExchangeId,
    /// When the request came.
    pub started: Timestamp,
    /// The response's status; `None` without a response.
    pub status: Option<u16>,
    /// The operation, with its version.
    pub operation: String,
    /// From the request's first byte to the end of the response.
    pub took: Duration,
    /// Size of the request body, or bytes sent over a WebSocket.
    pub request: u64,
    /// Size of the response body, or bytes received over a WebSocket.
    pub response: u64,
    /// Requests left under the limit, and the limit.
    pub limit: Option<(u32, u32)>,
    /// The access token's pseudonym, without the common prefix.
    pub token: String,
    /// The session's name.
    pub session: String,
    /// The node that recorded it, where several are shown; empty where not.
    pub node: String,
    /// Notable events.
    pub events: Vec<String>,
    /// Why it doesn't show how Mews behaves, if so: another host responded, or it was altered.
    pub origin: Option<&'static str>,
    /// The first violations of the operation's contract.
    pub findings: Vec<String>,
    /// The number of violations.
    pub found: usize,
}

/// How many kinds of events a mark names.
const EVENT_KINDS: usize = 3;

/// How many violations a row keeps.
const FINDINGS: usize = 8;

impl Row {
    /// Builds the row of an exchange, checking its request against `contracts`.
    pub fn new(exchange: &Exchange, contracts: &Contracts) -> Self {
        let mut findings = findings(exchange, contracts);
        let found = findings.len();
        findings.truncate(FINDINGS);
        let token = exchange.envelope.access_token.map_or_else(String::new, |token| token.to_string());
        Self {
            id: exchange.id,
            started: exchange.started_at,
            status: exchange.status(),
            operation: plain(&exchange.operation),
            took: exchange.duration(),
            request: exchange.request.body.length + said(exchange, Direction::Send),
            response: exchange.response.as_ref().map_or(0, |response| response.body.length)
                + said(exchange, Direction::Receive),
            limit: exchange.limit.as_ref().map(|limit| (limit.limit.saturating_sub(limit.used), limit.limit)),
            token: token.trim_start_matches("REDACTED:").to_owned(),
            session: plain(&exchange.session_name),
            node: String::new(),
            events: events(exchange),
            origin: origin(exchange),
            findings,
            found,
        }
    }

    /// A column's text.
    pub fn cell(&self, column: Column, zone: &TimeZone) -> String {
        match column {
            Column::Time => local(self.started, zone, "%H:%M:%S%.3f"),
            Column::Id => {
                let id = self.id.to_string();
                id[id.len() - ID..].to_owned()
            }
            Column::Status => self.status.map_or_else(|| "---".to_owned(), |status| status.to_string()),
            Column::Operation => self.operation.clone(),
            Column::Took => duration(self.took),
            Column::Request => size(self.request),
            Column::Response => size(self.response),
            Column::Left => self.limit.map_or_else(String::new, |(left, limit)| format!("{left}/{limit}")),
            Column::Token => self.token.clone(),
            Column::Session => self.session.clone(),
            Column::Node => self.node.clone(),
        }
    }
}

/// Bytes sent over a WebSocket in one direction.
fn said(exchange: &Exchange, direction: Direction) -> u64 {
    let messages = exchange.web_socket.iter().flat_map(|part| &part.messages);
    messages.filter(|message| message.direction == direction).map(|message| message.body.length).sum()
}

/// The notable events of an exchange.
fn events(exchange: &Exchange) -> Vec<String> {
    let mut marks = Vec::new();
    if exchange.is_webhook() {
        marks.push(webhook(exchange));
    }
    match exchange.outcome {
        // The fault says it.
        Outcome::Answered | Outcome::Faulted => {}
        Outcome::Refused => {
            let rule = exchange.limit.as_ref().map_or("", |limit| &limit.rule);
            marks.push(format!("refused by {}", plain(rule)));
        }
        outcome => marks.push(match &exchange.error {
            Some(failure) => format!("{outcome}: {}", failure.kind),
            None => outcome.to_string(),
        }),
    }
    if let Some(fault) = &exchange.fault {
        marks.push(format!("fault: {}", plain(&fault.to_string())));
    }
    if let Some(part) = &exchange.web_socket {
        let (sent, received) = part.counts();
        marks.push(format!("websocket: {sent} sent, {received} received"));
        if !part.omitted.is_none() {
            marks.push(format!("{} not recorded", nightaudit_units::counted(part.omitted.messages, "message")));
        }
    }
    match exchange.limit.as_ref().map(|limit| (limit.decision, limit.waited_ms)) {
        Some((Decision::Delayed, waited)) => marks.push(format!("delayed {}", duration(Duration::from_millis(waited)))),
        Some((Decision::Observed, _)) => marks.push("over the limit".to_owned()),
        _ => {}
    }
    marks
}

/// `← from Mews: ServiceOrderUpdated × 2, CustomerAdded`
fn webhook(exchange: &Exchange) -> String {
    let events = WebhookEvents::read(&exchange.request.body.decoded().0);
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for (kind, _) in events.iter() {
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    let more = kinds.len().saturating_sub(EVENT_KINDS);
    let shown = kinds.iter().take(EVENT_KINDS).map(|(kind, count)| match count {
        1 => plain(kind),
        count => format!("{} × {count}", plain(kind)),
    });
    let shown: Vec<String> = shown.chain((more > 0).then(|| format!("{more} more kinds"))).collect();
    if shown.is_empty() { "← from Mews".to_owned() } else { format!("← from Mews: {}", shown.join(", ")) }
}

/// Why an exchange doesn't show how Mews behaves; `None` if Mews responded or nothing was sent.
fn origin(exchange: &Exchange) -> Option<&'static str> {
    // A webhook goes to the integration.
    let destination = exchange.destination.as_ref().filter(|_| !exchange.is_webhook());
    let standing = destination.map(OriginStatus::of);
    match (exchange.alteration, standing) {
        (_, Some(OriginStatus::NotMews)) => Some("not Mews"),
        (Some(Alteration::Edited), _) => Some("altered"),
        (Some(Alteration::Masked), _) => Some("values masked"),
        // What another tool says of the host is in the exchange.
        (None, _) if exchange.recorded_by.is_some() => Some("imported"),
        (None, Some(OriginStatus::NotVouched)) => Some("not proven to be Mews"),
        _ => None,
    }
}

/// The violations of a request's contract, as [`Contracts::check_exchange`] finds them.
pub fn findings(exchange: &Exchange, contracts: &Contracts) -> Vec<String> {
    contracts.check_exchange(exchange).iter().map(|finding| plain(&finding.to_string())).collect()
}

/// A column of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// When the request came.
    Time,
    /// The end of the id, which commands accept; the start is the time, which neighbours share.
    Id,
    /// The response's status.
    Status,
    /// The operation.
    Operation,
    /// The duration.
    Took,
    /// Size of the request.
    Request,
    /// Size of the response.
    Response,
    /// Requests left under the limit.
    Left,
    /// The access token's pseudonym.
    Token,
    /// The session's name.
    Session,
    /// The node that recorded it.
    Node,
}

impl Column {
    const ALL: [Self; 11] = [
        Self::Time,
        Self::Id,
        Self::Status,
        Self::Operation,
        Self::Took,
        Self::Request,
        Self::Response,
        Self::Left,
        Self::Token,
        Self::Session,
        Self::Node,
    ];

    /// The columns dropped from narrow lines, least important last.
    const OPTIONAL: [Self; 5] = [Self::Left, Self::Response, Self::Request, Self::Session, Self::Token];

    /// Its minimum width.
    const fn width(self) -> usize {
        match self {
            Self::Time | Self::Token => 12,
            Self::Node => 10,
            Self::Id => ID,
            Self::Status => 3,
            Self::Operation => OPERATION.0,
            Self::Took => 8,
            Self::Request | Self::Response | Self::Left => 9,
            Self::Session => 16,
        }
    }

    /// Whether it is right-aligned, like figures.
    #[must_use]
    pub const fn is_right(self) -> bool {
        matches!(self, Self::Took | Self::Request | Self::Response | Self::Left)
    }

    /// Its title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Time => "TIME",
            Self::Id => "ID",
            Self::Status => "",
            Self::Operation => "OPERATION",
            Self::Took => "TOOK",
            Self::Request => "SENT",
            Self::Response => "RECEIVED",
            Self::Left => "LEFT",
            Self::Token => "TOKEN",
            Self::Session => "SESSION",
            Self::Node => "NODE",
        }
    }
}

/// Characters of an id's end: 30 bits.
const ID: usize = 6;
/// The minimum and maximum width of an operation.
const OPERATION: (usize, usize) = (20, 44);
/// The minimum width of the marks.
const MARKS: usize = 16;
/// The gap between two columns.
const GAP: usize = 2;

/// The columns that fit a width, with their widths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Each with its width.
    pub columns: Vec<(Column, usize)>,
    /// The width left for marks; `None` if unlimited.
    pub marks: Option<usize>,
}

impl Columns {
    /// All columns but the id and the node, uncut.
    pub fn all() -> Self {
        Self::as_long(|column| ![Column::Id, Column::Node].contains(&column))
    }

    /// All columns but the node, uncut.
    pub fn all_with_id() -> Self {
        Self::as_long(|column| column != Column::Node)
    }

    /// All columns, uncut.
    pub fn all_with_node() -> Self {
        Self::as_long(|_| true)
    }

    fn as_long(wanted: impl Fn(Column) -> bool) -> Self {
        let width = |column| if column == Column::Operation { OPERATION.1 } else { Column::width(column) };
        let columns = Column::ALL.into_iter().filter(|column| wanted(*column));
        Self { columns: columns.map(|column| (column, width(column))).collect(), marks: None }
    }

    /// As many columns as fit `width`, without the id.
    pub fn fit(width: usize) -> Self {
        Self::fitting(width, &Column::OPTIONAL, MARKS)
    }

    /// As many columns as fit `width`, with the id first.
    pub fn fit_with_id(width: usize) -> Self {
        let optional: Vec<Column> = std::iter::once(Column::Id).chain(Column::OPTIONAL).collect();
        // What is left of the limit stays on a line of 80 letters, too.
        Self::fitting(width, &optional, MARKS - Column::Id.width())
    }

    /// As many columns as fit `width`, with the id and the node first.
    pub fn fit_with_node(width: usize) -> Self {
        let optional: Vec<Column> = [Column::Id, Column::Node].into_iter().chain(Column::OPTIONAL).collect();
        // The node stays on a line of 80 letters.
        Self::fitting(width, &optional, MARKS - Column::Id.width() - 1)
    }

    fn fitting(width: usize, optional: &[Column], marks: usize) -> Self {
        let needed = |columns: &[Column]| columns.iter().map(|column| column.width() + GAP).sum::<usize>() + marks;
        let mut chosen = vec![Column::Time, Column::Status, Column::Operation, Column::Took];
        for column in optional {
            chosen.push(*column);
            if needed(&chosen) > width {
                chosen.pop();
                break;
            }
        }
        let spare = width.saturating_sub(needed(&chosen));
        let more = spare.min(OPERATION.1 - OPERATION.0);
        let columns = Column::ALL.into_iter().filter(|column| chosen.contains(column));
        let width_of = |column| if column == Column::Operation { OPERATION.0 + more } else { Column::width(column) };
        Self { columns: columns.map(|column| (column, width_of(column))).collect(), marks: Some(marks + spare - more) }
    }

    /// Drops trailing columns that repeat the row before, if the marks need the space.
    #[must_use]
    pub fn for_marks(&self, row: &Row, before: Option<&Row>) -> Self {
        let mut columns = self.clone();
        let (Some(room), Some(before)) = (columns.marks.as_mut(), before) else { return columns };
        let marks = Self { marks: None, ..self.clone() }.marks(row);
        let needed = marks.iter().map(|(mark, _)| mark.width() + GAP).sum::<usize>().saturating_sub(GAP);
        while needed > *room
            && let Some((column, width)) = columns.columns.last()
            && match column {
                Column::Node => row.node == before.node,
                Column::Session => row.session == before.session,
                Column::Token => row.token == before.token,
                _ => false,
            }
        {
            *room += width + GAP;
            columns.columns.pop();
        }
        columns
    }

    /// A row's text in a column, padded to its width.
    pub fn cell(&self, row: &Row, column: Column, width: usize, zone: &TimeZone) -> String {
        let text = row.cell(column, zone);
        let text = match column {
            // Without a width, nothing is cut.
            _ if self.marks.is_none() => text,
            Column::Operation => cut_operation(&text, width),
            _ => cut(&text, width),
        };
        pad(&text, width, column.is_right())
    }

    /// The marks that fit.
    pub fn marks(&self, row: &Row) -> Vec<(String, Mark)> {
        let mut room = self.marks.unwrap_or(usize::MAX);
        let mut shown = Vec::new();
        let events = row.events.iter().map(|event| (event.clone(), Mark::Event));
        // The number of findings, and the first one.
        let count = if row.found > 1 { row.found.to_string() } else { String::new() };
        let finding = row.findings.first().map(|finding| (format!("!{count} {finding}"), Mark::Finding));
        // What repeats on every line of a session comes last, so that it is dropped first.
        let origin = row.origin.map(|origin| (origin.to_owned(), Mark::Origin));
        for (mark, kind) in events.chain(finding).chain(origin) {
            let mark = if room == usize::MAX { mark } else { cut(&mark, room) };
            if mark.width() < 2 {
                break;
            }
            room = room.saturating_sub(mark.width() + GAP);
            shown.push((mark, kind));
        }
        shown
    }
}

/// The kind of a mark, which determines its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// An event.
    Event,
    /// A violation of the operation's contract.
    Finding,
    /// Who responded, if not Mews.
    Origin,
}

/// A row on one line, with ANSI colours.
pub struct Line<'a> {
    /// The row.
    pub row: &'a Row,
    /// The columns to show.
    pub columns: &'a Columns,
    /// The zone for times.
    pub zone: &'a TimeZone,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, columns, zone } = *self;
        let marks = columns.marks(row);
        let last = columns.columns.len() - 1;
        for (place, (column, width)) in columns.columns.iter().enumerate() {
            let cell = columns.cell(row, *column, *width, zone);
            let style = if *column == Column::Status { status_style(row.status) } else { Style::new() };
            // No trailing blanks.
            let cell = if place == last && marks.is_empty() { cell.trim_end() } else { &cell };
            write!(f, "{style}{cell}{style:#}{:1$}", "", if place == last { 0 } else { GAP })?;
        }
        for (mark, kind) in marks {
            let style = match kind {
                Mark::Event => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
                Mark::Finding => Style::new().bold().fg_color(Some(AnsiColor::Magenta.into())),
                Mark::Origin => Style::new().dimmed(),
            };
            write!(f, "{:GAP$}{style}{mark}{style:#}", "")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_testkit::sample::{exchange, exchanges, web_socket};

    use super::*;

    fn lines(columns: &Columns) -> String {
        let lines = exchanges()
            .iter()
            .map(|exchange| {
                let row = Row::new(exchange, &Contracts::built_in());
                let line = Line { row: &row, columns, zone: &TimeZone::UTC }.to_string();
                format!("{}|\n", anstream::adapter::strip_str(&line))
            })
            .collect::<Vec<_>>();
        lines.concat()
    }

    #[test]
    fn lines_of_80_letters() {
        insta::assert_snapshot!(lines(&Columns::fit(80)));
    }

    #[test]
    fn lines_of_160_letters() {
        insta::assert_snapshot!(lines(&Columns::fit(160)));
    }

    #[test]
    fn lines_as_long_as_they_are() {
        insta::assert_snapshot!(lines(&Columns::all()));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 60..240 {
            for line in lines(&Columns::fit(width)).lines() {
                let letters = line.width() - 1;
                assert!(letters <= usize::max(width, 69), "{letters} in {width}: {line}");
            }
        }
    }

    #[test]
    fn the_end_of_the_id_stands_after_the_time_and_every_line_fits() {
        for width in 77..240 {
            for (line, exchange) in lines(&Columns::fit_with_id(width)).lines().zip(exchanges()) {
                let id = exchange.id.to_string();
                assert!(line.width() - 1 <= width, "in {width}: {line}");
                assert_eq!(line.split_whitespace().nth(1), Some(&id[id.len() - ID..]), "in {width}: {line}");
            }
        }
    }

    #[test]
    fn the_node_has_a_column_where_there_are_several_and_every_line_fits() {
        let contracts = Contracts::built_in();
        let row = Row { node: "frankfurt1".to_owned(), ..Row::new(&exchange(), &contracts) };
        let shown = |columns: Columns, before: Option<&Row>| {
            let columns = columns.for_marks(&row, before);
            let line = Line { row: &row, columns: &columns, zone: &TimeZone::UTC }.to_string();
            anstream::adapter::strip_str(&line).to_string()
        };
        for width in 77..240 {
            let line = shown(Columns::fit_with_node(width), None);
            assert!(line.width() <= width, "in {width}: {line}");
            assert_eq!(line.contains("frankfurt1"), width >= 80, "in {width}: {line}");
            assert!(!shown(Columns::fit_with_id(width), None).contains("frankfurt"));
        }
        assert!(shown(Columns::all_with_node(), None).contains("  frankfurt1"));
        assert!(
            !shown(Columns::all(), None).contains("frankfurt")
                && !shown(Columns::all_with_id(), None).contains("frankfurt")
        );
    }

    #[test]
    fn marks_take_the_room_of_columns_that_say_nothing_new() {
        let contracts = Contracts::built_in();
        let before = Row::new(&exchange(), &contracts);
        let mut row = Row { events: vec!["failed: connect-timeout".to_owned(), "x".repeat(14)], ..before.clone() };
        let columns = Columns::fit_with_id(136);
        let shown = |row: &Row, before: Option<&Row>| {
            let columns = columns.for_marks(row, before);
            let line = Line { row, columns: &columns, zone: &TimeZone::UTC }.to_string();
            let line = anstream::adapter::strip_str(&line).to_string();
            assert!(line.width() <= 136, "{line}");
            line
        };
        // The first line has every column; of the next ones those that stay the same make room, and only where needed.
        assert!(shown(&row, None).contains('…') && shown(&row, None).contains(&row.token), "{}", shown(&row, None));
        assert!(!shown(&row, Some(&before)).contains('…'), "{}", shown(&row, Some(&before)));
        assert!(!shown(&row, Some(&before)).contains(&row.token));
        row.token = "0000aaaa1111".to_owned();
        assert!(shown(&row, Some(&before)).contains("0000aaaa1111"));
        row.events.clear();
        row.findings.clear();
        assert!(shown(&row, Some(&row)).contains("0000aaaa1111"));
    }

    #[test]
    fn a_part_of_a_websocket_tells_how_much_was_said() {
        let mut exchange = exchange();
        exchange.response = None;
        exchange.web_socket = Some(web_socket());
        let row = Row::new(&exchange, &Contracts::built_in());
        assert_eq!((row.request, row.response), (29, 14));
        assert_eq!(row.events, ["websocket: 1 sent, 2 received", "7 messages not recorded"]);
    }

    #[test]
    fn colours_say_what_class_a_status_is_of() {
        let row = Row::new(&exchange(), &Contracts::built_in());
        let line = Line { row: &row, columns: &Columns::fit(80), zone: &TimeZone::UTC }.to_string();
        assert!(line.contains("\u{1b}[32m200\u{1b}[0m"), "{line:?}");
    }
}
