//! The origin of the responses, per session.

use std::collections::BTreeMap;

use nightaudit_exchange::{Exchange, Import, SessionId};
use nightaudit_review::{OriginTracker, Provenance};
use serde::Serialize;

use super::finding::{FindingKind, Findings, shown};
use crate::Nodes;

/// Maximum sessions whose origins are reported.
const MAX_SESSIONS: usize = 1_000;

/// The origin of a session's responses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionOrigin {
    /// The session.
    pub session: SessionId,
    /// Its name.
    pub name: String,
    /// Where the responses came from, and how well that is proven.
    pub provenance: Provenance,
    /// The verdict's headline, if the bundle has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headline: Option<String>,
}

/// Collects the origins of responses.
#[derive(Debug, Default)]
pub(super) struct SessionOrigins {
    imported: BTreeMap<SessionId, Import>,
    nodes: Nodes,
    sessions: Vec<(SessionId, String, OriginTracker)>,
}

impl SessionOrigins {
    /// `imported` holds what is known to be imported, by the session's id that exchanges have; `nodes` those that share a
    /// session.
    pub(super) fn new(imported: &BTreeMap<SessionId, Import>, nodes: Nodes) -> Self {
        Self { imported: nodes.by_session(imported), nodes, sessions: Vec::new() }
    }

    pub(super) fn add(&mut self, exchange: &Exchange) {
        let session = self.nodes.session_of(exchange.session);
        let index = match self.sessions.iter().rposition(|(known, ..)| *known == session) {
            Some(index) => index,
            None if self.sessions.len() < MAX_SESSIONS => {
                let mut origins = OriginTracker::default();
                if let Some(import) = self.imported.get(&session) {
                    origins.set_imported(*import);
                }
                self.sessions.push((session, shown(&exchange.session_name), origins));
                self.sessions.len() - 1
            }
            None => return,
        };
        self.sessions[index].2.push(exchange);
    }

    /// The origins; exchanges edited before the import are findings. In an unsigned file origins are only claims.
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
