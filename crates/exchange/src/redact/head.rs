//! Parsing headers from a message head.

use std::borrow::Cow;

use crate::Head;

/// Maximum number of headers recorded per message.
const MAX_HEADERS: usize = 8192;
/// Capacity given to httparse; a head with more headers is split line by line.
const USUAL_HEADERS: usize = 96;

/// Whether this is a common header name.
pub(super) fn is_usual(name: &[u8]) -> bool {
    // By length and in the usual cases first, since every header's name is looked up.
    let usual: &[[&str; 2]] = match name.len() {
        4 => &[["host", "Host"], ["date", "Date"], ["etag", "ETag"], ["vary", "Vary"]],
        6 => &[["accept", "Accept"], ["cookie", "Cookie"], ["pragma", "Pragma"], ["server", "Server"]],
        7 => &[["expires", "Expires"]],
        8 => &[["location", "Location"]],
        10 => &[
            ["connection", "Connection"],
            ["request-id", "Request-Id"],
            ["set-cookie", "Set-Cookie"],
            ["user-agent", "User-Agent"],
        ],
        12 => &[["content-type", "Content-Type"], ["x-request-id", "X-Request-Id"]],
        13 => &[["authorization", "Authorization"], ["cache-control", "Cache-Control"]],
        14 => &[["content-length", "Content-Length"]],
        15 => &[["accept-encoding", "Accept-Encoding"], ["accept-language", "Accept-Language"]],
        16 => &[["content-encoding", "Content-Encoding"]],
        17 => &[["transfer-encoding", "Transfer-Encoding"]],
        25 => &[["strict-transport-security", "Strict-Transport-Security"]],
        _ => &[],
    };
    usual.iter().flatten().any(|usual| name == usual.as_bytes())
        || usual.iter().any(|[usual, _]| name.eq_ignore_ascii_case(usual.as_bytes()))
}

/// A header's name and value.
pub(super) type Field<'a> = (&'a [u8], Cow<'a, [u8]>);

/// The headers in order and original case.
///
/// A malformed head is read line by line: a line without a colon becomes a header with an empty value.
pub(super) fn fields(head: &Head) -> Vec<Field<'_>> {
    let lines = match head {
        Head::Parsed(lines) => lines,
        Head::Wire(bytes) => {
            let bytes = from_start_line(bytes);
            memchr::memchr(b'\n', bytes).map_or(&[][..], |end| &bytes[end + 1..])
        }
    };
    let mut parsed = [httparse::EMPTY_HEADER; USUAL_HEADERS];
    match httparse::parse_headers(lines, &mut parsed) {
        Ok(httparse::Status::Complete((_, fields))) => {
            fields.iter().map(|field| (field.name.as_bytes(), field.value.into())).collect()
        }
        _ => from_lines(lines),
    }
}

/// The head without empty lines before its start line, which servers accept (RFC 9112, section 2.2).
pub(super) fn from_start_line(head: &[u8]) -> &[u8] {
    let empty = head.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    &head[empty..]
}

/// Whether this is not an HTTP/1 head: one that was rejected, and may be arbitrary bytes.
pub(super) fn is_broken(head: &[u8]) -> bool {
    let head = from_start_line(head);
    let (line, fields) = head.split_at(memchr::memchr(b'\n', head).map_or(head.len(), |end| end + 1));
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let (_target, version, more) = (words.next(), words.next(), words.next());
    let is_line = !method.is_empty()
        && method.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'-')
        && version.is_some_and(|version| version.starts_with(b"HTTP/1."))
        && more.is_none();
    let mut parsed = [httparse::EMPTY_HEADER; USUAL_HEADERS];
    !is_line
        || memchr::memchr(b'\r', line.trim_ascii_end()).is_some()
        || !matches!(
            httparse::parse_headers(fields, &mut parsed),
            Ok(httparse::Status::Complete(_)) | Err(httparse::Error::TooManyHeaders)
        )
}

fn from_lines(lines: &[u8]) -> Vec<Field<'_>> {
    let mut fields: Vec<Field<'_>> = Vec::new();
    // Some parsers treat a bare CR as a line end, and what follows as a separate header.
    for line in lines
        .split(|&byte| byte == b'\n')
        .flat_map(|line| line.strip_suffix(b"\r").unwrap_or(line).split(|&byte| byte == b'\r'))
    {
        if line.is_empty() {
            break;
        }
        // A line starting with white space continues the previous one (obs-fold).
        if let (b' ' | b'\t', Some((_, value))) = (line[0], fields.last_mut()) {
            let value = value.to_mut();
            value.push(b' ');
            value.extend_from_slice(line.trim_ascii());
            continue;
        }
        if fields.len() == MAX_HEADERS {
            break;
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        fields.push((name.trim_ascii(), value.trim_ascii().into()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(wire: &'static [u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let head = Head::Wire(Bytes::from_static(wire));
        fields(&head).into_iter().map(|(name, value)| (text(name), text(&value))).collect()
    }

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn order_case_and_repetition_are_kept() {
        assert_eq!(
            read(b"POST / HTTP/1.1\r\nhOST: a\r\nX-A: 1\r\nAccept: */*\r\nx-a:  2 \r\n\r\nbody: no"),
            owned(&[("hOST", "a"), ("X-A", "1"), ("Accept", "*/*"), ("x-a", "2")])
        );
    }

    #[test]
    fn parsed_headers_are_kept_as_they_are() {
        let mut map = http::HeaderMap::new();
        map.append("x-a", "1: 2".parse().unwrap());
        map.append("empty", "".parse().unwrap());
        map.append("x-a", http::HeaderValue::from_bytes(b"caf\xe9\t!").unwrap());
        let head = Head::from(&map);
        let expected: [(&[u8], &[u8]); 3] = [(b"x-a", b"1: 2"), (b"x-a", b"caf\xe9\t!"), (b"empty", b"")];
        assert_eq!(fields(&head), expected.map(|(name, value)| (name, value.into())));
        let none = Head::from(&http::HeaderMap::new());
        assert_eq!(fields(&none), []);
    }

    #[test]
    fn a_malformed_head_is_read_as_far_as_possible() {
        assert_eq!(
            read(b"GET / HTTP/1.1\nna me: x\n folded\nno colon\r\n: nameless\nlast: cu"),
            owned(&[("na me", "x folded"), ("no colon", ""), ("", "nameless"), ("last", "cu")])
        );
        assert_eq!(read(b"\x16\x03\x01\x02"), []);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn regression_after_an_empty_line_the_start_line_was_taken_for_a_header() {
        for empty in ["\n", "\r\n", "\n\r\n\r"] {
            let head = Head::Wire(format!("{empty}POST /hooks/opensesame HTTP/1.1\r\nHost: a\r\n\r\n").into());
            assert_eq!(fields(&head), [(&b"Host"[..], b"a"[..].into())], "{empty:?}");
            let Head::Wire(bytes) = head else { continue };
            assert!(!is_broken(&bytes), "{empty:?}");
        }
        assert_eq!(read(b"\n\n"), []);
    }

    #[test]
    fn common_names_are_recognised_in_any_case() {
        for name in ["Content-Type", "content-type", "CONTENT-TYPE", "eTag", "Strict-Transport-Security"] {
            assert!(is_usual(name.as_bytes()), "{name}");
        }
        for name in ["", "Content-Typo", "X-Content-Type", "Hos", "X-Access-Token"] {
            assert!(!is_usual(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn the_number_of_headers_is_bounded() {
        let wire = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100_000));
        assert_eq!(fields(&Head::Wire(wire.into())).len(), MAX_HEADERS);
    }
}
