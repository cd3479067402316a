//! Finds the end of a chunked body (RFC 9112, section 7.1).

/// Tracks a chunked body across reads to find its end.
///
/// Decoding is left to hyper, but hyper must not receive bytes of the next request along with this body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunked {
    state: State,
    /// Bytes of chunk extensions and trailers so far.
    extension_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    End,
    Invalid,
}

/// A body that violates the chunked coding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidChunk;

/// The most bytes that chunk extensions and trailers of one body may have together. They are hardly used, so more is an
/// attack.
const MAX_EXTENSION_BYTES: usize = 16 * 1024;

impl Chunked {
    pub(crate) fn new() -> Self {
        Self { state: State::Size { value: 0, digits: 0 }, extension_bytes: 0 }
    }

    /// Returns whether the end of the body has been seen.
    pub(crate) fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// Returns how many of `bytes` belong to the body. Valid bytes before an error are returned first, the error by the
    /// next call.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<usize, InvalidChunk> {
        let mut at = 0;
        while at < bytes.len() && !self.is_end() {
            if let State::Data { left } = &mut self.state {
                let step = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += step;
                *left -= step as u64;
                if *left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            if let Err(invalid) = self.step(bytes[at]) {
                self.state = State::Invalid;
                return if at == 0 { Err(invalid) } else { Ok(at) };
            }
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<(), InvalidChunk> {
        self.state = match (self.state.clone(), byte) {
            // A u64 has at most sixteen hexadecimal digits.
            (State::Size { value, digits }, digit) if digit.is_ascii_hexdigit() && digits < 16 => {
                let digit = char::from(digit).to_digit(16).ok_or(InvalidChunk)?;
                State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(InvalidChunk),
            (State::Size { value, .. }, b'\r') => State::SizeEnd { value },
            (State::Size { value, .. }, b';' | b' ' | b'\t') => State::Extension { value },
            (State::Extension { value }, b'\r') => State::SizeEnd { value },
            (State::Extension { value }, byte) if byte != b'\n' && byte != 0 => {
                self.count_extension_byte()?;
                State::Extension { value }
            }
            (State::SizeEnd { value: 0 }, b'\n') => State::TrailerStart,
            (State::SizeEnd { value }, b'\n') => State::Data { left: value },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerStart | State::Trailer, byte) if byte != b'\n' && byte != 0 => {
                self.count_extension_byte()?;
                State::Trailer
            }
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::End,
            _ => return Err(InvalidChunk),
        };
        Ok(())
    }

    fn count_extension_byte(&mut self) -> Result<(), InvalidChunk> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES { Err(InvalidChunk) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn length(bytes: &[u8]) -> Result<Option<usize>, InvalidChunk> {
        let mut chunked = Chunked::new();
        let used = chunked.advance(bytes)?;
        if !chunked.is_end() {
            chunked.advance(&bytes[used..])?;
        }
        Ok(chunked.is_end().then_some(used))
    }

    #[test]
    fn the_end_is_found_before_the_next_request() {
        assert_eq!(length(b"3\r\nabc\r\n0\r\n\r\nPOST / HTTP/1.1"), Ok(Some(13)));
        assert_eq!(length(b"0\r\nExpires: 0\r\n\r\nGET"), Ok(Some(17)));
        assert_eq!(length(b"A;x=y\r\n0123456789\r\n0\r\n\r\n"), Ok(Some(24)));
        assert_eq!(length(b"3\r\nabc\r\n0\r\n"), Ok(None));
    }

    #[test]
    fn ambiguous_chunks_are_invalid() {
        for body in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"0x3\r\nabc\r\n0\r\n\r\n",
            b"3\nabc\r\n0\r\n\r\n",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3;x\nabc\r\n0\r\n\r\n",
            b"11111111111111111\r\n",
            b"0\r\nA: b\nC: d\r\n\r\n",
        ] {
            assert_eq!(length(body), Err(InvalidChunk), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn endless_extensions_are_invalid() {
        let mut body = b"3;".to_vec();
        body.resize(MAX_EXTENSION_BYTES + 10, b'x');
        assert_eq!(length(&body), Err(InvalidChunk));
    }

    proptest! {
        #[test]
        fn split_reads_parse_like_one_read(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
            read_sizes in prop::collection::vec(1_usize..40, 1..8),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x}\r\n", chunk.len()).bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\n\r\n");
            let mut chunked = Chunked::new();
            let (mut at, mut turn) = (0, 0);
            while at < body.len() {
                prop_assert!(!chunked.is_end());
                let end = (at + read_sizes[turn % read_sizes.len()]).min(body.len());
                prop_assert_eq!(chunked.advance(&body[at..end]), Ok(end - at));
                (at, turn) = (end, turn + 1);
            }
            prop_assert!(chunked.is_end());
            prop_assert_eq!(chunked.advance(b"POST"), Ok(0));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = length(&bytes);
        }
    }
}
