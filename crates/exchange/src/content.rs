//! Decoding content codings.

use std::io::{ErrorKind, Read};

use bytes::Bytes;

/// Maximum decoded size in bytes: 64 MiB.
pub const MAX_DECODED: usize = 64 << 20;

/// Maximum number of nested codings.
pub const MAX_CODINGS: usize = 4;

/// The zstd window that every HTTP decoder must support: 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

/// A body that could not be decoded completely.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    /// What was decoded before the error.
    pub decoded: Bytes,
    /// What is wrong.
    pub reason: String,
    /// Whether only the end is missing, so that all there is was decoded.
    pub(crate) is_cut: bool,
    /// Whether it would have been longer than it may be.
    pub is_too_long: bool,
}

impl DecodeError {
    fn unreadable(reason: String) -> Self {
        Self { decoded: Bytes::new(), reason, is_cut: false, is_too_long: false }
    }
}

/// Decodes a `Content-Encoding`: `gzip`, `x-gzip`, `deflate` (with or without a zlib header), `br`, `zstd` and
/// `identity`, alone or as a comma-separated list.
///
/// # Errors
///
/// [`DecodeError`] for an unknown coding, a damaged or truncated body, and one that decodes to more than
/// [`MAX_DECODED`] bytes; it holds what was decoded so far.
pub fn decode(coding: &str, body: &Bytes) -> Result<Bytes, DecodeError> {
    decode_within(coding, body, MAX_DECODED)
}

/// Like [`decode`], up to so many bytes.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_within(coding: &str, body: &Bytes, max: usize) -> Result<Bytes, DecodeError> {
    if coding.split(',').count() > MAX_CODINGS {
        return Err(DecodeError::unreadable(format!("more than {MAX_CODINGS} nested content codings")));
    }
    let mut bytes = body.clone();
    let mut first: Option<DecodeError> = None;
    // Codings are listed in the order in which they were applied (RFC 9110, 8.4).
    for coding in coding.rsplit(',').map(str::trim) {
        bytes = match decode_one(coding, &bytes, max) {
            Ok(decoded) => decoded,
            Err(error) if error.is_too_long => return Err(error),
            // What a broken outer coding yields is still encoded by the inner ones.
            Err(DecodeError { decoded, reason, is_cut, .. }) => {
                let before = first.take();
                let is_cut = is_cut && before.as_ref().is_none_or(|error| error.is_cut);
                let reason = before.map_or(reason, |error| error.reason);
                first = Some(DecodeError { is_cut, ..DecodeError::unreadable(reason) });
                decoded
            }
        };
    }
    first.map_or(Ok(bytes.clone()), |error| Err(DecodeError { decoded: bytes, ..error }))
}

/// The coding indicated by the first bytes: gzip, zstd, or the zlib format, which may be a false positive.
pub(crate) fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, 8, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Some("deflate"),
        _ => None,
    }
}

fn decode_one(coding: &str, body: &Bytes, max: usize) -> Result<Bytes, DecodeError> {
    let is = |name: &str| coding.eq_ignore_ascii_case(name);
    let mut left = &body[..];
    if is("identity") || coding.is_empty() {
        Ok(body.clone())
    } else if is("gzip") || is("x-gzip") {
        read(flate2::bufread::MultiGzDecoder::new(left), max)
    } else if is("deflate") {
        // RFC 9110 means the zlib format; some servers send the bare stream. A zlib header is a multiple of 31 and
        // names method 8.
        match body.first_chunk() {
            Some(&header @ [first, _]) if first & 15 == 8 && u16::from_be_bytes(header).is_multiple_of(31) => {
                let decoded = read(flate2::bufread::ZlibDecoder::new(&mut left), max)?;
                nothing_behind(decoded, left)
            }
            _ => {
                let decoded = read(flate2::bufread::DeflateDecoder::new(&mut left), max)?;
                nothing_behind(decoded, left)
            }
        }
    } else if is("br") {
        // It says only by failing that there is more than it decoded, and doesn't when its buffer is used up.
        let mut decoder = brotli_decompressor::Decompressor::new(Endless(&mut left), 4096);
        let decoded = read(&mut decoder, max)?;
        let behind = decoder.read(&mut [0; 1]).is_err();
        nothing_behind(decoded, if behind { body } else { left })
    } else if is("zstd") {
        let decoder = zstd::stream::read::Decoder::with_buffer(&body[..]).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Ok(decoder)
        });
        match decoder {
            Ok(decoder) => read(decoder, max),
            Err(error) => Err(DecodeError::unreadable(error.to_string())),
        }
    } else {
        Err(DecodeError::unreadable(format!("unknown content coding `{coding}`")))
    }
}

/// Bytes whose end is an error, by which a decoder that still wants more is known from one that found invalid data.
struct Endless<'a, 'b>(&'a mut &'b [u8]);

impl Read for Endless<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// What was decoded, unless so many bytes follow that there could be a secret in them: nobody would look for it there.
fn nothing_behind(decoded: Bytes, behind: &[u8]) -> Result<Bytes, DecodeError> {
    const MAX: usize = 15;
    if behind.len() <= MAX {
        return Ok(decoded);
    }
    Err(DecodeError { decoded, ..DecodeError::unreadable("more bytes follow the end of the data".to_owned()) })
}

fn read(mut decoder: impl Read, max: usize) -> Result<Bytes, DecodeError> {
    let mut decoded = Vec::new();
    let outcome = decoder.by_ref().take(max as u64 + 1).read_to_end(&mut decoded);
    let (reason, is_cut) = match outcome {
        Ok(_) if decoded.len() <= max => return Ok(decoded.into()),
        Ok(_) => (format!("decodes to more than {max} bytes"), false),
        Err(error) => (error.to_string(), error.kind() == ErrorKind::UnexpectedEof),
    };
    let is_too_long = decoded.len() > max;
    decoded.truncate(max);
    Err(DecodeError { decoded: decoded.into(), reason, is_cut, is_too_long })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    use super::*;

    fn encode(coding: &str, body: &[u8]) -> Bytes {
        let level = Compression::default();
        let written = |mut encoder: Box<dyn Write + '_>| encoder.write_all(body).unwrap();
        let mut coded = Vec::new();
        match coding {
            "gzip" => written(Box::new(GzEncoder::new(&mut coded, level))),
            "deflate" => written(Box::new(ZlibEncoder::new(&mut coded, level))),
            "raw deflate" => written(Box::new(DeflateEncoder::new(&mut coded, level))),
            "br" => written(Box::new(brotli::CompressorWriter::new(&mut coded, 4096, 5, 22))),
            "zstd" => coded = zstd::encode_all(body, 1).unwrap(),
            _ => coded = body.to_vec(),
        }
        coded.into()
    }

    const TEXT: &[u8] = b"{\"Reservations\":[{\"Id\":1},{\"Id\":2},{\"Id\":3}]}";

    #[test]
    fn each_coding_is_decoded_in_any_case_and_in_lists() {
        for coding in ["gzip", "deflate", "br", "zstd", "identity", ""] {
            assert_eq!(decode(&coding.to_uppercase(), &encode(coding, TEXT)).unwrap(), TEXT, "{coding}");
        }
        assert_eq!(decode("x-gzip", &encode("gzip", TEXT)).unwrap(), TEXT);
        assert_eq!(decode("deflate", &encode("raw deflate", TEXT)).unwrap(), TEXT);
        let twice = encode("br", &encode("gzip", TEXT));
        assert_eq!(decode("gzip , br", &twice).unwrap(), TEXT);
    }

    #[test]
    fn a_truncated_body_is_decoded_as_far_as_possible() {
        let long: Vec<u8> = (0..200_000u32).flat_map(|number| number.wrapping_mul(number).to_be_bytes()).collect();
        for coding in ["gzip", "deflate", "raw deflate", "br", "zstd"] {
            let coded = encode(coding, &long);
            let coding = coding.trim_start_matches("raw ");
            let error = decode(coding, &coded.slice(..coded.len() / 2)).unwrap_err();
            assert!(!error.decoded.is_empty() && long.starts_with(&error.decoded), "{coding}: {error}");
            assert!(error.is_cut, "{coding}: {error}");
        }
    }

    #[test]
    fn regression_of_a_truncated_body_with_two_codings_only_the_outer_was_removed() {
        let long: Vec<u8> = (0..200_000u32).flat_map(|number| number.wrapping_mul(number).to_be_bytes()).collect();
        let twice = encode("br", &encode("gzip", &long));
        let error = decode("gzip, br", &twice.slice(..twice.len() / 2)).unwrap_err();
        assert!(error.is_cut && error.decoded.len() > 1000 && long.starts_with(&error.decoded), "{error}");
        assert!(decode("aes, br", &twice.slice(..twice.len() / 2)).unwrap_err().decoded.is_empty());
    }

    #[test]
    fn regression_what_followed_the_end_of_the_data_was_passed_over() {
        for coding in ["deflate", "raw deflate", "br", "gzip", "zstd"] {
            for more in [16, 10_000] {
                let body = [&encode(coding, TEXT)[..], &vec![7; more]].concat();
                let error = decode(coding.trim_start_matches("raw "), &body.into()).unwrap_err();
                assert_eq!((&error.decoded[..], error.is_cut), (TEXT, false), "{coding}: {error}");
            }
        }
    }

    #[test]
    fn a_decompression_bomb_is_stopped() {
        let zeros = vec![0; MAX_DECODED + 1];
        for coding in ["gzip", "zstd"] {
            let error = decode(coding, &encode(coding, &zeros)).unwrap_err();
            assert_eq!(error.decoded.len(), MAX_DECODED, "{coding}: {error}");
        }
    }

    #[test]
    fn an_unknown_or_too_deeply_nested_coding_is_an_error() {
        let body = Bytes::from_static(TEXT);
        assert!(decode("sdch", &body).unwrap_err().to_string().contains("`sdch`"));
        assert!(decode(&"gzip,".repeat(1_000_000), &body).unwrap_err().to_string().contains("more than 4"));
    }

    proptest! {
        #[test]
        fn never_panics(body in prop::collection::vec(any::<u8>(), 0..200), coding in "gzip|deflate|br|zstd") {
            let _ = decode(&coding, &body.into());
        }
    }
}
