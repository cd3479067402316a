//! Collects missing and unreadable exchanges while the rest of a log is read.

use std::collections::BTreeMap;

use nightaudit_exchange::{Exchange, Gaps, Missing, SessionId};
use nightaudit_log::Holes;
use nightaudit_store::Session;

use crate::error::{Error, Unreadable};

/// The most errors that are logged one by one.
const MOST_TOLD: u64 = 10;

/// The missing and unreadable exchanges of a log.
#[derive(Debug, Default)]
pub struct Losses {
    gaps: Gaps,
    /// By the session's id that exchanges have.
    names: BTreeMap<SessionId, String>,
    holes: Holes,
    unreadable: u64,
}

impl Losses {
    /// Starts with the exchanges that these sessions are known to lack.
    pub fn new(sessions: &[Session]) -> Self {
        let missing = sessions.iter().flat_map(Session::all_missing);
        let mut names: BTreeMap<_, _> = sessions.iter().map(|session| (session.id, session.name.clone())).collect();
        for session in sessions.iter().filter(|session| session.chains.len() > 1) {
            let name = |node: &str| format!("{} on {node}", session.name);
            names.extend(session.chains.iter().map(|chain| (chain.session, name(&chain.node))));
        }
        Self { gaps: Gaps::new(missing), names, ..Self::default() }
    }

    /// Expects all exchanges of these sessions, where the log knows how far each node's record goes.
    #[must_use]
    pub fn expecting_all(mut self, sessions: &[Session]) -> Self {
        self.holes = Holes::of(sessions);
        self
    }

    /// Notes an exchange that was read.
    pub fn read(&mut self, exchange: &Exchange) {
        if let Some(gap) = self.holes.read(exchange) {
            self.gone(exchange.session, gap);
        }
    }

    /// Adds what comes after the last exchange that was read, once all were.
    pub fn end(&mut self) {
        for (session, range) in std::mem::take(&mut self.holes).at_ends() {
            self.gone(session, range);
        }
    }

    fn gone(&mut self, session: SessionId, range: (u64, u64)) {
        self.gaps.add_range(session, range, || self.names.get(&session).cloned().unwrap_or_default());
    }

    /// Notes an error in a stream of exchanges, and logs it.
    ///
    /// # Errors
    ///
    /// The error itself, if nothing can be read after it.
    pub fn note(&mut self, error: Error) -> Result<(), Error> {
        let Error::Unreadable(Unreadable { session, first, last, message }) = error else { return Err(error) };
        self.unreadable += 1;
        match self.unreadable {
            ..=MOST_TOLD => tracing::warn!("{message}"),
            number if number == MOST_TOLD + 1 => tracing::warn!("more exchanges can't be read"),
            _ => {}
        }
        self.holes.unreadable(session, last);
        let name = || self.names.get(&session).cloned().unwrap_or_default();
        self.gaps.add(session, (first, last), name);
        Ok(())
    }

    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }

    /// Logs what is missing by session, with the remedy, and returns it.
    pub fn tell(self) -> Vec<Missing> {
        let missing = self.gaps.into_list();
        for missing in &missing {
            tracing::warn!("{missing}");
        }
        if !missing.is_empty() {
            tracing::warn!("`nightaudit log check` lists the damaged files; restore them from a copy");
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_t_be_read_is_gathered_and_any_other_error_ends_it() {
        let session = SessionId::from_parts(1, 1);
        let mut losses = Losses::default();
        for (first, last) in [(3, 3), (4, 4), (9, 11)] {
            losses.note(Unreadable { session, first, last, message: "damaged".to_owned() }.into()).unwrap();
        }
        assert!(losses.note(Error::NoCurrentSession).is_err());
        let missing = losses.tell();
        assert_eq!((missing[0].count, &missing[0].ranges[..]), (5, &[(3, 4), (9, 11)][..]));
    }
}
