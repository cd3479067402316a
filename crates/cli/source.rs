//! Where a command finds exchanges: in the log itself, or at the console of the `serve` that has it.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::Context as _;
use nightaudit_console::{LimitState, Token};
use nightaudit_exchange::{Exchange, Filter};
use nightaudit_store::{Log, OpenError, Order, Query, Session};
use serde::Deserialize;

use crate::client::Client;

/// Either way gives the same answers in the same order.
pub(crate) enum Source {
    /// Nobody has the log: it is open for reading.
    Log(Box<Log>),
    /// A running `serve` has it.
    Console(Client),
}

/// How often and how long to wait for a log that somebody has for a moment.
const ATTEMPTS: u32 = 30;
const PAUSE: Duration = Duration::from_millis(100);

/// Exchanges as they are read; one that can't be read is an error in its place.
pub(crate) type Stream = Box<dyn Iterator<Item = anyhow::Result<Exchange>>>;

impl Source {
    /// Opens the log of this data folder, or asks who has it.
    ///
    /// # Errors
    ///
    /// There is no log, it can't be read, or the process that has it has no console (yet).
    pub(crate) fn open(data: &Path) -> anyhow::Result<Self> {
        let mut attempts = ATTEMPTS;
        loop {
            match Log::open_read_only(data) {
                Ok(log) => return Ok(Self::Log(Box::new(log))),
                Err(OpenError::Locked { console: Some(address), .. }) => {
                    return Ok(Self::Console(Client::new(&address, Token::load(data)?)?));
                }
                // Another command is reading, or a `serve` is about to say where its console is.
                Err(OpenError::Locked { .. }) if attempts > 0 => {
                    attempts -= 1;
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The console that the lock file names, without a look at whether anybody has the lock.
    ///
    /// Whoever waits for a `serve` to come must not open the log to look for it: it would be in its way.
    pub(crate) fn named_console(data: &Path) -> Option<Client> {
        let lock = fs::read_to_string(data.join("lock")).ok()?;
        let address = lock.lines().nth(1)?;
        Client::new(address, Token::load(data).ok()?).ok()
    }

    /// The exchange whose id begins so.
    pub(crate) fn find(&self, prefix: &str) -> anyhow::Result<Exchange> {
        match self {
            Self::Log(log) => Ok(log.find(prefix)?),
            Self::Console(client) => {
                // In a path only letters and digits mean themselves, and no id has anything else.
                if prefix.is_empty() || !prefix.chars().all(|letter| letter.is_ascii_alphanumeric()) {
                    return Err(nightaudit_store::FindError::None(prefix.to_owned()).into());
                }
                client.get(&format!("/api/v1/exchanges/{prefix}"), &[])
            }
        }
    }

    /// The exchanges that match, in this order, at most `limit`.
    pub(crate) fn exchanges(&self, filter: &Filter, order: Order, limit: Option<usize>) -> anyhow::Result<Stream> {
        match self {
            Self::Log(log) => {
                let query = Query { filter: filter.clone(), order, after: None, limit };
                Ok(Box::new(log.query(query)?.map(|exchange| Ok(exchange?))))
            }
            Self::Console(client) => {
                let mut query = filter.to_query();
                let mut add = |name: &str, value: String| query.push((name.to_owned(), value));
                add("format", "ndjson".to_owned());
                add("order", if order == Order::Newest { "newest" } else { "oldest" }.to_owned());
                if let Some(limit) = limit {
                    add("limit", limit.to_string());
                }
                Ok(Box::new(client.lines("/api/v1/exchanges", &query)?.map(|line| read_line(&line?))))
            }
        }
    }

    /// The newest `count` exchanges that match, the oldest of them first.
    pub(crate) fn newest(&self, filter: &Filter, count: usize) -> anyhow::Result<Vec<anyhow::Result<Exchange>>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut newest: Vec<_> = self.exchanges(filter, Order::Newest, Some(count))?.collect();
        newest.reverse();
        Ok(newest)
    }

    /// The sessions.
    pub(crate) fn sessions(&self) -> anyhow::Result<Vec<Session>> {
        #[derive(Deserialize)]
        struct Answer {
            sessions: Vec<Session>,
        }

        match self {
            Self::Log(log) => Ok(log.sessions()),
            Self::Console(client) => Ok(client.get::<Answer>("/api/v1/sessions", &[])?.sessions),
        }
    }

    /// The limiter's state, which only a running `serve` has; none where there isn't one.
    pub(crate) fn limits(&self) -> anyhow::Result<Option<Vec<LimitState>>> {
        #[derive(Deserialize)]
        struct Answer {
            limits: Vec<LimitState>,
        }

        match self {
            Self::Log(_) => Ok(None),
            Self::Console(client) => Ok(Some(client.get::<Answer>("/api/v1/limits", &[])?.limits)),
        }
    }
}

/// A line of the console's NDJSON: an exchange, or `{"error": …}` in the place of one that can't be read.
fn read_line(line: &[u8]) -> anyhow::Result<Exchange> {
    #[derive(Deserialize)]
    struct Unreadable {
        error: String,
    }

    match serde_json::from_slice(line) {
        Ok(exchange) => Ok(exchange),
        Err(error) => match serde_json::from_slice::<Unreadable>(line) {
            Ok(unreadable) => Err(anyhow::Error::msg(unreadable.error)),
            Err(_) => Err(error).context("the console sent something else than an exchange"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_that_could_not_be_read_keeps_its_reason() {
        let error = read_line(br#"{"error": "000001.seg is damaged at byte 9: checksum"}"#).unwrap_err();
        assert_eq!(error.to_string(), "000001.seg is damaged at byte 9: checksum");
        assert!(read_line(b"<html>").unwrap_err().to_string().contains("something else"));
    }
}
