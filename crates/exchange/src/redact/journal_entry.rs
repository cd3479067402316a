//! What the journal records of a request before it is sent, free of secrets.

use std::{borrow::Cow, net::SocketAddr, time::Duration};

use super::KnownTokens;
use crate::{CallDirection, Capture, CapturedToken, ExchangeId, Pseudonym, Timestamp, metadata};

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
    /// Who sent it.
    pub direction: CallDirection,
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
        let pseudonym = |token: &Option<CapturedToken>| token.as_ref().map(CapturedToken::pseudonym);
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
            direction: capture.direction,
            origin: &request.origin,
            target: match capture.direction {
                CallDirection::Outgoing => self.redact_text(&request.target, &tokens),
                // A webhook's may have a secret anywhere.
                CallDirection::Incoming => Cow::Borrowed(b"/"),
            },
            peer: capture.peer,
            client: envelope.client.as_deref().map(redact),
            access_token: pseudonym(&envelope.access_token),
            client_token: pseudonym(&envelope.client_token),
            paginated: envelope.paginated,
        }
    }
}

impl JournalEntry<'_> {
    /// Appends the entry as JSON. Of the URL, without its query, which may hold secrets and is not redacted yet, there
    /// are at most `longest` characters, of the client a quarter of that.
    pub fn write(&self, longest: usize, out: &mut Vec<u8>) {
        let path = self.target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let (origin, path) = (shorten(self.origin, longest), String::from_utf8_lossy(path));
        let text = |out: &mut Vec<u8>, text: &str, longest| metadata::text(out, shorten(text, longest));
        metadata::put(out, r#"{"id":""#);
        out.extend_from_slice(&self.id.digits());
        metadata::put(out, r#"","session":"#);
        metadata::or_null(out, &self.session, |out, session| metadata::text(out, session));
        metadata::put(out, r#","environment":"#);
        text(out, self.environment, 64);
        metadata::put(out, r#","received":"#);
        metadata::json(out, &self.received);
        metadata::put(out, r#","forwarded_us":"#);
        metadata::json(out, &u64::try_from(self.forwarded.as_micros()).unwrap_or(u64::MAX));
        metadata::put(out, r#","method":"#);
        text(out, self.method, 16);
        metadata::put(out, r#","url":"#);
        metadata::joined(out, origin, shorten(&path, longest.saturating_sub(origin.chars().count())));
        metadata::put(out, r#","peer":"#);
        metadata::address(out, &self.peer);
        metadata::put(out, r#","client":"#);
        metadata::or_null(out, &self.client, |out, client| text(out, client, longest / 4));
        metadata::put(out, r#","access_token":"#);
        metadata::or_null(out, &self.access_token, metadata::pseudonym);
        metadata::put(out, r#","client_token":"#);
        metadata::or_null(out, &self.client_token, metadata::pseudonym);
        if !self.direction.is_outgoing() {
            metadata::put(out, r#","direction":"incoming""#);
        }
        metadata::put(out, if self.paginated { r#","paginated":true}"# } else { r#","paginated":false}"# });
    }
}

/// The first `length` characters of the text at most.
fn shorten(text: &str, length: usize) -> &str {
    let end = if text.len() <= length { None } else { text.char_indices().nth(length) };
    end.map_or(text, |(end, _)| &text[..end])
}
