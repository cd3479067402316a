//! The state of `top` and its transitions, without terminal, clock or files.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
};

use nightaudit_console::{ArchiveState, LimitState};
use nightaudit_exchange::{Exchange, ExchangeId, Filter, Timestamp};
use nightaudit_text::{Row, counted, one_line};
use ratatui::crossterm::event::KeyEvent;

use super::{document::Document, error::WriteError, prompt::Prompt, rates::Rates};

/// The most rows kept; older ones are in the log.
pub(super) const KEEP: usize = 5_000;

/// An event.
#[derive(Debug)]
pub(super) enum Event {
    Key(KeyEvent),
    /// The terminal was resized to this many columns and lines.
    Size(u16, u16),
    /// An event from the feed with this number.
    Feed(u64, Fed),
    /// The limiter's state, `None` if there is none; and what is wrong with it, if anything.
    Limits(Option<Vec<LimitState>>, Option<String>),
    /// How shipping to the archive goes; `None` if nothing is shipped.
    Archive(Option<ArchiveState>),
    /// A requested exchange, or why it can't be read.
    Loaded(ExchangeId, Result<Box<Exchange>, nightaudit_client::Error>),
    /// The result of an export; if it succeeded, in a sentence.
    Exported(Result<String, WriteError>),
    Tick(Timestamp),
}

/// An event of a feed.
#[derive(Debug)]
pub(super) enum Fed {
    /// Exchanges already in the log, newest first.
    History(Vec<Row>),
    Row(Box<Row>),
    Missed(u64),
    Connected,
    Waiting,
    /// It ended: the filter is at fault, or the log.
    Failed(nightaudit_client::Error),
}

/// An effect to run outside the model.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    Quit,
    /// Redraw everything.
    Redraw,
    /// Replace the feed by one with this number and filter.
    Follow(u64, Box<Filter>),
    Load(ExchangeId),
    Export(Vec<ExchangeId>, PathBuf),
}

/// The visible view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Exchanges,
    Limits,
    Findings,
}

/// An open exchange.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) id: ExchangeId,
    pub(super) row: Row,
    pub(super) loaded: Option<Result<Loaded, nightaudit_client::Error>>,
    /// Whether the response's pane is focused rather than the request's.
    pub(super) on_response: bool,
}

#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) exchange: Box<Exchange>,
    pub(super) request: Document,
    pub(super) response: Document,
}

/// The state of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    Opening,
    Live,
    Waiting,
    Failed,
}

/// A finding, and the last exchange that showed it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grouped {
    pub(super) operation: String,
    pub(super) finding: String,
    pub(super) count: usize,
    pub(super) last: ExchangeId,
}

/// The whole state.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) size: (u16, u16),
    pub(super) now: Timestamp,
    pub(super) tab: Tab,
    pub(super) rows: VecDeque<Row>,
    /// The row under the cursor, and the first visible row.
    pub(super) selected: usize,
    pub(super) top: usize,
    /// Whether the cursor stays on the newest row.
    pub(super) follow: bool,
    pub(super) marked: BTreeSet<ExchangeId>,
    pub(super) filter: Filter,
    pub(super) search: Option<String>,
    pub(super) feed: Feed,
    pub(super) feed_number: u64,
    pub(super) archive: Option<ArchiveState>,
    pub(super) rates: Rates,
    pub(super) limits: Option<Vec<LimitState>>,
    /// What is done while the store of the limits can't be reached, and why it can't.
    pub(super) limits_alert: Option<String>,
    /// The line under the cursor in the limits and in the findings.
    pub(super) place: usize,
    pub(super) detail: Option<Detail>,
    /// Whether an exchange shows one message only.
    pub(super) wide: bool,
    pub(super) prompt: Option<Prompt>,
    pub(super) help: bool,
    /// A message, and whether it is an error.
    pub(super) message: Option<(String, bool)>,
}

impl Model {
    pub(super) fn new(size: (u16, u16), now: Timestamp, filter: Filter) -> Self {
        Self {
            size,
            now,
            tab: Tab::Exchanges,
            rows: VecDeque::new(),
            selected: 0,
            top: 0,
            follow: true,
            marked: BTreeSet::new(),
            filter,
            search: None,
            feed: Feed::Opening,
            feed_number: 0,
            archive: None,
            rates: Rates::default(),
            limits: None,
            limits_alert: None,
            place: 0,
            detail: None,
            wide: false,
            prompt: None,
            help: false,
            message: None,
        }
    }

    /// Applies an event and returns the effect to run, if any.
    pub(super) fn update(&mut self, event: Event) -> Option<Action> {
        match event {
            Event::Key(key) => return self.press(key),
            Event::Size(columns, lines) => self.size = (columns, lines),
            Event::Feed(number, fed) if number == self.feed_number => self.feed(fed),
            Event::Feed(..) => {}
            Event::Limits(limits, alert) => (self.limits, self.limits_alert) = (limits, alert),
            Event::Archive(archive) => self.archive = archive,
            Event::Loaded(id, exchange) => self.loaded(id, exchange),
            Event::Exported(Ok(told)) => self.message = Some((told, false)),
            Event::Exported(Err(error)) => self.message = Some((one_line(&error), true)),
            Event::Tick(now) => self.now = now,
        }
        self.settle();
        None
    }

    fn feed(&mut self, fed: Fed) {
        match fed {
            Fed::History(newest) => newest.into_iter().rev().for_each(|row| self.add(row)),
            Fed::Row(row) => self.add(*row),
            Fed::Missed(count) => {
                self.message = Some((format!("{} deleted before being shown", counted(count, "exchange")), true));
            }
            Fed::Connected => self.feed = Feed::Live,
            Fed::Waiting => self.feed = Feed::Waiting,
            Fed::Failed(why) => {
                self.feed = Feed::Failed;
                self.message = Some((one_line(&why), true));
            }
        }
    }

    fn add(&mut self, row: Row) {
        self.rates.count(&row, self.now);
        self.rows.push_back(row);
        if self.rows.len() > KEEP
            && let Some(oldest) = self.rows.pop_front()
        {
            self.marked.remove(&oldest.id);
            // The cursor stays on its row.
            self.selected = self.selected.saturating_sub(1);
            self.top = self.top.saturating_sub(1);
        }
        if self.follow {
            self.selected = self.rows.len() - 1;
        }
    }

    fn loaded(&mut self, id: ExchangeId, exchange: Result<Box<Exchange>, nightaudit_client::Error>) {
        // It may no longer be open.
        let Some(detail) = self.detail.as_mut().filter(|detail| detail.id == id) else { return };
        detail.loaded = Some(exchange.map(|exchange| Loaded {
            request: Document::request(&exchange),
            response: Document::response(&exchange),
            exchange,
        }));
    }

    /// The row under the cursor.
    pub(super) fn current(&self) -> Option<&Row> {
        self.rows.get(self.selected)
    }

    /// Moves to the next or previous row that matches the search.
    pub(super) fn search(&mut self, forwards: bool) {
        let Some(text) = self.search.as_deref().map(str::to_lowercase) else { return };
        let (at, count) = (self.selected, self.rows.len());
        let mut steps =
            (1..=count).map(|step| if forwards { (at + step) % count } else { (at + count - step) % count });
        match steps.find(|place| has(&self.rows[*place], &text)) {
            Some(found) => {
                (self.selected, self.follow) = (found, false);
                self.settle();
            }
            None => self.message = Some((format!("`{text}` not found in {}", counted(count as u64, "line")), true)),
        }
    }

    /// Opens the exchange under the cursor.
    pub(super) fn open(&mut self) -> Option<Action> {
        let row = self.current()?.clone();
        let on_response = self.detail.as_ref().is_some_and(|detail| detail.on_response);
        let id = row.id;
        self.detail = Some(Detail { id, row, loaded: None, on_response });
        Some(Action::Load(id))
    }

    /// Restarts with another filter.
    pub(super) fn set_filter(&mut self, filter: Filter) -> Action {
        self.rows.clear();
        self.marked.clear();
        (self.selected, self.top, self.follow, self.rates) = (0, 0, true, Rates::default());
        (self.feed, self.feed_number) = (Feed::Opening, self.feed_number + 1);
        self.filter = filter.clone();
        Action::Follow(self.feed_number, Box::new(filter))
    }

    /// The exchanges to export: the marked ones, else the one under the cursor; in recording order.
    pub(super) fn chosen(&self) -> Vec<ExchangeId> {
        if let Some(detail) = &self.detail {
            return vec![detail.id];
        }
        if self.marked.is_empty() {
            return self.current().map(|row| row.id).into_iter().collect();
        }
        self.rows.iter().map(|row| row.id).filter(|id| self.marked.contains(id)).collect()
    }

    /// The findings in the kept rows, most frequent first.
    pub(super) fn findings(&self) -> Vec<Grouped> {
        let mut grouped: BTreeMap<(&str, &str), (usize, ExchangeId)> = BTreeMap::new();
        for row in &self.rows {
            for finding in &row.findings {
                let entry = grouped.entry((&row.operation, finding)).or_insert((0, row.id));
                *entry = (entry.0 + 1, row.id);
            }
        }
        let mut grouped: Vec<Grouped> = grouped
            .into_iter()
            .map(|((operation, finding), (count, last))| Grouped {
                operation: operation.to_owned(),
                finding: finding.to_owned(),
                count,
                last,
            })
            .collect();
        grouped.sort_by_key(|group| std::cmp::Reverse(group.count));
        grouped
    }
}

fn has(row: &Row, text: &str) -> bool {
    let texts = [&row.operation, &row.session, &row.token].into_iter().chain(&row.events).chain(&row.findings);
    texts.into_iter().any(|hay| hay.to_lowercase().contains(text))
        || row.origin.is_some_and(|origin| origin.to_lowercase().contains(text))
        || row.status.is_some_and(|status| status.to_string() == text)
        || row.id.to_string().to_lowercase().starts_with(text)
}
