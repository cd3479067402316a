//! Sessions as readers see them.

use nightaudit_exchange::{Import, Missing, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// The maximum length of a session's declaration, in bytes.
pub const MAX_DECLARATION: usize = 32 << 10;

/// A session of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The id, and the name of its folder.
    pub id: SessionId,
    /// The name. Several sessions may share it; at most one of them is open.
    pub name: String,
    /// The environment it was recorded in.
    pub environment: String,
    /// When it was started.
    pub started: Timestamp,
    /// When it was ended; `None` while it can be continued.
    pub ended: Option<Timestamp>,
    /// The number of exchanges.
    pub exchanges: u64,
    /// When the first exchange started.
    pub first: Option<Timestamp>,
    /// When the last exchange started.
    pub last: Option<Timestamp>,
    /// Its size on disk, in bytes.
    pub bytes: u64,
    /// The user's note.
    pub note: Option<String>,
    /// Exchanges that passed unrecorded because the log could not be written; above 0 the session stays incomplete.
    pub unrecorded: u64,
    /// Whether exchanges are missing from it.
    pub incomplete: bool,
    /// What the import found; `None` if it was recorded here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Import>,
    /// The integration's declaration, as its file has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declaration: Option<String>,
    /// Whether it can be continued.
    pub open: bool,
    /// Whether it is the session for exchanges that name none.
    pub current: bool,
    /// Exchanges that were recorded and are no longer in the log.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// Their ranges of sequence numbers, inclusive; empty if unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_ranges: Vec<(u64, u64)>,
    /// Whether its import is unfinished.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub importing: bool,
    /// The record of each node, if the log is of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<Chain>,
}

impl Session {
    /// The text by which a filter names exactly this: its id, and the node if it is only one node's part.
    #[must_use]
    pub fn filter_text(&self) -> String {
        match &self.chains[..] {
            [only] => format!("{}@{}", self.id, only.node),
            _ => self.id.to_string(),
        }
    }

    /// Its exchanges that were recorded and are no longer in the log, by the node that recorded them if there are several.
    pub fn all_missing(&self) -> impl Iterator<Item = Missing> {
        let own = (self.chains.is_empty() && self.missing > 0).then(|| self.missing_exchanges());
        let of_nodes = self.chains.iter().filter(|chain| chain.missing > 0).map(|chain| Missing {
            session: chain.session,
            session_name: format!("{} on {}", self.name, chain.node),
            count: chain.missing,
            ranges: chain.missing_ranges.clone(),
            whole_session: false,
        });
        own.into_iter().chain(of_nodes)
    }
}

/// What one node recorded of a session, with a hash chain of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// The session's id on the node, which its exchanges have.
    pub session: SessionId,
    /// The node's name.
    pub node: String,
    /// The number of exchanges.
    pub exchanges: u64,
    /// The sequence number of the last exchange that the log got; 0 without any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last: u64,
    /// The highest sequence number that was deleted from the log on purpose, because of its age; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_to: u64,
    /// Exchanges that passed unrecorded on the node.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unrecorded: u64,
    /// What the import on the node found; `None` if it was recorded there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Import>,
    /// Exchanges that the node recorded and that are no longer in the log.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// Their ranges of sequence numbers, inclusive; empty if unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_ranges: Vec<(u64, u64)>,
}

impl Chain {
    /// The chain of a node that has recorded nothing yet.
    #[must_use]
    pub fn new(session: SessionId, node: &str) -> Self {
        Self {
            session,
            node: node.to_owned(),
            exchanges: 0,
            last: 0,
            dropped_to: 0,
            unrecorded: 0,
            imported: None,
            missing: 0,
            missing_ranges: Vec::new(),
        }
    }
}

impl Session {
    /// A session without exchanges, neither open nor current.
    #[must_use]
    pub fn new(id: SessionId, name: &str, environment: &str, started: Timestamp) -> Self {
        Self {
            id,
            name: name.to_owned(),
            environment: environment.to_owned(),
            started,
            ended: None,
            exchanges: 0,
            first: None,
            last: None,
            bytes: 0,
            note: None,
            unrecorded: 0,
            incomplete: false,
            imported: None,
            declaration: None,
            open: false,
            current: false,
            missing: 0,
            missing_ranges: Vec::new(),
            importing: false,
            chains: Vec::new(),
        }
    }

    /// Its exchanges that were recorded and are no longer in the log.
    #[must_use]
    pub fn missing_exchanges(&self) -> Missing {
        Missing {
            session: self.id,
            session_name: self.name.clone(),
            count: self.missing,
            ranges: self.missing_ranges.clone(),
            whole_session: self.exchanges == 0 && !self.open && self.bytes == 0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "required by serde")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Whether this is a valid session name: 1 to 200 bytes, not only spaces, no control characters.
#[must_use]
pub fn is_session_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= 200 && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_name_is_short_text() {
        for (name, is) in
            [("a", true), (&*"é".repeat(100), true), (&*"é".repeat(101), false), (" ", false), ("a\nb", false)]
        {
            assert_eq!(is_session_name(name), is, "{name:?}");
        }
    }
}
