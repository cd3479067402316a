//! Exchanges as they are recorded, whoever has the log.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nightaudit_exchange::{Exchange, ExchangeId, Filter};
use nightaudit_store::{OpenError, Order, Position, Query};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Client, Lines, Refused},
    source::Source,
};

/// How long to wait before looking again for a `serve`.
const PAUSE: Duration = Duration::from_millis(300);

/// Something that a [`Follow`] has seen.
pub enum News {
    /// An exchange that matches.
    Exchange(Box<Exchange>),
    /// So many exchanges were deleted or damaged before they could be read.
    Missed(u64),
    /// A `serve` has been found.
    Connected,
    /// No `serve` runs, or it has just ended. Said once until there is one.
    Waiting,
}

/// Goes on after what was seen last, across restarts of `serve`: nothing is missed, and nothing seen twice.
pub struct Follow {
    data: PathBuf,
    filter: Filter,
    /// How many of the last ones to begin with.
    last: usize,
    /// The id of the last event; none until there was one.
    seen: Option<String>,
    stream: Option<Lines>,
    waiting: bool,
    /// What a running `serve` was found by, before the first look.
    found: Option<Client>,
    stop: CancellationToken,
}

impl Follow {
    /// Follows the log of this folder, beginning with the `last` exchanges that match.
    ///
    /// Where nobody has the log, those are given to `take` at once, the newest first.
    ///
    /// # Errors
    ///
    /// The log can't be read, or has no session that the filter names.
    pub fn start(
        data: &Path,
        filter: Filter,
        last: usize,
        stop: CancellationToken,
        mut take: impl FnMut(anyhow::Result<Exchange>),
    ) -> anyhow::Result<Self> {
        let mut follow =
            Self { data: data.to_owned(), filter, last, seen: None, stream: None, waiting: false, found: None, stop };
        match Source::open(data) {
            Ok(Source::Console(client)) => follow.found = Some(client),
            Ok(source @ Source::Log(_)) => {
                follow.seen = Some(newest_place(&source)?.to_string());
                if last > 0 {
                    source.exchanges(&follow.filter, Order::Newest, Some(last))?.for_each(&mut take);
                }
            }
            Err(error) => match error.downcast_ref() {
                // There may be a log later, all of which is then new.
                Some(OpenError::Missing(_)) => follow.seen = Some(Position::START.to_string()),
                // Another command has it, or a `serve` that has no console yet.
                Some(OpenError::Locked { .. }) => {}
                _ => return Err(error),
            },
        }
        Ok(follow)
    }

    /// Follows the log of this folder from after this exchange on, or all of it.
    pub fn after(data: &Path, filter: Filter, last: Option<ExchangeId>, stop: CancellationToken) -> Self {
        let seen = last.map_or_else(|| Position::START.to_string(), |id| id.to_string());
        let data = data.to_owned();
        Self { data, filter, last: 0, seen: Some(seen), stream: None, waiting: false, found: None, stop }
    }

    /// Waits for what comes next; none when it was stopped.
    ///
    /// # Errors
    ///
    /// What doesn't get better by waiting: `serve` refuses the filter, or sends what can't be read.
    #[allow(clippy::should_implement_trait, reason = "an error is not an item: what comes after it is not looked for")]
    pub fn next(&mut self) -> anyhow::Result<Option<News>> {
        while !self.stop.is_cancelled() {
            if let Some(stream) = &mut self.stream {
                match read_event(stream, &mut self.seen) {
                    Ok(Some(news)) => return Ok(Some(news)),
                    Ok(None) => {}
                    Err(error) if error.is::<serde_json::Error>() => return Err(error),
                    // It broke off, as it does when `serve` ends.
                    Err(error) => tracing::debug!("{error:#}"),
                }
                self.stream = None;
                // A `serve` that is about to end takes connections and ends them at once.
                thread::sleep(PAUSE);
            }
            match self.found.take().or_else(|| Source::console(&self.data)).map(|client| self.connect(&client)) {
                Some(Ok(stream)) => {
                    (self.stream, self.waiting) = (Some(stream), false);
                    return Ok(Some(News::Connected));
                }
                Some(Err(error)) if error.is::<Refused>() => return Err(error),
                Some(Err(error)) => tracing::debug!("{error:#}"),
                None => {}
            }
            if !self.waiting {
                self.waiting = true;
                // It ended before it said from where it is followed: what the log has now is not new, all after it is.
                if self.seen.is_none()
                    && let Ok(source @ Source::Log(_)) = Source::open(&self.data)
                {
                    self.seen = Some(newest_place(&source)?.to_string());
                }
                return Ok(Some(News::Waiting));
            }
            thread::sleep(PAUSE);
        }
        Ok(None)
    }

    fn connect(&self, client: &Client) -> anyhow::Result<Lines> {
        let mut query = self.filter.to_query();
        query.push(match &self.seen {
            Some(id) => ("after".to_owned(), id.clone()),
            None => ("last".to_owned(), self.last.to_string()),
        });
        client.events("/api/v1/follow", &query, self.stop.clone())
    }
}

/// The next event of a stream; none where the stream has ended.
fn read_event(stream: &mut Lines, seen: &mut Option<String>) -> anyhow::Result<Option<News>> {
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
            // Only with its end is an event whole.
            *seen = id.take().or_else(|| seen.take());
            match &event[..] {
                b"exchange" => return Ok(Some(News::Exchange(serde_json::from_slice(&data)?))),
                b"missed" => return Ok(Some(News::Missed(serde_json::from_slice(&data)?))),
                _ => event.clear(),
            }
        }
    }
    Ok(None)
}

/// The place after the exchange that was recorded last.
fn newest_place(source: &Source) -> anyhow::Result<Position> {
    let Source::Log(log) = source else { return Ok(Position::START) };
    let mut newest = log.query(Query { order: Order::Newest, limit: Some(1), ..Query::default() })?;
    let _ = newest.next();
    Ok(newest.last_position().unwrap_or(Position::START))
}
