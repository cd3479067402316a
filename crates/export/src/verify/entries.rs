//! The hash chains of a HAR's entries.

use std::collections::BTreeMap;

use nightaudit_exchange::{Digest, SessionId, chain};

use super::{
    chain::range,
    finding::{FindingKind, Findings, shown},
    har::Facts,
};

/// Follows the links between entries. Their content is not what the hashes cover.
#[derive(Debug, Default)]
pub(super) struct EntryChains(BTreeMap<Session, Last>);

/// The session of an entry. Several nodes' records of one name may be interleaved.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Session {
    Id(SessionId),
    /// Earlier versions wrote the name only.
    Name(String),
}

/// How far a session was followed.
#[derive(Debug, Clone, Copy)]
struct Last {
    sequence: u64,
    /// What the next entry must chain to, if known.
    hash: Option<Digest>,
}

impl EntryChains {
    pub(super) fn sessions(&self) -> u64 {
        self.0.len() as u64
    }

    /// Checks that the entry is the next of its session, whose first one chains to its beginning.
    pub(super) fn follow(&mut self, facts: &Facts, findings: &mut Findings) {
        let session = facts.session.map_or_else(|| Session::Name(facts.session_name.clone()), Session::Id);
        let start = Last { sequence: 0, hash: facts.session.map(chain::genesis) };
        let last = self.0.entry(session).or_insert(start);
        check(facts, *last, findings);
        *last = Last { sequence: facts.sequence, hash: facts.hash };
    }
}

fn check(facts: &Facts, last: Last, findings: &mut Findings) {
    let (id, sequence, session) = (facts.id, facts.sequence, shown(&facts.session_name));
    // Without its id nobody knows what a session begins with.
    let is_unknown_start = last.sequence == 0 && facts.session.is_none();
    let is_chained = facts.previous_hash.is_some() && facts.previous_hash == last.hash;
    if sequence <= last.sequence {
        let what = format_args!("exchange {id} comes after number {}", last.sequence);
        findings.add(FindingKind::Reordered, None, what);
    } else if is_chained {
    } else if sequence > last.sequence + 1 {
        let missing = range(last.sequence + 1, sequence - 1);
        findings.add(FindingKind::Missing, None, format_args!("{missing} of {session}, before {id}: missing"));
    } else if !is_unknown_start {
        let before = if last.sequence == 0 { "the start of the session" } else { "the previous one" };
        let what = format_args!("exchange {id} ({sequence} of {session}) doesn't chain to {before}");
        findings.add(FindingKind::Altered, None, what);
    }
}
