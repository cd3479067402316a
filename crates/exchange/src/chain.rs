//! The hash chain that reveals edits to a session.
//!
//! A session's chain starts at [`genesis`]. Each exchange's hash is the SHA-256 of the previous hash, the exchange's
//! metadata, and the SHA-256 of each of its bodies as stored:
//!
//! ```text
//! hash = SHA-256( previous hash | metadata | SHA-256(request body) | SHA-256(response body) )
//! ```
//!
//! The metadata is the exchange's JSON without the bodies' bytes and the two hashes. Bodies enter as digests, so the
//! chain still verifies where an export masks properties in them. The digests of a WebSocket's messages are part of the
//! metadata.

use sha2::Digest as _;

use crate::{Digest, Exchange, SessionId};

/// The hash that precedes a session's first exchange: the SHA-256 of the session id (16 bytes).
#[must_use]
pub fn genesis(session: SessionId) -> Digest {
    Digest::of(&session.to_bytes())
}

/// The exchange's metadata, byte for byte as stored in the log and covered by the chain.
#[must_use]
pub fn metadata(exchange: &Exchange) -> Vec<u8> {
    let mut metadata = Vec::new();
    write_metadata(exchange, &mut metadata);
    metadata
}

/// Appends [`metadata`] to `out`.
pub fn write_metadata(exchange: &Exchange, out: &mut Vec<u8>) {
    crate::metadata::write(exchange, out);
}

/// The hash of an exchange with this metadata and these digests of its stored bodies.
///
/// A missing response counts as an empty body.
#[must_use]
pub fn link(previous: Digest, metadata: &[u8], request: Digest, response: Option<Digest>) -> Digest {
    Link::begin(previous, metadata).finish(request, response)
}

/// A [`link`] without its body digests yet, so that the larger part can be computed earlier, elsewhere.
#[derive(Debug, Clone)]
pub struct Link(sha2::Sha256);

impl Link {
    /// Hashes the previous hash and the metadata.
    #[must_use]
    pub fn begin(previous: Digest, metadata: &[u8]) -> Self {
        Self(sha2::Sha256::new_with_prefix(previous.0).chain_update(metadata))
    }

    /// The hash.
    #[must_use]
    pub fn finish(self, request: Digest, response: Option<Digest>) -> Digest {
        let response = response.unwrap_or_else(|| Digest::of(b""));
        Digest(self.0.chain_update(request.0).chain_update(response.0).finalize().into())
    }
}

/// The hash of `exchange` when it follows `previous`.
#[must_use]
pub fn hash(previous: Digest, exchange: &Exchange) -> Digest {
    let response = exchange.response.as_ref().map(|response| response.body.stored_digest());
    link(previous, &metadata(exchange), exchange.request.body.stored_digest(), response)
}
