//! Content codings undone.

use std::io::Read;

use bytes::Bytes;

/// The most that [`decode`] makes of a body, in bytes: 64 MiB.
pub const MAX_DECODED: usize = 64 << 20;

/// The most codings in each other that [`decode`] undoes.
pub const MAX_CODINGS: usize = 4;

/// The window of zstd that every decoder of HTTP has to have: 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

/// A body that could not be decoded to its end.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    /// What was decoded before the fault.
    pub decoded: Bytes,
    /// What is wrong.
    pub reason: String,
}

/// Undoes a `Content-Encoding`: `gzip`, `x-gzip`, `deflate` (with or without zlib's wrapping), `br`, `zstd` and
/// `identity`, alone or as a comma-separated list.
///
/// # Errors
///
/// [`DecodeError`] for an unknown coding, a damaged or cut body, and one that decodes to more than [`MAX_DECODED`] bytes;
/// it holds what was decoded until then.
pub fn decode(coding: &str, body: &Bytes) -> Result<Bytes, DecodeError> {
    if coding.split(',').count() > MAX_CODINGS {
        let reason = format!("more than {MAX_CODINGS} content codings, one in the other");
        return Err(DecodeError { decoded: Bytes::new(), reason });
    }
    let mut bytes = body.clone();
    // Codings are listed in the order in which they were applied (RFC 9110, 8.4).
    for coding in coding.rsplit(',').map(str::trim) {
        bytes = decode_one(coding, &bytes)?;
    }
    Ok(bytes)
}

fn decode_one(coding: &str, body: &Bytes) -> Result<Bytes, DecodeError> {
    let is = |name: &str| coding.eq_ignore_ascii_case(name);
    if is("identity") || coding.is_empty() {
        Ok(body.clone())
    } else if is("gzip") || is("x-gzip") {
        read(flate2::read::MultiGzDecoder::new(&body[..]))
    } else if is("deflate") {
        // RFC 9110 means zlib's format, some servers send the bare stream.
        read(flate2::read::ZlibDecoder::new(&body[..]))
            .or_else(|error| read(flate2::read::DeflateDecoder::new(&body[..])).map_err(|_| error))
    } else if is("br") {
        read(brotli::Decompressor::new(&body[..], 4096))
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
