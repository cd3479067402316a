//! Where commands read exchanges: the log itself, the console of the `serve` that has it open, or an archive.

use std::{path::Path, time::Duration};

use http::{Method, StatusCode};
use nightaudit_archive::Archive;
use nightaudit_console::{ArchiveState, LimitState, LimitStoreState, Token};
use nightaudit_exchange::{Exchange, Filter, SessionId};
use nightaudit_log::{Check, FindError, Info, Order, Progress, Query, ReadError, ReadLog, Session};
use nightaudit_mews::API;
use nightaudit_store::{DeleteTarget, Log, OpenError, StoreConfig, open_when_free};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;

use crate::{
    client::{Client, Timeouts},
    error::{ConsoleError, Error, Unreadable},
    place::Place,
};

/// Both return the same results in the same order.
pub enum Source {
    /// The log or an archive, read by this process.
    Log(Box<dyn ReadLog>),
    /// The console of a running `serve`.
    Console(Client),
}

/// How long to wait for a log that another command has open.
const PATIENCE: Duration = Duration::from_secs(3);

/// A stream of exchanges; unreadable ones are errors in their position.
pub type Stream = Box<dyn Iterator<Item = Result<Exchange, Error>>>;

impl Source {
    /// Opens the log of this data folder, or connects to the `serve` that has it open; or connects to an archive.
    ///
    /// # Errors
    ///
    /// There is no log, it can't be read, or the process that has it open has no console (yet).
    pub fn open(place: impl Into<Place>) -> Result<Self, Error> {
        match place.into() {
            Place::Folder(data) => Self::open_within(&data, PATIENCE),
            Place::Archive(address) => Ok(Self::Log(Box::new(Archive::open(*address)?))),
        }
    }

    /// Like [`open`](Self::open), but without waiting for other commands, and hardly for a console.
    pub fn open_now(data: &Path) -> Result<Self, Error> {
        Ok(match Self::open_within(data, Duration::ZERO)? {
            Self::Console(client) => Self::Console(client.with_timeouts(Timeouts::TYPING)),
            source => source,
        })
    }

    fn open_within(data: &Path, timeout: Duration) -> Result<Self, Error> {
        match open_when_free(timeout, || Log::open_read_only(data, &API)) {
            Ok(log) => Ok(Self::Log(Box::new(log))),
            Err(OpenError::Locked { console: Some(address), .. }) => {
                Ok(Self::Console(Client::new(&address, Token::load(data)?)?))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The console of the process that has the log open; `None` if there is none.
    ///
    /// To wait for a `serve` to start, don't open the log: that would lock it out.
    pub fn console(data: &Path) -> Option<Client> {
        let address = Log::console_of(data).ok()??;
        Client::new(&address, Token::load(data).ok()?).ok()
    }

    /// Finds an exchange by either end of its id, `last` or `last-error`.
    ///
    /// # Errors
    ///
    /// There is none, there are several, or it can't be read.
    pub fn find(&self, prefix: &str) -> Result<Exchange, Error> {
        match self {
            Self::Log(log) => Ok(log.find(prefix)?),
            Self::Console(client) => {
                // These need no escaping in a path, and ids have no other characters.
                if prefix.is_empty() || !prefix.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-') {
                    return Err(FindError::NotFound(prefix.to_owned()).into());
                }
                match (client.get(&format!("/api/v1/exchanges/{prefix}"), &[]), prefix) {
                    (Err(ConsoleError::Argument(_)), "last") => Err(FindError::Empty.into()),
                    (Err(ConsoleError::Argument(_)), "last-error") => Err(FindError::NoError.into()),
                    (found, _) => Ok(found?),
                }
            }
        }
    }

    /// The matching exchanges in this order, at most `limit`.
    ///
    /// # Errors
    ///
    /// The filter names an unknown session, or the console can't be reached.
    pub fn exchanges(&self, filter: &Filter, order: Order, limit: Option<usize>) -> Result<Stream, Error> {
        match self {
            Self::Log(log) => log_exchanges(&**log, filter, order, limit),
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

    /// All sessions.
    ///
    /// # Errors
    ///
    /// The console can't be reached.
    pub fn sessions(&self) -> Result<Vec<Session>, Error> {
        #[derive(Deserialize)]
        struct Page {
            sessions: Vec<Session>,
        }

        match self {
            Self::Log(log) => Ok(log.sessions()?),
            Self::Console(client) => Ok(client.get::<Page>("/api/v1/sessions", &[])?.sessions),
        }
    }

    /// Finds a session by name, id, or either end of its id.
    ///
    /// # Errors
    ///
    /// There is none, there are several, or the console can't be reached.
    pub fn session(&self, which: &str) -> Result<Session, Error> {
        match self {
            Self::Log(log) => Ok(log.session(which)?),
            Self::Console(client) => Ok(client.get(&session_path(which), &[])?),
        }
    }

    /// Totals of the log.
    ///
    /// # Errors
    ///
    /// The log can't be read, or the console can't be reached.
    pub fn info(&self) -> Result<Info, Error> {
        match self {
            Self::Log(log) => Ok(log.info()?),
            Self::Console(client) => Ok(client.get("/api/v1/log", &[])?),
        }
    }

    /// Reads everything, and verifies every checksum and hash. `progress` is called only if this process reads the log.
    ///
    /// # Errors
    ///
    /// The check can't be completed. Damage is part of its result.
    pub fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<Check, Error> {
        match self {
            Self::Log(log) => Ok(log.check(progress)?),
            Self::Console(client) => check_by_serve(client),
        }
    }

    /// How shipping to the archive goes; `None` if no `serve` is running, or none ships.
    ///
    /// # Errors
    ///
    /// The console can't be reached.
    pub fn shipping(&self) -> Result<Option<ArchiveState>, Error> {
        #[derive(Deserialize)]
        struct Status {
            #[serde(default)]
            archive: Option<ArchiveState>,
        }

        match self {
            Self::Log(_) => Ok(None),
            Self::Console(client) => Ok(client.get::<Status>("/api/v1/status", &[])?.archive),
        }
    }

    /// The store of the limits that several machines share; `None` if no `serve` is running, or its limits are its own.
    ///
    /// # Errors
    ///
    /// The console can't be reached.
    pub fn limit_store(&self) -> Result<Option<LimitStoreState>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Status {
            #[serde(default)]
            limit_store: Option<LimitStoreState>,
        }

        match self {
            Self::Log(_) => Ok(None),
            Self::Console(client) => Ok(client.get::<Status>("/api/v1/status", &[])?.limit_store),
        }
    }

    /// The console of a running `serve`; `None` if there is none, or only a console that records nothing.
    pub fn serve(data: &Path) -> Option<Client> {
        // One that can't be asked now says why when it is used.
        Self::console(data).filter(|client| serves(client).unwrap_or(true))
    }

    /// The limiter's state; `None` if no `serve` is running.
    ///
    /// # Errors
    ///
    /// The console can't be reached.
    pub fn limits(&self) -> Result<Option<Vec<LimitState>>, Error> {
        #[derive(Deserialize)]
        struct Page {
            limits: Vec<LimitState>,
        }

        match self {
            Self::Log(_) => Ok(None),
            Self::Console(client) if !serves(client)? => Ok(None),
            Self::Console(client) => Ok(Some(client.get::<Page>("/api/v1/limits", &[])?.limits)),
        }
    }
}

/// Whether it is the console of a `serve`, rather than one over a log into which nothing is recorded.
fn serves(client: &Client) -> Result<bool, Error> {
    #[derive(Deserialize)]
    struct Status {
        started: Option<IgnoredAny>,
    }

    Ok(client.get::<Status>("/api/v1/status", &[])?.started.is_some())
}

/// As [`Source::exchanges`], of a log that several threads read.
///
/// # Errors
///
/// The filter names an unknown session.
pub fn log_exchanges(log: &dyn ReadLog, filter: &Filter, order: Order, limit: Option<usize>) -> Result<Stream, Error> {
    let query = Query { filter: filter.clone(), order, after: None, limit };
    Ok(Box::new(log.query(query)?.map(|exchange| exchange.map_err(unreadable))))
}

/// Makes the running `serve` check its log.
fn check_by_serve(client: &Client) -> Result<Check, Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Line {
        Failed { error: String },
        Done(Check),
    }

    for line in client.lines("/api/v1/log/check", &[])? {
        let line = line?;
        // An empty line is sent each second while the check runs.
        if line.is_empty() {
            continue;
        }
        return match serde_json::from_slice(&line) {
            Ok(Line::Done(check)) => Ok(check),
            Ok(Line::Failed { error }) => Err(ConsoleError::Failed(error).into()),
            Err(source) => Err(ConsoleError::Invalid { what: "result of a check", source }.into()),
        };
    }
    Err(ConsoleError::Unfinished.into())
}

/// A change to the sessions.
#[derive(Debug)]
pub enum SessionChange<'a> {
    /// Starts a session, or continues the open one of this name.
    Start(&'a str),
    /// Ends a session; the current one if `None`.
    End(Option<&'a str>),
    /// Renames a session.
    Rename(&'a str, &'a str),
    /// Sets a session's note; an empty one removes it.
    Note(&'a str, &'a str),
    /// Stores a declaration with a session; an empty one removes it.
    Declare(&'a str, &'a str),
    /// Deletes a session.
    Delete(&'a str),
}

/// Changes a log's sessions, through the running `serve` if there is one, else by opening the log for writing.
///
/// # Errors
///
/// There is no such session, the change is invalid, or the log can't be changed.
pub fn change_session(store: &StoreConfig, change: &SessionChange<'_>) -> Result<Session, Error> {
    if !matches!(change, SessionChange::Start(_)) {
        // Opening it for writing would create a log.
        Log::require(&store.dir)?;
    }
    // Quotas are for `serve`; and don't start a session.
    let config = StoreConfig { session: None, max_size: None, max_age: None, ..store.clone() };
    let log = match open_when_free(PATIENCE, || Log::open(config.clone())) {
        Ok(log) => log,
        Err(OpenError::Locked { console: Some(address), .. }) => {
            return ask_for(&Client::new(&address, Token::load(&store.dir)?)?, change);
        }
        // On a full disk, only a deletion can make room.
        Err(error) => match *change {
            SessionChange::Delete(which) => return delete_unopened(store, which),
            _ => return Err(error.into()),
        },
    };
    let session = match *change {
        SessionChange::Start(name) => log.start_session(name),
        SessionChange::End(Some(which)) => log.end_session(which),
        SessionChange::End(None) => return Err(Error::NoCurrentSession),
        SessionChange::Rename(which, name) => log.rename_session(which, name),
        SessionChange::Note(which, note) => log.note_session(which, note),
        SessionChange::Declare(which, declaration) => log.declare_session(which, declaration),
        SessionChange::Delete(which) => log.delete_session(which),
    }?;
    log.close();
    Ok(session)
}

/// Deletes a session from a log that can't be opened for writing.
fn delete_unopened(store: &StoreConfig, which: &str) -> Result<Session, Error> {
    let doomed = Source::open(&*store.dir)?.session(which)?;
    Log::delete_unopened(store, DeleteTarget::Session(&doomed.id.to_string()))?;
    Ok(doomed)
}

/// Sends a change to the console.
fn ask_for(client: &Client, change: &SessionChange<'_>) -> Result<Session, Error> {
    // A change may take long. A fast request first finds out whether the console responds at all, and which session is
    // meant.
    let path = match *change {
        SessionChange::Start(_) | SessionChange::End(None) => {
            client.get::<IgnoredAny>("/api/v1/limits", &[])?;
            "/api/v1/sessions".to_owned()
        }
        SessionChange::End(Some(which))
        | SessionChange::Rename(which, _)
        | SessionChange::Note(which, _)
        | SessionChange::Declare(which, _)
        | SessionChange::Delete(which) => {
            match (client.get::<Session>(&session_path(which), &[]), change) {
                (Ok(session), _) => session_path(&session.id.to_string()),
                // A session whose folder was removed can only be forgotten.
                (Err(ConsoleError::Refused { status: StatusCode::GONE, .. }), SessionChange::Delete(which)) => {
                    session_path(which)
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
    };
    let done = match *change {
        SessionChange::Start(name) => client.change(Method::POST, &path, Some(&json!({ "name": name }))),
        SessionChange::End(None) => client.change(Method::POST, &format!("{path}/current/end"), None),
        SessionChange::End(Some(_)) => client.change(Method::POST, &format!("{path}/end"), None),
        SessionChange::Rename(_, name) => client.change(Method::PATCH, &path, Some(&json!({ "name": name }))),
        SessionChange::Note(_, note) => client.change(Method::PATCH, &path, Some(&json!({ "note": note }))),
        SessionChange::Declare(_, text) => client.change(Method::PATCH, &path, Some(&json!({ "declaration": text }))),
        SessionChange::Delete(_) => client.change(Method::DELETE, &path, None),
    };
    Ok(done?)
}

/// A session's path on the console, with its name percent-encoded.
fn session_path(which: &str) -> String {
    let mut path = "/api/v1/sessions/".to_owned();
    for byte in which.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => path.push(char::from(byte)),
            byte => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

fn unreadable(error: ReadError) -> Error {
    match error.exchanges() {
        Some((session, first, last)) => Unreadable { session, first, last, message: error.to_string() }.into(),
        None => error.into(),
    }
}

/// Parses a line of the console's NDJSON: an exchange, or `{"error": …}` for an unreadable one.
fn read_line(line: &[u8]) -> Result<Exchange, Error> {
    #[derive(Deserialize)]
    struct Failed {
        error: String,
        session: Option<SessionId>,
        first: Option<u64>,
        last: Option<u64>,
    }

    match serde_json::from_slice(line) {
        Ok(exchange) => Ok(exchange),
        Err(error) => match serde_json::from_slice::<Failed>(line) {
            Ok(Failed { error: message, session: Some(session), first: Some(first), last: Some(last) }) => {
                Err(Unreadable { session, first, last, message }.into())
            }
            Ok(failed) => Err(ConsoleError::Failed(failed.error).into()),
            Err(_) => Err(ConsoleError::Invalid { what: "exchange", source: error }.into()),
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
        assert!(read_line(b"<html>").unwrap_err().to_string().contains("an invalid exchange"));
    }
}
