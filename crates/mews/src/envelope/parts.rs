//! What an envelope has.

use std::{borrow::Cow, fmt};

/// The sender of a request. Fields that the request doesn't have are `None`.
///
/// The tokens are plain secrets, so `Debug` shows only whether they are present.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `AccessToken`: the enterprise on whose behalf the request is made.
    pub access_token: Option<Cow<'a, str>>,
    /// `ClientToken`: the integration.
    pub client_token: Option<Cow<'a, str>>,
    /// `Client`: name and version of the integration.
    pub client: Option<Cow<'a, str>>,
    /// Whether the request asks for a page: it has an object `Limitation`.
    pub paginated: bool,
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |token: &Option<Cow<'_, str>>| token.as_ref().map(|_| format_args!("…").to_string());
        f.debug_struct("Envelope")
            .field("access_token", &hidden(&self.access_token))
            .field("client_token", &hidden(&self.client_token))
            .field("client", &self.client)
            .field("paginated", &self.paginated)
            .finish()
    }
}

/// A name at the top level of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name {
    AccessToken,
    ClientToken,
    Client,
    Limitation,
    Other,
}

impl Name {
    /// In any case, as .NET reads it.
    pub(super) fn of(name: &[u8]) -> Self {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        // By its length first, since most names are others.
        match name.len() {
            11 if is("AccessToken") => Self::AccessToken,
            11 if is("ClientToken") => Self::ClientToken,
            6 if is("Client") => Self::Client,
            10 if is("Limitation") => Self::Limitation,
            _ => Self::Other,
        }
    }
}
