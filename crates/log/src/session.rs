//! Sessions as readers see them.

use nightaudit_exchange::{Import, Missing, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::SessionError;

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

/// What [`choose`] needs to know of a session.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: SessionId,
    /// Its name.
    pub name: &'a str,
    /// Whether it can be continued.
    pub open: bool,
}

/// The minimum length of a suffix of an id.
const MIN_SUFFIX: usize = 4;

/// The session that `which` names: the newest of that name, an open one first; otherwise the one with that id, or the
/// only one whose id has this prefix, or else this suffix, ignoring case. `last` is the most recently started.
///
/// # Errors
///
/// [`SessionError::NotFound`], or [`SessionError::Ambiguous`] with the first eight.
pub fn choose<'a>(which: &str, sessions: impl IntoIterator<Item = Candidate<'a>>) -> Result<SessionId, SessionError> {
    let prefix = which.to_ascii_uppercase();
    let mut named: Option<Candidate<'a>> = None;
    let (mut ids, mut by_suffix, mut last) = (Vec::new(), Vec::new(), None);
    for session in sessions {
        last = last.max(Some(session.id));
        if session.name == which && named.is_none_or(|best| (session.open, session.id) > (best.open, best.id)) {
            named = Some(session);
        }
        let id = session.id.to_string();
        if !prefix.is_empty() && id.starts_with(&prefix) {
            ids.push(session.id);
        } else if prefix.len() >= MIN_SUFFIX && id.ends_with(&prefix) {
            by_suffix.push(session.id);
        }
    }
    if ids.is_empty() {
        ids = if which == "last" { last.into_iter().collect() } else { by_suffix };
    }
    match (named, &ids[..]) {
        (Some(session), _) => Ok(session.id),
        (None, []) => Err(SessionError::NotFound(which.to_owned())),
        (None, [id]) => Ok(*id),
        (None, _) => {
            ids.sort_unstable();
            ids.truncate(8);
            Err(SessionError::Ambiguous { prefix: which.to_owned(), ids })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_open_session_or_the_newest_and_comes_before_an_id() {
        let id = |number: u128| SessionId::from_parts(number as u64 + 1, number);
        let text = id(1).to_string();
        let all =
            [(id(0), "a", true), (id(1), "a", false), (id(2), "b", false), (id(3), "b", false), (id(4), &text, false)];
        let find = |which: &str| choose(which, all.map(|(id, name, open)| Candidate { id, name, open }));
        assert_eq!(find("a").unwrap(), id(0));
        assert_eq!(find("b").unwrap(), id(3));
        assert_eq!(find(&text).unwrap(), id(4));
        assert_eq!(find(&id(2).to_string().to_lowercase()).unwrap(), id(2));
        assert!(matches!(find("0"), Err(SessionError::Ambiguous { ids, .. }) if ids.len() == 5));
        for nothing in ["", "c", "ZZ"] {
            assert!(matches!(find(nothing), Err(SessionError::NotFound(which)) if which == nothing), "{nothing}");
        }
    }

    #[test]
    fn a_session_name_is_short_text() {
        for (name, is) in
            [("a", true), (&*"é".repeat(100), true), (&*"é".repeat(101), false), (" ", false), ("a\nb", false)]
        {
            assert_eq!(is_session_name(name), is, "{name:?}");
        }
    }
}
