//! Validates that an HTTP/1 head is unambiguous (RFC 9112).

use bytes::Bytes;

use crate::{
    headers::HeaderRules,
    refusal::{Fault, MAX_HEADERS, RefusalKind},
};

/// The first bytes of a TLS connection: a handshake record of version 3 (RFC 8446, section 5.1).
pub(crate) const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// How a request's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    /// A request that opens a WebSocket: no longer HTTP after the head, if the upgrade is accepted.
    WebSocket,
}

/// Returns the end of the head in `bytes` (the index after the empty line); the first `seen` bytes were searched
/// before.
///
/// Only CRLF ends a line: a bare CR or LF, or a NUL, can smuggle a header past one parser to the next (RFC 9112,
/// section 2.2, allows refusing it).
pub(crate) fn end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Fault> {
    if bytes.starts_with(TLS_HANDSHAKE) {
        return Err(Fault::malformed("received TLS on a cleartext port: use http://, or configure a certificate"));
    }
    // Two bytes back, since a CRLF may be split between reads.
    let mut at = seen.saturating_sub(2);
    while let Some(step) = memchr::memchr3(b'\r', b'\n', 0, &bytes[at..]) {
        let found = at + step;
        match (bytes[found], bytes.get(found + 1)) {
            (b'\r', None) => return Ok(None),
            (b'\r', Some(b'\n')) => {
                if bytes[..found].ends_with(b"\r\n") {
                    return Ok(Some(found + 2));
                }
                at = found + 2;
            }
            (b'\n', _) if found > 0 && bytes[found - 1] == b'\r' => at = found + 1,
            (0, _) => return Err(Fault::malformed("the head contains a NUL")),
            _ => return Err(Fault::framing("the head contains a bare CR or LF: lines must end with CRLF")),
        }
    }
    Ok(None)
}

/// Validates a complete head, and returns how its body is delimited.
pub(crate) fn check(head: &Bytes) -> Result<Framing, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Fault::malformed("the head is incomplete")),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::too_many_headers()),
        Err(error) => return Err(Fault::malformed(format_args!("not an HTTP/1 request: {error}"))),
    }
    let http_1_0 = request.version == Some(0);
    let method = request.method.unwrap_or_default();
    if method == "CONNECT" {
        return Err(Fault {
            kind: RefusalKind::Connect,
            message: "CONNECT is not supported: nightaudit is not an open proxy".into(),
        });
    }
    let target = request.path.unwrap_or_default();
    if !(target.starts_with('/') || target == "*" || is_absolute(target)) || !is_uri(head, target) {
        return Err(Fault::malformed("the request target is neither a path nor an http URI"));
    }
    if target.contains('#') {
        // No form of the target has one (RFC 9112, section 3.2); stripping it would forward another target.
        return Err(Fault::malformed("the request target has a fragment"));
    }
    if is_absolute(target) && target.split(['/', '?']).nth(2).is_some_and(|authority| authority.contains('@')) {
        // RFC 9110, section 4.2.4.
        return Err(Fault::malformed("the request target contains userinfo"));
    }

    let mut rules = HeaderRules::default();
    for header in request.headers.iter() {
        rules.add(header.name, header.value)?;
    }
    if rules.is_chunked() && rules.length().is_some() {
        return Err(Fault::framing("the request has both Content-Length and Transfer-Encoding"));
    }
    if rules.is_chunked() && http_1_0 {
        return Err(Fault::framing("Transfer-Encoding in an HTTP/1.0 request"));
    }
    let hosts = rules.hosts();
    if hosts > 1 || (hosts == 0 && !http_1_0) {
        return Err(Fault::malformed(format_args!("the request has {hosts} Host headers instead of one")));
    }
    let web_socket = rules.opens_web_socket(method == "GET" && !http_1_0);
    match (rules.is_chunked(), rules.length()) {
        // The body could not be told from WebSocket data.
        (true, _) | (_, Some(1..)) if web_socket => Err(Fault::malformed("a WebSocket handshake must not have a body")),
        (true, _) => Ok(Framing::Chunked),
        (false, _) if web_socket => Ok(Framing::WebSocket),
        (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// Whether hyper will take this part of the head for a URI; without copying it.
fn is_uri(head: &Bytes, target: &str) -> bool {
    http::Uri::from_maybe_shared(head.slice_ref(target.as_bytes())).is_ok()
}

fn is_absolute(target: &str) -> bool {
    let scheme = |name: &str| target.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    scheme("http://") || scheme("https://")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(head: &str) -> Result<Framing, RefusalKind> {
        check(&Bytes::copy_from_slice(head.as_bytes())).map_err(|fault| fault.kind)
    }

    fn web_socket(method: &str, more: &str) -> String {
        format!(
            "{method} /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
        )
    }

    #[test]
    fn regression_an_upgrade_with_a_body_was_accepted() {
        for body in
            ["Content-Length: 1\r\n", "Content-Length: 9223372036854775807\r\n", "Transfer-Encoding: chunked\r\n"]
        {
            assert_eq!(kind(&web_socket("GET", body)), Err(RefusalKind::Malformed), "{body}");
        }
        // With another method it is not an upgrade, so the body counts.
        assert_eq!(kind(&web_socket("POST", "Content-Length: 1\r\n")), Ok(Framing::Length(1)));
    }

    #[test]
    fn regression_any_upgrade_was_taken_for_a_web_socket() {
        for upgrade in ["h2c", "foo", "TLS/1.0", "websocket2", ""] {
            let head = web_socket("GET", "").replace(": websocket", &format!(": {upgrade}"));
            assert_eq!(kind(&head), Ok(Framing::Length(0)), "{upgrade}");
        }
        assert_eq!(kind(&web_socket("GET", "").replace("HTTP/1.1", "HTTP/1.0")), Ok(Framing::Length(0)));
    }

    #[test]
    fn ordinary_heads_are_accepted() {
        assert_eq!(kind("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(Framing::Length(0)));
        assert_eq!(kind("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n"), Ok(Framing::Length(12)));
        assert_eq!(kind("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"), Ok(Framing::Chunked));
        assert_eq!(kind("POST http://a/b?c=%20 HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(Framing::Length(0)));
        assert_eq!(kind("GET / HTTP/1.0\r\n\r\n"), Ok(Framing::Length(0)));
        assert_eq!(kind(&web_socket("GET", "")), Ok(Framing::WebSocket));
        assert_eq!(kind(&web_socket("GET", "Content-Length: 0\r\n")), Ok(Framing::WebSocket));
    }

    #[test]
    fn regression_an_upgrade_without_the_connection_option_bypassed_the_guard() {
        for connection in ["", "Connection: keep-alive\r\n", "Connection: upgraded\r\n"] {
            let head = format!("GET /a HTTP/1.1\r\nHost: a\r\n{connection}Upgrade: x\r\n\r\n");
            assert_eq!(kind(&head), Ok(Framing::Length(0)), "{connection}");
        }
    }

    #[test]
    fn request_smuggling_is_refused() {
        for headers in [
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length: 0x1",
            "Content-Length: ",
            "Content-Length: 99999999999999999999",
            "Content-Length: 18446744073709551615",
            "Content-Length: 18446744073709551613",
            "Content-Length: 9223372036854775808",
            "Transfer_Encoding: chunked",
            "transfer_encoding: identity",
            "Content_Length: 5",
            "CONTENT_LENGTH: 5",
            "Content-Length: 5\r\nContent_Length: 5",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: identity",
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n");
            assert_eq!(kind(&head), Err(RefusalKind::Framing), "{headers}");
        }
        assert_eq!(kind("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(RefusalKind::Framing));
    }

    #[test]
    fn invalid_requests_are_refused() {
        for head in [
            "\u{16}\u{3}\u{1}\r\n\r\n",
            "hello\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(kind(head), Err(RefusalKind::Malformed), "{head:?}");
        }
        assert_eq!(kind("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), Err(RefusalKind::Connect));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(MAX_HEADERS));
        assert_eq!(kind(&many), Err(RefusalKind::TooLarge));
    }

    #[test]
    fn regression_a_target_was_changed_when_forwarded() {
        for target in ["http://127.0.0.1#x", "http://127.0.0.1/a#x", "/a#x", "/#", "*#", "http://me:pass@127.0.0.1/"] {
            assert_eq!(
                kind(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")),
                Err(RefusalKind::Malformed),
                "{target}"
            );
        }
        for target in ["http://127.0.0.1?x", "http://127.0.0.1", "/a@b", "http://127.0.0.1/a@b", "http://127.0.0.1?a@b"]
        {
            assert_eq!(kind(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), Ok(Framing::Length(0)), "{target}");
        }
    }

    #[test]
    fn regression_tls_on_a_cleartext_port_was_reported_as_a_nul_in_the_head() {
        for hello in [&b"\x16\x03"[..], b"\x16\x03\x01\x02\0", b"\x16\x03\x03\x00\xf4\x01\r\n\r\n"] {
            let fault = end(hello, 0).unwrap_err();
            assert!(fault.message.contains("received TLS"), "{}", fault.message);
        }
        assert_eq!(end(b"\x16", 0), Ok(None));
        assert!(!end(b"\x17\x03\0", 0).unwrap_err().message.contains("TLS"));
    }

    #[test]
    fn the_end_is_found_and_bare_line_ends_are_refused() {
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", 0), Ok(Some(27)));
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\r\n\r", 0), Ok(None));
        for wrong in [&b"GET / HTTP/1.1\nHost: a\n\n"[..], b"GET / HTTP/1.1\r\nA: b\rC: d\r\n", b"A\r\n\nB"] {
            assert_eq!(end(wrong, 0).unwrap_err().kind, RefusalKind::Framing);
        }
        assert_eq!(end(b"GET / HTTP/1.1\r\nA: \0", 0).unwrap_err().kind, RefusalKind::Malformed);
    }

    proptest! {
        #[test]
        fn a_split_head_ends_where_the_whole_does(
            bytes in "[a:\r\n]{0,40}".prop_map(String::into_bytes),
            cuts in prop::collection::vec(0_usize..40, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut seen, mut pieces) = (0, Ok(None));
            for cut in cuts {
                pieces = end(&bytes[..cut], seen);
                if pieces != Ok(None) {
                    break;
                }
                seen = cut;
            }
            prop_assert_eq!(pieces.map_err(|f| f.kind), end(&bytes, 0).map_err(|f| f.kind));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = end(&bytes, 0);
            let _ = check(&bytes.into());
        }
    }
}
