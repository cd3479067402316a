//! Replacing secrets with pseudonyms.
//!
//! A token is found in four ways. By name ([`names`]), in any notation of name and value ([`value`]): JSON, forms,
//! queries, cookies, XML, YAML, multipart, Python. By position: credentials in `Authorization`, passwords in URLs. By
//! form: that of the API's tokens ([`form`]). And by value ([`secrets`]): anything found before, in this exchange or an
//! earlier one, wherever it occurs. All four scan texts both as they are and with their escapes decoded ([`layers`]),
//! and bodies with their content codings removed and their text as UTF-8 ([`body`]). None keeps parser state, so
//! malformed or truncated input can't hide what follows it. Unreadable bodies are withheld ([`kind`]).

mod body;
mod bounds;
mod form;
mod free_text;
mod head;
mod hook_url;
mod journal_entry;
mod kind;
mod known_tokens;
mod layers;
pub(crate) mod names;
mod rescan;
mod searchable;
mod secrets;
mod syntax;
mod text;
mod value;

use std::time::Duration;

use compact_str::CompactString;
use http::Version;

use self::{
    body::{Joined, Side},
    bounds::Bounds,
    head::Field,
    kind::Kind,
    layers::Escapes,
    names::Names,
    secrets::Secrets,
    syntax::Syntax,
    text::Text,
};
pub use self::{free_text::redact_text, journal_entry::JournalEntry, known_tokens::KnownTokens};
use crate::{
    Api, Body, CallDirection, Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedResponse,
    CapturedWebSocket, Digest, Envelope, Exchange, Failure, FaultEnding, Head, Header, Message, Outcome, Pseudonym,
    PseudonymKey, Request, Response, SessionId, TimesUs, WebSocket,
};

/// Turns captures into exchanges free of secrets.
///
/// It remembers recent tokens, so that one sent in one exchange and echoed in another is found there too. Memory is
/// bounded; the order of captures matters only for that.
///
/// Tokens of fewer than 16 or more than 4,096 bytes are replaced only where their name or position identifies them, and
/// so are those that read like a name or a program version: sending an ordinary word as a token must not erase it
/// elsewhere. The envelope's `Client` is not a secret.
#[derive(Debug)]
pub struct Redactor {
    api: &'static Api,
    names: Names,
    request_id: Names,
    secrets: Secrets,
}

impl Redactor {
    /// A redactor for this API that also replaces the values of these properties, wherever they occur, with pseudonyms made with
    /// `key`.
    ///
    /// Names are compared ignoring ASCII case, `_` and `-`; values of any type are replaced, except `null`.
    #[must_use]
    pub fn new(api: &'static Api, fields: &[String], key: PseudonymKey) -> Self {
        Self {
            api,
            names: Names::tokens_and(api, fields),
            request_id: Names::only([api.request_id_property]),
            secrets: Secrets::with_key(key).with_form(api.token_form),
        }
    }

    /// The tokens it knows, for texts that do not pass through it.
    #[must_use]
    pub fn known_tokens(&self) -> KnownTokens {
        KnownTokens { api: self.api, shared: self.secrets.known_tokens() }
    }

    /// A session's name, safe to write: tokens sent as a name are replaced.
    #[must_use]
    pub fn session_name(&mut self, name: &str, envelope: &CapturedEnvelope) -> String {
        let Self { names, secrets, .. } = self;
        for token in [&envelope.access_token, &envelope.client_token].into_iter().flatten() {
            secrets.learn(token.as_bytes());
        }
        let mut text = Text::new(name.as_bytes(), Syntax::Field);
        text.find_named(names, secrets);
        text.find_shaped(secrets);
        finish(text, secrets)
    }

    /// Turns a capture into exchange number `sequence` of the session; its hashes are left unset.
    ///
    /// Takes out of the capture only bodies in several chunks, WebSocket messages, the limiter's decision and the
    /// failure, so the rest can be dropped on the thread that allocated it, which is cheaper.
    #[must_use]
    pub fn exchange(
        &mut self,
        capture: &mut Capture,
        session: SessionId,
        session_name: &str,
        sequence: u64,
    ) -> Exchange {
        let Self { api, names, request_id, secrets } = self;
        // Forwarded data is a valid request; anything else may be arbitrary bytes.
        let is_request = matches!(capture.outcome, Outcome::Answered | Outcome::Refused | Outcome::Faulted);
        let method = if is_request && is_usual(&capture.request.method) {
            CompactString::from(capture.request.method.as_str())
        } else {
            readable_head(&mut capture.request, names, secrets)
        };
        let CapturedRequest { origin, target, version: request_version, head: request_head, body, .. } =
            &mut capture.request;
        secrets.next_exchange();
        if let Some(client) = &capture.envelope.client {
            secrets.forget(client.as_bytes());
        }
        let access_token = token(capture.envelope.access_token.as_deref(), secrets);
        let client_token = token(capture.envelope.client_token.as_deref(), secrets);

        if !capture.direction.is_outgoing() {
            *target = hook_url::masked(target, |secret| secrets.learn(secret)).into();
        }
        // Search by name first, everywhere, so that a token named in one place is known in all others.
        let mut target = search_named(target, Syntax::Target, names, secrets);
        target.find_shaped(secrets);
        let request_headers = head::fields(request_head);
        let request_texts = search_headers(&request_headers, names, secrets);
        let request_body = join_body(Side::Request, body, &request_headers);
        let request_search = request_body.search(names, secrets);
        let (response_parts, response_body) = match &mut capture.response {
            Some(CapturedResponse { status, version, head, body }) => (Some((*status, *version, &*head)), Some(body)),
            None => (None, None),
        };
        let response_headers = response_parts.map(|(.., head)| head::fields(head)).unwrap_or_default();
        let response_texts = search_headers(&response_headers, names, secrets);
        let response_body = response_body.map(|body| join_body(Side::Response, body, &response_headers));
        let response_search = response_body.as_ref().map(|body| body.search(names, secrets));

        let web_socket = capture.web_socket.take().map(|part| messages(*part, names, secrets));

        let made_up = matches!(capture.fault.as_ref().and_then(|fault| fault.ending), Some(FaultEnding::Status(_)));
        let complete = matches!(capture.outcome, Outcome::Answered | Outcome::Refused) || made_up;
        let target: String = finish(target, secrets);
        // A request can be responded to, or refused, before its end has arrived.
        let unfinished = body.unfinished;
        let mut request_body = request_search.finish(names, secrets, complete && !unfinished);
        if unfinished {
            // As for a body of which only a prefix is stored: its digest is not that of what was received.
            let stored = Digest::of(&request_body.bytes);
            request_body.stored_sha256.get_or_insert(stored);
            request_body.truncated = true;
        }
        let request = Request {
            method,
            url: if target.starts_with('/') { format!("{origin}{target}") } else { target.clone() },
            http_version: CompactString::const_new(version(*request_version)),
            headers: headers(&request_headers, request_texts, names, secrets),
            body: request_body,
        };
        let response = response_parts.zip(response_search).map(|((status, response_version, head), search)| {
            let headers = headers(&response_headers, response_texts, names, secrets);
            let named = headers.iter().find(|header| header.name.eq_ignore_ascii_case(api.request_id_header));
            let request_id = match named {
                Some(header) => Some(header.value.to_string()),
                None if status.as_u16() >= 400 => {
                    request_id_of(request_id, search.decoded()).map(|id| clean(&id, names, secrets))
                }
                None => None,
            };
            Response {
                status: status.as_u16(),
                http_version: CompactString::const_new(version(response_version)),
                reason: head.reason().filter(|_| response_version < Version::HTTP_2).map(|reason| {
                    match status.canonical_reason() {
                        Some(usual) if usual.as_bytes() == reason => CompactString::const_new(usual),
                        _ => clean(reason, names, secrets),
                    }
                }),
                headers,
                request_id,
                body: search.finish(names, secrets, complete),
            }
        });
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Exchange {
            id: capture.id,
            session,
            session_name: session_name.into(),
            sequence,
            environment: CompactString::from(&*capture.environment),
            operation: match capture.direction {
                CallDirection::Outgoing => operation(api, &target).to_owned(),
                CallDirection::Incoming => WEBHOOK.to_owned(),
            },
            started_at: capture.received,
            times_us: TimesUs {
                forwarded: capture.forwarded.map(micros),
                response_head: capture.response_head.map(micros),
                response_end: capture.response_end.map(micros),
            },
            peer: Some(capture.peer),
            envelope: Envelope {
                client: capture.envelope.client.as_ref().map(|client| clean(client.as_bytes(), names, secrets)),
                client_token,
                access_token,
                paginated: capture.envelope.paginated,
            },
            request,
            response,
            limit: capture.limit.take(),
            notes: std::mem::take(&mut capture.notes),
            outcome: capture.outcome,
            error: capture
                .error
                .take()
                .map(|error| Failure { message: clean(error.message.as_bytes(), names, secrets), ..error }),
            web_socket,
            destination: capture.destination.as_deref().cloned(),
            fault: capture.fault.take(),
            resent_from: capture.resent_from,
            direction: capture.direction,
            alteration: None,
            recorded_by: None,
            previous_hash: None,
            hash: None,
        }
    }
}

/// The operation of every webhook: its path is the integration's, and may have a secret.
pub const WEBHOOK: &str = "webhook";

/// Masks properties of recorded exchanges, for an export.
///
/// ```
/// use nightaudit_exchange::{Body, PseudonymKey, Mask};
///
/// let mut body = Body::whole(r#"{"Customer":{"LastName":"Doe"}}"#.into());
/// Mask::new(&["last_name".to_owned()], PseudonymKey([7; 32])).apply(&mut body);
/// assert_eq!(&body.bytes[..], br#"{"Customer":{"LastName":"REDACTED:cff1e4408a0f"}}"#);
/// assert!(body.masked);
/// ```
#[derive(Debug)]
pub struct Mask {
    names: Names,
    key: PseudonymKey,
}

impl Mask {
    /// A mask over the properties with these names, compared ignoring ASCII case, `_` and `-`. Its pseudonyms are made
    /// with `key`.
    #[must_use]
    pub fn new(fields: &[String], key: PseudonymKey) -> Self {
        Self { names: Names::only(fields.iter().map(String::as_str)), key }
    }

    /// Replaces the properties' values in a body with pseudonyms, whatever their type, except `null`.
    ///
    /// A body that had any is then decoded and [`masked`](Body::masked); its digests remain those of the log.
    pub fn apply(&self, body: &mut Body) {
        let (decoded, _) = body.decoded();
        let decoded = crate::as_utf8(&decoded);
        let mut text = Text::within(&decoded, Syntax::Json, Bounds::NONE);
        text.find_values_of(&self.names, &mut Secrets::with_key(self.key.clone()));
        if let Some(masked) = text.redacted() {
            body.bytes = masked;
            body.masked = true;
        }
    }

    /// Like [`apply`](Self::apply), to every body of an exchange, WebSocket messages included.
    pub fn apply_to(&self, exchange: &mut Exchange) {
        exchange.bodies_mut().for_each(|body| self.apply(body));
    }
}

/// The pseudonym of an envelope token; `None` for an empty one, which is not a secret.
fn token(value: Option<&str>, secrets: &mut Secrets) -> Option<Pseudonym> {
    let value = value.filter(|value| !value.is_empty())?;
    // A request replayed from an export already has the pseudonym.
    let replaced = if value.starts_with(Pseudonym::PREFIX) { value.parse().ok() } else { None };
    replaced.or_else(|| Some(secrets.learn(value.as_bytes())))
}

fn search_named<'a>(text: &'a [u8], syntax: Syntax, names: &Names, secrets: &mut Secrets) -> Text<'a> {
    let mut text = Text::new(text, syntax);
    text.find_named(names, secrets);
    text
}

fn search_headers<'a>(fields: &'a [Field<'_>], names: &Names, secrets: &mut Secrets) -> Vec<Text<'a>> {
    fields.iter().map(|(name, value)| search_named(value, syntax_of(name, names), names, secrets)).collect()
}

fn syntax_of(field: &[u8], names: &Names) -> Syntax {
    let is = |name: &str| field.eq_ignore_ascii_case(name.as_bytes());
    // By length first, since every header's name is looked up.
    match field.len() {
        6 if is("cookie") => Syntax::Cookie,
        10 if is("set-cookie") => Syntax::Cookie,
        13 if is("authorization") => Syntax::Credentials,
        19 if is("proxy-authorization") => Syntax::Credentials,
        _ if !head::is_usual(field) && names.is_token_name(field) => Syntax::Token,
        _ => Syntax::Field,
    }
}

fn join_body(side: Side, body: &mut CapturedBody, fields: &[Field<'_>]) -> Joined {
    let values = |wanted: &'static str| {
        let wanted = wanted.as_bytes();
        fields.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| &**value)
    };
    // Repeated headers form one list (RFC 9110, section 5.3).
    let coding = values("content-encoding").collect::<Vec<_>>().join(&b", "[..]);
    Joined::new(side, body, &coding, values("content-type").next())
}

/// Redacts a part of a WebSocket connection; each message is treated like a response body.
fn messages(part: CapturedWebSocket, names: &Names, secrets: &mut Secrets) -> WebSocket {
    let mut joined = Vec::with_capacity(part.messages.len());
    let mut facts = Vec::with_capacity(part.messages.len());
    for mut message in part.messages {
        let coding = message.coding.as_deref().unwrap_or_default();
        joined.push(Joined::new(Side::Response, &mut message.body, coding.as_bytes(), None));
        facts.push((message.time, message.direction, message.opcode, message.complete));
    }
    let searched: Vec<_> = joined.iter().map(|body| body.search(names, secrets)).collect();
    let messages = facts.into_iter().zip(searched).map(|((time, direction, opcode, complete), search)| {
        let mut body = search.finish(names, secrets, complete);
        body.truncated |= !complete;
        Message { time, direction, opcode, body }
    });
    WebSocket {
        handshake: part.handshake,
        part: part.part,
        messages: messages.collect(),
        omitted: part.omitted,
        unreadable_bytes: part.unreadable_bytes,
        ended: part.ended,
    }
}

fn headers(fields: &[Field<'_>], values: Vec<Text<'_>>, names: &Names, secrets: &mut Secrets) -> Vec<Header> {
    let both = fields.iter().zip(values);
    both.map(|((name, _), value)| {
        // A common header name is not a secret, even if some token is spelt like it.
        let name = if head::is_usual(name) { readable(name) } else { clean(name, names, secrets) };
        Header { name, value: finish(value, secrets) }
    })
    .collect()
}

fn clean<T: Readable>(text: &[u8], names: &Names, secrets: &mut Secrets) -> T {
    finish(search_named(text, Syntax::Field, names, secrets), secrets)
}

fn finish<T: Readable>(mut text: Text<'_>, secrets: &Secrets) -> T {
    text.find_values(secrets);
    if text.is_too_complex() {
        return T::from("[withheld]");
    }
    match text.redacted() {
        Some(redacted) => readable(&redacted),
        None => readable(text.as_bytes()),
    }
}

/// Whether this is a standard HTTP method.
fn is_usual(method: &http::Method) -> bool {
    use http::Method;
    [Method::POST, Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::PATCH]
        .contains(method)
}

/// Redacts a malformed HTTP/1 head as a whole, since a secret may be anywhere in it: in a body mistaken for a head
/// because its length was missing, say. Returns the method to record.
fn readable_head(request: &mut CapturedRequest, names: &Names, secrets: &mut Secrets) -> CompactString {
    const MAX_TARGET: usize = 256;
    const MAX_METHOD: usize = 32;
    let wire = match &request.head {
        Head::Wire(wire) if head::is_broken(wire) => wire.clone(),
        // The method in a well-formed request line is recorded as it is.
        _ => return clean(request.method.as_str().as_bytes(), names, secrets),
    };
    let decoded = crate::as_utf8(&wire);
    let mut text = Text::new(&decoded, Syntax::Json);
    text.find_named(names, secrets);
    text.find_values(secrets);
    text.find_prefix_at_end(secrets);
    let cleaned = match Kind::of(&decoded) {
        Kind::Text if !text.is_too_complex() => text.redacted().unwrap_or_else(|| decoded.to_vec().into()),
        _ => format!("-\n[withheld: {} bytes that are no text]\n\n", wire.len()).into(),
    };
    let line = head::from_start_line(&cleaned).split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let is_method = (1..=MAX_METHOD).contains(&method.len()) && method.iter().all(u8::is_ascii_alphabetic);
    let target = words.next().filter(|_| is_method).unwrap_or_default();
    request.target = bytes::Bytes::copy_from_slice(&target[..target.len().min(MAX_TARGET)]);
    request.head = Head::Wire(cleaned.clone());
    if is_method { readable(method) } else { CompactString::const_new(http::Method::GET.as_str()) }
}

/// A string type to collect text into.
trait Readable: for<'a> From<&'a str> + FromIterator<char> {}

impl<T: for<'a> From<&'a str> + FromIterator<char>> Readable for T {}

/// The text as UTF-8, otherwise as Latin-1.
fn readable<T: Readable>(text: &[u8]) -> T {
    str::from_utf8(text).map_or_else(|_| text.iter().map(|&byte| char::from(byte)).collect(), T::from)
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// The operation that a target addresses; outside the API, the path in full.
fn operation<'a>(api: &Api, target: &'a str) -> &'a str {
    let path = match target.split_once("://") {
        // A target in absolute form: its path begins with the slash after the authority.
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |slash| &rest[slash..]),
        _ => target,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    api.operation_of(path).unwrap_or(path)
}

/// The host's id of the request in an error's body.
fn request_id_of(names: &Names, body: &[u8]) -> Option<Vec<u8>> {
    const MAX: usize = 256;
    let mut request_id = None;
    names.fields(body, |close| {
        let value = names::value_at(body, close).and_then(|start| names::value(body, start));
        if let (None, Some(value)) = (&request_id, value)
            && value.string
            && (1..=MAX).contains(&(value.end - value.start))
        {
            request_id = Some(layers::unescape(&body[value.start..value.end], Escapes::Json).into_owned());
        }
    });
    request_id
}
