//! Which node recorded an exchange, in an archive.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use nightaudit_exchange::{Filter, SessionId};
use nightaudit_log::{Chain, Session};

use crate::{error::Error, place::Place, source::Source};

/// How long not to ask again for a session that isn't known: it may just have begun on a node.
const PATIENCE: Duration = Duration::from_secs(1);

/// The nodes of an archive; a log of this machine has none.
pub struct NodeNames {
    /// None for a log of this machine.
    source: Option<Source>,
    filter: Filter,
    /// By the session's id that exchanges have.
    names: BTreeMap<SessionId, String>,
    asked: Instant,
}

impl NodeNames {
    /// The nodes whose exchanges this filter may match.
    ///
    /// # Errors
    ///
    /// The archive can't be read, or doesn't have the filter's session.
    pub fn open(place: &Place, filter: &Filter) -> Result<Self, Error> {
        let source = match place {
            Place::Folder(_) => None,
            Place::Archive(_) => Some(Source::open(place)?),
        };
        let mut names = Self { source, filter: filter.clone(), names: BTreeMap::new(), asked: Instant::now() };
        names.ask()?;
        Ok(names)
    }

    fn ask(&mut self) -> Result<(), Error> {
        let Some(source) = &self.source else { return Ok(()) };
        let sessions = match &self.filter.session {
            Some(which) => vec![source.session(which)?],
            None => source.sessions()?,
        };
        self.names = by_chain(&sessions);
        self.asked = Instant::now();
        Ok(())
    }

    /// Whether there is more than one.
    pub fn are_several(&self) -> bool {
        self.names.values().collect::<BTreeSet<_>>().len() > 1
    }

    /// The node that recorded the exchanges of this session.
    pub fn of(&mut self, session: SessionId) -> Option<&str> {
        if !self.names.contains_key(&session)
            && self.asked.elapsed() > PATIENCE
            && let Err(error) = self.ask()
        {
            // The next one asks again.
            tracing::debug!(%error, "the nodes' names can't be read");
            self.asked = Instant::now();
        }
        self.names.get(&session).map(String::as_str)
    }
}

fn by_chain(sessions: &[Session]) -> BTreeMap<SessionId, String> {
    let chains = sessions.iter().flat_map(|session| &session.chains);
    chains.map(|chain| (chain.session, chain.node.clone())).collect()
}

/// The session that an exchange with this session's id is of, and the node's record that it is in.
pub fn session_of(sessions: &[Session], id: SessionId) -> Option<(&Session, Option<&Chain>)> {
    let of_node = sessions.iter().find_map(|session| {
        let chain = session.chains.iter().find(|chain| chain.session == id)?;
        Some((session, Some(chain)))
    });
    of_node.or_else(|| sessions.iter().find(|session| session.id == id).map(|session| (session, None)))
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::Timestamp;

    use super::*;

    #[test]
    fn an_exchange_is_of_the_session_and_the_node_that_its_chain_belongs_to() {
        let id = |number: u64| SessionId::from_parts(number, 0);
        let session = |number: u64, chains: &[(u64, &str)]| {
            let mut session = Session::new(id(number), "ci", "demo", Timestamp::from_micros(0));
            session.chains = chains
                .iter()
                .map(|(chain, node)| Chain { exchanges: 1, last: 1, ..Chain::new(id(*chain), node) })
                .collect();
            session
        };
        let sessions = [session(1, &[(1, "a"), (3, "b")]), session(2, &[])];
        let found = |number: u64| {
            let (session, chain) = session_of(&sessions, id(number))?;
            Some((session.id.milliseconds(), chain.map(|chain| &*chain.node)))
        };
        assert_eq!(
            [found(1), found(3), found(2), found(4)],
            [Some((1, Some("a"))), Some((1, Some("b"))), Some((2, None)), None]
        );
        assert_eq!(by_chain(&sessions).into_values().collect::<Vec<_>>(), ["a", "b"]);
    }
}
