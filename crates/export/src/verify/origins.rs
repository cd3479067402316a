//! Who answered the exchanges of a file or a log, session by session.

use std::collections::BTreeMap;

use nightaudit_exchange::{Exchange, Import, SessionId};
use nightaudit_review::{OriginTracker, Provenance};
use serde::Serialize;

use super::finding::{FindingKind, Findings, shown};

/// The most sessions whose origins are told.
const MOST: usize = 1_000;

/// Who answered a session's exchanges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionOrigin {
    /// The session.
    pub session: SessionId,
    /// Its name.
    pub name: String,
    /// Who answered, and whether that can be believed.
    pub provenance: Provenance,
    /// The verdict's line, where a bundle has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headline: Option<String>,
}

/// Gathers who answered.
#[derive(Debug, Default)]
pub(super) struct SessionOrigins {
    imported: BTreeMap<SessionId, Import>,
    sessions: Vec<(SessionId, String, OriginTracker)>,
}

impl SessionOrigins {
    /// Of sessions of which these are known to be imported.
    pub(super) fn new(imported: BTreeMap<SessionId, Import>) -> Self {
        Self { imported, sessions: Vec::new() }
    }

    pub(super) fn add(&mut self, exchange: &Exchange) {
        let place = match self.sessions.iter().rposition(|(session, ..)| *session == exchange.session) {
            Some(place) => place,
            None if self.sessions.len() < MOST => {
                let mut origins = OriginTracker::default();
                if let Some(import) = self.imported.get(&exchange.session) {
                    origins.set_imported(*import);
                }
                self.sessions.push((exchange.session, shown(&exchange.session_name), origins));
                self.sessions.len() - 1
            }
            None => return,
        };
        self.sessions[place].2.push(exchange);
    }

    /// Who answered; what was edited before it was imported is a finding. Of a file that nobody signs it is a claim.
    pub(super) fn finish(self, file: Option<&str>, signed: bool, findings: &mut Findings) -> Vec<SessionOrigin> {
        let of = |(session, name, origins): (SessionId, String, OriginTracker)| {
            let provenance = origins.provenance();
            let provenance = if signed { provenance } else { provenance.claimed() };
            SessionOrigin { session, name, provenance, headline: None }
        };
        let origins: Vec<SessionOrigin> = self.sessions.into_iter().map(of).collect();
        for origin in &origins {
            if let Some(import) = origin.provenance.imported.filter(|import| import.edited > 0) {
                findings.add(FindingKind::Altered, file, format_args!("session {}: {import}", origin.name));
            }
        }
        origins
    }
}
