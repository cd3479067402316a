//! What the journal records of a request before it is sent, free of secrets.

use std::{borrow::Cow, net::SocketAddr, time::Duration};

use super::KnownTokens;
use crate::{Capture, ExchangeId, Pseudonym, Timestamp};

/// A request as recorded in the journal before it is sent, free of secrets.
///
/// Borrows what needs no redaction: it is made for each request, on the thread that forwards it.
#[derive(Debug, Clone)]
pub struct JournalEntry<'a> {
    /// The exchange's id, the same as in its [`Capture`].
    pub id: ExchangeId,
    /// The session it names; `None` for the current one.
    pub session: Option<Cow<'a, str>>,
    /// The environment's name.
    pub environment: &'a str,
    /// When the request's head was complete.
    pub received: Timestamp,
    /// From then until it was sent.
    pub forwarded: Duration,
    /// The method.
    pub method: &'a str,
    /// Scheme and authority of its host.
    pub origin: &'a str,
    /// Path and query as sent.
    pub target: Cow<'a, [u8]>,
    /// The client's address.
    pub peer: SocketAddr,
    /// `Client`.
    pub client: Option<Cow<'a, str>>,
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
    pub fn journal_entry<'a>(&self, capture: &'a Capture) -> JournalEntry<'a> {
        let pseudonym = |token: &Option<Box<str>>| token.as_ref().map(|token| Pseudonym::of(token.as_bytes()));
        let (request, envelope) = (&capture.request, &capture.envelope);
        let tokens = [&envelope.access_token, &envelope.client_token].map(|token| token.as_deref().unwrap_or_default());
        let redact = |text: &'a str| match self.redact_text(text.as_bytes(), &tokens) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(text) => Cow::Owned(String::from_utf8_lossy(&text).into_owned()),
        };
        JournalEntry {
            id: capture.id,
            session: capture.session.as_deref().map(redact),
            environment: &capture.environment,
            received: capture.received,
            forwarded: capture.forwarded.unwrap_or_default(),
            method: request.method.as_str(),
            origin: &request.origin,
            target: self.redact_text(&request.target, &tokens),
            peer: capture.peer,
            client: envelope.client.as_deref().map(redact),
            access_token: pseudonym(&envelope.access_token),
            client_token: pseudonym(&envelope.client_token),
            paginated: envelope.paginated,
        }
    }
}
