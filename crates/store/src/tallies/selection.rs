//! A filter as tallies are kept by.

use nightaudit_exchange::{Filter, SessionId};

/// A filter with its sessions resolved: a name may name another session later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The filter without sessions.
    pub(crate) filter: Filter,
    pub(crate) session: Option<SessionId>,
    pub(crate) unwanted: Option<SessionId>,
}

impl Selection {
    pub(crate) fn has(&self, session: SessionId) -> bool {
        self.session.is_none_or(|wanted| wanted == session) && self.unwanted != Some(session)
    }

    /// The filter for a query, which resolves sessions itself.
    pub(crate) fn query(&self) -> Filter {
        let id = |session: SessionId| session.to_string();
        let mut except = self.filter.except.clone();
        if let Some(unwanted) = self.unwanted {
            except.get_or_insert_default().session = Some(id(unwanted));
        }
        Filter { session: self.session.map(id), except, ..self.filter.clone() }
    }
}
