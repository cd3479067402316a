//! A call of an entry.

use std::net::{IpAddr, SocketAddr};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use compact_str::CompactString;
use nightaudit_exchange::{Body, Direction, Header, Message, Outcome, TimesUs, Timestamp};

use super::{
    entry::{Content, Entry, Message as Said, PostData, Response},
    facts,
    lax::{Number, Pairs, Text},
};
use crate::{
    foreign::{Call, Facts, Messages, Reply, header},
    url::{NotUrl, Url},
};

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The longest method, in bytes.
const MAX_METHOD: usize = 32;
/// The longest time that is believed, in microseconds: a year.
const MAX_TIME: f64 = 31_536_000.0 * 1e6;

/// Why an entry gives no call.
#[derive(Debug)]
pub(super) enum Rejected {
    /// It isn't HTTP: `data:`, `blob:` and the like.
    OtherScheme,
    /// It is damaged.
    Damaged(String),
}

impl From<String> for Rejected {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

/// The call of an entry.
pub(super) fn call(entry: Entry) -> Result<Call, Rejected> {
    let Entry { started_date_time, time, request, mut response, timings, server_address, server_port, error, .. } =
        entry;
    let facts = entry.nightaudit.as_deref().and_then(facts::read);
    let is_rejected = facts.as_ref().is_some_and(|read| read.facts.outcome == Outcome::Rejected);
    let url = url(request.url.as_str(), is_rejected)?;
    let started = self::started(&started_date_time)?;
    let times = match timings {
        Some(timings) => {
            let before = [timings.blocked, timings.dns, timings.connect, timings.send].map(micros);
            let forwarded = before.into_iter().sum();
            let head = forwarded + micros(timings.wait);
            let end = head + micros(timings.receive);
            TimesUs { forwarded: Some(forwarded), response_head: Some(head), response_end: Some(end) }
        }
        None => TimesUs { forwarded: Some(0), response_head: None, response_end: time.0.map(|_| micros(time)) },
    };
    let method = request.method.as_str();
    let is_method = (1..=MAX_METHOD).contains(&method.len()) && method.bytes().all(is_token);
    if !is_method && !is_rejected {
        return Err(Rejected::Damaged("request.method is not a method".to_owned()));
    }
    let method = CompactString::from(method);
    if let (Some(response), Some(status)) = (&mut response, facts.as_ref().and_then(|facts| facts.status))
        && response.status.count() == Some(0)
    {
        // Responses of nightaudit itself stand as status 0 in its HAR.
        response.status = Number(Some(status.into()));
    }
    let error = error.0.or_else(|| response.as_ref().and_then(|response| response.error.0.clone()));
    let headers = headers(request.headers);
    let body = request_body(request.post_data, request.body_size, &headers)?;
    let reply = response.map(|response| reply(&method, response)).transpose()?.flatten();
    let messages = entry.web_socket_messages.map(|list| messages(list, started)).transpose()?;
    let remote = server_address.as_str().trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let port = server_port.count().and_then(|port| u16::try_from(port).ok()).or_else(|| url.port());
    let mut call = Call {
        started,
        times,
        peer: None,
        remote: remote.zip(port).map(|(address, port)| SocketAddr::new(address, port)),
        method,
        http_version: version(&request.http_version),
        url,
        headers,
        body,
        response: reply,
        error,
        messages,
        facts: None,
    };
    if let Some(facts) = facts {
        restore(&mut call, facts);
    }
    Ok(call)
}

/// The URL of a request. One that nightaudit rejected may have none: in its HAR stands what was sent instead.
fn url(text: &str, is_rejected: bool) -> Result<Url, Rejected> {
    match Url::parse(text) {
        Ok(url) => Ok(url),
        Err(_) if is_rejected => Ok(Url::as_sent(text)),
        Err(NotUrl::OtherScheme) => Err(Rejected::OtherScheme),
        Err(NotUrl::Invalid) => Err(Rejected::Damaged("request.url is not an absolute URL".to_owned())),
    }
}

/// Puts back what nightaudit's own HAR says besides.
fn restore(call: &mut Call, read: facts::Read) {
    read.request_body.restore(&mut call.body);
    if let (Some(reply), Some(body)) = (&mut call.response, &read.response_body) {
        body.restore(&mut reply.body);
    }
    if let (Some(messages), Some((_, bodies))) = (&mut call.messages, &read.part) {
        messages.list.iter_mut().zip(bodies).for_each(|(message, facts)| facts.restore(&mut message.body));
    }
    let part = read.part.map(|(part, _)| part);
    call.facts = Some(Facts { part, ..read.facts });
}

/// When the request began: with any offset; a time without one is taken as UTC.
fn started(text: &Text) -> Result<Timestamp, String> {
    let text = text.as_str().trim();
    if text.is_empty() {
        return Err("startedDateTime is missing".to_owned());
    }
    let parsed = text.parse::<Timestamp>().or_else(|_| format!("{text}Z").parse());
    parsed.map_err(|_| format!("startedDateTime is not a time: {}", excerpt(text)))
}

/// The beginning of a value, for a message.
fn excerpt(text: &str) -> String {
    const MAX: usize = 40;
    let mut shown: String = text.chars().take(MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Milliseconds as microseconds; what is negative or absent took no time.
fn micros(milliseconds: Number) -> u64 {
    let micros = (milliseconds.0.unwrap_or(0.0) * 1e3).clamp(0.0, MAX_TIME).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let micros = micros as u64;
    micros
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The version as nightaudit writes it; empty if it isn't known.
fn version(text: &Text) -> CompactString {
    let version = text.as_str().trim().to_ascii_lowercase();
    CompactString::const_new(match version.as_str() {
        "http/0.9" => "HTTP/0.9",
        "http/1.0" => "HTTP/1.0",
        "http/1.1" | "http/1" => "HTTP/1.1",
        "http/2" | "http/2.0" | "h2" => "HTTP/2",
        "http/3" | "http/3.0" | "h3" | "h3-29" => "HTTP/3",
        _ => "",
    })
}

/// The headers without HTTP/2's pseudo-headers, which are in method, URL and status.
fn headers(pairs: Pairs) -> Vec<Header> {
    let pairs = pairs.0.into_iter().filter(|(name, _)| !name.is_empty() && !name.starts_with(':'));
    pairs.map(|(name, value)| Header { name: name.into(), value: value.into() }).collect()
}

fn request_body(data: Option<PostData>, size: Number, headers: &[Header]) -> Result<Body, String> {
    // A tool that doesn't know the size may have recorded the header.
    let stated = || {
        let length = header(headers, "content-length").and_then(|length| length.trim().parse().ok());
        size.count().or(length).filter(|length: &u64| *length > 0)
    };
    let Some(data) = data else {
        return Ok(stated().map_or_else(Body::empty, Body::absent));
    };
    let encoding = if data.nightaudit_encoding.0.is_some() { &data.nightaudit_encoding } else { &data.encoding };
    let is_form =
        data.mime_type.as_str().trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    match data.text.0 {
        Some(text) if !text.is_empty() => Ok(Body::whole(decoded(text, encoding, "request.postData.text")?)),
        _ if is_form && !data.params.0.is_empty() => {
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&data.params.0).finish();
            Ok(Body::whole(form.into()))
        }
        _ => Ok(stated().map_or_else(Body::empty, Body::absent)),
    }
}

/// A text as the bytes that it stands for.
fn decoded(text: String, encoding: &Text, what: &str) -> Result<Bytes, String> {
    match encoding.as_str().trim().to_ascii_lowercase().as_str() {
        "base64" => base64(&text).map(Bytes::from).ok_or_else(|| format!("{what} is not base64")),
        _ => Ok(text.into()),
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok().or_else(|| {
        // Some tools wrap it.
        let joined: String = text.split_ascii_whitespace().collect();
        BASE64.decode(joined).ok()
    })
}

/// The response; `None` for status 0, by which tools mean that there was none.
fn reply(method: &str, response: Response) -> Result<Option<Reply>, String> {
    let status = match response.status.0 {
        None => return Ok(None),
        Some(status) if status <= 0.0 => return Ok(None),
        Some(status) if (100.0..1000.0).contains(&status) && status.fract() == 0.0 => response.status.count(),
        Some(status) => return Err(format!("response.status is not a status: {status}")),
    };
    let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
    let http_version = version(&response.http_version);
    let reason = response.status_text.0.filter(|reason| !reason.is_empty() && !is_multiplexed(&http_version));
    // What a browser shows of these is from its cache (RFC 9110, section 6.4.1).
    let has_no_body = method == "HEAD" || status < 200 || matches!(status, 204 | 304);
    let body = match has_no_body {
        true => Body::empty(),
        false => response_body(response.content.unwrap_or_default(), response.body_size)?,
    };
    let headers = headers(response.headers);
    Ok(Some(Reply { status, http_version, reason: reason.map(CompactString::from), headers, body }))
}

fn is_multiplexed(version: &str) -> bool {
    matches!(version, "HTTP/2" | "HTTP/3")
}

fn response_body(content: Content, body_size: Number) -> Result<Body, String> {
    let known = |number: Number| number.count().filter(|length| *length > 0);
    match content.text.0 {
        Some(text) if !text.is_empty() => Ok(Body::whole(decoded(text, &content.encoding, "response.content.text")?)),
        _ => Ok(known(content.size).or_else(|| known(body_size)).map_or_else(Body::empty, Body::absent)),
    }
}

fn messages(list: Vec<Said>, started: Timestamp) -> Result<Messages, String> {
    let mut messages = Vec::with_capacity(list.len());
    let mut last = started;
    for (index, said) in list.into_iter().enumerate() {
        let direction = match said.direction.as_str().to_ascii_lowercase().as_str() {
            "send" | "request" => Direction::Send,
            "receive" | "response" => Direction::Receive,
            // Chromium's note of a broken connection.
            "error" => continue,
            _ => return Err(format!("_webSocketMessages[{index}].type is neither `send` nor `receive`")),
        };
        let time = said.time.0.map_or(last, moment);
        last = time;
        let opcode = said.opcode.count().and_then(|opcode| u8::try_from(opcode).ok()).unwrap_or(1);
        let text = said.data.0.unwrap_or_default();
        let bytes = match opcode {
            1 => text.into(),
            // Control frames, and tools that don't encode, have text.
            _ => base64(&text).map_or_else(|| Bytes::from(text), Bytes::from),
        };
        messages.push(Message { time, direction, opcode, body: Body::whole(bytes) });
    }
    let ended = messages.iter().any(|message| message.opcode == 8);
    Ok(Messages { list: messages, ended })
}

/// Seconds since 1970; some tools write milliseconds.
fn moment(seconds: f64) -> Timestamp {
    const YEAR_5000: f64 = 95_617_584_000.0;
    let micros = if seconds.abs() > YEAR_5000 { seconds * 1e3 } else { seconds * 1e6 };
    #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
    let micros = micros.round() as i64;
    Timestamp::from_micros(micros)
}
