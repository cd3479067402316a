//! What the journal records of a request before it is sent, free of secrets.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use super::KnownTokens;
use crate::{Capture, ExchangeId, Pseudonym, Timestamp};

/// A request as recorded in the journal before it is sent, free of secrets.
#[derive(Debug, Clone)]
pub struct JournalEntry {
    /// The exchange's id, the same as in its [`Capture`].
    pub id: ExchangeId,
    /// The session it names; `None` for the current one.
    pub session: Option<Arc<str>>,
    /// The environment's name.
    pub environment: Arc<str>,
    /// When the request's head was complete.
    pub received: Timestamp,
    /// From then until it was sent.
    pub forwarded: Duration,
    /// The method.
    pub method: Arc<str>,
    /// Scheme and authority of its host.
    pub origin: Arc<str>,
    /// Path and query as sent.
    pub target: Bytes,
    /// The client's address.
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
    /// The journal entry of this capture: its tokens as pseudonyms, its texts without them and without known tokens.
    #[must_use]
    pub fn journal_entry(&self, capture: &Capture) -> JournalEntry {
        let pseudonym = |token: &Option<Box<str>>| token.as_ref().map(|token| Pseudonym::of(token.as_bytes()));
        let (request, envelope) = (&capture.request, &capture.envelope);
        let tokens = [&envelope.access_token, &envelope.client_token].map(|token| token.as_deref().unwrap_or_default());
        let redact = |text: &[u8]| match self.redact_text(text, &tokens) {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text),
        };
        JournalEntry {
            id: capture.id,
            session: capture.session.as_ref().map(|name| match redact(name.as_bytes()) {
                Some(text) => String::from_utf8_lossy(&text).into(),
                None => Arc::clone(name),
            }),
            environment: Arc::clone(&capture.environment),
            received: capture.received,
            forwarded: capture.forwarded.unwrap_or_default(),
            method: request.method.as_str().into(),
            origin: Arc::clone(&request.origin),
            target: redact(&request.target).map_or_else(|| request.target.clone(), Into::into),
            peer: capture.peer,
            client: envelope.client.as_ref().map(|client| match redact(client.as_bytes()) {
                Some(text) => String::from_utf8_lossy(&text).into(),
                None => client.clone(),
            }),
            access_token: pseudonym(&envelope.access_token),
            client_token: pseudonym(&envelope.client_token),
            paginated: envelope.paginated,
        }
    }
}
