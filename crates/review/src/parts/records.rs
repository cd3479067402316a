//! What is missing from the record, chain by chain.

use std::{collections::BTreeMap, sync::Arc};

use nightaudit_exchange::{Exchange, Missing, Ranges, SessionId};

use crate::{
    facts::{NodeFacts, SessionFacts},
    review::NodeRun,
};

/// The most chains whose sequences are counted, besides those of known nodes.
const MOST_CHAINS: usize = 1000;
/// The most nodes that a message names.
const MOST_NAMED: usize = 5;

/// The sequences of the exchanges, and what the log knows to be missing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    /// By chain: a session of several nodes has several, each with sequences of its own.
    sequences: BTreeMap<SessionId, Sequences>,
    /// How many exchanges the log has lost, and their sequences.
    lost: (u64, Vec<(u64, u64)>),
    /// Whether a filter left exchanges out, so that gaps in the sequences say nothing.
    filtered: bool,
    /// The session's id, if its exchanges have others.
    id: Option<SessionId>,
    /// The nodes, if there are several.
    nodes: Arc<[NodeFacts]>,
}

/// The highest sequence, and how many there were.
#[derive(Debug, Clone, Copy, Default)]
struct Sequences {
    highest: u64,
    count: u64,
}

impl Records {
    pub(crate) fn note(&mut self, exchange: &Exchange) {
        let most = MOST_CHAINS + self.nodes.len();
        if self.sequences.len() < most || self.sequences.contains_key(&exchange.session) {
            let chain = self.sequences.entry(exchange.session).or_default();
            chain.highest = chain.highest.max(exchange.sequence);
            chain.count += 1;
        }
    }

    pub(crate) fn set_facts(&mut self, facts: &SessionFacts) {
        self.set_missing(facts.missing.as_ref());
        self.filtered = facts.filtered;
        self.id = facts.id;
        if self.nodes[..] != facts.nodes[..] {
            self.nodes = facts.nodes.clone().into();
        }
    }

    pub(crate) fn set_missing(&mut self, missing: Option<&Missing>) {
        self.lost = missing.map(|missing| (missing.count, missing.ranges.clone())).unwrap_or_default();
    }

    /// Whether a filter left exchanges out.
    pub(crate) fn filtered(&self) -> bool {
        self.filtered
    }

    /// The session's id, if its exchanges have others.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.id
    }

    /// The nodes' records, if there are several.
    pub(crate) fn nodes(&self) -> Vec<NodeRun> {
        let of = |facts: &NodeFacts| {
            let chain = self.sequences.get(&facts.session).copied().unwrap_or_default();
            NodeRun {
                node: facts.node.clone(),
                session: facts.session,
                exchanges: chain.count,
                last: chain.highest,
                missing: match &facts.missing {
                    known if self.filtered => known.as_ref().map_or(0, |known| known.count),
                    known => chain.missing(known.as_ref()),
                },
            }
        };
        self.nodes.iter().map(of).collect()
    }

    /// How many are missing: from the sequences, unless a filter thinned them out, or known to the log.
    pub(crate) fn missing(&self, nodes: &[NodeRun]) -> u64 {
        let of_nodes = nodes.iter().fold(0_u64, |sum, node| sum.saturating_add(node.missing));
        if self.filtered {
            return self.lost.0.max(of_nodes);
        }
        let absent = |chain: &Sequences| chain.highest.saturating_sub(chain.count);
        let absent = self.sequences.values().map(absent).fold(0, u64::saturating_add);
        absent.max(self.lost.0).max(of_nodes)
    }

    /// Which the log has lost, as a sentence with a blank before it; empty if it isn't known.
    pub(crate) fn told(&self, nodes: &[NodeRun]) -> String {
        if nodes.is_empty() {
            return match &self.lost.1[..] {
                [] => String::new(),
                ranges => format!(" The log has lost sequences {}.", Ranges(ranges)),
            };
        }
        let holed = || nodes.iter().zip(&self.nodes[..]).filter(|(run, _)| run.missing > 0);
        let of = |(run, facts): (&NodeRun, &NodeFacts)| match &facts.missing {
            Some(missing) if !missing.ranges.is_empty() && missing.count == run.missing => {
                format!("sequences {} of {}", Ranges(&missing.ranges), run.node)
            }
            _ => format!("{} of {}", run.missing, run.node),
        };
        let mut named: Vec<_> = holed().take(MOST_NAMED).map(of).collect();
        match holed().count().saturating_sub(MOST_NAMED) {
            0 => {}
            1 => named.push("some of 1 more node".to_owned()),
            more => named.push(format!("some of {more} more nodes")),
        }
        if named.is_empty() { String::new() } else { format!(" Not in the record: {}.", named.join("; ")) }
    }
}

impl Sequences {
    /// How many are missing of a chain whose log knows this of it: within what was seen, and beyond it.
    fn missing(self, known: Option<&Missing>) -> u64 {
        let absent = self.highest.saturating_sub(self.count);
        let Some(known) = known else { return absent };
        let seen = self.highest.saturating_add(1);
        let beyond = |(first, last): &(u64, u64)| last.saturating_add(1).saturating_sub(seen.max(*first));
        let beyond: u64 = known.ranges.iter().map(beyond).fold(0, u64::saturating_add).min(known.count);
        absent.max(known.count - beyond).saturating_add(beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(count: u64, ranges: &[(u64, u64)]) -> Missing {
        let session = SessionId::from_parts(1, 1);
        Missing { session, session_name: String::new(), count, ranges: ranges.to_vec(), whole_session: false }
    }

    #[test]
    fn what_is_missing_is_counted_once_within_and_beyond_what_was_seen() {
        let seen = |highest, count| Sequences { highest, count };
        for (seen, known, counted) in [
            (seen(10, 10), None, 0),
            (seen(10, 8), None, 2),
            (seen(10, 8), Some(missing(2, &[(3, 4)])), 2),
            (seen(10, 8), Some(missing(3, &[(11, 13)])), 5),
            (seen(10, 8), Some(missing(5, &[(3, 4), (11, 13)])), 5),
            (seen(10, 10), Some(missing(4, &[(9, 12)])), 4),
            (seen(0, 0), Some(missing(7, &[(1, 7)])), 7),
            (seen(10, 10), Some(missing(3, &[])), 3),
            (seen(0, 0), Some(missing(2, &[(u64::MAX - 2, u64::MAX - 1)])), 2),
        ] {
            assert_eq!(seen.missing(known.as_ref()), counted, "{seen:?} {known:?}");
        }
    }
}
