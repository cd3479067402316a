//! The facts of an exchange that rules about order need, small enough to buffer many.

use nightaudit_exchange::{Decision, Exchange, ExchangeId, FailureKind, Outcome, Timestamp};
use nightaudit_mews::Environment;
use serde::Deserialize;

use crate::{
    body::{BodySummary, hash, mask_text, name_bit},
    intent::{Fault, Intent},
    names::{Family, OperationNo, OwnLists, TokenNo},
    order::on_clock,
    page,
    review::{RetryCause, RetryOrigin},
};

/// An exchange, reduced to what rules about order need.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) id: ExchangeId,
    pub(crate) sequence: u64,
    /// When it was forwarded, or received if it wasn't: microseconds on the corrected clock.
    pub(crate) at: i64,
    /// When it was received: earlier than `at` if the limit delayed it.
    pub(crate) received: i64,
    /// When the integration had the response, as far as known.
    pub(crate) end: i64,
    /// Subtract from `at` to get the recorded time.
    pub(crate) offset: i64,
    pub(crate) operation: OperationNo,
    pub(crate) family: Family,
    pub(crate) access_token: TokenNo,
    pub(crate) client_token: TokenNo,
    pub(crate) outcome: Outcome,
    /// The response status; 0 without a response.
    pub(crate) status: u16,
    /// Whether it was sent to Mews as a request.
    pub(crate) sent: bool,
    /// Seconds of `Retry-After`.
    pub(crate) retry_after: Option<u32>,
    pub(crate) limit: Option<LimitFact>,
    pub(crate) intent: Intent,
    /// Whether it has exactly one id.
    pub(crate) is_single: bool,
    /// The hash of the requested cursor, and of the next page's if this one was full; 0 for none.
    pub(crate) cursor: u64,
    pub(crate) next: u64,
    pub(crate) failure: Option<Box<FailureFact>>,
}

/// What the limiter noted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LimitFact {
    pub(crate) rule: u16,
    pub(crate) decision: Decision,
    pub(crate) used: u32,
    pub(crate) limit: u32,
}

/// Names of properties that violate the contract, one bit each as in [`BodySummary::names`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Blamed {
    /// All of them.
    pub(crate) names: u64,
    /// Those unknown to the contract, or deprecated.
    pub(crate) unknown: u64,
}

/// What a finding needs of a failed call.
#[derive(Debug, Clone)]
pub(crate) struct FailureFact {
    /// Why there is no response from Mews.
    pub(crate) kind: Option<FailureKind>,
    pub(crate) fault: Fault,
    pub(crate) message: Box<str>,
    pub(crate) request_id: Option<Box<str>>,
}

/// The longest message kept, in characters.
const LONGEST_MESSAGE: usize = 300;

/// The largest error body that is parsed for its message, in bytes.
const MOST_ERROR: usize = 64 << 10;

impl Fact {
    /// The time of sending and the sequence.
    pub(crate) fn key(&self) -> (i64, u64) {
        (self.at, self.sequence)
    }

    /// Whether Mews returned 2xx.
    pub(crate) fn succeeded(&self) -> bool {
        self.outcome == Outcome::Answered && (200..300).contains(&self.status)
    }

    /// Whether the call failed for any reason. Aborted and interrupted calls haven't.
    pub(crate) fn failed(&self) -> bool {
        self.failure.is_some()
    }

    /// `at` as recorded.
    pub(crate) fn recorded_at(&self) -> Timestamp {
        Timestamp::from_micros(self.at.saturating_sub(self.offset))
    }

    /// Why a retry must wait, and who said so; `None` if the call needs no back-off.
    pub(crate) fn retry(&self) -> Option<(RetryOrigin, RetryCause)> {
        match (self.outcome, self.status) {
            (Outcome::Refused, _) => Some((RetryOrigin::Nightaudit, RetryCause::TooManyRequests)),
            (Outcome::Answered, 429) => Some((RetryOrigin::Mews, RetryCause::TooManyRequests)),
            (Outcome::Answered, 408) => Some((RetryOrigin::Mews, RetryCause::TooHeavy)),
            (Outcome::Answered, 500..) => Some((RetryOrigin::Mews, RetryCause::ServerError)),
            (Outcome::Failed, _) => Some((RetryOrigin::Mews, RetryCause::NoAnswer)),
            (Outcome::Faulted, 429) => Some((RetryOrigin::Fault, RetryCause::TooManyRequests)),
            (Outcome::Faulted, 408) => Some((RetryOrigin::Fault, RetryCause::TooHeavy)),
            (Outcome::Faulted, 500..) => Some((RetryOrigin::Fault, RetryCause::ServerError)),
            // Reset or truncated: the integration doesn't know what became of its call.
            (Outcome::Faulted, 0..=399) => Some((RetryOrigin::Fault, RetryCause::NoAnswer)),
            _ => None,
        }
    }
}

/// The input of a [`Fact`].
pub(crate) struct FactInput<'a, 'b> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) asked: &'a BodySummary<'b>,
    pub(crate) offset: i64,
    pub(crate) operation: OperationNo,
    pub(crate) family: Family,
    pub(crate) access_token: TokenNo,
    pub(crate) client_token: TokenNo,
    pub(crate) rule: Option<u16>,
    /// The lists of its resource, if the operation is paginated.
    pub(crate) paginated: Option<OwnLists>,
    /// What violates the contract in the request.
    pub(crate) blamed: Blamed,
}

impl FactInput<'_, '_> {
    pub(crate) fn fact(&self) -> Fact {
        let exchange = self.exchange;
        let started = on_clock(exchange.started_at.micros(), self.offset);
        let after = |micros: u64| on_clock(started, i64::try_from(micros).unwrap_or(i64::MAX));
        // Whether an interrupted request was sent is unknown; for the limit it counts as sent.
        let sent = exchange.times_us.forwarded.is_some() || exchange.outcome == Outcome::Interrupted;
        let at = after(exchange.times_us.forwarded.unwrap_or(0));
        Fact {
            id: exchange.id,
            sequence: exchange.sequence,
            at,
            received: started,
            end: after(u64::try_from(exchange.duration().as_micros()).unwrap_or(u64::MAX)).max(at),
            offset: self.offset,
            operation: self.operation,
            family: self.family,
            access_token: self.access_token,
            client_token: self.client_token,
            outcome: exchange.outcome,
            status: exchange.status().unwrap_or(0),
            sent: sent && exchange.operation != Environment::EVENTS_PATH,
            retry_after: retry_after(exchange),
            limit: exchange.limit.as_ref().zip(self.rule).map(|(note, rule)| LimitFact {
                rule,
                decision: note.decision,
                used: note.used,
                limit: note.limit,
            }),
            intent: Intent::of(self.asked),
            is_single: self.asked.is_single(),
            cursor: self.asked.cursor,
            next: self.paginated.map_or(0, |lists| page::next(exchange, self.asked, lists)),
            failure: failure(exchange, self.asked, self.blamed),
        }
    }
}

/// `Retry-After` in seconds, given as seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(exchange: &Exchange) -> Option<u32> {
    let response = exchange.response.as_ref().filter(|response| matches!(response.status, 429 | 503))?;
    let value = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("retry-after"))?.value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(seconds);
    }
    let date = Timestamp::from_system(httpdate::parse_http_date(value).ok()?);
    let ended = exchange.started_at.plus(exchange.duration());
    u32::try_from(date.since(ended).as_micros().div_ceil(1_000_000)).ok()
}

fn failure(exchange: &Exchange, asked: &BodySummary<'_>, blamed: Blamed) -> Option<Box<FailureFact>> {
    let status = exchange.status().unwrap_or(0);
    let has_failed = match exchange.outcome {
        Outcome::Answered => status >= 400,
        Outcome::Refused | Outcome::Rejected | Outcome::Failed | Outcome::Faulted => true,
        Outcome::Aborted | Outcome::Interrupted => false,
    };
    if !has_failed {
        return None;
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Body {
        message: Option<String>,
        request_id: Option<String>,
    }
    let mut error = Body::default();
    if let Some(response) = exchange.response.as_ref().filter(|response| response.body.bytes.len() <= MOST_ERROR) {
        let (body, _) = response.body.decoded();
        error = serde_json::from_slice(&body).unwrap_or_default();
    }
    let message = match (&exchange.error, &exchange.fault, error.message) {
        (Some(failure), ..) => format!("{}: {}", failure.kind, failure.message),
        (None, Some(fault), _) if exchange.outcome == Outcome::Faulted => match fault.ending {
            Some(ending) => format!("injected by nightaudit: {ending}"),
            None => "injected by nightaudit".to_owned(),
        },
        (None, _, Some(message)) => message,
        (None, _, None) => "no message".to_owned(),
    };
    let message: String = mask_text(&message).chars().take(LONGEST_MESSAGE).collect();
    let request_id = exchange.request_id().map(str::to_owned).or(error.request_id);
    let request_id = request_id.map(|id| id.chars().take(100).collect::<String>().into());
    let fault = match (exchange.outcome, status) {
        (Outcome::Answered, 401 | 403 | 409 | 429 | 500..) => Fault::Other,
        // Omitting extents makes it lighter.
        (Outcome::Answered, 408) => Fault::Request { blamed: 0, unknown: name_bit(hash(b"Extent")) },
        (Outcome::Answered, _) => {
            Fault::Request { blamed: blamed.names | named_in(&message, asked), unknown: blamed.unknown }
        }
        _ => Fault::Other,
    };
    let kind = exchange.error.as_ref().map(|failure| failure.kind);
    Some(Box::new(FailureFact { kind, fault, message: message.into(), request_id }))
}

/// The request's properties that a message names. Below the top level only names of several words count, such as
/// `ReservationId`: any word may begin with a capital.
fn named_in(message: &str, asked: &BodySummary<'_>) -> u64 {
    let words = message.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| {
        let has_several = word.get(1..).is_some_and(|rest| rest.bytes().any(|byte| byte.is_ascii_uppercase()))
            && word.bytes().any(|byte| byte.is_ascii_lowercase());
        has_several || asked.fields.iter().any(|field| field == word)
    });
    words.map(|word| name_bit(hash(word.as_bytes())) & asked.names).fold(0, |names, bit| names | bit)
}
