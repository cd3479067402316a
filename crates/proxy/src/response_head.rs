//! Response heads on their way to the client: framing, reason phrase, redirects.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_LOCATION, LOCATION, REFRESH, TRANSFER_ENCODING, UPGRADE},
    uri::Authority,
};
use hyper::ext::ReasonPhrase;
use nightaudit_exchange::{Api, FailureKind};

use crate::{Origin, headers, local_response::LocalResponse};

/// How a response body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    /// Whether there can be a body (RFC 9112, section 6.3, rules 1 and 2).
    pub(crate) has_body: bool,
    /// The `Content-Length`, if it is valid and applies.
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    /// Whether the framing is ambiguous. That may be response splitting, so the connection is not reused.
    pub(crate) ambiguous: bool,
}

impl Framing {
    /// Determines the framing of a response, and leaves at most one statement of it in the headers, so that the framing
    /// from Mews can't contradict that to the client.
    ///
    /// # Errors
    ///
    /// A [`LocalResponse`] for a transfer coding that was not requested (RFC 9112, section 6.1), which the client could
    /// not decode.
    pub(crate) fn of<B>(response: &mut Response<B>, method: &Method, api: &Api) -> Result<Self, LocalResponse> {
        let status = response.status();
        let has_body = *method != Method::HEAD
            && !status.is_informational()
            && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let headers = response.headers_mut();
        let codings = || list(headers, &TRANSFER_ENCODING);
        let is = |coding: &[u8], name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        let coded = headers.contains_key(TRANSFER_ENCODING);
        let chunked = coded && codings().next().is_some_and(|only| is(only, "chunked")) && codings().nth(1).is_none();
        if has_body && coded && !chunked && !codings().all(|coding| is(coding, "identity")) {
            let named = String::from_utf8_lossy(&codings().collect::<Vec<_>>().join(&b", "[..])).into_owned();
            let message =
                format!("{} response has the transfer coding `{named}`, which was not requested", api.possessive);
            return Err(LocalResponse::failed(FailureKind::InvalidResponse, message));
        }
        let mut lengths = list(headers, &CONTENT_LENGTH);
        let stated = headers.get_all(CONTENT_LENGTH).iter().count();
        // Several equal values count as one (RFC 9112, section 6.3, rule 5).
        let first = lengths.next();
        let (mut repeated, mut agree) = (false, true);
        for other in lengths {
            (repeated, agree) = (true, agree && Some(other) == first);
        }
        let length = first.filter(|_| agree).and_then(digits);
        let ambiguous = has_body && coded && stated > 0;
        match length {
            // Chunked overrides a length (rule 3), and a 204 has none (RFC 9110, section 8.6).
            _ if coded || status == StatusCode::NO_CONTENT => {
                headers::remove_headers(headers, |name| *name == CONTENT_LENGTH)
            }
            None if stated > 0 => headers::remove_headers(headers, |name| *name == CONTENT_LENGTH),
            Some(length) if repeated => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from(length))),
            _ => {}
        }
        Ok(Self { has_body, length: length.filter(|_| !coded), chunked: chunked && has_body, ambiguous })
    }
}

/// Returns the members of a list header, over all its lines.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// Returns the reason phrase of an HTTP/1 head if hyper loses it: it drops non-ASCII ones, which are allowed
/// (`obs-text`; RFC 9112, section 4).
pub(crate) fn lost_reason(head: &Bytes) -> Option<ReasonPhrase> {
    let line = &head[..memchr::memchr(b'\n', head)?];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let reason = line.splitn(3, |byte| *byte == b' ').nth(2)?;
    if reason.is_ascii() { None } else { ReasonPhrase::try_from(head.slice_ref(reason)).ok() }
}

/// The address by which the client reached this proxy.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProxyAddress {
    /// Whether the client uses TLS.
    pub(crate) tls: bool,
    /// The `Host` header, if any.
    pub(crate) host: Option<HeaderValue>,
}

/// Rewrites redirects to one of the `hosts` to point to the proxy, as reverse proxies do, since the client would bypass
/// it otherwise. Returns whether anything changed.
///
/// Only URLs with the host's own scheme: a redirect from `http` to `https` would become a loop.
pub(crate) fn rewrite_redirects(headers: &mut HeaderMap, hosts: [&Origin; 2], here: &ProxyAddress) -> bool {
    let authority = || here.host.as_ref()?.to_str().ok()?.parse::<Authority>().ok();
    let mut changed = false;
    for name in [LOCATION, CONTENT_LOCATION, REFRESH] {
        let Some(value) = headers.get(&name) else { continue };
        let Ok(text) = value.to_str() else { continue };
        // `Refresh: 5; url=https://…`
        let at =
            if name == REFRESH { text.find("://").and_then(|at| text[..at].rfind(['=', '"', '\''])) } else { None };
        let start = at.map_or(0, |at| at + 1);
        let Some(rest) = hosts.iter().find_map(|host| host.path_of(&text[start..])) else { continue };
        let here = match authority() {
            Some(authority) => format!("http{}://{authority}", if here.tls { "s" } else { "" }),
            None => String::new(),
        };
        let slash = if rest.starts_with('/') { "" } else { "/" };
        if let Ok(rewritten) = HeaderValue::try_from(format!("{}{here}{slash}{rest}", &text[..start])) {
            headers.insert(name, rewritten);
            changed = true;
        }
    }
    changed
}

/// Returns whether a 101 switches to the requested protocol.
pub(crate) fn switches_to_web_socket<B>(response: &Response<B>) -> bool {
    let mut protocols = response.headers().get_all(UPGRADE).iter();
    protocols.next().is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) && protocols.next().is_none()
}

#[cfg(test)]
mod tests {
    use nightaudit_mews::API;

    use super::*;

    fn framed(method: &Method, status: u16, headers: &[(&str, &str)]) -> (Result<Framing, FailureKind>, Vec<String>) {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let mut response = response.body(()).unwrap();
        let framing = Framing::of(&mut response, method, &API).map_err(|local_response| match local_response {
            LocalResponse::Failed(failure) => failure.kind,
            LocalResponse::Limited { .. } | LocalResponse::Injected { .. } => unreachable!(),
        });
        let left = response.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        (framing, left.collect())
    }

    #[test]
    fn one_content_length_is_left() {
        let whole = Framing { has_body: true, length: Some(2), chunked: false, ambiguous: false };
        let chunked = Framing { length: None, chunked: true, ..whole };
        let bodiless = Framing { has_body: false, ..whole };
        let get = |headers| framed(&Method::GET, 200, headers);
        let one = vec!["content-length: 2".to_owned(), "z: 1".to_owned()];
        assert_eq!(get(&[("Content-Length", "2"), ("Z", "1")]), (Ok(whole), one.clone()));
        assert_eq!(get(&[("Content-Length", "2, 2"), ("Z", "1")]), (Ok(whole), one.clone()));
        assert_eq!(get(&[("Content-Length", "2"), ("Z", "1"), ("Content-Length", "2")]), (Ok(whole), one.clone()));
        let te = vec!["transfer-encoding: chunked".to_owned()];
        assert_eq!(get(&[("Transfer-Encoding", "chunked")]), (Ok(chunked), te.clone()));
        let both = [("Content-Length", "5"), ("Transfer-Encoding", "Chunked")];
        assert_eq!(get(&both).0, Ok(Framing { ambiguous: true, ..chunked }));
        assert_eq!(get(&both).1, ["transfer-encoding: Chunked"]);
        assert_eq!(framed(&Method::HEAD, 200, &[("Content-Length", "2, 2"), ("Z", "1")]), (Ok(bodiless), one.clone()));
        assert_eq!(framed(&Method::GET, 304, &[("Content-Length", "2"), ("Z", "1")]), (Ok(bodiless), one));
        assert_eq!(framed(&Method::GET, 204, &[("Content-Length", "2")]).1, [""; 0]);
    }

    #[test]
    fn an_unrequested_transfer_coding_is_an_invalid_response() {
        for coding in ["gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "x"] {
            let (framing, _) = framed(&Method::GET, 200, &[("Transfer-Encoding", coding)]);
            assert_eq!(framing, Err(FailureKind::InvalidResponse), "{coding}");
        }
        let (framing, _) = framed(&Method::GET, 200, &[("Transfer-Encoding", "identity"), ("Content-Length", "2")]);
        assert_eq!(framing.map(|framing| (framing.length, framing.chunked)), Ok((None, false)));
    }

    #[test]
    fn only_a_non_ascii_reason_is_taken_from_the_head() {
        let reason = |head: &'static str| lost_reason(&Bytes::from_static(head.as_bytes())).map(Bytes::from);
        assert_eq!(reason("HTTP/1.1 404 caf\u{e9} ferm\u{e9}\r\n\r\n").unwrap(), "caf\u{e9} ferm\u{e9}");
        for head in ["HTTP/1.1 404 Not Here\r\n\r\n", "HTTP/1.1 404 \r\n\r\n", "HTTP/1.1 404\r\n\r\n", "x"] {
            assert_eq!(reason(head), None, "{head}");
        }
    }

    #[test]
    fn redirects_to_a_host_are_rewritten_and_others_stay() {
        let api: Origin = "https://api.mews-demo.com".parse().unwrap();
        let events: Origin = "wss://ws.mews-demo.com".parse().unwrap();
        let rewritten = |name: HeaderName, value: &str, authority: Option<&str>| {
            let mut headers = HeaderMap::from_iter([(name.clone(), value.parse().unwrap())]);
            let here = ProxyAddress { tls: false, host: authority.map(|text| text.parse().unwrap()) };
            let changed = rewrite_redirects(&mut headers, [&api, &events], &here);
            let now = headers[&name].to_str().unwrap().to_owned();
            assert_eq!(changed, now != value, "{value}");
            now
        };
        for (from, to) in [
            ("https://api.mews-demo.com/a?b=c#d", "http://127.0.0.1:8080/a?b=c#d"),
            ("HTTPS://API.mews-demo.com:443/a", "http://127.0.0.1:8080/a"),
            ("https://api.mews-demo.com", "http://127.0.0.1:8080/"),
            ("https://api.mews-demo.com?a", "http://127.0.0.1:8080/?a"),
            ("https://ws.mews-demo.com/ws", "http://127.0.0.1:8080/ws"),
            ("http://api.mews-demo.com/a", "http://api.mews-demo.com/a"),
            ("https://api.mews-demo.com:8443/a", "https://api.mews-demo.com:8443/a"),
            ("https://api.mews-demo.com.evil.example/a", "https://api.mews-demo.com.evil.example/a"),
            ("https://me@api.mews-demo.com/a", "https://me@api.mews-demo.com/a"),
            ("/a", "/a"),
            ("//api.mews-demo.com/a", "http://127.0.0.1:8080/a"),
            ("//elsewhere.example/a", "//elsewhere.example/a"),
        ] {
            assert_eq!(rewritten(LOCATION, from, Some("127.0.0.1:8080")), to);
        }
        let relative = rewritten(CONTENT_LOCATION, "https://api.mews-demo.com/a", None);
        assert_eq!(relative, "/a");
        let refreshed = rewritten(REFRESH, "5; url=https://api.mews-demo.com/a", Some("proxy"));
        assert_eq!(refreshed, "5; url=http://proxy/a");
    }
}
