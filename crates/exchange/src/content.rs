//! Decoding content codings.

use std::io::Read;

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
}

/// Decodes a `Content-Encoding`: `gzip`, `x-gzip`, `deflate` (with or without a zlib header), `br`, `zstd` and
/// `identity`, alone or as a comma-separated list.
///
/// # Errors
///
/// [`DecodeError`] for an unknown coding, a damaged or truncated body, and one that decodes to more than
/// [`MAX_DECODED`] bytes; it holds what was decoded so far.
pub fn decode(coding: &str, body: &Bytes) -> Result<Bytes, DecodeError> {
    if coding.split(',').count() > MAX_CODINGS {
        let reason = format!("more than {MAX_CODINGS} nested content codings");
        return Err(DecodeError { decoded: Bytes::new(), reason });
    }
    let mut bytes = body.clone();
    // Codings are listed in the order in which they were applied (RFC 9110, 8.4).
    for coding in coding.rsplit(',').map(str::trim) {
        bytes = decode_one(coding, &bytes)?;
    }
    Ok(bytes)
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

fn decode_one(coding: &str, body: &Bytes) -> Result<Bytes, DecodeError> {
    let is = |name: &str| coding.eq_ignore_ascii_case(name);
    if is("identity") || coding.is_empty() {
        Ok(body.clone())
    } else if is("gzip") || is("x-gzip") {
        read(flate2::read::MultiGzDecoder::new(&body[..]))
    } else if is("deflate") {
        // RFC 9110 means the zlib format; some servers send the bare stream. A zlib header is a multiple of 31 and
        // names method 8.
        match body.first_chunk() {
            Some(&header @ [first, _]) if first & 15 == 8 && u16::from_be_bytes(header).is_multiple_of(31) => {
                read(flate2::read::ZlibDecoder::new(&body[..]))
            }
            _ => read(flate2::read::DeflateDecoder::new(&body[..])),
        }
    } else if is("br") {
        read(brotli_decompressor::Decompressor::new(&body[..], 4096))
    } else if is("zstd") {
        let decoder = zstd::stream::read::Decoder::with_buffer(&body[..]).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Ok(decoder)
        });
        match decoder {
            Ok(decoder) => read(decoder),
            Err(error) => Err(DecodeError { decoded: Bytes::new(), reason: error.to_string() }),
        }
    } else {
        Err(DecodeError { decoded: Bytes::new(), reason: format!("unknown content coding `{coding}`") })
    }
}

fn read(mut decoder: impl Read) -> Result<Bytes, DecodeError> {
    let mut decoded = Vec::new();
    let outcome = decoder.by_ref().take(MAX_DECODED as u64 + 1).read_to_end(&mut decoded);
    let reason = match outcome {
        Ok(_) if decoded.len() <= MAX_DECODED => return Ok(decoded.into()),
        Ok(_) => format!("decodes to more than {MAX_DECODED} bytes"),
        Err(error) => error.to_string(),
    };
    decoded.truncate(MAX_DECODED);
    Err(DecodeError { decoded: decoded.into(), reason })
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
