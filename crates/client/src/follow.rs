//! Follows exchanges as they are recorded, from the log, the console or an archive.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nightaudit_archive::{Address, Archive};
use nightaudit_exchange::{Exchange, ExchangeId, Filter};
use nightaudit_log::{FollowFrom, Followed};
use nightaudit_store::{OpenError, Order, Position, Query};
use tokio_util::sync::CancellationToken;

use crate::{
    arriving::{Arriving, own},
    client::{Client, Lines},
    error::{ConsoleError, Error},
    place::Place,
    source::Source,
};

/// How often to look for a `serve`.
const PAUSE: Duration = Duration::from_millis(300);

/// An event of a [`Follow`].
pub enum News {
    /// An exchange that matches.
    Exchange(Box<Exchange>),
    /// This many exchanges were deleted or damaged before they could be read.
    Missed(u64),
    /// Connected to a `serve`.
    Connected,
    /// No `serve` is running. Reported once until one is found.
    Waiting,
}

/// Follows the log across restarts of `serve`, or an archive across restarts of PostgreSQL, without gaps or duplicates.
pub struct Follow(Way);

enum Way {
    Local(Box<Local>),
    Archive(Arriving),
}

struct Local {
    data: PathBuf,
    filter: Filter,
    /// How many of the most recent exchanges to start with.
    last: usize,
    /// The id of the last event; `None` before the first.
    seen: Option<String>,
    stream: Option<Lines>,
    waiting: bool,
    /// The console found when opening the log, for the first connection.
    found: Option<Client>,
    stop: CancellationToken,
}

impl Follow {
    /// Follows a log, starting with the `last` matching exchanges.
    ///
    /// If no process has a folder's log open, those are passed to `take` at once, newest first.
    ///
    /// # Errors
    ///
    /// The log can't be read, or doesn't have the filter's session.
    pub fn start(
        place: &Place,
        filter: Filter,
        last: usize,
        stop: CancellationToken,
        take: impl FnMut(Result<Exchange, Error>),
    ) -> Result<Self, Error> {
        Ok(Self(match place {
            Place::Folder(data) => Way::Local(Box::new(Local::start(data, filter, last, stop, take)?)),
            Place::Archive(address) => {
                let log = Box::new(Archive::open(Address::clone(address))?);
                Way::Archive(Arriving::start(log, filter, FollowFrom::Last(last), stop)?)
            }
        }))
    }

    /// Follows a log after an exchange, or from the start.
    ///
    /// # Errors
    ///
    /// The archive can't be read.
    pub fn after(
        place: &Place,
        filter: Filter,
        last: Option<ExchangeId>,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        Ok(Self(match place {
            Place::Folder(data) => Way::Local(Box::new(Local::after(data, filter, last, stop))),
            Place::Archive(address) => {
                let log = Box::new(Archive::open(Address::clone(address))?);
                let from = last.map_or(FollowFrom::Position(Position::START), FollowFrom::After);
                Way::Archive(Arriving::start(log, filter, from, stop)?)
            }
        }))
    }

    /// Waits for the next event; `None` once stopped.
    ///
    /// # Errors
    ///
    /// Errors that waiting can't fix: `serve` rejects the filter, or sends unreadable events.
    #[allow(clippy::should_implement_trait, reason = "an error ends the stream")]
    pub fn next(&mut self) -> Result<Option<News>, Error> {
        match &mut self.0 {
            Way::Local(local) => local.next(),
            Way::Archive(arriving) => Ok(arriving.next().map(|followed| match followed {
                Followed::Exchange(exchange) => News::Exchange(Box::new(own(exchange))),
                Followed::Missed(count) => News::Missed(count),
                _ => News::Connected,
            })),
        }
    }
}

impl Local {
    fn start(
        data: &Path,
        filter: Filter,
        last: usize,
        stop: CancellationToken,
        mut take: impl FnMut(Result<Exchange, Error>),
    ) -> Result<Self, Error> {
        let mut follow =
            Self { data: data.to_owned(), filter, last, seen: None, stream: None, waiting: false, found: None, stop };
        match Source::open(data) {
            Ok(Source::Console(client)) => follow.found = Some(client),
            Ok(source @ Source::Log(_)) => {
                follow.seen = Some(newest_position(&source)?.to_string());
                if last > 0 {
                    source.exchanges(&follow.filter, Order::Newest, Some(last))?.for_each(&mut take);
                }
            }
            // There may be a log later; all of it will be new.
            Err(Error::Open(OpenError::Missing(_))) => follow.seen = Some(Position::START.to_string()),
            // Another command has the log open, or a `serve` without a console yet.
            Err(Error::Open(OpenError::Locked { .. })) => {}
            Err(error) => return Err(error),
        }
        Ok(follow)
    }

    fn after(data: &Path, filter: Filter, last: Option<ExchangeId>, stop: CancellationToken) -> Self {
        let seen = last.map_or_else(|| Position::START.to_string(), |id| id.to_string());
        let data = data.to_owned();
        Self { data, filter, last: 0, seen: Some(seen), stream: None, waiting: false, found: None, stop }
    }

    fn next(&mut self) -> Result<Option<News>, Error> {
        while !self.stop.is_cancelled() {
            if let Some(stream) = &mut self.stream {
                match read_event(stream, &mut self.seen) {
                    Ok(Some(news)) => return Ok(Some(news)),
                    Ok(None) => {}
                    Err(error @ ConsoleError::Invalid { .. }) => return Err(error.into()),
                    // The stream breaks off when `serve` exits.
                    Err(error) => tracing::debug!("{error}"),
                }
                self.stream = None;
                // A `serve` that is shutting down accepts connections and closes them at once.
                thread::sleep(PAUSE);
            }
            match self.found.take().or_else(|| Source::console(&self.data)).map(|client| self.connect(&client)) {
                Some(Ok(stream)) => {
                    (self.stream, self.waiting) = (Some(stream), false);
                    return Ok(Some(News::Connected));
                }
                Some(Err(error)) if error.is_refusal() => return Err(error.into()),
                Some(Err(error)) => tracing::debug!("{error}"),
                None => {}
            }
            if !self.waiting {
                self.waiting = true;
                // It ended before its first event: everything after the log's current end is new.
                if self.seen.is_none() {
                    self.find_end()?;
                }
                return Ok(Some(News::Waiting));
            }
            thread::sleep(PAUSE);
        }
        Ok(None)
    }

    /// Finds the log's current end, unless a `serve` has it open.
    fn find_end(&mut self) -> Result<(), Error> {
        const TRIES: usize = 3;
        for _ in 0..TRIES {
            match Source::open(&self.data) {
                Ok(source @ Source::Log(_)) => {
                    self.seen = Some(newest_position(&source)?.to_string());
                    break;
                }
                // A command that has just locked the log shows, for a moment, the console of the `serve` that was killed.
                Ok(Source::Console(_)) => thread::sleep(PAUSE),
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn connect(&self, client: &Client) -> Result<Lines, ConsoleError> {
        let mut query = self.filter.to_query();
        query.push(match &self.seen {
            Some(id) => ("after".to_owned(), id.clone()),
            None => ("last".to_owned(), self.last.to_string()),
        });
        client.events("/api/v1/follow", &query, self.stop.clone())
    }
}

/// The next event of a stream; `None` at its end.
fn read_event(stream: &mut Lines, seen: &mut Option<String>) -> Result<Option<News>, ConsoleError> {
    let invalid = |source| ConsoleError::Invalid { what: "event", source };
    let (mut event, mut data, mut id) = (Vec::new(), Vec::new(), None);
    for line in stream {
        let line = line?;
        if let Some(name) = line.strip_prefix(b"event: ") {
            event = name.to_vec();
        } else if let Some(text) = line.strip_prefix(b"data: ") {
            data = text.to_vec();
        } else if let Some(text) = line.strip_prefix(b"id: ") {
            id = Some(String::from_utf8_lossy(text).into_owned());
        } else if line.is_empty() {
            // An event is complete only with its empty line.
            *seen = id.take().or_else(|| seen.take());
            match &event[..] {
                b"exchange" => return Ok(Some(News::Exchange(serde_json::from_slice(&data).map_err(invalid)?))),
                b"missed" => return Ok(Some(News::Missed(serde_json::from_slice(&data).map_err(invalid)?))),
                _ => event.clear(),
            }
        }
    }
    Ok(None)
}

/// The position after the last recorded exchange.
fn newest_position(source: &Source) -> Result<Position, Error> {
    let Source::Log(log) = source else { return Ok(Position::START) };
    let mut newest = log.query(Query { order: Order::Newest, limit: Some(1), ..Query::default() })?;
    let _ = newest.next();
    Ok(newest.last_position().unwrap_or(Position::START))
}
