//! The chain of hashes that shows whether a session was edited.
//!
//! A session's chain begins at [`genesis`]. Each exchange's hash is the SHA-256 of the previous hash, of the exchange's
//! metadata and of the SHA-256 of each of its bodies as stored:
//!
//! ```text
//! hash = SHA-256( previous hash | metadata | SHA-256(request body) | SHA-256(response body) )
//! ```
//!
//! The metadata is the exchange's JSON without the bodies' bytes and without the two hashes. Because the bodies go in as
//! digests, the chain can still be followed where an export has masked fields in them. The digests of a WebSocket's
//! messages stand in the metadata.

use sha2::Digest as _;

use crate::{Digest, Exchange, SessionId};

/// The hash before a session's first exchange: the SHA-256 of the session's id (16 bytes).
#[must_use]
pub fn genesis(session: SessionId) -> Digest {
    Digest::of(&session.to_bytes())
}

/// The exchange's metadata, byte for byte as the log stores it and the chain covers it.
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
/// An exchange without a response counts as one with an empty body.
#[must_use]
pub fn link(previous: Digest, metadata: &[u8], request: Digest, response: Option<Digest>) -> Digest {
    Link::begin(previous, metadata).finish(request, response)
}

/// A [`link`] of which the digests of the bodies are still to come: its larger part can be made beforehand, elsewhere.
#[derive(Debug, Clone)]
pub struct Link(sha2::Sha256);

impl Link {
    /// Takes in what comes first.
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

/// The hash that `exchange` has after `previous`.
#[must_use]
pub fn hash(previous: Digest, exchange: &Exchange) -> Digest {
    let response = exchange.response.as_ref().map(|response| response.body.stored_digest());
    link(previous, &metadata(exchange), exchange.request.body.stored_digest(), response)
}
