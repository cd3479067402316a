//! Header fields on their way through.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE},
};

/// Names the session that an exchange belongs to; taken off before the request is forwarded.
pub(crate) const SESSION: HeaderName = HeaderName::from_static("x-nightaudit-session");
/// On an answer of the proxy's own limiter: `<environment>/<rule>`.
pub(crate) const LIMITED: HeaderName = HeaderName::from_static("x-nightaudit-limited");
/// On an answer of the proxy itself in place of Mews: the kind of failure.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-nightaudit-error");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What to keep of the hop-by-hop fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    /// Nothing.
    Ends,
    /// `Connection: upgrade` and `Upgrade`.
    Upgrades,
}

/// The fields of a request as Mews shall see them: without those that are for the proxy only.
pub(crate) fn forwarded(fields: HeaderMap, host: &HeaderValue, hop: Hop) -> HeaderMap {
    let trailers = fields.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let mut fields = end_to_end(fields, hop);
    fields.remove(PROXY_AUTHORIZATION);
    fields.remove(SESSION);
    if trailers {
        // The one transfer coding that has a meaning from end to end (RFC 9110, section 10.1.4).
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    fields.insert(HOST, host.clone());
    fields
}

/// The fields of an answer as the integration shall see them.
pub(crate) fn returned(fields: HeaderMap, hop: Hop) -> HeaderMap {
    let mut fields = end_to_end(fields, hop);
    fields.remove(PROXY_AUTHENTICATE);
    fields
}

/// Takes off the hop-by-hop fields (RFC 9110, section 7.6.1), keeping the others in their order: `HeaderMap::remove`
/// moves the last field into the gap.
fn end_to_end(fields: HeaderMap, hop: Hop) -> HeaderMap {
    let listed: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let goes = |name: &HeaderName| {
        if hop == Hop::Upgrades && (*name == CONNECTION || *name == UPGRADE) {
            return false;
        }
        [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE].contains(name)
            || listed.contains(name)
    };
    if !fields.keys().any(goes) {
        return fields;
    }
    let mut kept = HeaderMap::with_capacity(fields.keys_len());
    let mut name = None;
    for (next, value) in fields {
        // A name is given with the first of its values only.
        if let Some(next) = next {
            name = (!goes(&next)).then_some(next);
        }
        if let Some(name) = &name {
            kept.append(name.clone(), value);
        }
    }
    kept
}

/// The wait that a `Retry-After` asks for: seconds, or the time until a date; none where there is none to be read.
pub(crate) fn retry_after(fields: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = fields.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
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
        let fields = forwarded(fields, &HeaderValue::from_static("mews"), Hop::Ends);
        assert_eq!(list(&fields), [("host", "mews"), ("a", "1"), ("a", "2"), ("z", "3"), ("te", "trailers")]);
    }

    #[test]
    fn an_upgrade_keeps_what_it_is_asked_by() {
        let fields = map(&[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Keep-Alive", "1")]);
        assert_eq!(list(&returned(fields, Hop::Upgrades)), [("connection", "Upgrade"), ("upgrade", "websocket")]);
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
