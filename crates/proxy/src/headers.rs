//! Header fields on their way through.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ALT_SVC, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
        STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

/// Names the session that an exchange belongs to; taken off before the request is forwarded.
pub(crate) const SESSION: HeaderName = HeaderName::from_static("x-nightaudit-session");
/// On an answer of the proxy's own limiter: `<environment>/<rule>`.
pub(crate) const LIMITED: HeaderName = HeaderName::from_static("x-nightaudit-limited");
/// On an answer of the proxy itself in place of Mews: the kind of failure.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-nightaudit-error");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE, HTTP2_SETTINGS];

/// What to keep of the hop-by-hop fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    /// Nothing.
    Ends,
    /// `Connection: Upgrade` and `Upgrade: websocket`, the only upgrade that is passed on.
    WebSocket,
}

/// The fields of a request as Mews shall see them: without those that are for the proxy only.
///
/// `chunked` says whether the body goes out in chunks, as it came: then `Transfer-Encoding` keeps its position.
pub(crate) fn forwarded(fields: HeaderMap, host: &HeaderValue, hop: Hop, chunked: bool) -> HeaderMap {
    let trailers = fields.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let mut fields = end_to_end(fields, hop, chunked, |name| *name == PROXY_AUTHORIZATION || *name == SESSION);
    trim_announcement(&mut fields);
    if hop == Hop::WebSocket {
        // What else the client offers or says of its own connection ends here.
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    if trailers {
        // The one transfer coding that has a meaning from end to end (RFC 9110, section 10.1.4).
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    fields.insert(HOST, host.clone());
    fields
}

/// The fields of an answer as the integration shall see them; `chunked` as in [`forwarded`].
///
/// Taken off is, too, what only nightaudit may say, and what would lead the client past it: both speak of the origin that
/// the client knows, which is not Mews' (RFC 7838, section 3; RFC 6797, section 8.1).
pub(crate) fn returned(fields: HeaderMap, hop: Hop, chunked: bool) -> HeaderMap {
    let gone = |name: &HeaderName| *name == PROXY_AUTHENTICATE || is_own(name) || is_for_its_origin(name);
    let mut fields = end_to_end(fields, hop, chunked, gone);
    trim_announcement(&mut fields);
    fields
}

/// Whether it is one of nightaudit's own headers, which say whose answer it is.
pub(crate) fn is_own(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-nightaudit-")
}

/// Whether it tells the client how to reach the origin from now on.
pub(crate) fn is_for_its_origin(name: &HeaderName) -> bool {
    *name == ALT_SVC || *name == STRICT_TRANSPORT_SECURITY
}

/// Takes headers off without moving the others: `HeaderMap::remove` moves the last into the gap.
pub(crate) fn without(headers: &mut HeaderMap, gone: impl Fn(&HeaderName) -> bool) {
    if !headers.keys().any(&gone) {
        return;
    }
    let fields = std::mem::take(headers);
    headers.reserve(fields.keys_len());
    let mut name = None;
    for (next, value) in fields {
        // A name is given with the first of its values only.
        if let Some(next) = next {
            name = (!gone(&next)).then_some(next);
        }
        if let Some(name) = &name {
            headers.append(name.clone(), value);
        }
    }
}

/// A body's trailers as the other side shall see them; none where nothing is left. What frames or routes a message, or is
/// for this hop, has no place there (RFC 9110, section 6.5.1).
pub(crate) fn trailers(mut trailers: HeaderMap) -> Option<HeaderMap> {
    let gone = |name: &HeaderName| {
        is_own(name)
            || HOP_BY_HOP.contains(name)
            || [HOST, CONTENT_LENGTH, TRAILER, PROXY_AUTHORIZATION, PROXY_AUTHENTICATE].contains(name)
    };
    without(&mut trailers, gone);
    (!trailers.is_empty()).then_some(trailers)
}

/// Takes nightaudit's own headers out of the trailers that are announced.
fn trim_announcement(headers: &mut HeaderMap) {
    let own = |name: &[u8]| name.trim_ascii().get(..13).is_some_and(|name| name.eq_ignore_ascii_case(b"x-nightaudit-"));
    let names = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b',').any(own);
    if !headers.get_all(TRAILER).iter().any(names) {
        return;
    }
    let announced = headers.get_all(TRAILER).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let kept: Vec<&[u8]> = announced.filter(|name| !own(name)).map(<[u8]>::trim_ascii).collect();
    match HeaderValue::from_bytes(&kept.join(&b", "[..])) {
        Ok(kept) if !kept.is_empty() => drop(headers.insert(TRAILER, kept)),
        _ => without(headers, |name| *name == TRAILER),
    }
}

/// Takes off the hop-by-hop fields (RFC 9110, section 7.6.1) and those that are `gone`.
fn end_to_end(mut fields: HeaderMap, hop: Hop, chunked: bool, gone: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let listed: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    without(&mut fields, |name| {
        if hop == Hop::WebSocket && (*name == CONNECTION || *name == UPGRADE) || chunked && *name == TRANSFER_ENCODING {
            return false;
        }
        gone(name) || HOP_BY_HOP.contains(name) || listed.contains(name)
    });
    fields
}

/// Joins the cookies of a request that came by HTTP/2, where a client may split them to compress them better: HTTP/1.1
/// knows one `Cookie` (RFC 9113, section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let joined = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    // What is valid in several values is so in one.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// The wait that a `Retry-After` asks for: seconds, or the time until a date; none where there is none to be read.
pub(crate) fn retry_after(fields: &HeaderMap, now: SystemTime) -> Option<Duration> {
    parse_retry_after(fields.get(http::header::RETRY_AFTER)?.to_str().ok()?, now)
}

/// The wait that a value of `Retry-After` (RFC 9110, 10.2.3) asks for in a response of this instant: seconds, or the time
/// until a date; none where it is neither.
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

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).fold(
            HeaderMap::new(),
            |mut map: HeaderMap, (name, value): (HeaderName, HeaderValue)| {
                map.append(name, value);
                map
            },
        )
    }

    fn list(fields: &HeaderMap) -> Vec<(&str, &str)> {
        fields.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn hop_by_hop_fields_go_and_the_others_keep_their_order() {
        let fields = map(&[
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
        let fields = forwarded(fields, &HeaderValue::from_static("mews"), Hop::Ends, false);
        assert_eq!(list(&fields), [("host", "mews"), ("a", "1"), ("a", "2"), ("z", "3"), ("te", "trailers")]);
    }

    #[test]
    fn an_upgrade_keeps_what_it_is_asked_by() {
        let fields = map(&[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Keep-Alive", "1")]);
        assert_eq!(
            list(&returned(fields, Hop::WebSocket, false)),
            [("connection", "Upgrade"), ("upgrade", "websocket")]
        );
    }

    #[test]
    fn regression_other_offers_to_upgrade_were_passed_on() {
        let fields = map(&[
            ("A", "1"),
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
        ]);
        let host = HeaderValue::from_static("mews");
        assert_eq!(list(&forwarded(fields, &host, Hop::Ends, false)), [("a", "1"), ("host", "mews")]);
        // Without the connection option, too.
        let fields = map(&[("HTTP2-Settings", "AAMAAABk"), ("Upgrade", "foo")]);
        assert_eq!(list(&forwarded(fields, &host, Hop::Ends, false)), [("host", "mews")]);
        let fields = map(&[("Connection", "keep-alive, Upgrade, X"), ("Upgrade", "h2c, websocket"), ("X", "y")]);
        assert_eq!(
            list(&forwarded(fields, &host, Hop::WebSocket, false)),
            [("connection", "Upgrade"), ("upgrade", "websocket"), ("host", "mews")]
        );
    }

    #[test]
    fn regression_cookies_of_http_2_were_not_joined() {
        let mut fields = map(&[("A", "1"), ("Cookie", "a=b"), ("Z", "2"), ("Cookie", "c=d"), ("Cookie", "e=f")]);
        join_cookies(&mut fields);
        assert_eq!(list(&fields), [("a", "1"), ("cookie", "a=b; c=d; e=f"), ("z", "2")]);
        join_cookies(&mut fields);
        assert_eq!(fields.get(COOKIE).unwrap(), "a=b; c=d; e=f");
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |value: &str| retry_after(&map(&[("Retry-After", value)]), now);
        assert_eq!(wait("17"), Some(Duration::from_secs(17)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
