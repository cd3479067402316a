//! Secrets replaced by pseudonyms.
//!
//! A token is found in two ways. By its name or place: the JSON fields, cookies and query parameters `AccessToken` and
//! `ClientToken`, credentials in `Authorization`, the fields that the configuration names. And by its value: whatever
//! was found by name, and the envelope's tokens, now and in the exchanges before, wherever they stand. Both look at
//! texts as they stand and with their escapes undone ([`layers`]), and at bodies with their content coding undone.
//! They keep no state of a grammar, so that nothing broken or cut can hide what follows it.

mod body;
mod head;
mod layers;
pub(crate) mod names;
mod note;
mod secrets;
mod text;

use std::time::Duration;

use compact_str::CompactString;
use http::Version;

pub use self::note::noted;
use self::{
    body::{Joined, Side},
    head::Field,
    layers::Escapes,
    names::Names,
    secrets::Secrets,
    text::{Syntax, Text},
};
use crate::{
    Body, Capture, CapturedBody, CapturedRequest, CapturedResponse, CapturedWebSocket, Envelope, Exchange, Failure,
    Header, Message, Outcome, Pseudonym, Request, Response, SessionId, TimesUs, WebSocket,
};

/// Turns captures into exchanges free of secrets.
///
/// It remembers the latest tokens that it saw, so that one that is sent in one exchange and echoed in another is found
/// there, too. Memory is bounded; the order of the captures matters only for that.
///
/// Tokens of less than 8 and more than 4,096 bytes are replaced where their name or place tells them, not wherever they
/// stand. The `Client` of the envelope is no secret.
#[derive(Debug)]
pub struct Redactor {
    names: Names,
    request_id: Names,
    secrets: Secrets,
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Redactor {
    /// A redactor that also replaces the values of these JSON fields, wherever they stand in a body.
    ///
    /// Names are compared without regard to the case of ASCII letters; a value may be of any type, only `null` stays.
    #[must_use]
    pub fn new(fields: &[String]) -> Self {
        Self { names: Names::tokens_and(fields), request_id: Names::only(["RequestId"]), secrets: Secrets::default() }
    }

    /// Makes an exchange of a capture, as number `sequence` of the session; its hashes are left open.
    ///
    /// Of the capture everything is left but bodies in several pieces, the messages of a WebSocket, the limiter's note
    /// and the failure. So it can be dropped by the thread that made it, which is cheaper than by another.
    #[must_use]
    pub fn exchange(
        &mut self,
        capture: &mut Capture,
        session: SessionId,
        session_name: &str,
        sequence: u64,
    ) -> Exchange {
        let Self { names, request_id, secrets } = self;
        let CapturedRequest { method, origin, target, version: request_version, head: request_head, body } =
            &mut capture.request;
        secrets.next_exchange();
        let access_token = token(capture.envelope.access_token.as_deref(), secrets);
        let client_token = token(capture.envelope.client_token.as_deref(), secrets);

        // Names first and everywhere, so that a token that is named in one place is known in all the others.
        let mut target = named(target, Syntax::Target, names, secrets);
        target.find_shaped(secrets);
        let request_fields = head::fields(request_head);
        let request_texts = named_fields(&request_fields, names, secrets);
        let request_body = joined(Side::Request, body, &request_fields);
        let request_search = request_body.search(names, secrets);
        let (response_parts, response_body) = match &mut capture.response {
            Some(CapturedResponse { status, version, head, body }) => (Some((*status, *version, &*head)), Some(body)),
            None => (None, None),
        };
        let response_fields = response_parts.map(|(.., head)| head::fields(head)).unwrap_or_default();
        let response_texts = named_fields(&response_fields, names, secrets);
        let response_body = response_body.map(|body| joined(Side::Response, body, &response_fields));
        let response_search = response_body.as_ref().map(|body| body.search(names, secrets));

        let web_socket = capture.web_socket.take().map(|part| messages(*part, names, secrets));

        let complete = matches!(capture.outcome, Outcome::Answered | Outcome::Refused);
        let target: String = finished(target, secrets);
        let request = Request {
            method: cleaned(method.as_str().as_bytes(), names, secrets),
            url: if target.starts_with('/') { format!("{origin}{target}") } else { target.clone() },
            http_version: CompactString::const_new(version(*request_version)),
            headers: headers(&request_fields, request_texts, names, secrets),
            body: request_search.finish(secrets, complete),
        };
        let response = response_parts.zip(response_search).map(|((status, response_version, head), search)| {
            let headers = headers(&response_fields, response_texts, names, secrets);
            let named = headers.iter().find(|header| header.name.eq_ignore_ascii_case("request-id"));
            let request_id = match named {
                Some(header) => Some(header.value.to_string()),
                None if status.as_u16() >= 400 => {
                    request_id_of(request_id, search.decoded()).map(|id| cleaned(&id, names, secrets))
                }
                None => None,
            };
            Response {
                status: status.as_u16(),
                http_version: CompactString::const_new(version(response_version)),
                reason: head.reason().filter(|_| response_version < Version::HTTP_2).map(|reason| {
                    match status.canonical_reason() {
                        Some(usual) if usual.as_bytes() == reason => CompactString::const_new(usual),
                        _ => cleaned(reason, names, secrets),
                    }
                }),
                headers,
                request_id,
                body: search.finish(secrets, complete),
            }
        });
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Exchange {
            id: capture.id,
            session,
            session_name: session_name.into(),
            sequence,
            environment: CompactString::from(&*capture.environment),
            operation: operation(&target).to_owned(),
            started_at: capture.received,
            times_us: TimesUs {
                forwarded: capture.forwarded.map(micros),
                response_head: capture.response_head.map(micros),
                response_end: capture.response_end.map(micros),
            },
            peer: Some(capture.peer),
            envelope: Envelope {
                client: capture.envelope.client.as_ref().map(|client| cleaned(client.as_bytes(), names, secrets)),
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
                .map(|error| Failure { message: cleaned(error.message.as_bytes(), names, secrets), ..error }),
            web_socket,
            destination: capture.destination.as_deref().cloned(),
            alteration: None,
            previous_hash: None,
            hash: None,
        }
    }
}

/// Masks fields of recorded exchanges, for an export.
///
/// ```
/// use nightaudit_exchange::{Body, Mask};
///
/// let mut body = Body::whole(r#"{"Customer":{"LastName":"Doe"}}"#.into());
/// Mask::new(&["lastname".to_owned()]).apply(&mut body);
/// assert_eq!(&body.bytes[..], br#"{"Customer":{"LastName":"REDACTED:fd53ef835b15"}}"#);
/// assert!(body.masked);
/// ```
#[derive(Debug)]
pub struct Mask {
    names: Names,
}

impl Mask {
    /// A mask over the JSON fields of these names, compared without regard to the case of ASCII letters.
    #[must_use]
    pub fn new(fields: &[String]) -> Self {
        Self { names: Names::only(fields.iter().map(String::as_str)) }
    }

    /// Replaces the fields' values in a body by their pseudonyms, whatever their type; only `null` stays.
    ///
    /// A body that had any stands decoded then, and is [`masked`](Body::masked); its digests stay those of the log.
    pub fn apply(&self, body: &mut Body) {
        let (decoded, _) = body.decoded();
        let mut text = named(&decoded, Syntax::Json, &self.names, &mut Secrets::default());
        if let Some(masked) = text.redacted() {
            body.bytes = masked;
            body.masked = true;
        }
    }

    /// As [`apply`](Self::apply), to every body of an exchange, the messages of a WebSocket among them.
    pub fn apply_to(&self, exchange: &mut Exchange) {
        exchange.bodies_mut().for_each(|body| self.apply(body));
    }
}

/// The pseudonym of one of the envelope's tokens; none for an empty one, which is no secret.
fn token(value: Option<&str>, secrets: &mut Secrets) -> Option<Pseudonym> {
    let value = value.filter(|value| !value.is_empty())?;
    // A request that was exported and is sent again has the pseudonym already.
    let replaced = if value.starts_with(Pseudonym::PREFIX) { value.parse().ok() } else { None };
    replaced.or_else(|| Some(secrets.learn(value.as_bytes())))
}

fn named<'a>(text: &'a [u8], syntax: Syntax, names: &Names, secrets: &mut Secrets) -> Text<'a> {
    let mut text = Text::new(text, syntax);
    text.find_named(names, secrets);
    text
}

fn named_fields<'a>(fields: &'a [Field<'_>], names: &Names, secrets: &mut Secrets) -> Vec<Text<'a>> {
    fields.iter().map(|(name, value)| named(value, syntax_of(name), names, secrets)).collect()
}

fn syntax_of(field: &[u8]) -> Syntax {
    let is = |name: &str| field.eq_ignore_ascii_case(name.as_bytes());
    if is("cookie") || is("set-cookie") {
        Syntax::Cookie
    } else if is("authorization") || is("proxy-authorization") {
        Syntax::Credentials
    } else if names::is_token_name(field) {
        Syntax::Token
    } else {
        Syntax::Field
    }
}

fn joined(side: Side, body: &mut CapturedBody, fields: &[Field<'_>]) -> Joined {
    let values = |wanted: &'static str| {
        let wanted = wanted.as_bytes();
        fields.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| &**value)
    };
    // Several fields of one name are one list (RFC 9110, 5.3).
    let coding = values("content-encoding").collect::<Vec<_>>().join(&b", "[..]);
    Joined::new(side, body, &coding, values("content-type").next())
}

/// A part of what was said over a WebSocket; each message is looked at like the body of an answer.
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
        let mut body = search.finish(secrets, complete);
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
        // A name that everybody uses is no secret, whatever somebody's token is called.
        let name = if head::is_usual(name) { readable(name) } else { cleaned(name, names, secrets) };
        Header { name, value: finished(value, secrets) }
    })
    .collect()
}

fn cleaned<T: Readable>(text: &[u8], names: &Names, secrets: &mut Secrets) -> T {
    finished(named(text, Syntax::Field, names, secrets), secrets)
}

fn finished<T: Readable>(mut text: Text<'_>, secrets: &mut Secrets) -> T {
    text.find_values(secrets);
    match text.redacted() {
        Some(redacted) => readable(&redacted),
        None => readable(text.as_bytes()),
    }
}

/// A string, short or long.
trait Readable: for<'a> From<&'a str> + FromIterator<char> {}

impl<T: for<'a> From<&'a str> + FromIterator<char>> Readable for T {}

/// The text as UTF-8, or else as Latin-1.
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

/// The address after `/api/connector/v1/`; of any other the whole path.
fn operation(target: &str) -> &str {
    let path = match target.split_once("://") {
        // An address in absolute form: its path begins with the slash after the authority.
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |slash| &rest[slash..]),
        _ => target,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.strip_prefix("/api/connector/v1/").filter(|operation| !operation.is_empty()).unwrap_or(path)
}

/// The value of `RequestId` in the body of an error.
fn request_id_of(names: &Names, body: &[u8]) -> Option<Vec<u8>> {
    const LONGEST: usize = 256;
    let mut request_id = None;
    names.fields(body, |close, _| {
        let value = names::value_at(body, close).and_then(|start| names::value(body, start));
        if let (None, Some(value)) = (&request_id, value)
            && value.string
            && (1..=LONGEST).contains(&(value.end - value.start))
        {
            request_id = Some(layers::undone(&body[value.start..value.end], Escapes::Json).into_owned());
        }
    });
    request_id
}
