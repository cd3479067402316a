//! The nodes whose records a report or bundle holds.

use std::{collections::BTreeMap, sync::Arc};

use nightaudit_exchange::{Import, SessionId};
use nightaudit_log::Session;

use crate::text::shown;

/// The nodes of sessions that several nodes recorded: each session's record on a node is a chain, with an id of its own.
///
/// Sessions of a single node have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes(Arc<Known>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    /// By session and node.
    chains: Vec<NodeChain>,
    /// Places in `chains`, by the chain's id.
    places: BTreeMap<SessionId, usize>,
    /// What people know each chain by; none is another's.
    labels: Vec<String>,
}

/// What one of several nodes recorded of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeChain {
    /// The session's id on the node, which the exchanges have.
    pub chain: SessionId,
    /// The node's name.
    pub node: String,
    /// The session's id.
    pub session: SessionId,
    /// The session's name.
    pub session_name: String,
}

impl Nodes {
    /// The nodes of these chains. Of several chains with one id the first counts.
    #[must_use]
    pub fn new(chains: impl IntoIterator<Item = NodeChain>) -> Self {
        let mut chains: Vec<NodeChain> = chains.into_iter().collect();
        let key = |of: &NodeChain| (of.session, of.node.clone(), of.chain);
        chains.sort_by_cached_key(key);
        let mut places = BTreeMap::new();
        chains.iter().enumerate().for_each(|(place, of)| {
            places.entry(of.chain).or_insert(place);
        });
        let label = |of: &NodeChain| format!("{} on {}", shown(&of.session_name), shown(&of.node));
        let mut labels: Vec<String> = chains.iter().map(label).collect();
        let mut uses: BTreeMap<String, usize> = BTreeMap::new();
        labels.iter().for_each(|label| *uses.entry(label.clone()).or_default() += 1);
        for (label, of) in labels.iter_mut().zip(&chains) {
            if uses.get(label).is_some_and(|uses| *uses > 1) {
                *label = format!("{label} ({})", of.chain);
            }
        }
        Self(Arc::new(Known { chains, places, labels }))
    }

    /// The nodes of these sessions.
    #[must_use]
    pub fn of_sessions(sessions: &[Session]) -> Self {
        let several = sessions.iter().filter(|session| session.chains.len() > 1);
        Self::new(several.flat_map(|session| {
            session.chains.iter().map(|chain| NodeChain {
                chain: chain.session,
                node: chain.node.clone(),
                session: session.id,
                session_name: session.name.clone(),
            })
        }))
    }

    /// All chains, by session and node.
    #[must_use]
    pub fn chains(&self) -> &[NodeChain] {
        &self.0.chains
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.chains.is_empty()
    }

    /// The chain with this id.
    pub(crate) fn get(&self, chain: SessionId) -> Option<&NodeChain> {
        self.0.places.get(&chain).map(|place| &self.0.chains[*place])
    }

    /// The session that a chain is part of: itself, unless several nodes recorded it.
    pub(crate) fn session_of(&self, chain: SessionId) -> SessionId {
        self.get(chain).map_or(chain, |of| of.session)
    }

    /// The chains of a session; none if a single node recorded it.
    pub(crate) fn of(&self, session: SessionId) -> &[NodeChain] {
        let chains = &self.0.chains;
        let start = chains.partition_point(|of| of.session < session);
        let end = chains.partition_point(|of| of.session <= session);
        &chains[start..end]
    }

    /// What people know a chain by, if a session of this name is on it.
    pub(crate) fn label(&self, chain: SessionId, session_name: &str) -> String {
        match self.0.places.get(&chain) {
            Some(place) => self.0.labels[*place].clone(),
            None => shown(session_name),
        }
    }

    /// What the imports of chains found, by session.
    pub(crate) fn by_session(&self, imported: &BTreeMap<SessionId, Import>) -> BTreeMap<SessionId, Import> {
        let mut all: BTreeMap<SessionId, Import> = BTreeMap::new();
        for (chain, import) in imported {
            let of = all.entry(self.session_of(*chain)).or_default();
            *of = of.and(*import);
        }
        all
    }
}

/// What is known of each chain of these sessions, by its id: of those of several nodes by node, of the others as a whole.
pub(crate) fn by_chain<T>(
    sessions: &[Session],
    whole: impl Fn(&Session) -> Option<T>,
    of_node: impl Fn(&nightaudit_log::Chain) -> Option<T>,
) -> BTreeMap<SessionId, T> {
    let mut all = BTreeMap::new();
    for session in sessions {
        if session.chains.len() > 1 {
            all.extend(session.chains.iter().filter_map(|chain| Some((chain.session, of_node(chain)?))));
        } else {
            all.extend(whole(session).map(|value| (session.id, value)));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> SessionId {
        SessionId::from_parts(number, 0)
    }

    fn chain(number: u64, node: &str, session: u64) -> NodeChain {
        NodeChain { chain: id(number), node: node.to_owned(), session: id(session), session_name: "ci".to_owned() }
    }

    #[test]
    fn a_chain_is_known_by_its_node_and_by_its_id_where_that_is_not_enough() {
        let long = "x".repeat(100);
        let nodes = Nodes::new([
            chain(3, "b", 1),
            chain(1, "a", 1),
            chain(4, "a", 4),
            chain(5, "\u{202e}", 5),
            chain(6, "\u{200b}", 5),
            chain(7, &format!("{long}1"), 5),
            chain(8, &format!("{long}2"), 5),
        ]);
        assert_eq!(nodes.of(id(1)).iter().map(|of| &*of.node).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((nodes.session_of(id(3)), nodes.session_of(id(9))), (id(1), id(9)));
        assert_eq!((nodes.label(id(3), "?"), nodes.label(id(9), "other")), ("ci on b".to_owned(), "other".to_owned()));
        let labels: std::collections::BTreeSet<_> = nodes.chains().iter().map(|of| nodes.label(of.chain, "")).collect();
        assert_eq!(labels.len(), 7, "{labels:?}");
        // Of two sessions with one name, too.
        assert!(
            nodes.label(id(1), "").contains(&id(1).to_string()) && nodes.label(id(4), "").contains(&id(4).to_string())
        );
    }
}
