//! Recent requests to Mews, from which a limiter restores its windows.

use std::time::Duration;

use nightaudit_exchange::{Exchange, FaultEnding, Filter, Outcome, OutcomeFilter, Pseudonym, Timestamp};
use nightaudit_log::{Query, ReadError};

use crate::{log::Log, query::Exchanges, row_filter::RowFilter};

/// A request that was sent to Mews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
    /// Scheme and authority of the host that it was for; `None` if the record doesn't say.
    pub host: Option<String>,
    /// When it was written to the connection; for an interrupted one, when it was received.
    pub at: Timestamp,
    /// The operation.
    pub operation: String,
    /// The pseudonym of `AccessToken`.
    pub access_token: Option<Pseudonym>,
    /// The pseudonym of `ClientToken`.
    pub client_token: Option<Pseudonym>,
    /// Whether it uses pagination.
    pub paginated: bool,
    /// The client's address.
    pub peer: Option<std::net::SocketAddr>,
}

impl Log {
    /// The requests sent to Mews since this instant, in recording order.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the log can't be read; unreadable exchanges are skipped.
    pub fn recent_sends(&self, since: Timestamp) -> Result<impl Iterator<Item = SentRequest> + use<>, ReadError> {
        Ok(self
            .ended_since(Filter::default(), since)?
            .filter_map(Result::ok)
            .filter_map(sent_request)
            .filter(move |sent| sent.at >= since))
    }
}

/// A response of Mews, as far as a limiter needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedResponse {
    /// The request.
    pub request: SentRequest,
    /// When the response's head arrived.
    pub at: Timestamp,
    /// Its status.
    pub status: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<String>,
}

impl Log {
    /// The responses with which Mews rejected requests as too many (429) since `since`, and all its responses since
    /// `all`, in recording order.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the log can't be read; unreadable exchanges are skipped.
    pub fn recent_rejections(&self, since: Timestamp, all: Timestamp) -> Result<Vec<RecordedResponse>, ReadError> {
        let too_many = Filter { status: "429".parse().ok(), ..Filter::default() };
        let responses = |filter: Filter, from: Timestamp| -> Result<Vec<RecordedResponse>, ReadError> {
            let exchanges = self.ended_since(filter, from)?;
            Ok(exchanges.filter_map(Result::ok).filter_map(response).filter(|response| response.at >= from).collect())
        };
        let mut rejections = responses(too_many, since)?;
        // A client whose connection a fault rule reset got no response, so its exchange has no status to be found by, and no
        // `Retry-After`, so that an older one doesn't block anything. To look for it further back would read the whole index.
        let faulted = Filter { outcome: Some(OutcomeFilter::Is(Outcome::Faulted)), ..Filter::default() };
        rejections.extend(resets(self.ended_since(faulted, all)?, all));
        // Successes matter only if there were recent rejections.
        if rejections.iter().all(|rejection| rejection.at < all) {
            return Ok(rejections);
        }
        let mut list: Vec<_> = rejections.into_iter().filter(|rejection| rejection.at < all).collect();
        list.extend(responses(Filter::default(), all)?);
        Ok(list)
    }

    /// The exchanges that match a filter and ended since this instant. The rows before it are skipped, as whole chunks:
    /// a start must not take longer in a larger log. The filter must need neither bodies nor a `Request-Id`.
    fn ended_since(&self, filter: Filter, since: Timestamp) -> Result<Exchanges, ReadError> {
        let rows = RowFilter::new(&filter).ended_since(since);
        Ok(self.query(Query { filter, ..Query::default() })?.by_index(rows))
    }
}

/// The rejections that no client got, because a fault rule reset its connection.
fn resets(faulted: Exchanges, since: Timestamp) -> impl Iterator<Item = RecordedResponse> {
    let unseen = faulted.filter_map(Result::ok).filter(|exchange| exchange.response.is_none());
    unseen.filter_map(response).filter(move |response| response.status == 429 && response.at >= since)
}

/// What Mews responded to a forwarded request, even if the client got only a part of it, or nothing.
fn response(exchange: Exchange) -> Option<RecordedResponse> {
    let head = exchange.times_us.response_head?;
    if exchange.web_socket.is_some() {
        return None;
    }
    let (status, retry_after) = response_of_mews(&exchange)?;
    let at = exchange.started_at.plus(Duration::from_micros(head));
    Some(RecordedResponse { status, at, retry_after, request: sent_request(exchange)? })
}

/// Status and `Retry-After` of Mews' own response.
fn response_of_mews(exchange: &Exchange) -> Option<(u16, Option<String>)> {
    let fault = exchange.fault.as_deref();
    if let Some(status) = fault.and_then(|fault| fault.upstream_status) {
        return Some((status, None));
    }
    let response = exchange.response.as_ref()?;
    let is_own = match exchange.outcome {
        Outcome::Answered => true,
        // The proxy's responses to failures have none of the statuses that say something about limits.
        Outcome::Failed | Outcome::Aborted => matches!(response.status, 200..=299 | 429),
        Outcome::Faulted => !matches!(fault?.ending, Some(FaultEnding::Status(_))),
        Outcome::Refused | Outcome::Rejected | Outcome::Interrupted => false,
    };
    let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("retry-after"));
    is_own.then(|| (response.status, header.map(|header| header.value.to_string())))
}

fn sent_request(exchange: Exchange) -> Option<SentRequest> {
    // A webhook goes the other way.
    if exchange.is_webhook() {
        return None;
    }
    let at = match (exchange.forwarded_at(), exchange.outcome) {
        (Some(at), _) => at,
        (None, Outcome::Interrupted) => exchange.started_at,
        (None, _) => return None,
    };
    Some(SentRequest {
        host: host(&exchange),
        at,
        operation: exchange.operation,
        access_token: exchange.envelope.access_token,
        client_token: exchange.envelope.client_token,
        paginated: exchange.envelope.paginated,
        peer: exchange.peer,
    })
}

fn host(exchange: &Exchange) -> Option<String> {
    if let Some(destination) = &exchange.destination {
        return Some(destination.address.to_string());
    }
    // The journal, which has interrupted requests, may have cut the URL within a long host.
    let (scheme, rest) = exchange.request.url.split_once("://")?;
    let (authority, _) = rest.split_once('/')?;
    Some(format!("{scheme}://{authority}"))
}
