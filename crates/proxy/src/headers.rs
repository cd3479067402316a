//! Rewrites the headers of forwarded messages.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ALT_SVC, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
        STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use smallvec::SmallVec;

/// Names the session of an exchange; removed before the request is forwarded.
pub(crate) const SESSION: HeaderName = HeaderName::from_static("x-nightaudit-session");
/// On a local response of the limiter: `<environment>/<rule>`.
pub(crate) const LIMITED: HeaderName = HeaderName::from_static("x-nightaudit-limited");
/// On a response that fault rules made up, delayed or altered: what they did.
pub(crate) const FAULT: HeaderName = HeaderName::from_static("x-nightaudit-fault");
/// On any other local response: the kind of failure.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-nightaudit-error");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE, HTTP2_SETTINGS];

/// Which hop-by-hop headers to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    /// None.
    EndToEnd,
    /// `Connection: Upgrade` and `Upgrade: websocket`, the only upgrade that is forwarded.
    WebSocket,
}

/// Returns the request headers for Mews, without those meant for the proxy.
///
/// `chunked` says whether the body is forwarded chunked, as received: then `Transfer-Encoding` keeps its position.
pub(crate) fn forwarded(headers: HeaderMap, host: &HeaderValue, hop: Hop, chunked: bool) -> HeaderMap {
    let trailers = headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let mut headers = end_to_end(headers, hop, chunked, |name| *name == PROXY_AUTHORIZATION || *name == SESSION);
    filter_trailer_header(&mut headers);
    if hop == Hop::WebSocket {
        // Other upgrades and connection options of the client end here.
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    if trailers {
        // The only end-to-end member of TE (RFC 9110, section 10.1.4).
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    headers.insert(HOST, host.clone());
    headers
}

/// Returns the response headers for the client; `chunked` as in [`forwarded`].
///
/// Also removes headers that only nightaudit may set, and those that would lead the client past the proxy: they
/// describe the origin the client knows, which is not Mews' (RFC 7838, section 3; RFC 6797, section 8.1).
pub(crate) fn returned(headers: HeaderMap, hop: Hop, chunked: bool) -> HeaderMap {
    let is_removed = |name: &HeaderName| *name == PROXY_AUTHENTICATE || is_own(name) || is_for_its_origin(name);
    let mut headers = end_to_end(headers, hop, chunked, is_removed);
    filter_trailer_header(&mut headers);
    headers
}

/// Returns whether it is one of nightaudit's own headers.
pub(crate) fn is_own(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-nightaudit-")
}

/// Returns whether it tells the client how to reach the origin in future.
pub(crate) fn is_for_its_origin(name: &HeaderName) -> bool {
    *name == ALT_SVC || *name == STRICT_TRANSPORT_SECURITY
}

/// Removes headers and keeps the order of the others: `HeaderMap::remove` moves the last one into the gap.
pub(crate) fn remove_headers(headers: &mut HeaderMap, is_removed: impl Fn(&HeaderName) -> bool) {
    if !headers.keys().any(&is_removed) {
        return;
    }
    // Through the stack, and back into the map, which keeps its memory.
    let old: SmallVec<[(Option<HeaderName>, HeaderValue); 16]> = headers.drain().collect();
    let mut name = None;
    for (next, value) in old {
        // The iterator yields a name only with the first of its values.
        if let Some(next) = next {
            name = (!is_removed(&next)).then_some(next);
        }
        if let Some(name) = &name {
            headers.append(name.clone(), value);
        }
    }
}

/// Returns the trailers to forward; `None` if none are left. Headers that frame or route a message, or belong to this
/// hop, are not allowed in trailers (RFC 9110, section 6.5.1).
pub(crate) fn trailers(mut trailers: HeaderMap) -> Option<HeaderMap> {
    let is_removed = |name: &HeaderName| {
        is_own(name)
            || HOP_BY_HOP.contains(name)
            || [HOST, CONTENT_LENGTH, TRAILER, PROXY_AUTHORIZATION, PROXY_AUTHENTICATE].contains(name)
    };
    remove_headers(&mut trailers, is_removed);
    (!trailers.is_empty()).then_some(trailers)
}

/// Removes nightaudit's own headers from `Trailer`.
fn filter_trailer_header(headers: &mut HeaderMap) {
    let own = |name: &[u8]| name.trim_ascii().get(..13).is_some_and(|name| name.eq_ignore_ascii_case(b"x-nightaudit-"));
    let names = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b',').any(own);
    if !headers.get_all(TRAILER).iter().any(names) {
        return;
    }
    let announced = headers.get_all(TRAILER).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let kept: Vec<&[u8]> = announced.filter(|name| !own(name)).map(<[u8]>::trim_ascii).collect();
    match HeaderValue::from_bytes(&kept.join(&b", "[..])) {
        Ok(kept) if !kept.is_empty() => drop(headers.insert(TRAILER, kept)),
        _ => remove_headers(headers, |name| *name == TRAILER),
    }
}

/// Removes hop-by-hop headers (RFC 9110, section 7.6.1) and those that `is_removed` selects.
fn end_to_end(mut headers: HeaderMap, hop: Hop, chunked: bool, is_removed: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut listed = SmallVec::<[HeaderValue; 2]>::new();
    listed.extend(headers.get_all(CONNECTION).iter().cloned());
    let is_listed = |name: &HeaderName| {
        let mut names = listed.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        names.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    remove_headers(&mut headers, |name| {
        if hop == Hop::WebSocket && (*name == CONNECTION || *name == UPGRADE) || chunked && *name == TRANSFER_ENCODING {
            return false;
        }
        is_removed(name) || HOP_BY_HOP.contains(name) || is_listed(name)
    });
    headers
}

/// Joins the `Cookie` headers of an HTTP/2 request, where a client may split them for compression: HTTP/1.1 allows only
/// one (RFC 9113, section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let joined = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    // Joining valid values gives a valid value.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// Returns the wait that the `Retry-After` header asks for, if it is present and valid.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    parse_retry_after(headers.get(http::header::RETRY_AFTER)?.to_str().ok()?, now)
}

/// Parses a `Retry-After` value (RFC 9110, section 10.2.3), seconds or a date, into the time to wait from `now`; `None`
/// if invalid.
#[must_use]
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).fold(
            HeaderMap::new(),
            |mut map: HeaderMap, (name, value): (HeaderName, HeaderValue)| {
                map.append(name, value);
                map
            },
        )
    }

    fn list(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn hop_by_hop_headers_are_removed_and_the_others_keep_their_order() {
        let headers = map(&[
            ("Host", "127.0.0.1:8080"),
            ("Connection", "keep-alive, X-Hop"),
            ("A", "1"),
            ("X-Hop", "x"),
            ("A", "2"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("X-Nightaudit-Session", "suite"),
            ("Z", "3"),
        ]);
        let headers = forwarded(headers, &HeaderValue::from_static("mews"), Hop::EndToEnd, false);
        assert_eq!(list(&headers), [("host", "mews"), ("a", "1"), ("a", "2"), ("z", "3"), ("te", "trailers")]);
    }

    #[test]
    fn an_upgrade_keeps_its_headers() {
        let headers = map(&[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Keep-Alive", "1")]);
        assert_eq!(
            list(&returned(headers, Hop::WebSocket, false)),
            [("connection", "Upgrade"), ("upgrade", "websocket")]
        );
    }

    #[test]
    fn regression_other_upgrades_were_forwarded() {
        let headers = map(&[
            ("A", "1"),
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
        ]);
        let host = HeaderValue::from_static("mews");
        assert_eq!(list(&forwarded(headers, &host, Hop::EndToEnd, false)), [("a", "1"), ("host", "mews")]);
        // Also without the connection option.
        let headers = map(&[("HTTP2-Settings", "AAMAAABk"), ("Upgrade", "foo")]);
        assert_eq!(list(&forwarded(headers, &host, Hop::EndToEnd, false)), [("host", "mews")]);
        let headers = map(&[("Connection", "keep-alive, Upgrade, X"), ("Upgrade", "h2c, websocket"), ("X", "y")]);
        assert_eq!(
            list(&forwarded(headers, &host, Hop::WebSocket, false)),
            [("connection", "Upgrade"), ("upgrade", "websocket"), ("host", "mews")]
        );
    }

    #[test]
    fn regression_cookies_of_http_2_were_not_joined() {
        let mut headers = map(&[("A", "1"), ("Cookie", "a=b"), ("Z", "2"), ("Cookie", "c=d"), ("Cookie", "e=f")]);
        join_cookies(&mut headers);
        assert_eq!(list(&headers), [("a", "1"), ("cookie", "a=b; c=d; e=f"), ("z", "2")]);
        join_cookies(&mut headers);
        assert_eq!(headers.get(COOKIE).unwrap(), "a=b; c=d; e=f");
    }

    #[test]
    fn retry_after_is_parsed_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |value: &str| retry_after(&map(&[("Retry-After", value)]), now);
        assert_eq!(wait("17"), Some(Duration::from_secs(17)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
