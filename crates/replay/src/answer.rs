//! A recorded response, ready to be sent again.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use nightaudit_exchange::{Body, Exchange, ExchangeId, Header, Response, Timestamp};

use crate::key::target;

/// On every replayed response: the id of the exchange that it was recorded in. A replay never passes for Mews.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("x-nightaudit-replayed");

/// A recorded response, or why it can't be sent.
#[derive(Debug)]
pub(crate) enum Answer {
    /// All of it is recorded.
    Whole(Box<Whole>),
    /// A part is missing; says which.
    Incomplete(String),
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) id: ExchangeId,
    pub(crate) status: StatusCode,
    pub(crate) reason: Option<ReasonPhrase>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the length is declared, rather than the body sent in chunks.
    pub(crate) has_length: bool,
    pub(crate) times: Times,
    /// When the response's head arrived.
    pub(crate) opened: Timestamp,
    /// Where it redirects to on the recorded host, as path and query.
    pub(crate) redirect: Option<String>,
}

/// How long the host took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// From the request until the response's head.
    pub(crate) head: Duration,
    /// From then until its end.
    pub(crate) body: Duration,
}

/// Headers of a connection, which the server sets itself (RFC 9110, section 7.6.1).
const OF_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "trailer"];

impl Answer {
    /// The response of a recorded exchange.
    pub(crate) fn of(exchange: &Exchange) -> Self {
        let id = exchange.id;
        let Some(response) = &exchange.response else {
            return Self::Incomplete(format!("exchange {id} has no response"));
        };
        match whole(id, response) {
            Ok(whole) => Self::Whole(Box::new(Whole {
                times: Times::of(exchange),
                opened: exchange.started_at.plus(Duration::from_micros(exchange.times_us.response_head.unwrap_or(0))),
                redirect: redirect(&exchange.request.url, response),
                ..whole
            })),
            Err(missing) => Self::Incomplete(missing),
        }
    }

    /// Its size in memory, roughly.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Whole(whole) => {
                512 + whole.body.len()
                    + whole.headers.iter().map(|(name, value)| 64 + name.as_str().len() + value.len()).sum::<usize>()
            }
            Self::Incomplete(missing) => 64 + missing.len(),
        }
    }
}

impl Times {
    fn of(exchange: &Exchange) -> Self {
        let times = &exchange.times_us;
        let head = times.response_head.unwrap_or(0);
        let sent = times.forwarded.unwrap_or(0);
        let end = times.response_end.unwrap_or(head);
        let micros = |time: u64| Duration::from_micros(time);
        Self { head: micros(head.saturating_sub(sent)), body: micros(end.saturating_sub(head)) }
    }
}

/// Path and query of a redirect to the host that the request was for.
fn redirect(url: &str, response: &Response) -> Option<String> {
    let location = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("location"))?;
    let origin = url.strip_suffix(target(url))?;
    let rest = location.value.strip_prefix(origin).filter(|_| !origin.is_empty())?;
    (rest.is_empty() || rest.starts_with(['/', '?'])).then(|| target(&location.value).to_owned())
}

fn whole(id: ExchangeId, response: &Response) -> Result<Whole, String> {
    let bytes = whole_body(id, &response.body)?;
    let status = StatusCode::from_u16(response.status)
        .map_err(|_| format!("exchange {id} has the status {}, which is none of HTTP's", response.status))?;
    let is_coded = response.body.content_encoding.is_some() && !response.body.masked;
    let mut headers = HeaderMap::with_capacity(response.headers.len() + 1);
    let mut declares_length = false;
    for Header { name, value } in &response.headers {
        let lower = name.to_ascii_lowercase();
        declares_length |= lower == "content-length";
        let is_replaced = match lower.as_str() {
            // Of the body as it is sent, which differs if secrets in it were replaced.
            "content-length" => !bytes.is_empty() || response.body.length == 0 && !bodiless(value),
            "content-encoding" => !is_coded && !bytes.is_empty(),
            other => OF_CONNECTION.contains(&other) || other.starts_with("x-nightaudit-"),
        };
        if is_replaced {
            continue;
        }
        let name = HeaderName::from_bytes(lower.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) else {
            return Err(format!("exchange {id} has the header `{lower}`, which can't be sent"));
        };
        headers.append(name, value);
    }
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(REPLAYED, id);
    }
    let reason = response.reason.as_deref().filter(|reason| Some(*reason) != status.canonical_reason());
    let reason = reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
    let has_length = declares_length || headers.contains_key(header::CONTENT_LENGTH);
    let (times, opened) = (Times::default(), Timestamp::from_micros(0));
    Ok(Whole { id, status, reason, headers, body: bytes, has_length, times, opened, redirect: None })
}

/// Whether a declared length is that of a body that isn't sent, as in the response to a HEAD.
fn bodiless(length: &str) -> bool {
    length.trim() != "0"
}

/// The bytes of a body as they were on the wire, but for secrets.
pub(crate) fn whole_body(id: ExchangeId, body: &Body) -> Result<Bytes, String> {
    if let Some(withheld) = body.withheld {
        return Err(format!("the body of exchange {id} is not in the log: {}", withheld.reason()));
    }
    if body.truncated {
        let (kept, all) = (body.bytes.len(), body.length);
        return Err(format!(
            "the body of exchange {id} is not complete in the log: {kept} of {all} bytes are (`body.keep`)"
        ));
    }
    // A copy: what it is a slice of may be much larger.
    Ok(Bytes::copy_from_slice(&body.bytes))
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::Withheld;

    use super::*;
    use crate::testing::Recorded;

    fn recorded(headers: &[(&str, &str)], body: Body) -> Exchange {
        let mut exchange = Recorded::default().exchange(0);
        let response = exchange.response.as_mut().unwrap();
        response.headers =
            headers.iter().map(|(name, value)| Header { name: (*name).into(), value: (*value).into() }).collect();
        response.body = body;
        exchange
    }

    fn answer(exchange: &Exchange) -> Whole {
        match Answer::of(exchange) {
            Answer::Whole(whole) => *whole,
            Answer::Incomplete(missing) => panic!("{missing}"),
        }
    }

    fn names(whole: &Whole) -> Vec<String> {
        whole.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn headers_stay_but_for_those_of_the_connection() {
        let exchange = recorded(
            &[
                ("Content-Type", "application/json"),
                ("Content-Length", "2"),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
                ("Connection", "close"),
                ("X-Nightaudit-Replayed", "other"),
                ("Request-Id", "é"),
            ],
            Body::whole("{}".into()),
        );
        let whole = answer(&exchange);
        let id = format!("x-nightaudit-replayed: {}", exchange.id);
        let kept: Vec<_> = whole.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(kept, ["content-type", "set-cookie", "set-cookie", "request-id", "x-nightaudit-replayed"]);
        assert_eq!(whole.headers["request-id"].as_bytes(), "é".as_bytes());
        assert_eq!(whole.headers["x-nightaudit-replayed"].to_str().unwrap(), exchange.id.to_string());
        assert!(whole.has_length && !id.is_empty());
    }

    #[test]
    fn a_body_in_chunks_stays_so_and_a_coded_one_stays_coded() {
        let coded = Body { content_encoding: Some("gzip".to_owned()), ..Body::whole("gzipped".into()) };
        let exchange = recorded(&[("Transfer-Encoding", "chunked"), ("Content-Encoding", "gzip")], coded.clone());
        let whole = answer(&exchange);
        assert!(!whole.has_length && names(&whole)[0] == "content-encoding: gzip");
        // Once a secret in it was replaced it is no longer coded, and has another length.
        let redacted = Body { content_encoding: None, ..coded.clone() };
        let headers = [("Content-Encoding", "gzip"), ("Content-Length", "999")];
        let whole = answer(&recorded(&headers, redacted));
        assert!(whole.has_length && whole.headers.len() == 1, "{:?}", whole.headers);
        let masked = Body { masked: true, ..coded };
        assert_eq!(answer(&recorded(&headers, masked)).headers.len(), 1);
    }

    #[test]
    fn the_response_to_a_head_keeps_its_length() {
        let whole = answer(&recorded(&[("Content-Length", "300"), ("Content-Encoding", "gzip")], Body::empty()));
        assert_eq!(names(&whole)[..2], ["content-length: 300", "content-encoding: gzip"]);
        let whole = answer(&recorded(&[("Content-Length", "0")], Body::empty()));
        assert!(whole.has_length && whole.headers.len() == 1);
    }

    #[test]
    fn a_body_that_is_not_all_in_the_log_is_none() {
        let truncated = Body { truncated: true, length: 5000, ..Body::whole("{".into()) };
        let withheld = Body { withheld: Some(Withheld::Unreadable), truncated: true, ..Body::empty() };
        for (body, named) in [(truncated, "1 of 5000 bytes"), (withheld, "neither text nor")] {
            let exchange = recorded(&[], body);
            let Answer::Incomplete(missing) = Answer::of(&exchange) else { panic!("it is whole") };
            assert!(missing.contains(named) && missing.contains(&exchange.id.to_string()), "{missing}");
        }
        let none = Exchange { response: None, ..Recorded::default().exchange(0) };
        assert!(matches!(Answer::of(&none), Answer::Incomplete(_)));
    }

    #[test]
    fn a_redirect_to_the_recorded_host_is_known() {
        for (location, wanted) in [
            ("https://api.mews-demo.com/a?b=c", Some("/a?b=c")),
            ("https://api.mews-demo.com", Some("/")),
            ("https://api.mews-demo.com.example/a", None),
            ("https://example.com/a", None),
            ("/a", None),
        ] {
            let exchange = recorded(&[("Location", location)], Body::empty());
            assert_eq!(answer(&exchange).redirect.as_deref(), wanted, "{location}");
        }
    }

    #[test]
    fn times_are_those_of_the_host() {
        let times = Times::of(&Recorded::default().exchange(0));
        assert_eq!((times.head.as_micros(), times.body.as_micros()), (84_102, 808));
        let mut odd = Recorded::default().exchange(0);
        odd.times_us.response_head = Some(5);
        odd.times_us.response_end = None;
        assert_eq!(Times::of(&odd), Times::default());
    }
}
