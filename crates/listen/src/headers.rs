//! The rules for a request's headers, the same for HTTP/1 and HTTP/2: what one of them refuses must not reach the
//! upstream by the other.

use http::{HeaderMap, HeaderName, Method, Version, header, request::Parts};

use crate::head::{Fault, MAX_FIELDS};

/// The longest body that is believed, in bytes: 8 EiB. The library below has no room for some lengths near 2^64.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// What a request's headers say about its body, its host and an upgrade, gathered header by header.
#[derive(Debug, Default)]
pub(crate) struct HeaderRules {
    length: Option<u64>,
    chunked: bool,
    hosts: usize,
    connection_upgrade: bool,
    offers_web_socket: bool,
    web_socket_keys: usize,
    web_socket_version: bool,
}

impl HeaderRules {
    /// Takes the next header into account.
    ///
    /// # Errors
    ///
    /// A [`Fault`] where the header, alone or with those before it, could be read in two ways.
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) -> Result<(), Fault> {
        let is = |other: &HeaderName| name.eq_ignore_ascii_case(other.as_str());
        if name.contains('_') {
            // Servers that hand headers to programs as variables (CGI, WSGI) can't tell them from the real ones.
            let meant = name.replace('_', "-");
            if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
                .iter()
                .any(|own| meant.eq_ignore_ascii_case(own.as_str()))
            {
                return Err(Fault::framing(format_args!("some servers read `{name}` as `{meant}`")));
            }
        }
        if is(&header::CONTENT_LENGTH) {
            if self.length.is_some() {
                return Err(Fault::framing("Content-Length stands twice in the head"));
            }
            self.length = Some(parse_length(value)?);
        } else if is(&header::TRANSFER_ENCODING) {
            if self.chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::framing("Transfer-Encoding is something else than a single `chunked`"));
            }
            self.chunked = true;
        } else if is(&header::HOST) {
            self.hosts += 1;
        } else if is(&header::CONNECTION) {
            self.connection_upgrade |= lists(value, b"upgrade");
        } else if is(&header::UPGRADE) {
            self.offers_web_socket |= lists(value, b"websocket");
        } else if is(&header::SEC_WEBSOCKET_KEY) {
            self.web_socket_keys += 1;
        } else if is(&header::SEC_WEBSOCKET_VERSION) {
            self.web_socket_version = value.trim_ascii() == b"13";
        }
        Ok(())
    }

    /// The body's length as the head gives it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether the body is chunked.
    pub(crate) fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// How many `Host` headers there are.
    pub(crate) fn hosts(&self) -> usize {
        self.hosts
    }

    /// Whether the request, whose method is GET and whose version is HTTP/1.1 if `is_get_1_1`, opens a WebSocket
    /// (RFC 6455, section 4.1). Every other offer to upgrade may be ignored (RFC 9110, section 7.8), and is.
    pub(crate) fn opens_web_socket(&self, is_get_1_1: bool) -> bool {
        is_get_1_1
            && self.connection_upgrade
            && self.offers_web_socket
            && self.web_socket_keys == 1
            && self.web_socket_version
    }
}

/// Checks the head of an HTTP/2 request: what the library below has let through, and HTTP/1 would not.
pub(crate) fn check_http2(parts: &Parts) -> Result<(), Fault> {
    debug_assert_eq!(parts.version, Version::HTTP_2, "HTTP/1 has `head::check`");
    let mut rules = HeaderRules::default();
    for (name, value) in &parts.headers {
        if is_connection_specific(name, value.as_bytes()) {
            // RFC 9113, section 8.2.2.
            return Err(Fault::malformed(format_args!("the header `{name}` has no place in HTTP/2")));
        }
        rules.add(name.as_str(), value.as_bytes())?;
    }
    if rules.hosts() > 1 {
        return Err(Fault::malformed(format_args!("the head has {} Host fields", rules.hosts())));
    }
    if count(&parts.headers) > MAX_FIELDS {
        return Err(Fault::too_many_fields());
    }
    let path = parts.uri.path();
    if parts.method != Method::CONNECT && !path.starts_with('/') && path != "*" {
        return Err(Fault::malformed("the request's target is neither a path nor an address"));
    }
    Ok(())
}

/// How many headers there are; a cookie may be split into many in HTTP/2, which count as one (RFC 9113, section 8.2.3).
fn count(headers: &HeaderMap) -> usize {
    headers.len() - headers.get_all(header::COOKIE).iter().count().saturating_sub(1)
}

fn is_connection_specific(name: &HeaderName, value: &[u8]) -> bool {
    match *name {
        header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE => true,
        header::TE => !value.trim_ascii().eq_ignore_ascii_case(b"trailers"),
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings"),
    }
}

/// Whether `item` stands in a list separated by commas.
fn lists(value: &[u8], item: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|other| other.trim_ascii().eq_ignore_ascii_case(item))
}

fn parse_length(value: &[u8]) -> Result<u64, Fault> {
    let digits = value.trim_ascii();
    let number = || str::from_utf8(digits).ok()?.parse().ok();
    match number() {
        // `parse` takes a plus sign; the standard does not.
        Some(length) if length > MAX_LENGTH => Err(Fault::framing("Content-Length is more than any body can have")),
        Some(length) if digits.iter().all(u8::is_ascii_digit) => Ok(length),
        _ => Err(Fault::framing("Content-Length is not one number")),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::RefusalKind;

    fn check(fields: &[(&str, &str)]) -> Result<(), RefusalKind> {
        let mut request = Request::post("http://a/x").version(Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        check_http2(&request.body(()).unwrap().into_parts().0).map_err(|fault| fault.kind)
    }

    #[test]
    fn regression_what_http_1_refuses_passed_as_http_2() {
        for fields in [
            &[("content-length", "1"), ("content-length", "1")][..],
            &[("content-length", "1"), ("content-length", "2")],
            &[("content-length", "1, 1")],
            &[("content-length", "")],
            &[("content-length", "+1")],
            &[("content-length", "0x1")],
            &[("content-length", "99999999999999999999")],
            &[("content-length", "18446744073709551615")],
            &[("transfer_encoding", "chunked")],
            &[("content_length", "5")],
            &[("content-length", " ")],
        ] {
            assert_eq!(check(fields), Err(RefusalKind::Framing), "{fields:?}");
        }
        for fields in [
            &[("connection", "close")][..],
            &[("transfer-encoding", "chunked")],
            &[("upgrade", "websocket")],
            &[("keep-alive", "1")],
            &[("proxy-connection", "keep-alive")],
            &[("http2-settings", "AAMAAABk")],
            &[("te", "gzip")],
            &[("host", "a"), ("host", "a")],
        ] {
            assert_eq!(check(fields), Err(RefusalKind::Malformed), "{fields:?}");
        }
        let many = vec![("x", "y"); MAX_FIELDS + 1];
        assert_eq!(check(&many), Err(RefusalKind::TooLarge));
    }

    #[test]
    fn ordinary_http_2_passes() {
        assert_eq!(check(&[("content-length", "1"), ("te", "trailers"), ("host", "a")]), Ok(()));
        assert_eq!(check(&vec![("cookie", "a=b"); 2 * MAX_FIELDS]), Ok(()));
    }

    #[test]
    fn only_a_complete_offer_opens_a_web_socket() {
        let offer = [
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "WebSocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        let opens = |offer: &[(&str, &str)], get: bool| {
            let mut rules = HeaderRules::default();
            offer.iter().for_each(|(name, value)| rules.add(name, value.as_bytes()).unwrap());
            rules.opens_web_socket(get)
        };
        assert!(opens(&offer, true));
        assert!(!opens(&offer, false));
        for (at, (name, value)) in [
            (0, ("Connection", "HTTP2-Settings")),
            (1, ("Upgrade", "h2c")),
            (1, ("Upgrade", "TLS/1.0")),
            (2, ("X-Key", "dGhlIHNhbXBsZSBub25jZQ==")),
            (3, ("Sec-WebSocket-Version", "8")),
        ] {
            let mut other = offer;
            other[at] = (name, value);
            assert!(!opens(&other, true), "{name}: {value}");
        }
        assert!(!opens(&[&offer[..], &offer[2..3]].concat(), true));
    }
}
