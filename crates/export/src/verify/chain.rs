//! Verification of the hash chain.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use nightaudit_exchange::{Body, Digest, Exchange, ExchangeId, SessionId, chain};

use super::{
    finding::{FindingKind, Findings, Named, shown},
    verification::NodeRecord,
};
use crate::{NodeChain, Nodes, bundle::Chain};

/// Maximum gaps remembered per session, in case the missing exchanges turn up later.
const MOST_GAPS: usize = 1_000;
/// Maximum exchanges remembered for one sequence number.
const MOST_RIVALS: usize = 100;

/// Checks exchanges in the order of a file or log.
#[derive(Debug)]
pub(super) struct ChainCheck<'f> {
    file: Option<&'f str>,
    /// Whether exchanges were left out on purpose.
    filtered: bool,
    nodes: Nodes,
    sessions: BTreeMap<SessionId, Links>,
}

/// A session's chain, as far as it has been followed.
#[derive(Debug)]
struct Links {
    /// What people know it by.
    label: String,
    exchanges: u64,
    last: u64,
    /// The exchanges with the last sequence number; more than one if something was inserted.
    rivals: Vec<Link>,
    gaps: Vec<Gap>,
    /// Findings about it, but for what is missing.
    problems: u64,
    /// Exchanges that are missing, known once all were checked.
    missing: u64,
}

#[derive(Debug, Clone)]
struct Link {
    named: Option<Named>,
    hash: Option<Digest>,
}

/// Missing sequence numbers between two exchanges.
#[derive(Debug)]
struct Gap {
    from: u64,
    to: u64,
    before: Option<ExchangeId>,
    after: ExchangeId,
}

impl<'f> ChainCheck<'f> {
    /// A check of sessions, of which several nodes may have recorded some.
    pub(super) fn new(file: Option<&'f str>, filtered: bool, nodes: Nodes) -> Self {
        Self { file, filtered, nodes, sessions: BTreeMap::new() }
    }

    /// The number of sessions; what several nodes recorded of one counts once.
    pub(super) fn sessions(&self) -> u64 {
        let sessions: BTreeSet<SessionId> = self.sessions.keys().map(|chain| self.nodes.session_of(*chain)).collect();
        sessions.len() as u64
    }

    /// What was found of each node's record, where there are several; `expected` is where each should end, if known.
    pub(super) fn records(&self, expected: Option<&[Chain]>) -> Vec<NodeRecord> {
        let expected = by_id(expected);
        let record = |of: &NodeChain| {
            let found = self.sessions.get(&of.chain);
            let due = expected.get(&of.chain).map_or(0, |chain| chain.exchanges);
            NodeRecord {
                node: shown(&of.node),
                chain: of.chain,
                session: of.session,
                session_name: shown(&of.session_name),
                exchanges: found.map_or(0, |links| links.exchanges),
                missing: found.map_or(due, |links| links.missing),
                problems: found.map_or(0, |links| links.problems),
            }
        };
        self.nodes.chains().iter().map(record).collect()
    }

    /// Adds a finding about an exchange.
    pub(super) fn blame(
        &mut self,
        exchange: &Exchange,
        kind: FindingKind,
        what: impl Display,
        findings: &mut Findings,
    ) {
        let file = self.file;
        let links = self.links(exchange);
        links.problems += 1;
        findings.of(kind, file, &links.named(exchange), what);
    }

    fn links(&mut self, exchange: &Exchange) -> &mut Links {
        let nodes = &self.nodes;
        self.sessions.entry(exchange.session).or_insert_with(|| Links {
            label: nodes.label(exchange.session, &exchange.session_name),
            exchanges: 0,
            last: 0,
            rivals: vec![Link { named: None, hash: Some(chain::genesis(exchange.session)) }],
            gaps: Vec::new(),
            problems: 0,
            missing: 0,
        })
    }

    /// Checks the next exchange, which is left unchanged.
    pub(super) fn check(&mut self, exchange: &mut Exchange, findings: &mut Findings) {
        let (file, before) = (self.file, findings.len());
        let links = self.links(exchange);
        let named = links.named(exchange);
        let mut altered =
            |what: &str| findings.of(FindingKind::Altered, file, &named, format_args!("was altered: {what}"));
        if !is_as_recorded(&exchange.request.body) {
            altered("its request body differs from the recorded one");
        }
        if exchange.response.as_ref().is_some_and(|response| !is_as_recorded(&response.body)) {
            altered("its response body differs from the recorded one");
        }
        for (message, number) in exchange.web_socket.iter().flat_map(|part| &part.messages).zip(1..) {
            if !is_as_recorded(&message.body) {
                altered(&format!("WebSocket message {number} differs from the recorded one"));
            }
        }
        match (exchange.previous_hash, exchange.hash) {
            (Some(previous), Some(hash)) if chain::hash(previous, exchange) != hash => {
                altered("its hash doesn't match its content");
            }
            (Some(_), Some(_)) => {}
            _ => altered("it has no hashes"),
        }
        links.exchanges += 1;
        links.follow(exchange, named, file, findings);
        links.problems += (findings.len() - before) as u64;
    }

    /// Reports what is missing after the last exchange; `expected` is where each session should end, if known.
    pub(super) fn finish(&mut self, expected: Option<&[Chain]>, findings: &mut Findings) {
        let file = self.file;
        let ends = by_id(expected);
        for (id, links) in &mut self.sessions {
            let end = ends.get(id);
            let head = end.filter(|end| end.last == links.last).map(|end| end.head);
            let before = findings.len();
            links.settle_rivals(head, file, findings);
            links.problems += (findings.len() - before) as u64;
            if !self.filtered {
                links.missing = links.gaps.iter().map(Gap::count).fold(0, u64::saturating_add);
                links.name_gaps(file, findings);
            }
            if let Some(end) = end.filter(|end| end.last > links.last) {
                let (from, to, name) = (links.last + 1, end.last, &links.label);
                // A filter leaves numbers out.
                let count = if self.filtered { end.exchanges.saturating_sub(links.exchanges) } else { to - links.last };
                links.missing = links.missing.saturating_add(count);
                findings.add(
                    FindingKind::Missing,
                    file,
                    format_args!("{} of session {name} (up to its end) are missing", range(from, to)),
                );
            }
        }
        let gone = |chain: &&Chain| chain.exchanges > 0 && !self.sessions.contains_key(&chain.id);
        for chain in expected.into_iter().flatten().filter(gone) {
            let name = self.nodes.label(chain.id, &chain.name);
            findings.add(FindingKind::Missing, file, format_args!("session {} ({name}) is missing entirely", chain.id));
        }
    }
}

/// Where chains should end, by their ids. Of several with one id the first counts.
fn by_id(expected: Option<&[Chain]>) -> BTreeMap<SessionId, &Chain> {
    let mut ends = BTreeMap::new();
    for chain in expected.into_iter().flatten() {
        ends.entry(chain.id).or_insert(chain);
    }
    ends
}

impl Gap {
    fn count(&self) -> u64 {
        self.to - self.from + 1
    }
}

impl Links {
    fn named(&self, exchange: &Exchange) -> Named {
        Named::of(exchange, self.label.clone())
    }

    fn follow(&mut self, exchange: &Exchange, named: Named, file: Option<&str>, findings: &mut Findings) {
        let link = Link { named: Some(named.clone()), hash: exchange.hash };
        let sequence = exchange.sequence;
        if sequence > self.last {
            let chained = exchange.previous_hash.is_none()
                || self.rivals.iter().any(|rival| rival.hash == exchange.previous_hash);
            self.settle_rivals(Some(exchange.previous_hash), file, findings);
            if !chained && sequence > self.last + 1 && self.gaps.len() < MOST_GAPS {
                let before = self.rivals.last().and_then(|rival| rival.named.as_ref()).map(|named| named.id);
                self.gaps.push(Gap { from: self.last + 1, to: sequence - 1, before, after: exchange.id });
            } else if !chained && sequence == self.last + 1 {
                let what = match self.rivals.last().and_then(|rival| rival.named.as_ref()) {
                    Some(before) => format!("doesn't chain to the previous one, {before}: one of them was replaced"),
                    None => "doesn't chain to the start of the session: it was replaced".to_owned(),
                };
                findings.of(FindingKind::Altered, file, &named, what);
            }
            (self.last, self.rivals) = (sequence, vec![link]);
            return;
        }
        let twice = self.rivals.iter().any(|rival| rival.named.as_ref().is_some_and(|there| there.id == exchange.id));
        if twice {
            findings.of(FindingKind::Inserted, file, &named, "appears twice");
        } else if sequence == self.last && self.rivals.len() < MOST_RIVALS {
            // The next exchange shows which of them was recorded.
            self.rivals.push(link);
        } else {
            self.fill(sequence);
            let what = format_args!("comes after number {}: it was moved or inserted", self.last);
            findings.of(FindingKind::Reordered, file, &named, what);
        }
    }

    /// Removes a sequence number that turned up elsewhere from its gap.
    fn fill(&mut self, sequence: u64) {
        let Some(place) = self.gaps.iter().position(|gap| (gap.from..=gap.to).contains(&sequence)) else { return };
        let gap = self.gaps.remove(place);
        if gap.from < sequence {
            self.gaps.push(Gap { to: sequence - 1, ..gap });
        }
        if sequence < gap.to {
            self.gaps.push(Gap { from: sequence + 1, ..gap });
        }
    }

    /// Of several exchanges with one sequence number, the one with the right hash was recorded; the others were inserted.
    fn settle_rivals(&self, right: Option<Option<Digest>>, file: Option<&str>, findings: &mut Findings) {
        if self.rivals.len() < 2 {
            return;
        }
        let recorded = right.and_then(|right| self.rivals.iter().position(|rival| rival.hash == right));
        for (place, rival) in self.rivals.iter().enumerate() {
            let Some(named) = &rival.named else { continue };
            match recorded {
                Some(recorded) if recorded == place => {}
                Some(_) => findings.of(FindingKind::Inserted, file, named, "was inserted: it is not part of the chain"),
                None => findings.of(
                    FindingKind::Inserted,
                    file,
                    named,
                    "shares its sequence number with another: one of them was inserted",
                ),
            }
        }
    }

    fn name_gaps(&self, file: Option<&str>, findings: &mut Findings) {
        for Gap { from, to, before, after } in &self.gaps {
            let (which, name) = (range(*from, *to), &self.label);
            let place = match before {
                Some(before) => format!("between {before} and {after}"),
                None => format!("before {after}"),
            };
            findings.add(FindingKind::Missing, file, format_args!("{which} of session {name}, {place}: missing"));
        }
    }
}

pub(super) fn range(from: u64, to: u64) -> String {
    if from == to { format!("exchange {from}") } else { format!("exchanges {from} to {to}") }
}

/// Whether the bytes match the digest in the chain; unknowable, and so true, for masked bodies.
fn is_as_recorded(body: &Body) -> bool {
    body.masked || Digest::of(&body.bytes) == body.stored_digest()
}
