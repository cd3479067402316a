//! What is verified, and what comes of it.

use std::{io, path::PathBuf};

use nightaudit_exchange::{SessionId, Timestamp};
use nightaudit_review::Basis;
use serde::Serialize;

use super::{finding::Finding, origins::SessionOrigin};
use crate::key::Fingerprint;

/// Options of [`verify`](fn@crate::verify).
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// The expected signing key; `None` accepts any key, and files that aren't signed.
    pub key: Option<Fingerprint>,
    /// Documentation besides the built-in one, for bundles whose requests were checked against it.
    pub documentation: Vec<Basis>,
    /// The folder for an unnamed temporary file, to which a bundle's report is rendered again.
    pub scratch: PathBuf,
}

/// Progress of a verification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Exchanges checked.
    pub exchanges: u64,
    /// Total exchanges as stated by the file; 0 if unknown.
    pub total: u64,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// What was verified: `bundle`, `ndjson`, `har` or `log`.
    pub what: &'static str,
    /// Exchanges in it.
    pub exchanges: u64,
    /// Sessions in it.
    pub sessions: u64,
    /// The valid signature; `None` if it is missing or invalid, or the format has none.
    pub signed_by: Option<SignedBy>,
    /// The origin of the responses, per session; empty for a HAR.
    pub origins: Vec<SessionOrigin>,
    /// The record of each node, of sessions that several nodes recorded; by session and node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeRecord>,
    /// What could not be verified, one sentence each.
    pub notes: Vec<String>,
    /// The problems found.
    pub findings: Vec<Finding>,
    /// Whether verification stopped early because of too many findings.
    pub cut: bool,
}

/// What was found of one node's record of a session that several nodes recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// The node.
    pub node: String,
    /// The session's id on the node, which its exchanges have.
    pub chain: SessionId,
    /// The session's id.
    pub session: SessionId,
    /// The session's name.
    pub session_name: String,
    /// Exchanges in it.
    pub exchanges: u64,
    /// Exchanges that it lacks.
    pub missing: u64,
    /// Findings about it, apart from what is missing: it was tampered with.
    pub problems: u64,
}

impl NodeRecord {
    /// Whether it is as its node recorded it.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.missing == 0 && self.problems == 0
    }
}

/// A valid signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedBy {
    /// The key.
    pub key: Fingerprint,
    /// When it was signed, by the signing machine's clock.
    pub at: Timestamp,
}

impl Verification {
    /// Whether there are no findings.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether it also proves that every session's responses came from Mews.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.is_good() && !self.origins.is_empty() && self.origins.iter().all(|origin| origin.provenance.is_proven())
    }
}

/// A file that can't be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// I/O error.
    #[error("can't read: {0}")]
    Io(#[from] io::Error),
    /// A zip (or the remains of one) that is not a bundle.
    #[error("not a bundle of evidence: {0}")]
    NotABundle(String),
    /// Written by a later version.
    #[error("written by nightaudit {nightaudit} in a layout this version doesn't support: use that version")]
    Newer {
        /// The version that wrote it.
        nightaudit: String,
    },
    /// Not a format that can be verified.
    #[error("neither a bundle nor an NDJSON or HAR export: {0}")]
    Unknown(String),
}
