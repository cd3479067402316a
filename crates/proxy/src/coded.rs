//! Content codings of request bodies.

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_ENCODING};
use nightaudit_exchange::{FailureKind, content};

use crate::local_response::LocalResponse;

/// The content codings of a body, as a list; `None` if it has none.
pub(crate) fn codings(headers: &HeaderMap) -> Option<String> {
    let mut codings = String::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let separator = if codings.is_empty() { "" } else { "," };
        codings.push_str(separator);
        codings.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    let is_coded = |coding: &str| !coding.trim().is_empty() && !coding.trim().eq_ignore_ascii_case("identity");
    codings.split(',').any(is_coded).then_some(codings)
}

/// Decodes a body, as far as it can be. Returns also whether it would be too long.
pub(crate) fn decode(codings: &str, body: &Bytes) -> (Bytes, bool) {
    match content::decode_within(codings, body, most_decoded(body.len())) {
        Ok(decoded) => (decoded, false),
        Err(error) => (error.decoded, error.is_too_long),
    }
}

/// The local response for a body whose sender can't be read, so that nobody knows which limit it counts for.
pub(crate) fn unreadable() -> LocalResponse {
    let message = "the tokens can't be read from a request body with `Content-Encoding` that is longer than 1 MiB, or \
                   decodes to much more; the limits count by them";
    LocalResponse::failed(FailureKind::Malformed, message)
}

/// How long a body may be that is decoded for its sender: JSON shrinks to a tenth or a twentieth.
fn most_decoded(coded: usize) -> usize {
    const ALWAYS: usize = 1 << 20;
    const RATIO: usize = 32;
    coded.saturating_mul(RATIO).saturating_add(ALWAYS)
}
