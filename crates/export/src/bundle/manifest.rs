//! What a bundle consists of.

use std::collections::BTreeMap;

use nightaudit_exchange::{Digest, Exchange, Import, Missing, SessionId, Timestamp};
use nightaudit_review::{Review, Verdict};
use serde::{Deserialize, Serialize};

use crate::Fingerprint;

/// The version of a bundle's layout.
pub(crate) const FORMAT: u32 = 1;

/// A bundle's `manifest.json`: what the signature covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The version of the bundle's layout.
    pub format: u32,
    /// The version of nightaudit that wrote it.
    pub nightaudit: String,
    /// How many exchanges it has.
    pub exchanges: u64,
    /// What they had to match to be in it; none for all that the log had.
    pub filter: BTreeMap<String, String>,
    /// The JSON fields whose values were masked in bodies on the way out.
    pub masked_fields: Vec<String>,
    /// How many bodies, a WebSocket's messages among them, had such a field. The chain holds the digest of what the log has, not of what stands here.
    pub masked_bodies: u64,
    /// The SHA-256 of the OpenAPI document that the requests were held against; none for what is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openapi: Option<Digest>,
    /// When it was made, and whose key signs it; none where earlier versions wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// What the review of each session comes to; empty where earlier versions wrote it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<Outline>,
    /// The sessions, in the order in which they first appear.
    pub sessions: Vec<Chain>,
    /// What was recorded and was not in the log any more, or could not be read, when the bundle was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Every other file of the bundle but the signature, by name.
    pub files: BTreeMap<String, FileEntry>,
}

/// When a report or bundle was made, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// When, by the clock of the machine that made it.
    pub at: Timestamp,
    /// The key of the installation that made it.
    pub key: Fingerprint,
}

/// A session's review in a few lines.
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

/// Where a session's chain begins and ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chain {
    /// The session.
    pub id: SessionId,
    /// Its name.
    pub name: String,
    /// How many of its exchanges are in the bundle.
    pub exchanges: u64,
    /// How many are known to have passed unrecorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unrecorded: u64,
    /// What was found when it was imported; none for what was recorded by the installation that made the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Import>,
    /// The sequence number of the first of them.
    pub first: u64,
    /// The sequence number of the last of them.
    pub last: u64,
    /// The hash before the first, where the log knew it.
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
        // Strings, numbers and maps of them: there is nothing that JSON can't hold.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// What a manifest says of the exchanges, gathered as they go by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) exchanges: u64,
    pub(crate) masked_bodies: u64,
    unrecorded: BTreeMap<SessionId, u64>,
    imported: BTreeMap<SessionId, Import>,
    sessions: Vec<Chain>,
    /// Where in `sessions` each is.
    places: BTreeMap<SessionId, usize>,
}

impl Tally {
    /// A tally of sessions of which so many exchanges passed unrecorded, and which were imported so.
    pub(crate) fn new(unrecorded: BTreeMap<SessionId, u64>, imported: BTreeMap<SessionId, Import>) -> Self {
        Self { unrecorded, imported, ..Self::default() }
    }

    pub(crate) fn add(&mut self, exchange: &Exchange) {
        self.exchanges += 1;
        self.masked_bodies += exchange.bodies().filter(|body| body.masked).count() as u64;
        let place = *self.places.entry(exchange.session).or_insert(self.sessions.len());
        if place == self.sessions.len() {
            self.sessions.push(Chain {
                id: exchange.session,
                name: exchange.session_name.to_string(),
                exchanges: 0,
                unrecorded: self.unrecorded.get(&exchange.session).copied().unwrap_or(0),
                imported: self.imported.get(&exchange.session).copied(),
                first: exchange.sequence,
                last: 0,
                previous_hash: exchange.previous_hash,
                head: None,
            });
        }
        let chain = &mut self.sessions[place];
        chain.exchanges += 1;
        chain.last = exchange.sequence;
        chain.head = exchange.hash;
    }

    pub(crate) fn into_sessions(self) -> Vec<Chain> {
        self.sessions
    }
}
