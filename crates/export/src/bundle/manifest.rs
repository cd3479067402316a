//! The bundle's manifest.

use std::collections::{BTreeMap, BTreeSet};

use nightaudit_exchange::{Digest, Exchange, Import, Missing, SessionId, Timestamp};
use nightaudit_review::{RequestLimit, Review, Verdict};
use serde::{Deserialize, Serialize};

use crate::{Fingerprint, NodeChain, Nodes};

/// The version of the layout of a bundle whose sessions were recorded by one node each.
const FORMAT: u32 = 1;
/// That of a bundle with several nodes' records of a session; versions that know only the first would take each for a session.
const FORMAT_OF_NODES: u32 = 2;

/// What every version of the manifest begins with.
#[derive(Debug, Deserialize)]
pub(crate) struct Layout {
    pub(crate) format: u32,
    #[serde(default)]
    pub(crate) nightaudit: String,
}

impl Layout {
    pub(crate) fn is_known(&self) -> bool {
        self.format <= FORMAT_OF_NODES
    }

    /// The version for these nodes.
    pub(crate) fn of(nodes: &Nodes) -> u32 {
        if nodes.is_empty() { FORMAT } else { FORMAT_OF_NODES }
    }
}

/// A bundle's `manifest.json`: what the signature covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The version of the bundle's layout: 2 if several nodes recorded a session, otherwise 1.
    pub format: u32,
    /// The version of nightaudit that wrote it.
    pub nightaudit: String,
    /// The number of exchanges.
    pub exchanges: u64,
    /// The filter they matched; empty for the whole log.
    pub filter: BTreeMap<String, String>,
    /// The JSON properties whose values the export masked in bodies.
    pub masked_fields: Vec<String>,
    /// The number of bodies, WebSocket messages included, with such a property. The chain has their digests as in the log.
    pub masked_bodies: u64,
    /// The SHA-256 of the newer documentation that requests were checked against; `None` for the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation: Option<Digest>,
    /// The SHA-256 of the OpenAPI document that the requests were held against; none for what is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openapi: Option<Digest>,
    /// The configured limits that requests were checked against, besides the one that Mews publishes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<RequestLimit>,
    /// When it was written, and the signing key; `None` from earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// Summaries of the reviews; empty from earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<Outline>,
    /// The sessions, of several nodes each one's record, in the order in which they first appear; records without an
    /// exchange in the bundle come last.
    pub sessions: Vec<Chain>,
    /// Recorded exchanges that were deleted or unreadable when the bundle was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Every other file except the signature, by name.
    pub files: BTreeMap<String, FileEntry>,
}

/// When and by which key a report or bundle was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// When, by the writing machine's clock.
    pub at: Timestamp,
    /// The fingerprint of the installation's key.
    pub key: Fingerprint,
}

/// A summary of a session's review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outline {
    /// The session.
    pub session: SessionId,
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict's line, with what the partner has taken out of it.
    pub headline: String,
    /// Who answered: `Not Mews: http://127.0.0.1:8090`.
    pub origin: String,
}

impl Outline {
    pub(crate) fn of(reviews: &[Review]) -> Vec<Self> {
        let outline = |review: &Review| {
            Some(Self {
                session: review.run.session?,
                verdict: review.verdict,
                headline: review.headline.clone(),
                origin: review.provenance.statement.clone(),
            })
        };
        reviews.iter().filter_map(outline).collect()
    }
}

/// The start and end of a session's chain, or of one of several nodes' chains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chain {
    /// The session's id, which the exchanges have; on each of several nodes it has another.
    pub id: SessionId,
    /// Its name.
    pub name: String,
    /// The node that recorded it; none if a single one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The id of the session as a whole; none if a single node recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<SessionId>,
    /// How many of its exchanges are in the bundle.
    pub exchanges: u64,
    /// The number known to have been forwarded but not recorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unrecorded: u64,
    /// What was found when it was imported; none for what was recorded by the installation that made the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Import>,
    /// The sequence number of the first of them; 0 for none.
    pub first: u64,
    /// The sequence number of the last of them; 0 for none.
    pub last: u64,
    /// The hash before the first, if known.
    pub previous_hash: Option<Digest>,
    /// The hash of the last: the head of the chain.
    pub head: Option<Digest>,
}

/// A file of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its length in bytes.
    pub bytes: u64,
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Manifest {
    /// The nodes, where several recorded a session.
    pub(crate) fn nodes(&self) -> Nodes {
        Nodes::new(self.sessions.iter().filter_map(|chain| {
            Some(NodeChain {
                chain: chain.id,
                node: chain.node.clone()?,
                session: chain.part_of.unwrap_or(chain.id),
                session_name: chain.name.clone(),
            })
        }))
    }

    /// How many exchanges of each session passed unrecorded.
    pub(crate) fn unrecorded(&self) -> BTreeMap<SessionId, u64> {
        let marked = self.sessions.iter().filter(|session| session.unrecorded > 0);
        marked.map(|session| (session.id, session.unrecorded)).collect()
    }

    /// What was found when sessions were imported.
    pub(crate) fn imported(&self) -> BTreeMap<SessionId, Import> {
        self.sessions.iter().filter_map(|session| Some((session.id, session.imported?))).collect()
    }

    /// The manifest as it stands in its file.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and maps always serialize.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// Collects the manifest's facts about exchanges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) exchanges: u64,
    pub(crate) masked_bodies: u64,
    unrecorded: BTreeMap<SessionId, u64>,
    imported: BTreeMap<SessionId, Import>,
    nodes: Nodes,
    sessions: Vec<Chain>,
    /// Indexes into `sessions`.
    indexes: BTreeMap<SessionId, usize>,
}

impl Tally {
    /// A tally of chains of which so many exchanges passed unrecorded, which were imported so, and which are of these nodes.
    pub(crate) fn new(
        unrecorded: BTreeMap<SessionId, u64>,
        imported: BTreeMap<SessionId, Import>,
        nodes: Nodes,
    ) -> Self {
        Self { unrecorded, imported, nodes, ..Self::default() }
    }

    pub(crate) fn add(&mut self, exchange: &Exchange) {
        self.exchanges += 1;
        self.masked_bodies += exchange.bodies().filter(|body| body.masked).count() as u64;
        let index = *self.indexes.entry(exchange.session).or_insert(self.sessions.len());
        if index == self.sessions.len() {
            let chain = self.begin(exchange.session, &exchange.session_name);
            self.sessions.push(Chain { first: exchange.sequence, previous_hash: exchange.previous_hash, ..chain });
        }
        let chain = &mut self.sessions[index];
        chain.exchanges += 1;
        chain.last = exchange.sequence;
        chain.head = exchange.hash;
    }

    /// A chain of which there is no exchange yet.
    fn begin(&self, id: SessionId, name: &str) -> Chain {
        let of = self.nodes.get(id);
        Chain {
            id,
            name: name.to_owned(),
            node: of.map(|of| of.node.clone()),
            part_of: of.map(|of| of.session),
            exchanges: 0,
            unrecorded: self.unrecorded.get(&id).copied().unwrap_or(0),
            imported: self.imported.get(&id).copied(),
            first: 0,
            last: 0,
            previous_hash: None,
            head: None,
        }
    }

    /// The chains: those with exchanges, then the other nodes' of the same sessions.
    pub(crate) fn into_sessions(mut self) -> Vec<Chain> {
        let there: BTreeSet<SessionId> = self.indexes.keys().map(|chain| self.nodes.session_of(*chain)).collect();
        let nodes = self.nodes.clone();
        let absent = |of: &&NodeChain| there.contains(&of.session) && !self.indexes.contains_key(&of.chain);
        let absent: Vec<Chain> =
            nodes.chains().iter().filter(absent).map(|of| self.begin(of.chain, &of.session_name)).collect();
        self.sessions.extend(absent);
        self.sessions
    }
}
