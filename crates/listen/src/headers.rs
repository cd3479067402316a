//! Rules for request headers, shared by HTTP/1 and HTTP/2: what one refuses must not reach the upstream through the
//! other.

use http::{HeaderMap, HeaderName, Method, Version, header, request::Parts};

use crate::refusal::{Fault, MAX_HEADERS};

/// The largest `Content-Length`, in bytes (8 EiB): hyper can't represent some lengths near 2^64.
const MAX_CONTENT_LENGTH: u64 = i64::MAX as u64;

/// What the headers of a request say about its body, host and upgrade, collected header by header.
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
    /// Adds the next header.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if the header is ambiguous, alone or with those before it.
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) -> Result<(), Fault> {
        let is = |other: &HeaderName| name.eq_ignore_ascii_case(other.as_str());
        if name.contains('_') {
            // Servers that pass headers as variables (CGI, WSGI) can't tell them from the real ones.
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
                return Err(Fault::framing("the request has more than one Content-Length"));
            }
            self.length = Some(parse_length(value)?);
        } else if is(&header::TRANSFER_ENCODING) {
            if self.chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::framing("Transfer-Encoding is not a single `chunked`"));
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

    /// Returns the `Content-Length`.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Returns whether the body is chunked.
    pub(crate) fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// Returns the number of `Host` headers.
    pub(crate) fn hosts(&self) -> usize {
        self.hosts
    }

    /// Returns whether the request opens a WebSocket (RFC 6455, section 4.1); `is_get_1_1` says whether it is a GET
    /// over HTTP/1.1. All other upgrades are ignored, as RFC 9110, section 7.8, allows.
    pub(crate) fn opens_web_socket(&self, is_get_1_1: bool) -> bool {
        is_get_1_1
            && self.connection_upgrade
            && self.offers_web_socket
            && self.web_socket_keys == 1
            && self.web_socket_version
    }
}

/// Validates the head of an HTTP/2 request, refusing what the HTTP/2 library accepts and HTTP/1 would not.
pub(crate) fn check_http2(parts: &Parts) -> Result<(), Fault> {
    debug_assert_eq!(parts.version, Version::HTTP_2, "HTTP/1 uses `head::check`");
    let mut rules = HeaderRules::default();
    for (name, value) in &parts.headers {
        if is_connection_specific(name, value.as_bytes()) {
            // RFC 9113, section 8.2.2.
            return Err(Fault::malformed(format_args!("the header `{name}` is not allowed in HTTP/2")));
        }
        rules.add(name.as_str(), value.as_bytes())?;
    }
    if rules.hosts() > 1 {
        return Err(Fault::malformed(format_args!("the request has {} Host headers", rules.hosts())));
    }
    if count(&parts.headers) > MAX_HEADERS {
        return Err(Fault::too_many_headers());
    }
    let path = parts.uri.path();
    if parts.method != Method::CONNECT && !path.starts_with('/') && path != "*" {
        return Err(Fault::malformed("the request target is neither a path nor an http URI"));
    }
    Ok(())
}

/// Returns the number of headers. HTTP/2 may split `Cookie` into several, which count as one (RFC 9113, section 8.2.3).
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

/// Returns whether `item` is a member of a comma-separated list.
fn lists(value: &[u8], item: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|other| other.trim_ascii().eq_ignore_ascii_case(item))
}

fn parse_length(value: &[u8]) -> Result<u64, Fault> {
    let digits = value.trim_ascii();
    let number = || str::from_utf8(digits).ok()?.parse().ok();
    match number() {
        // `parse` accepts a plus sign; RFC 9110 does not.
        Some(length) if length > MAX_CONTENT_LENGTH => Err(Fault::framing("Content-Length is too large")),
        Some(length) if digits.iter().all(u8::is_ascii_digit) => Ok(length),
        _ => Err(Fault::framing("Content-Length is not a single number")),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::RefusalKind;

    fn check(headers: &[(&str, &str)]) -> Result<(), RefusalKind> {
        let mut request = Request::post("http://a/x").version(Version::HTTP_2);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check_http2(&request.body(()).unwrap().into_parts().0).map_err(|fault| fault.kind)
    }

    #[test]
    fn regression_http_2_accepted_what_http_1_refuses() {
        for headers in [
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
            assert_eq!(check(headers), Err(RefusalKind::Framing), "{headers:?}");
        }
        for headers in [
            &[("connection", "close")][..],
            &[("transfer-encoding", "chunked")],
            &[("upgrade", "websocket")],
            &[("keep-alive", "1")],
            &[("proxy-connection", "keep-alive")],
            &[("http2-settings", "AAMAAABk")],
            &[("te", "gzip")],
            &[("host", "a"), ("host", "a")],
        ] {
            assert_eq!(check(headers), Err(RefusalKind::Malformed), "{headers:?}");
        }
        let many = vec![("x", "y"); MAX_HEADERS + 1];
        assert_eq!(check(&many), Err(RefusalKind::TooLarge));
    }

    #[test]
    fn ordinary_http_2_is_accepted() {
        assert_eq!(check(&[("content-length", "1"), ("te", "trailers"), ("host", "a")]), Ok(()));
        assert_eq!(check(&vec![("cookie", "a=b"); 2 * MAX_HEADERS]), Ok(()));
    }

    #[test]
    fn only_a_complete_handshake_opens_a_web_socket() {
        let handshake = [
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "WebSocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        let opens = |handshake: &[(&str, &str)], get: bool| {
            let mut rules = HeaderRules::default();
            handshake.iter().for_each(|(name, value)| rules.add(name, value.as_bytes()).unwrap());
            rules.opens_web_socket(get)
        };
        assert!(opens(&handshake, true));
        assert!(!opens(&handshake, false));
        for (at, (name, value)) in [
            (0, ("Connection", "HTTP2-Settings")),
            (1, ("Upgrade", "h2c")),
            (1, ("Upgrade", "TLS/1.0")),
            (2, ("X-Key", "dGhlIHNhbXBsZSBub25jZQ==")),
            (3, ("Sec-WebSocket-Version", "8")),
        ] {
            let mut other = handshake;
            other[at] = (name, value);
            assert!(!opens(&other, true), "{name}: {value}");
        }
        assert!(!opens(&[&handshake[..], &handshake[2..3]].concat(), true));
    }
}
