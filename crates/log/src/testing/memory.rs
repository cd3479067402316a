//! An in-memory log, for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nightaudit_exchange::{Exchange, ExchangeId, Filter, Missing, Outcome, SessionId, Timestamp};
use tokio::sync::watch;

use crate::{
    BoxFuture, Candidate, Check, Damage, Exchanges, Fetcher, FindError, Follow, FollowFrom, Followed, Info,
    MAX_DECLARATION, ManageSessions, Order, Position, Progress, Query, ReadError, ReadLog, Session, SessionError,
    Status, choose, is_session_name,
};

/// An in-memory log. Clones share it. Nothing is redacted or bounded.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Changes whenever something was recorded or the log was closed.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<SessionId, Session>,
    exchanges: BTreeMap<Position, Arc<Exchange>>,
    /// Exchanges that can't be read.
    damaged: BTreeSet<ExchangeId>,
    missing: Vec<Missing>,
    deletions: u64,
    stamp: u64,
    status: Status,
    closed: bool,
}

impl MemoryLog {
    /// Adds an exchange to its session, which is created if it doesn't exist.
    pub fn record(&self, exchange: Exchange) {
        let mut state = self.state();
        let (at, id) = (exchange.started_at, exchange.session);
        let session = state
            .sessions
            .entry(id)
            .or_insert_with(|| Session::new(id, &exchange.session_name, &exchange.environment, at));
        session.exchanges += 1;
        session.first = session.first.or(Some(at));
        session.last = session.last.max(Some(at));
        if !session.open {
            session.ended = session.ended.max(Some(at));
        }
        state.stamp += 1;
        state.status.recorded += 1;
        let position = Position { written: state.stamp, session: id, sequence: exchange.sequence };
        state.exchanges.insert(position, Arc::new(exchange));
        drop(state);
        self.shared.changed.send_replace(());
    }

    /// Makes this exchange unreadable.
    pub fn damage(&self, id: ExchangeId) {
        self.state().damaged.insert(id);
    }

    /// Reports these exchanges as missing.
    pub fn lose(&self, missing: Missing) {
        self.state().missing.push(missing);
    }

    /// Sets the status to report.
    pub fn set_status(&self, status: Status) {
        self.state().status = status;
    }

    /// Ends the followers.
    pub fn close(&self) {
        self.state().closed = true;
        self.shared.changed.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    fn change(&self, which: &str, change: impl FnOnce(&mut Session)) -> Result<Session, SessionError> {
        let mut state = self.state();
        let id = state.resolve(which)?;
        let session = state.sessions.get_mut(&id).ok_or_else(|| SessionError::NotFound(which.to_owned()))?;
        change(session);
        Ok(session.clone())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn resolve(&self, which: &str) -> Result<SessionId, SessionError> {
        choose(
            which,
            self.sessions.values().map(|session| Candidate { id: session.id, name: &session.name, open: session.open }),
        )
    }

    fn session_of(&self, filter: &Filter) -> Result<Option<SessionId>, SessionError> {
        filter.session.as_deref().map(|which| self.resolve(which)).transpose()
    }
}

impl Fetcher for MemoryLog {
    fn fetch(&mut self, id: ExchangeId) -> Result<Option<Exchange>, ReadError> {
        let state = self.state();
        if state.damaged.contains(&id) {
            return Err(damage());
        }
        Ok(state.exchanges.values().find(|exchange| exchange.id == id).map(|exchange| Exchange::clone(exchange)))
    }
}

impl ReadLog for MemoryLog {
    fn find(&self, prefix: &str) -> Result<Exchange, FindError> {
        let state = self.state();
        let wanted = prefix.to_ascii_uppercase();
        let wrong = |exchange: &&Arc<Exchange>| {
            exchange.outcome != Outcome::Answered || exchange.status().is_some_and(|status| status >= 400)
        };
        let mut newest = state.exchanges.values().rev();
        match prefix {
            "last" => return newest.next().map(|exchange| Exchange::clone(exchange)).ok_or(FindError::Empty),
            "last-error" => {
                return newest.find(wrong).map(|exchange| Exchange::clone(exchange)).ok_or(FindError::NoError);
            }
            _ => {}
        }
        let begins = |exchange: &&Arc<Exchange>| !wanted.is_empty() && exchange.id.to_string().starts_with(&wanted);
        let ends = |exchange: &&Arc<Exchange>| wanted.len() >= 4 && exchange.id.to_string().ends_with(&wanted);
        let mut found: Vec<_> = state.exchanges.values().filter(begins).take(8).collect();
        if found.is_empty() {
            found = state.exchanges.values().filter(ends).take(8).collect();
        }
        match found[..] {
            [] => Err(FindError::NotFound(prefix.to_owned())),
            [exchange] if state.damaged.contains(&exchange.id) => Err(FindError::Read(damage())),
            [exchange] => Ok(Exchange::clone(exchange)),
            _ => {
                let mut ids: Vec<_> = found.into_iter().map(|exchange| exchange.id).collect();
                ids.sort_unstable();
                Err(FindError::Ambiguous { prefix: prefix.to_owned(), ids })
            }
        }
    }

    fn fetcher(&self) -> Box<dyn Fetcher> {
        Box::new(self.clone())
    }

    fn query(&self, query: Query) -> Result<Box<dyn Exchanges>, ReadError> {
        let Query { filter, order, after, limit } = query;
        let state = self.state();
        let session = state.session_of(&filter)?;
        let here = |position: &Position| {
            let passed = match order {
                Order::Oldest => after.is_some_and(|after| *position <= after),
                Order::Newest => after.is_some_and(|after| *position >= after),
            };
            !passed && session.is_none_or(|session| session == position.session)
        };
        let found = state.exchanges.iter().filter(|(position, exchange)| here(position) && filter.matches(exchange));
        let result = |(position, exchange): (&Position, &Arc<Exchange>)| {
            let damaged = state.damaged.contains(&exchange.id);
            let error = || ReadError::Exchange {
                session: position.session,
                sequence: position.sequence,
                source: Box::new(damage()),
            };
            (*position, if damaged { Err(error()) } else { Ok(Exchange::clone(exchange)) })
        };
        let mut all: Vec<_> = found.map(result).collect();
        if order == Order::Newest {
            all.reverse();
        }
        all.truncate(limit.unwrap_or(usize::MAX));
        Ok(Box::new(Found { left: all.into_iter(), position: None }))
    }

    fn position(&self, id: ExchangeId) -> Result<Option<Position>, ReadError> {
        let state = self.state();
        Ok(state.exchanges.iter().find(|(_, exchange)| exchange.id == id).map(|(position, _)| *position))
    }

    fn generation(&self) -> u64 {
        self.state().deletions
    }

    fn follow(&self, filter: Filter, from: FollowFrom) -> Result<Box<dyn Follow>, ReadError> {
        let changed = self.shared.changed.subscribe();
        let state = self.state();
        let session = state.session_of(&filter)?;
        let matching = |(position, exchange): &(&Position, &Arc<Exchange>)| {
            session.is_none_or(|session| session == position.session) && filter.matches(exchange)
        };
        let end = || state.exchanges.last_key_value().map_or(Position::START, |(position, _)| *position);
        let position = match from {
            FollowFrom::Now | FollowFrom::Last(0) => end(),
            FollowFrom::Last(count) => {
                let first = state.exchanges.iter().rev().filter(matching).take(count).last();
                first.map_or_else(end, |(position, _)| position.before())
            }
            FollowFrom::After(id) => {
                let found = state.exchanges.iter().find(|(_, exchange)| exchange.id == id);
                found.map_or_else(end, |(position, _)| *position)
            }
            FollowFrom::Position(position) => position,
        };
        Ok(Box::new(Following { shared: Arc::clone(&self.shared), filter, session, position, changed }))
    }

    fn sessions(&self) -> Result<Vec<Session>, ReadError> {
        Ok(self.state().sessions.values().cloned().collect())
    }

    fn session(&self, which: &str) -> Result<Session, SessionError> {
        let state = self.state();
        let id = state.resolve(which)?;
        state.sessions.get(&id).cloned().ok_or_else(|| SessionError::NotFound(which.to_owned()))
    }

    fn missing(&self) -> Result<Vec<Missing>, ReadError> {
        Ok(self.state().missing.clone())
    }

    fn info(&self) -> Result<Info, ReadError> {
        let state = self.state();
        Ok(Info {
            sessions: state.sessions.len() as u64,
            open_sessions: state.sessions.values().filter(|session| session.open).count() as u64,
            exchanges: state.exchanges.len() as u64,
            missing: state.missing.iter().map(|missing| missing.count).sum(),
            ..Info::default()
        })
    }

    fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<Check, ReadError> {
        let state = self.state();
        let exchanges = state.exchanges.len() as u64;
        progress(Progress { exchanges, ..Progress::default() });
        let damaged = state.exchanges.values().filter(|exchange| state.damaged.contains(&exchange.id)).count();
        Ok(Check {
            sessions: state.sessions.len() as u64,
            exchanges: exchanges - damaged as u64,
            damage: (0..damaged).map(|_| damaged_bytes()).collect(),
            missing: state.missing.clone(),
            ..Check::default()
        })
    }

    fn status(&self) -> Status {
        self.state().status.clone()
    }

    fn manage(&self) -> Option<&dyn ManageSessions> {
        Some(self)
    }
}

impl ManageSessions for MemoryLog {
    fn current_session(&self) -> Option<Session> {
        self.state().sessions.values().find(|session| session.current).cloned()
    }

    fn start_session(&self, name: &str) -> Result<Session, SessionError> {
        if !is_session_name(name) {
            return Err(SessionError::Name(name.to_owned()));
        }
        let mut state = self.state();
        state.sessions.values_mut().for_each(|session| session.current = false);
        let last = state.sessions.last_key_value().map_or(0, |(id, _)| id.milliseconds());
        let new = SessionId::from_parts(last + 1, 1);
        let id =
            state.sessions.values().rev().find(|session| session.open && session.name == name).map_or(new, |s| s.id);
        let started = Timestamp::from_micros((id.milliseconds() * 1000).cast_signed());
        let found = state.sessions.entry(id).or_insert_with(|| Session::new(id, name, "", started));
        (found.open, found.current) = (true, true);
        Ok(found.clone())
    }

    fn end_session(&self, which: &str) -> Result<Session, SessionError> {
        self.change(which, |session| {
            session.ended = session.ended.or(session.last).or(Some(session.started));
            (session.open, session.current) = (false, false);
        })
    }

    fn rename_session(&self, which: &str, name: &str) -> Result<Session, SessionError> {
        if !is_session_name(name) {
            return Err(SessionError::Name(name.to_owned()));
        }
        self.change(which, |session| name.clone_into(&mut session.name))
    }

    fn note_session(&self, which: &str, note: &str) -> Result<Session, SessionError> {
        self.change(which, |session| session.note = Some(note.to_owned()).filter(|note| !note.is_empty()))
    }

    fn declare_session(&self, which: &str, declaration: &str) -> Result<Session, SessionError> {
        if declaration.len() > MAX_DECLARATION {
            return Err(SessionError::Declaration(declaration.len()));
        }
        let declaration = Some(declaration.to_owned()).filter(|declaration| !declaration.is_empty());
        self.change(which, |session| session.declaration = declaration)
    }

    fn delete_session(&self, which: &str) -> Result<Session, SessionError> {
        let mut state = self.state();
        let id = state.resolve(which)?;
        if state.sessions.get(&id).is_some_and(|session| session.current) {
            return Err(SessionError::Recording(which.to_owned()));
        }
        state.deletions += 1;
        state.exchanges.retain(|position, _| position.session != id);
        state.sessions.remove(&id).ok_or_else(|| SessionError::NotFound(which.to_owned()))
    }
}

/// The results of a query.
struct Found {
    left: std::vec::IntoIter<(Position, Result<Exchange, ReadError>)>,
    position: Option<Position>,
}

impl Iterator for Found {
    type Item = Result<Exchange, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (position, result) = self.left.next()?;
        self.position = Some(position);
        Some(result)
    }
}

impl Exchanges for Found {
    fn last_position(&self) -> Option<Position> {
        self.position
    }
}

struct Following {
    shared: Arc<Shared>,
    filter: Filter,
    session: Option<SessionId>,
    position: Position,
    changed: watch::Receiver<()>,
}

impl Following {
    /// The next match already recorded.
    fn ready(&mut self) -> Option<Arc<Exchange>> {
        let state = self.shared.state();
        let later = (std::ops::Bound::Excluded(self.position), std::ops::Bound::Unbounded);
        for (position, exchange) in state.exchanges.range(later) {
            self.position = *position;
            if self.session.is_none_or(|session| session == position.session) && self.filter.matches(exchange) {
                return Some(Arc::clone(exchange));
            }
        }
        None
    }
}

impl Follow for Following {
    fn next(&mut self) -> BoxFuture<'_, Option<Followed>> {
        Box::pin(async {
            loop {
                self.changed.borrow_and_update();
                if let Some(exchange) = self.ready() {
                    return Some(Followed::Exchange(exchange));
                }
                if self.shared.state().closed {
                    return None;
                }
                self.changed.changed().await.ok()?;
            }
        })
    }

    fn position(&self) -> Option<Position> {
        Some(self.position)
    }
}

fn damage() -> ReadError {
    damaged_bytes().into()
}

fn damaged_bytes() -> Damage {
    Damage { path: "memory".into(), offset: 0, what: "damaged on purpose".to_owned() }
}
