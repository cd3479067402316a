//! An exchange as an entry of the archive.

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use nightaudit_exchange::{
    AdmissionRecord, Alteration, Body, CallDirection, Destination, Digest, Direction, Envelope, Exchange, ExchangeId,
    Failure, Header, InjectedFault, Note, Omitted, Outcome, SessionId, Timestamp, WebSocket, Withheld,
};
use serde::Serialize;

/// The media type of a body without `Content-Type`.
const UNKNOWN_TYPE: &str = "x-unknown";
/// The header of local responses.
const PROXY_ERROR: &str = "x-nightaudit-error";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    started_date_time: Timestamp,
    /// Milliseconds.
    time: f64,
    request: Request<'a>,
    response: Response<'a>,
    cache: Cache,
    timings: Timings,
    #[serde(rename = "_resourceType")]
    resource_type: &'static str,
    #[serde(rename = "_webSocketMessages", skip_serializing_if = "Option::is_none")]
    web_socket_messages: Option<Vec<WebSocketMessage<'a>>>,
    #[serde(rename = "_error", skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(rename = "_nightaudit")]
    nightaudit: Nightaudit<'a>,
}

/// A message of a WebSocket, in Chromium's form.
#[derive(Serialize)]
struct WebSocketMessage<'a> {
    r#type: Direction,
    /// Seconds since 1970.
    time: f64,
    opcode: u8,
    /// Text unchanged, anything else in base64.
    data: Cow<'a, str>,
}

#[derive(Serialize)]
struct Cache {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    method: &'a str,
    url: &'a str,
    http_version: &'a str,
    cookies: Vec<Cookie<'a>>,
    headers: &'a [Header],
    query_string: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<PostData<'a>>,
    headers_size: i8,
    body_size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostData<'a> {
    mime_type: &'a str,
    text: Cow<'a, str>,
    /// HAR has `encoding` only for responses.
    #[serde(rename = "_nightauditEncoding", skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    status: u16,
    status_text: &'a str,
    http_version: &'a str,
    cookies: Vec<Cookie<'a>>,
    headers: &'a [Header],
    content: Content<'a>,
    #[serde(rename = "redirectURL")]
    redirect_url: &'a str,
    headers_size: i8,
    body_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<i64>,
    mime_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

#[derive(Serialize)]
struct Pair<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cookie<'a> {
    name: &'a str,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    http_only: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    secure: bool,
}

/// Milliseconds; -1 if not applicable.
#[derive(Serialize)]
struct Timings {
    blocked: f64,
    dns: i8,
    connect: i8,
    ssl: i8,
    send: f64,
    wait: f64,
    receive: f64,
}

/// The `_nightaudit` extension.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Nightaudit<'a> {
    id: ExchangeId,
    session: SessionId,
    session_name: &'a str,
    sequence: u64,
    environment: &'a str,
    operation: &'a str,
    outcome: Outcome,
    /// The status that the client got; HAR's own is 0 if Mews sent none.
    status: Option<u16>,
    request_id: Option<&'a str>,
    envelope: &'a Envelope,
    limit: Option<&'a AdmissionRecord>,
    error: Option<&'a Failure>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notes: &'a [Note],
    request_body: BodyFacts<'a>,
    response_body: Option<BodyFacts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    web_socket: Option<WebSocketFacts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'a Destination>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'a InjectedFault>,
    #[serde(skip_serializing_if = "CallDirection::is_outgoing")]
    direction: CallDirection,
    #[serde(skip_serializing_if = "Option::is_none")]
    resent_from: Option<ExchangeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alteration: Option<Alteration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_hash: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Digest>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyFacts<'a> {
    length: u64,
    sha256: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'a str>,
    /// Whether the body is as on the wire because it could not be decoded.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    undecoded: bool,
    truncated: bool,
    masked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<Withheld>,
}

/// The WebSocket part of an entry, as far as HAR can't express it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebSocketFacts<'a> {
    handshake: ExchangeId,
    part: u32,
    /// In the order of `_webSocketMessages`.
    messages: Vec<BodyFacts<'a>>,
    omitted: Omitted,
    unreadable_bytes: u64,
    ended: bool,
}

impl<'a> WebSocketFacts<'a> {
    fn of(said: &'a WebSocket) -> Self {
        Self {
            handshake: said.handshake,
            part: said.part,
            messages: said.messages.iter().map(|message| BodyFacts::of(&message.body)).collect(),
            omitted: said.omitted,
            unreadable_bytes: said.unreadable_bytes,
            ended: said.ended,
        }
    }
}

impl<'a> WebSocketMessage<'a> {
    fn all(said: &'a WebSocket) -> Vec<Self> {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years after 1970")]
        let seconds = |time: Timestamp| time.micros() as f64 / 1e6;
        let message = |message: &'a nightaudit_exchange::Message| Self {
            r#type: message.direction,
            time: seconds(message.time),
            opcode: message.opcode,
            data: match str::from_utf8(&message.body.bytes) {
                Ok(text) if message.opcode == 1 => text.into(),
                _ => BASE64_STANDARD.encode(&message.body.bytes).into(),
            },
        };
        said.messages.iter().map(message).collect()
    }
}

impl Entry<'_> {
    /// Builds the entry of an exchange and passes it to `take`, while its decoded bodies are alive.
    pub(super) fn with<T>(exchange: &Exchange, take: impl FnOnce(&Entry<'_>) -> T) -> T {
        let answer = exchange.response.as_ref();
        let (sent, _) = exchange.request.body.decoded();
        let received = answer.map(|answer| answer.body.decoded());

        let request = &exchange.request;
        let post_data = (!sent.is_empty()).then(|| {
            let (text, encoding) = readable(&sent);
            PostData { mime_type: media_type(&request.headers), text, encoding }
        });
        // The proxy's own answer to a request that Mews did not answer is none of Mews': a HAR shows a failure as 0.
        let failed = answer
            .is_none_or(|answer| exchange.outcome == Outcome::Failed && value(&answer.headers, PROXY_ERROR).is_some());
        // Readers tell a WebSocket by the status of its handshake, of which a part is the continuation.
        let status = match answer {
            None if exchange.web_socket.is_some() => 101,
            Some(answer) if !failed => answer.status,
            _ => 0,
        };
        let headers = answer.map_or(&[][..], |answer| &answer.headers);
        let content = match (answer, &received) {
            (Some(answer), Some((decoded, complete))) => {
                let (text, encoding) = readable(decoded);
                let size = content_size(&answer.body, decoded.len(), *complete);
                Content {
                    size,
                    compression: compression(&answer.body, size, *complete),
                    mime_type: media_type(headers),
                    text: (!decoded.is_empty()).then_some(text),
                    encoding,
                }
            }
            _ => Content { size: 0, compression: None, mime_type: UNKNOWN_TYPE, text: None, encoding: None },
        };
        let (time, timings) = Timings::of(exchange);
        take(&Entry {
            started_date_time: exchange.started_at,
            time,
            request: Request {
                method: &request.method,
                url: &request.url,
                http_version: &request.http_version,
                cookies: sent_cookies(&request.headers),
                headers: &request.headers,
                query_string: query(&request.url),
                post_data,
                headers_size: -1,
                body_size: request.body.length,
            },
            response: Response {
                status,
                // HTTP/2 has none, and none is made up.
                status_text: answer.filter(|_| !failed).and_then(|answer| answer.reason.as_deref()).unwrap_or_default(),
                http_version: answer.map_or("", |answer| &answer.http_version),
                cookies: set_cookies(headers),
                headers,
                content,
                redirect_url: value(headers, "location").unwrap_or_default(),
                headers_size: -1,
                body_size: answer.map_or(-1, |answer| i64::try_from(answer.body.length).unwrap_or(i64::MAX)),
            },
            cache: Cache {},
            timings,
            resource_type: if status == 101 || request.url.starts_with("ws") { "websocket" } else { "fetch" },
            web_socket_messages: exchange.web_socket.as_ref().map(WebSocketMessage::all),
            error: match (&exchange.error, &exchange.fault) {
                (Some(error), _) => Some(format!("{}: {}", error.kind, error.message)),
                (None, Some(fault)) => Some(format!("injected fault: {fault}")),
                (None, None) => None,
            },
            nightaudit: Nightaudit {
                id: exchange.id,
                session: exchange.session,
                session_name: &exchange.session_name,
                sequence: exchange.sequence,
                environment: &exchange.environment,
                operation: &exchange.operation,
                outcome: exchange.outcome,
                status: exchange.status(),
                request_id: exchange.request_id(),
                envelope: &exchange.envelope,
                limit: exchange.limit.as_ref(),
                error: exchange.error.as_ref(),
                notes: &exchange.notes,
                request_body: BodyFacts::of(&request.body),
                response_body: answer.map(|answer| BodyFacts::of(&answer.body)),
                web_socket: exchange.web_socket.as_ref().map(WebSocketFacts::of),
                destination: exchange.destination.as_ref(),
                fault: exchange.fault.as_deref(),
                resent_from: exchange.resent_from,
                direction: exchange.direction,
                alteration: exchange.alteration,
                recorded_by: exchange.recorded_by.as_deref(),
                previous_hash: exchange.previous_hash,
                hash: exchange.hash,
            },
        })
    }
}

impl Timings {
    /// The sum of the phases and the phases between the recorded instants, none of them negative whatever an imported
    /// exchange says.
    fn of(exchange: &Exchange) -> (f64, Self) {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
        let milliseconds = |micros: u64| micros as f64 / 1e3;
        let times = exchange.times_us;
        let forwarded = times.forwarded.unwrap_or(0);
        let head = times.response_head.unwrap_or(forwarded).max(forwarded);
        let end = times.response_end.unwrap_or(head).max(head);
        let waited = exchange.limit.as_ref().map_or(0, |limit| limit.waited_ms.saturating_mul(1_000)).min(forwarded);
        let timings = Self {
            blocked: if waited == 0 { -1.0 } else { milliseconds(waited) },
            dns: -1,
            connect: -1,
            ssl: -1,
            send: milliseconds(forwarded - waited),
            wait: milliseconds(head - forwarded),
            receive: milliseconds(end - head),
        };
        // In whole microseconds the phases add up to the end exactly; as floats they would not.
        (milliseconds(end), timings)
    }
}

impl<'a> BodyFacts<'a> {
    fn of(body: &'a Body) -> Self {
        Self {
            length: body.length,
            sha256: body.sha256,
            stored_sha256: body.stored_sha256,
            content_encoding: body.content_encoding.as_deref(),
            undecoded: !body.bytes.is_empty() && !body.decoded().1,
            truncated: body.truncated,
            masked: body.masked,
            withheld: body.withheld,
        }
    }
}

/// Text unchanged, anything else in base64.
fn readable(bytes: &[u8]) -> (Cow<'_, str>, Option<&'static str>) {
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => (text.into(), None),
        _ => (BASE64_STANDARD.encode(bytes).into(), Some("base64")),
    }
}

/// The decoded length of the whole body, if known.
fn content_size(body: &Body, decoded: usize, complete: bool) -> u64 {
    let cut_and_plain = body.truncated && body.content_encoding.is_none();
    if cut_and_plain || !complete { body.length } else { decoded as u64 }
}

/// The bytes saved by the content coding.
fn compression(body: &Body, size: u64, complete: bool) -> Option<i64> {
    let coded = body.content_encoding.is_some() && complete && !body.truncated;
    coded.then(|| i64::try_from(size).ok()?.checked_sub(i64::try_from(body.length).ok()?)).flatten()
}

fn value<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
}

fn media_type(headers: &[Header]) -> &str {
    value(headers, "content-type").unwrap_or(UNKNOWN_TYPE)
}

fn query(url: &str) -> Vec<Pair<'_>> {
    let url = url.split('#').next().unwrap_or_default();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).map(|(name, value)| Pair { name, value }).collect()
}

fn sent_cookies(headers: &[Header]) -> Vec<Cookie<'_>> {
    let fields = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("cookie"));
    fields.flat_map(|field| field.value.split(';')).filter_map(Cookie::read).collect()
}

fn set_cookies(headers: &[Header]) -> Vec<Cookie<'_>> {
    let fields = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("set-cookie"));
    fields
        .filter_map(|field| {
            let mut parts = field.value.split(';');
            let mut cookie = Cookie::read(parts.next()?)?;
            parts.for_each(|attribute| cookie.add(attribute.trim()));
            Some(cookie)
        })
        .collect()
}

impl<'a> Cookie<'a> {
    fn read(pair: &'a str) -> Option<Self> {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        Some(Self { name, value, path: None, domain: None, expires: None, http_only: false, secure: false })
    }

    fn add(&mut self, attribute: &'a str) {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "path" => self.path = Some(value),
            "domain" => self.domain = Some(value),
            "expires" => self.expires = httpdate::parse_http_date(value).ok().map(Timestamp::from_system),
            "httponly" => self.http_only = true,
            "secure" => self.secure = true,
            _ => {}
        }
    }
}
