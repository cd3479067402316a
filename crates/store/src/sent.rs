//! What was sent to Mews lately, from which a limiter fills its windows.

use std::time::Duration;

use nightaudit_exchange::{Exchange, Filter, Outcome, Pseudonym, Timestamp};

use crate::{error::ReadError, log::Log, query::Query};

/// A request that was sent to Mews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When it was handed to the connection; for an interrupted one, when it was received.
    pub at: Timestamp,
    /// The operation.
    pub operation: String,
    /// The pseudonym of `AccessToken`.
    pub access_token: Option<Pseudonym>,
    /// The pseudonym of `ClientToken`.
    pub client_token: Option<Pseudonym>,
    /// Whether it uses pagination.
    pub paginated: bool,
    /// The integration's address.
    pub peer: Option<std::net::SocketAddr>,
}

impl Log {
    /// The requests that were sent to Mews at this instant or later, in the order in which they were recorded.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where the log can't be read; exchanges that can't are passed over.
    pub fn recent_sends(&self, since: Timestamp) -> Result<impl Iterator<Item = Sent> + use<>, ReadError> {
        // A request that arrived earlier may have been held back by the limiter before it was sent.
        let filter = Filter { since: Some(since.minus(Duration::from_secs(3600))), ..Filter::default() };
        let exchanges = self.query(Query { filter, ..Query::default() })?;
        Ok(exchanges.filter_map(Result::ok).filter_map(sent).filter(move |sent| sent.at >= since))
    }
}

fn sent(exchange: Exchange) -> Option<Sent> {
    let at = match (exchange.forwarded_at(), exchange.outcome) {
        (Some(at), _) => at,
        (None, Outcome::Interrupted) => exchange.started_at,
        (None, _) => return None,
    };
    Some(Sent {
        at,
        operation: exchange.operation,
        access_token: exchange.envelope.access_token,
        client_token: exchange.envelope.client_token,
        paginated: exchange.envelope.paginated,
        peer: exchange.peer,
    })
}
