//! Identifies the sender of a request by its body or cookies.

use std::net::SocketAddr;

use http::{HeaderMap, header::COOKIE};
use nightaudit_exchange::{CapturedEnvelope, Pseudonym, as_utf8};
use nightaudit_mews::{Envelope, envelope};

/// The sender of a request.
pub(super) struct Sender {
    pub(super) envelope: CapturedEnvelope,
    /// The tokens as keys for the limiter.
    pub(super) access_key: String,
    pub(super) client_key: String,
}

impl Sender {
    pub(super) fn new(headers: &HeaderMap, body: &[u8], peer: SocketAddr) -> Self {
        let text = as_utf8(body);
        let found = if body.is_empty() {
            envelope::from_cookies(headers.get_all(COOKIE).iter().map(http::HeaderValue::as_bytes))
        } else {
            envelope::read(&text)
        };
        let key = |token: Option<&str>| match token {
            Some(token) => Pseudonym::of(token.as_bytes()).to_string(),
            None => format!("none@{}", peer.ip()),
        };
        Self {
            access_key: key(found.access_token.as_deref()),
            client_key: key(found.client_token.as_deref()),
            envelope: captured(found),
        }
    }
}

pub(crate) fn captured(envelope: Envelope<'_>) -> CapturedEnvelope {
    let Envelope { access_token, client_token, client, paginated } = envelope;
    CapturedEnvelope {
        access_token: access_token.map(Into::into),
        client_token: client_token.map(Into::into),
        client: client.map(Into::into),
        paginated,
    }
}
