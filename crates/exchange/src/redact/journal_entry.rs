//! What is noted of a request before it goes out, free of secrets.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use super::KnownTokens;
use crate::{Capture, ExchangeId, Pseudonym, Timestamp};

/// What is known of a request when it goes out, free of secrets.
#[derive(Debug, Clone)]
pub struct JournalEntry {
    /// The exchange's id, which its [`Capture`] bears too.
    pub id: ExchangeId,
    /// The session it names; none for the current one.
    pub session: Option<Arc<str>>,
    /// The environment's name.
    pub environment: Arc<str>,
    /// When the request's head had arrived.
    pub received: Timestamp,
    /// From then until now, when it goes out.
    pub forwarded: Duration,
    /// The method.
    pub method: Arc<str>,
    /// Scheme and authority of the host it is for.
    pub origin: Arc<str>,
    /// Path and query as they were sent.
    pub target: Bytes,
    /// The integration's address.
    pub peer: SocketAddr,
    /// `Client`.
    pub client: Option<Box<str>>,
    /// The pseudonym of `AccessToken`.
    pub access_token: Option<Pseudonym>,
    /// The pseudonym of `ClientToken`.
    pub client_token: Option<Pseudonym>,
    /// Whether the request has a `Limitation`.
    pub paginated: bool,
}

impl KnownTokens {
    /// What is noted of this capture before its request goes out: its tokens as pseudonyms, and its texts without them and
    /// without those that were seen before.
    #[must_use]
    pub fn journal_entry(&self, capture: &Capture) -> JournalEntry {
        let pseudonym = |token: &Option<Box<str>>| token.as_ref().map(|token| Pseudonym::of(token.as_bytes()));
        let (request, envelope) = (&capture.request, &capture.envelope);
        let tokens = [&envelope.access_token, &envelope.client_token].map(|token| token.as_deref().unwrap_or_default());
        let clear = |text: &[u8]| match self.redact_text(text, &tokens) {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text),
        };
        JournalEntry {
            id: capture.id,
            session: capture.session.as_ref().map(|name| match clear(name.as_bytes()) {
                Some(text) => String::from_utf8_lossy(&text).into(),
                None => Arc::clone(name),
            }),
            environment: Arc::clone(&capture.environment),
            received: capture.received,
            forwarded: capture.forwarded.unwrap_or_default(),
            method: request.method.as_str().into(),
            origin: Arc::clone(&request.origin),
            target: clear(&request.target).map_or_else(|| request.target.clone(), Into::into),
            peer: capture.peer,
            client: envelope.client.as_ref().map(|client| match clear(client.as_bytes()) {
                Some(text) => String::from_utf8_lossy(&text).into(),
                None => client.clone(),
            }),
            access_token: pseudonym(&envelope.access_token),
            client_token: pseudonym(&envelope.client_token),
            paginated: envelope.paginated,
        }
    }
}
