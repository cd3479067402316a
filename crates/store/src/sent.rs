//! What was sent to Mews lately, from which a limiter fills its windows.

use std::time::Duration;

use nightaudit_exchange::{Exchange, Filter, Outcome, Pseudonym, Timestamp};
use nightaudit_log::{Query, ReadError};

use crate::log::Log;

/// A request that was sent to Mews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
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
    pub fn recent_sends(&self, since: Timestamp) -> Result<impl Iterator<Item = SentRequest> + use<>, ReadError> {
        // A request that arrived earlier may have been held back by the limiter before it was sent.
        let filter = Filter { since: Some(since.minus(Duration::from_secs(3600))), ..Filter::default() };
        let exchanges = self.query(Query { filter, ..Query::default() })?;
        Ok(exchanges.filter_map(Result::ok).filter_map(sent).filter(move |sent| sent.at >= since))
    }
}

/// A response of Mews, as far as a limiter listens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedResponse {
    /// The request.
    pub request: SentRequest,
    /// When the response's head had arrived.
    pub at: Timestamp,
    /// Its status.
    pub status: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<String>,
}

impl Log {
    /// The responses by which Mews has refused requests since this instant because there were too many (429), and all of its
    /// responses since `all`, in the order in which they were recorded.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where the log can't be read; exchanges that can't are passed over.
    pub fn recent_rejections(&self, since: Timestamp, all: Timestamp) -> Result<Vec<RecordedResponse>, ReadError> {
        let begin = |since: Timestamp| Some(since.minus(Duration::from_secs(3600)));
        let too_many = Filter { since: begin(since), status: "429".parse().ok(), ..Filter::default() };
        let answers = |filter: Filter, from: Timestamp| -> Result<Vec<RecordedResponse>, ReadError> {
            let exchanges = self.query(Query { filter, ..Query::default() })?;
            Ok(exchanges.filter_map(Result::ok).filter_map(answered).filter(|one| one.at >= from).collect())
        };
        let refusals = answers(too_many, since)?;
        // What was taken matters only beside what was refused of late.
        if refusals.iter().all(|refusal| refusal.at < all) {
            return Ok(refusals);
        }
        let mut list: Vec<_> = refusals.into_iter().filter(|refusal| refusal.at < all).collect();
        list.extend(answers(Filter { since: begin(all), ..Filter::default() }, all)?);
        Ok(list)
    }
}

fn answered(exchange: Exchange) -> Option<RecordedResponse> {
    let head = exchange.times_us.response_head?;
    if exchange.outcome != Outcome::Answered || exchange.web_socket.is_some() {
        return None;
    }
    let response = exchange.response.as_ref()?;
    let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("retry-after"));
    let retry_after = header.map(|header| header.value.to_string());
    let (status, at) = (response.status, exchange.started_at.plus(Duration::from_micros(head)));
    Some(RecordedResponse { status, at, retry_after, request: sent(exchange)? })
}

fn sent(exchange: Exchange) -> Option<SentRequest> {
    let at = match (exchange.forwarded_at(), exchange.outcome) {
        (Some(at), _) => at,
        (None, Outcome::Interrupted) => exchange.started_at,
        (None, _) => return None,
    };
    Some(SentRequest {
        at,
        operation: exchange.operation,
        access_token: exchange.envelope.access_token,
        client_token: exchange.envelope.client_token,
        paginated: exchange.envelope.paginated,
        peer: exchange.peer,
    })
}
