//! Restores the spelling of a request's header names, which hyper writes in lower case. It can keep them itself, but takes
//! five allocations per request to do so.

use memchr::{memchr, memchr_iter};
use smallvec::SmallVec;

/// Appends a head that hyper wrote to `out`, with header names as in `original`, the head as the client sent it. Headers
/// that the original doesn't have stay as they are.
pub(super) fn respell(head: &[u8], original: &[u8], out: &mut Vec<u8>) {
    let names: SmallVec<[&[u8]; 32]> = lines(original).skip(1).filter_map(name).collect();
    // hyper writes headers of the same name one after another, in their order.
    let (mut last, mut next) = (&[][..], 0);
    for line in lines(head) {
        let Some(name) = name(line).filter(|_| !out.is_empty()) else {
            out.extend_from_slice(line);
            continue;
        };
        if name != last {
            (last, next) = (name, 0);
        }
        match names[next..].iter().position(|original| original.eq_ignore_ascii_case(name)) {
            Some(at) => {
                out.extend_from_slice(names[next + at]);
                next += at + 1;
            }
            None => {
                out.extend_from_slice(name);
                next = names.len();
            }
        }
        let value = &line[name.len()..];
        // An empty value has no space before it, for servers that take it for one.
        out.extend_from_slice(if value == b": \r\n" { b":\r\n" } else { value });
    }
}

/// The lines of a head, with their ends.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr_iter(b'\n', head).map(move |end| {
        let line = &head[start..=end];
        start = end + 1;
        line
    })
}

/// The name of the header in a line.
fn name(line: &[u8]) -> Option<&[u8]> {
    memchr(b':', line).map(|colon| &line[..colon])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn respelled(head: &str, original: &str) -> String {
        let mut out = Vec::new();
        respell(head.as_bytes(), original.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_spelled_as_the_client_did() {
        let original =
            "POST /a:b HTTP/1.1\r\nHOST: x\r\nx-A: 1\r\nEmpty:\r\nConnection: close\r\nX-a: 2\r\nTE: trailers\r\n\r\n";
        let head =
            "POST /a:b HTTP/1.1\r\nhost: y\r\nx-a: 1\r\nx-a: 2\r\nempty: \r\ncontent-length: 0\r\nte: trailers\r\n\r\n";
        let expected =
            "POST /a:b HTTP/1.1\r\nHOST: y\r\nx-A: 1\r\nX-a: 2\r\nEmpty:\r\ncontent-length: 0\r\nTE: trailers\r\n\r\n";
        assert_eq!(respelled(head, original), expected);
        // More of a name than the client sent.
        assert_eq!(
            respelled("GET / HTTP/1.1\r\na: 1\r\na: 2\r\n\r\n", "GET / HTTP/1.1\r\nA: 1\r\n\r\n"),
            "GET / HTTP/1.1\r\nA: 1\r\na: 2\r\n\r\n"
        );
    }

    proptest! {
        #[test]
        fn only_the_case_of_names_changes(
            headers in prop::collection::vec(("[a-zA-Z][a-zA-Z-]{0,3}", "[!-~]([ -~]{0,6}[!-~])?"), 0..12),
        ) {
            let original: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let original = format!("GET / HTTP/1.1\r\n{original}\r\n");
            // As hyper writes them: grouped by name.
            let mut map = http::HeaderMap::new();
            for (name, value) in &headers {
                map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            let mut grouped = Vec::new();
            for name in map.keys() {
                grouped.extend(headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name.as_str())));
            }
            let written = |lower: bool| -> String {
                let line = |(name, value): &&(String, String)| {
                    format!("{}: {value}\r\n", if lower { name.to_ascii_lowercase() } else { name.clone() })
                };
                format!("GET / HTTP/1.1\r\n{}\r\n", grouped.iter().map(line).collect::<String>())
            };
            prop_assert_eq!(respelled(&written(true), &original), written(false));
        }

        #[test]
        fn arbitrary_bytes_never_panic(head in prop::collection::vec(any::<u8>(), 0..80), original in prop::collection::vec(any::<u8>(), 0..80)) {
            respell(&head, &original, &mut Vec::new());
        }
    }
}
