//! Exchanges from what another tool recorded.

use std::{collections::HashMap, net::SocketAddr};

use compact_str::CompactString;
use nightaudit_exchange::{
    AdmissionRecord, Alteration, Authority, Body, CallDirection, Destination, Envelope, Exchange, ExchangeId, Failure,
    FailureKind, Header, InjectedFault, Message, Note, Outcome, Pseudonym, Request, Response, SessionId, TimesUs,
    Timestamp, Tls, WebSocket,
};
use nightaudit_mews::{API, Environment, envelope};

use crate::url::Url;

/// The most memory that the list of an entry's headers or messages takes, in bytes, without their texts: one of next to
/// nothing takes many times as much as in the file.
pub(crate) const MAX_LIST: usize = 64 << 20;
/// The most handshakes remembered.
const HANDSHAKES: usize = 4_096;
/// The most exchanges remembered that may have been sent again.
const ORIGINALS: usize = 65_536;
/// The longest error body that is searched for the request's id, in bytes.
const MAX_ERROR: usize = 64 << 10;
/// The error of an exchange of which the file has no response, and doesn't say why.
const NO_RESPONSE: &str = "the file has no response, and no reason";

/// A request and its response as a tool recorded them.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) started: Timestamp,
    pub(crate) times: TimesUs,
    pub(crate) peer: Option<SocketAddr>,
    /// The address of the host, or of a proxy before it.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) method: CompactString,
    pub(crate) url: Url,
    pub(crate) http_version: CompactString,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Body,
    pub(crate) response: Option<Reply>,
    /// What the tool says went wrong.
    pub(crate) error: Option<String>,
    pub(crate) messages: Option<Messages>,
    pub(crate) facts: Option<Facts>,
}

/// A response as a tool recorded it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) http_version: CompactString,
    pub(crate) reason: Option<CompactString>,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Body,
}

/// The messages of a WebSocket.
#[derive(Debug)]
pub(crate) struct Messages {
    pub(crate) list: Vec<Message>,
    /// Whether the connection is known to have ended.
    pub(crate) ended: bool,
}

/// What only nightaudit's own HAR says.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) id: ExchangeId,
    pub(crate) environment: CompactString,
    /// Earlier versions didn't write it.
    pub(crate) operation: Option<String>,
    pub(crate) envelope: Envelope,
    pub(crate) outcome: Outcome,
    pub(crate) limit: Option<AdmissionRecord>,
    pub(crate) error: Option<Failure>,
    pub(crate) notes: Vec<Note>,
    pub(crate) request_id: Option<String>,
    pub(crate) destination: Option<Destination>,
    pub(crate) fault: Option<Box<InjectedFault>>,
    pub(crate) direction: CallDirection,
    /// The exchange that was sent again, by its id in the file.
    pub(crate) resent_from: Option<ExchangeId>,
    pub(crate) alteration: Option<Alteration>,
    /// Whether nightaudit recorded it, rather than imported it from another tool's file.
    pub(crate) recorded_here: bool,
    /// The other tool.
    pub(crate) recorded_by: Option<String>,
    /// The part of a WebSocket that it is, without its messages.
    pub(crate) part: Option<WebSocket>,
}

impl Call {
    /// Whether it was addressed to Mews or a stand-in for it, or Mews made it: what nightaudit recorded is nothing else.
    pub(crate) fn is_mews(&self) -> bool {
        self.url.is_mews() || self.facts.as_ref().is_some_and(|facts| facts.recorded_here)
    }
}

/// The ids of exchanges as the file has them, and as they are now.
#[derive(Debug)]
struct NewIds {
    ids: HashMap<ExchangeId, ExchangeId>,
    most: usize,
}

impl NewIds {
    fn up_to(most: usize) -> Self {
        Self { ids: HashMap::new(), most }
    }

    fn note(&mut self, in_file: ExchangeId, id: ExchangeId) {
        if self.ids.len() == self.most {
            self.ids.clear();
        }
        self.ids.insert(in_file, id);
    }

    /// The new id; the file's own of an exchange that isn't in it.
    fn of(&self, in_file: ExchangeId) -> ExchangeId {
        self.ids.get(&in_file).copied().unwrap_or(in_file)
    }
}

/// What marks an exchange, and only nightaudit's own HAR says.
#[derive(Debug, Default)]
struct Marks {
    fault: Option<Box<InjectedFault>>,
    direction: CallDirection,
    resent_from: Option<ExchangeId>,
    alteration: Option<Alteration>,
}

/// Makes exchanges of calls, for one session.
#[derive(Debug)]
pub(crate) struct Maker {
    random: fastrand::Rng,
    session: SessionId,
    tool: CompactString,
    handshakes: NewIds,
    originals: NewIds,
}

impl Maker {
    pub(crate) fn new() -> Self {
        let mut random = fastrand::Rng::new();
        let session = SessionId::from_parts(0, random.u128(..));
        let tool = CompactString::const_new("unknown");
        Self { random, session, tool, handshakes: NewIds::up_to(HANDSHAKES), originals: NewIds::up_to(ORIGINALS) }
    }

    /// Names the tool, in a word or two.
    pub(crate) fn set_tool(&mut self, name: &str, version: &str) {
        if let Some(tool) = tool_name(&format!("{} {}", name.trim(), version.trim())) {
            self.tool = tool;
        }
    }

    pub(crate) fn tool(&self) -> &str {
        &self.tool
    }

    /// The session's id, which begins with the time of its first exchange.
    pub(crate) fn session_at(&self, started: Timestamp) -> SessionId {
        let bytes = self.session.to_bytes();
        let random = bytes[6..].iter().fold(0, |random: u128, byte| random << 8 | u128::from(*byte));
        SessionId::from_parts(milliseconds(started), random)
    }

    /// A new id of an exchange.
    pub(crate) fn id_at(&mut self, started: Timestamp) -> ExchangeId {
        ExchangeId::from_parts(milliseconds(started), self.random.u128(..))
    }

    /// The exchange, and the messages of its WebSocket, of which further ones are to be made. Session and sequence are left
    /// for later.
    pub(crate) fn exchange(&mut self, call: Call) -> (Exchange, Option<Messages>) {
        let Call { started, times, peer, remote, method, url, http_version, headers, body, .. } = call;
        let id = self.id_at(started);
        let is_web_socket = call.messages.is_some() || url.as_str().starts_with("ws");
        let url = if is_web_socket { url.into_web_socket() } else { url };
        let mut notes = Vec::new();
        let decoded = |headers: &[Header], body: &Body| {
            body.content_encoding.is_none() && !body.bytes.is_empty() && is_coded(headers)
        };
        let was_decoded = decoded(&headers, &body)
            || call.response.as_ref().is_some_and(|reply| decoded(&reply.headers, &reply.body));
        notes.extend(was_decoded.then_some(Note::BodyDecoded));
        let (mut outcome, mut error) = outcome(call.response.as_ref(), call.error, call.messages.is_some());
        let mut envelope = envelope_of(&headers, &body);
        let mut request_id = call.response.as_ref().and_then(request_id_of);
        let known = url.environment();
        let mut environment = known.map_or(Environment::STAND_IN.into(), |known| CompactString::from(&*known.name));
        let mut destination = Some(destination(&url, remote));
        let mut operation = url.operation().to_owned();
        let (mut limit, mut web_socket, mut marks) = (None, None, Marks::default());
        let mut recorded_by = self.tool.clone();
        if let Some(facts) = call.facts {
            (outcome, error, limit) = (facts.outcome, facts.error, facts.limit);
            (envelope, environment, destination) = (facts.envelope, facts.environment, facts.destination);
            request_id = facts.request_id;
            // The file was only exported by nightaudit; whose word it is stays as it was.
            recorded_by = facts.recorded_by.as_deref().and_then(tool_name).unwrap_or(recorded_by);
            operation = facts.operation.unwrap_or(operation);
            marks = Marks {
                fault: facts.fault,
                direction: facts.direction,
                resent_from: facts.resent_from.map(|original| self.originals.of(original)),
                alteration: facts.alteration,
            };
            self.originals.note(facts.id, id);
            notes.extend(facts.notes.into_iter().filter(|note| *note != Note::BodyDecoded));
            match facts.part {
                Some(part) => {
                    let handshake = self.handshakes.of(part.handshake);
                    web_socket = Some(WebSocket { handshake, ..part });
                }
                None if is_web_socket => self.handshakes.note(facts.id, id),
                None => {}
            }
        }
        let mut exchange = Exchange {
            id,
            session: self.session,
            session_name: CompactString::default(),
            sequence: 0,
            environment,
            operation,
            started_at: started,
            times_us: times,
            peer,
            envelope,
            request: Request { method, url: url.into_string(), http_version, headers, body },
            response: call.response.map(|reply| Response {
                status: reply.status,
                http_version: reply.http_version,
                reason: reply.reason,
                headers: reply.headers,
                request_id,
                body: reply.body,
            }),
            limit,
            outcome,
            error,
            web_socket: None,
            resent_from: marks.resent_from,
            destination,
            fault: marks.fault,
            direction: marks.direction,
            alteration: marks.alteration,
            recorded_by: Some(recorded_by),
            notes,
            previous_hash: None,
            hash: None,
        };
        match (web_socket, call.messages) {
            // A part is an entry of its own.
            (Some(part), messages) => {
                exchange.web_socket = Some(WebSocket { messages: messages.map_or_else(Vec::new, |m| m.list), ..part });
                exchange.response = None;
                (exchange, None)
            }
            (None, messages) => (exchange, messages),
        }
    }
}

/// A tool as it is named, without what could break a line; `None` if nothing is left.
fn tool_name(text: &str) -> Option<CompactString> {
    const MAX: usize = 100;
    let tool: CompactString = text.trim().chars().filter(|letter| !letter.is_control()).take(MAX).collect();
    (!tool.is_empty()).then_some(tool)
}

fn milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.micros() / 1000).unwrap_or(0)
}

/// The value of the first header of this name.
pub(crate) fn header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| &*header.value)
}

/// The content coding that the headers declare; `None` for none.
pub(crate) fn coding(headers: &[Header]) -> Option<String> {
    let named = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("content-encoding"));
    // Repeated headers form one list (RFC 9110, section 5.3).
    let coding = named.map(|header| &*header.value).collect::<Vec<_>>().join(", ").trim().to_ascii_lowercase();
    (!coding.is_empty() && coding != "identity").then_some(coding)
}

fn is_coded(headers: &[Header]) -> bool {
    coding(headers).is_some()
}

/// Where the request went, as far as the file says.
fn destination(url: &Url, remote: Option<SocketAddr>) -> Destination {
    let tls = url.is_tls().then(|| Tls { server_name: url.host().into(), authority: Authority::Unknown });
    Destination { address: url.origin().into(), remote, tls, proxy: None }
}

fn envelope_of(headers: &[Header], body: &Body) -> Envelope {
    let (decoded, _) = body.decoded();
    let cookies = || headers.iter().filter(|header| header.name.eq_ignore_ascii_case("cookie"));
    let read = match decoded.is_empty() {
        true => envelope::from_cookies(cookies().map(|header| header.value.as_bytes())),
        false => envelope::read(&decoded),
    };
    let pseudonym = |token: &str| match token.parse() {
        // The file was exported with pseudonyms.
        Ok(pseudonym) if token.starts_with(Pseudonym::PREFIX) => pseudonym,
        _ => Pseudonym::of(token.as_bytes()),
    };
    let token = |token: Option<&str>| token.filter(|token| !token.is_empty()).map(pseudonym);
    Envelope {
        client: read.client.as_deref().map(str::to_owned),
        client_token: token(read.client_token.as_deref()),
        access_token: token(read.access_token.as_deref()),
        paginated: read.paginated,
    }
}

/// Mews' id of the request: in a header, or in an error's body.
fn request_id_of(reply: &Reply) -> Option<String> {
    const MAX: usize = 256;
    if let Some(id) = header(&reply.headers, API.request_id_header) {
        return Some(id.to_owned());
    }
    let (decoded, _) = (reply.status >= 400 && reply.body.bytes.len() <= MAX_ERROR).then(|| reply.body.decoded())?;
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&decoded).ok()?;
    let id = object.get(API.request_id_property)?.as_str()?;
    (1..=MAX).contains(&id.len()).then(|| id.to_owned())
}

/// What became of the request. Whoever sent messages had opened the WebSocket.
fn outcome(reply: Option<&Reply>, error: Option<String>, has_messages: bool) -> (Outcome, Option<Failure>) {
    if let Some(reply) = reply {
        // Responses that nightaudit itself made, seen by a tool before it.
        if header(&reply.headers, "x-nightaudit-limited").is_some() {
            return (Outcome::Refused, None);
        }
        if let Some(kind) = header(&reply.headers, "x-nightaudit-error") {
            let kind = serde_json::from_value(kind.into()).unwrap_or(FailureKind::Unknown);
            let message = String::from_utf8_lossy(&reply.body.decoded().0).chars().take(1_000).collect();
            return (kind.outcome(), Some(Failure { kind, message }));
        }
    }
    let error = error.filter(|message| !message.trim().is_empty());
    let Some(message) = error.or_else(|| (reply.is_none() && !has_messages).then(|| NO_RESPONSE.to_owned())) else {
        return (Outcome::Answered, None);
    };
    let kind = match kind_of(&message) {
        // There was a response, which is not complete then.
        FailureKind::Unknown if reply.is_some() => FailureKind::Incomplete,
        kind => kind,
    };
    (kind.outcome(), Some(Failure { kind, message }))
}

/// The kind of failure that a tool's message tells, by the words that Chromium, Firefox and mitmproxy use.
fn kind_of(message: &str) -> FailureKind {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["err_aborted", "binding_aborted", "client disconnect", "cancel", "connection killed", "flow killed"]) {
        FailureKind::ClientLeft
    } else if says(&["name_not_resolved", "unknown_host", "name resolution", "getaddrinfo", "enotfound"]) {
        FailureKind::Resolve
    } else if says(&["err_proxy", "err_tunnel", "proxy_"]) {
        FailureKind::UpstreamProxy
    } else if says(&["err_cert", "err_ssl", "ssl_", "sec_error", "certificate", "tls"]) {
        FailureKind::Tls
    } else if says(&["connection_timed_out", "connect timeout", "net_timeout"]) {
        FailureKind::ConnectTimeout
    } else if says(&["timed_out", "timed out", "timeout"]) {
        FailureKind::ResponseTimeout
    } else if says(&["refused", "address_unreachable", "internet_disconnected", "unreachable", "econnrefused"]) {
        FailureKind::Connect
    } else if says(&["content_length_mismatch", "incomplete_chunked", "partial_transfer"]) {
        FailureKind::Incomplete
    } else if says(&["invalid_http", "invalid_response", "protocol_error", "http2_", "quic_protocol"]) {
        FailureKind::InvalidResponse
    } else if says(&["reset", "closed", "empty_response", "server disconnected"]) {
        FailureKind::Closed
    } else {
        FailureKind::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_by_the_words_of_each_tool() {
        for (message, kind) in [
            ("net::ERR_NAME_NOT_RESOLVED", FailureKind::Resolve),
            ("NS_ERROR_UNKNOWN_HOST", FailureKind::Resolve),
            ("net::ERR_CONNECTION_REFUSED", FailureKind::Connect),
            ("NS_ERROR_CONNECTION_REFUSED", FailureKind::Connect),
            ("net::ERR_CERT_AUTHORITY_INVALID", FailureKind::Tls),
            ("Certificate verify failed: self-signed certificate", FailureKind::Tls),
            ("net::ERR_CONNECTION_TIMED_OUT", FailureKind::ConnectTimeout),
            ("net::ERR_TIMED_OUT", FailureKind::ResponseTimeout),
            ("net::ERR_ABORTED", FailureKind::ClientLeft),
            ("NS_BINDING_ABORTED", FailureKind::ClientLeft),
            ("Client disconnected.", FailureKind::ClientLeft),
            ("net::ERR_EMPTY_RESPONSE", FailureKind::Closed),
            ("server disconnected", FailureKind::Closed),
            ("net::ERR_CONTENT_LENGTH_MISMATCH", FailureKind::Incomplete),
            ("net::ERR_PROXY_CONNECTION_FAILED", FailureKind::UpstreamProxy),
            ("something else", FailureKind::Unknown),
        ] {
            assert_eq!(kind_of(message), kind, "{message}");
        }
    }

    #[test]
    fn a_tool_is_named_in_a_line() {
        let mut maker = Maker::new();
        assert_eq!(maker.tool(), "unknown");
        maker.set_tool("WebInspector", "537.36");
        assert_eq!(maker.tool(), "WebInspector 537.36");
        maker.set_tool("\u{1b}[2J", "\n");
        assert_eq!(maker.tool(), "[2J");
        maker.set_tool(&"x".repeat(1_000), "");
        assert_eq!(maker.tool().len(), 100);
        maker.set_tool("", " ");
        assert_eq!(maker.tool().len(), 100);
    }
}
