//! What recorded requests and responses look like, merged over all of them: as an OpenAPI document, and as a Postman
//! collection.
//!
//! Both say what was observed, which is less than the API allows and may be more than Mews documents. Exchanges are merged as
//! they come; memory is bounded by the operations, the properties and the examples that are kept, whatever the number of
//! exchanges.

pub(crate) mod openapi;
pub(crate) mod postman;
mod schema;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;
use nightaudit_exchange::{Envelope, Exchange, Header, Outcome, Timestamp};
use nightaudit_shape::{Room, Shape};

pub(crate) use self::writer::ObservedWriter;
use crate::curl::is_skipped;

/// The most operations; the calls of others are counted.
const MOST_OPERATIONS: usize = 1_000;
/// The most statuses of an operation, media types of a message, and parameters of a query.
const MOST_STATUSES: usize = 16;
const MOST_TYPES: usize = 8;
const MOST_PARAMETERS: usize = 32;
/// The most sessions and hosts that are named.
const MOST_NAMES: usize = 16;
/// The longest example, and all examples together, in bytes.
const LONGEST_EXAMPLE: usize = 16 << 10;
const ALL_EXAMPLES: usize = 4 << 20;
/// The longest path and method.
const LONGEST_PATH: usize = 300;

/// All operations, merged.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// By path and method.
    pub(crate) operations: BTreeMap<(String, String), Operation>,
    pub(crate) exchanges: u64,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    pub(crate) sessions: BTreeSet<String>,
    /// Calls by origin, such as `https://api.mews-demo.com`.
    pub(crate) origins: BTreeMap<String, u64>,
    /// Calls that aren't in it: of operations beyond the bound, or without a path.
    pub(crate) unlisted: u64,
    room: Room,
    /// Bytes of examples.
    examples: usize,
}

/// An operation.
#[derive(Debug, Default)]
pub(crate) struct Operation {
    /// As in the log.
    pub(crate) name: String,
    pub(crate) calls: u64,
    pub(crate) origins: BTreeMap<String, u64>,
    /// How many calls had each parameter of the query.
    pub(crate) parameters: BTreeMap<String, u64>,
    pub(crate) request: Message,
    pub(crate) responses: BTreeMap<u16, Message>,
    /// Calls without a response from Mews.
    pub(crate) unanswered: u64,
    /// Responses that aren't in it: of statuses beyond the bound.
    pub(crate) unlisted_responses: u64,
}

/// Requests, or responses of one status.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) count: u64,
    pub(crate) shape: Shape,
    /// How many had each media type, without parameters.
    pub(crate) types: BTreeMap<String, u64>,
    pub(crate) example: Option<Example>,
    /// The message that shows most of those that can't be an example.
    unfit: Option<(Rank, Unfit)>,
}

/// Whether a message is a good one, and how much is in it: the more, the better it shows what there can be.
type Rank = (bool, u64);

/// Why a message can't be an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    TooLong,
    /// Recorded in part, or in a coding that can't be decoded.
    NotWhole,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "it is too long for an example",
            Self::NotWhole => "its body wasn't recorded in full",
        })
    }
}

/// A recorded message.
#[derive(Debug)]
pub(crate) struct Example {
    rank: Rank,
    pub(crate) url: String,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Bytes,
    pub(crate) envelope: Envelope,
    pub(crate) reason: Option<String>,
}

impl Observed {
    /// Adds an exchange.
    pub(crate) fn add(&mut self, exchange: &Exchange) {
        self.exchanges += 1;
        self.first = Some(self.first.map_or(exchange.started_at, |first| first.min(exchange.started_at)));
        self.last = Some(self.last.map_or(exchange.started_at, |last| last.max(exchange.started_at)));
        if self.sessions.len() < MOST_NAMES && !self.sessions.contains(&*exchange.session_name) {
            self.sessions.insert(exchange.session_name.to_string());
        }
        // Messages of a WebSocket aren't calls, a webhook is none to the API, and a rejected request was never parsed.
        if exchange.web_socket.is_some() || exchange.is_webhook() || exchange.outcome == Outcome::Rejected {
            return;
        }
        let Some((origin, path, query)) = split(&exchange.request.url) else {
            self.unlisted += 1;
            return;
        };
        let key = (path.to_owned(), exchange.request.method.to_ascii_lowercase().to_string());
        let fits = path.len() <= LONGEST_PATH && key.1.len() <= LONGEST_PATH;
        if !fits || (self.operations.len() >= MOST_OPERATIONS && !self.operations.contains_key(&key)) {
            self.unlisted += 1;
            return;
        }
        let own = self.operations.entry(key).or_default();
        if own.name.is_empty() {
            own.name = exchange.operation.chars().take(LONGEST_PATH).collect();
        }
        count(&mut own.origins, origin, MOST_NAMES);
        count(&mut self.origins, origin, MOST_NAMES);
        own.calls += 1;
        let names: BTreeSet<_> = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name).collect();
        names.iter().for_each(|name| count(&mut own.parameters, name, MOST_PARAMETERS));
        let answered = exchange.response.as_ref().filter(|_| exchange.outcome == Outcome::Answered);
        let is_good = answered.is_some_and(|response| (200..300).contains(&response.status));
        let mut examples = Examples { exchange, room: &mut self.room, bytes: &mut self.examples };
        examples.add(&mut own.request, &exchange.request.body, &exchange.request.headers, is_good, None);
        match answered {
            Some(response) if own.responses.len() < MOST_STATUSES || own.responses.contains_key(&response.status) => {
                let message = own.responses.entry(response.status).or_default();
                examples.add(message, &response.body, &response.headers, true, response.reason.as_deref());
            }
            Some(_) => own.unlisted_responses += 1,
            None => own.unanswered += 1,
        }
    }

    /// The origin of most calls.
    pub(crate) fn origin(&self) -> Option<&str> {
        most(&self.origins)
    }
}

impl Operation {
    /// The origin of most of its calls.
    pub(crate) fn origin(&self) -> Option<&str> {
        most(&self.origins)
    }

    /// The first part of the name: `reservations` of `reservations/getAll/2023-06-06`.
    pub(crate) fn group(&self) -> &str {
        self.name.trim_start_matches('/').split('/').next().unwrap_or_default()
    }
}

/// Adds messages of an exchange, and keeps examples.
struct Examples<'e> {
    exchange: &'e Exchange,
    room: &'e mut Room,
    bytes: &'e mut usize,
}

impl Examples<'_> {
    fn add(
        &mut self,
        message: &mut Message,
        body: &nightaudit_exchange::Body,
        headers: &[Header],
        is_good: bool,
        reason: Option<&str>,
    ) {
        let Exchange { id, request, envelope, .. } = self.exchange;
        message.count += 1;
        if let Some(media_type) = media_type(headers) {
            count(&mut message.types, &media_type, MOST_TYPES);
        }
        let rank = (is_good, message.shape.add(body, *id, self.room));
        if message.example.as_ref().is_some_and(|example| example.rank >= rank) {
            return;
        }
        let (bytes, is_decoded) = body.decoded();
        if body.truncated || !is_decoded {
            return message.leave_out(rank, Unfit::NotWhole);
        }
        let length = |body: &Bytes, headers: &[Header]| {
            headers.iter().fold(body.len(), |sum, header| sum + header.name.len() + header.value.len())
        };
        let before = message.example.as_ref().map_or(0, |example| length(&example.body, &example.headers));
        let now = length(&bytes, headers);
        if now > LONGEST_EXAMPLE || *self.bytes - before + now > ALL_EXAMPLES || request.url.len() > LONGEST_EXAMPLE {
            return message.leave_out(rank, Unfit::TooLong);
        }
        *self.bytes = *self.bytes - before + now;
        let is_kept = |header: &&Header| !is_skipped(&header.name) && !header.name.eq_ignore_ascii_case("date");
        message.example = Some(Example {
            rank,
            url: request.url.clone(),
            headers: headers.iter().filter(is_kept).cloned().collect(),
            // A part of a larger buffer would keep all of it.
            body: Bytes::copy_from_slice(&bytes),
            envelope: envelope.clone(),
            reason: reason.map(str::to_owned),
        });
    }
}

impl Message {
    fn leave_out(&mut self, rank: Rank, why: Unfit) {
        if self.unfit.is_none_or(|(most, _)| most < rank) {
            self.unfit = Some((rank, why));
        }
    }

    /// Why the message that shows most isn't the example, if it isn't.
    pub(crate) fn unfit(&self) -> Option<Unfit> {
        let shows_more = |(rank, _): &(Rank, Unfit)| self.example.as_ref().is_none_or(|example| example.rank < *rank);
        self.unfit.filter(shows_more).map(|(_, why)| why)
    }

    /// The media type of most; JSON if none was stated and it is.
    pub(crate) fn media_type(&self) -> Option<&str> {
        let json = || (self.shape.bodies().json > 0).then_some("application/json");
        most(&self.types).or_else(json)
    }

    /// How many had a body.
    pub(crate) fn with_body(&self) -> u64 {
        self.count - self.shape.bodies().empty
    }
}

/// `application/json` of `application/json; charset=utf-8`, in lower case.
fn media_type(headers: &[Header]) -> Option<String> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"))?;
    let media_type = header.value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+/*".contains(&byte);
    let is_one = media_type.len() <= 100 && media_type.split('/').count() == 2 && media_type.bytes().all(is_token);
    is_one.then_some(media_type)
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str, most: usize) {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else if counts.len() < most && name.len() <= LONGEST_PATH {
        counts.insert(name.to_owned(), 1);
    }
}

/// The name with the highest count, the first of several.
fn most(counts: &BTreeMap<String, u64>) -> Option<&str> {
    let most = counts.iter().max_by(|(a, of_a), (b, of_b)| of_a.cmp(of_b).then_with(|| b.cmp(a)));
    most.map(|(name, _)| &**name)
}

/// Origin, path and query of a URL; `None` if it isn't one of HTTP or WebSocket.
fn split(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    if !["http", "https", "ws", "wss"].contains(&scheme) {
        return None;
    }
    let url = url.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?', '#']).map_or(url.len(), |end| scheme.len() + 3 + end);
    let (origin, rest) = url.split_at(end.min(url.len()));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Some((origin, if path.is_empty() { "/" } else { path }, query))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_three_parts() {
        for (url, parts) in [
            ("https://api.mews-demo.com/api/x?a=1#b", Some(("https://api.mews-demo.com", "/api/x", "a=1"))),
            ("wss://ws.mews.com", Some(("wss://ws.mews.com", "/", ""))),
            ("http://a?b", Some(("http://a", "/", "b"))),
            ("http://a#/b?c", Some(("http://a", "/", ""))),
            ("file:///etc/passwd", None),
            ("/api/x", None),
        ] {
            assert_eq!(split(url), parts, "{url}");
        }
    }

    #[test]
    fn a_media_type_is_without_parameters() {
        let of = |value: &str| media_type(&[Header { name: "content-type".into(), value: value.into() }]);
        assert_eq!(of("Application/JSON; charset=utf-8").as_deref(), Some("application/json"));
        assert_eq!((of("json"), of("a/b/c"), of("text/<script>"), of("")), (None, None, None, None));
        assert_eq!(media_type(&[]), None);
    }
}
