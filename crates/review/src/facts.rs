//! What a session's log knows of it besides its exchanges.

use std::collections::BTreeMap;

use nightaudit_exchange::{Import, Missing, SessionId};
use nightaudit_log::Session;

/// What a log knows of a session besides its exchanges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFacts {
    /// How many exchanges are known to have passed unrecorded.
    pub unrecorded: u64,
    /// What its import found; `None` if it was recorded here.
    pub imported: Option<Import>,
    /// The recorded exchanges that are no longer in the log; `None` for none.
    pub missing: Option<Missing>,
    /// Whether only those of its exchanges are reviewed that match a filter. Gaps in their sequence then say nothing.
    pub filtered: bool,
    /// The session's id if several nodes recorded it: on each it has another, which the exchanges have.
    pub id: Option<SessionId>,
    /// What those nodes recorded.
    pub nodes: Vec<NodeFacts>,
}

/// What a log knows of what one of several nodes recorded of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// The node's name.
    pub node: String,
    /// The session's id on the node, which its exchanges have.
    pub session: SessionId,
    /// The exchanges that the node recorded and that are no longer in the log; `None` for none.
    pub missing: Option<Missing>,
}

impl From<&Session> for SessionFacts {
    fn from(session: &Session) -> Self {
        let several = if session.chains.len() > 1 { &session.chains[..] } else { &[] };
        let node = |chain: &nightaudit_log::Chain| NodeFacts {
            node: chain.node.clone(),
            session: chain.session,
            missing: None,
        };
        let mut facts = Self {
            unrecorded: session.unrecorded,
            imported: session.imported,
            missing: None,
            filtered: false,
            id: (!several.is_empty()).then_some(session.id),
            nodes: several.iter().map(node).collect(),
        };
        match several {
            [] => facts.missing = (session.missing > 0).then(|| session.missing_exchanges()),
            _ => facts.set_missing(&session.all_missing().collect::<Vec<_>>()),
        }
        facts
    }
}

impl SessionFacts {
    /// Sets what is missing, chain by chain, in place of what was known before.
    pub fn set_missing(&mut self, missing: &[Missing]) {
        let by_chain: BTreeMap<_, _> = missing.iter().map(|missing| (missing.session, missing)).collect();
        for node in &mut self.nodes {
            node.missing = by_chain.get(&node.session).copied().cloned();
        }
        self.missing = together(missing);
    }
}

/// All that is missing of a session. Of several chains it has no ranges: each has numbers of its own.
fn together(missing: &[Missing]) -> Option<Missing> {
    let mut all = missing.first()?.clone();
    if let [_, others @ ..] = missing
        && !others.is_empty()
    {
        all.ranges.clear();
        all.whole_session = missing.iter().all(|missing| missing.whole_session);
        all.count = others.iter().fold(all.count, |count, missing| count.saturating_add(missing.count));
    }
    Some(all)
}
