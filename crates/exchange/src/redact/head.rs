//! Header fields from a message's head.

use http::HeaderMap;

use crate::Head;

/// The most header fields that are recorded of one message.
const MAX_FIELDS: usize = 1024;
/// As many fields as httparse is given room for; a head with more is split line by line.
const USUAL_FIELDS: usize = 96;

/// Calls `each` with the name and value of every header field, in their order and as they were spelt.
///
/// A head that is not well-formed is read line by line: what has no colon becomes a field with an empty value.
pub(super) fn fields(head: &Head, mut each: impl FnMut(&[u8], &[u8])) {
    match head {
        Head::Fields(map) => from_map(map, each),
        Head::Wire(bytes) => {
            let Some(end) = memchr::memchr(b'\n', bytes) else { return };
            let lines = &bytes[end + 1..];
            let mut parsed = [httparse::EMPTY_HEADER; USUAL_FIELDS];
            match httparse::parse_headers(lines, &mut parsed) {
                Ok(httparse::Status::Complete((_, fields))) => {
                    for field in fields {
                        each(field.name.as_bytes(), field.value);
                    }
                }
                _ => from_lines(lines, each),
            }
        }
    }
}

fn from_map(map: &HeaderMap, mut each: impl FnMut(&[u8], &[u8])) {
    for (name, value) in map.iter().take(MAX_FIELDS) {
        each(name.as_str().as_bytes(), value.as_bytes());
    }
}

fn from_lines(lines: &[u8], mut each: impl FnMut(&[u8], &[u8])) {
    let mut pending: Option<(&[u8], Vec<u8>)> = None;
    for line in lines.split(|&byte| byte == b'\n').take(MAX_FIELDS) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        // A line that begins with white space continues the one before it (obs-fold).
        if let (b' ' | b'\t', Some((_, value))) = (line[0], pending.as_mut()) {
            value.push(b' ');
            value.extend_from_slice(line.trim_ascii());
            continue;
        }
        if let Some((name, value)) = pending.take() {
            each(name, &value);
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        pending = Some((name.trim_ascii(), value.trim_ascii().to_vec()));
    }
    if let Some((name, value)) = pending {
        each(name, &value);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(wire: &'static [u8]) -> Vec<(String, String)> {
        let mut read = Vec::new();
        fields(&Head::Wire(Bytes::from_static(wire)), |name, value| {
            read.push((String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned()));
        });
        read
    }

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn order_spelling_and_repetition_are_kept() {
        assert_eq!(
            read(b"POST / HTTP/1.1\r\nhOST: a\r\nX-A: 1\r\nAccept: */*\r\nx-a:  2 \r\n\r\nbody: no"),
            owned(&[("hOST", "a"), ("X-A", "1"), ("Accept", "*/*"), ("x-a", "2")])
        );
    }

    #[test]
    fn a_broken_head_is_read_as_far_as_it_goes() {
        assert_eq!(
            read(b"GET / HTTP/1.1\nna me: x\n folded\nno colon\r\n: nameless\nlast: cu"),
            owned(&[("na me", "x folded"), ("no colon", ""), ("", "nameless"), ("last", "cu")])
        );
        assert_eq!(read(b"\x16\x03\x01\x02"), []);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn a_head_of_many_fields_is_bounded() {
        let wire = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100_000));
        let mut count = 0;
        fields(&Head::Wire(wire.into()), |_, _| count += 1);
        assert_eq!(count, MAX_FIELDS);
    }
}
