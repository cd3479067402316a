//! What a session's log knows of it besides its exchanges.

use nightaudit_exchange::{Import, Missing};
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
}

impl From<&Session> for SessionFacts {
    fn from(session: &Session) -> Self {
        let missing = (session.missing > 0).then(|| session.missing_exchanges());
        Self { unrecorded: session.unrecorded, imported: session.imported, missing }
    }
}
