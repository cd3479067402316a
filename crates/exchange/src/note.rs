//! What is to be known of an exchange beside its messages.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where what one side got is not what the other sent, or either did something unusual. The messages are recorded as
/// they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Note {
    /// The response had headers that only nightaudit gives (`X-Nightaudit-…`); the client did not get them.
    OwnHeadersRemoved,
    /// The response had `Alt-Svc` or `Strict-Transport-Security`, which would lead the client past the proxy; it did not
    /// get them.
    OriginHeadersRemoved,
    /// The response redirected to Mews itself; to the client it redirected to the proxy.
    RedirectRewritten,
    /// The response set cookies for Mews' host, or ones that are not sent in clear text; the client got them for the
    /// proxy.
    CookiesRewritten,
    /// The response had both `Content-Length` and chunks; the chunks counted.
    LengthIgnored,
    /// The client had closed its side of the connection before it had the response: it may have left.
    ClientHalfClosed,
}

impl Note {
    /// The note as it stands in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnHeadersRemoved => "own-headers-removed",
            Self::OriginHeadersRemoved => "origin-headers-removed",
            Self::RedirectRewritten => "redirect-rewritten",
            Self::CookiesRewritten => "cookies-rewritten",
            Self::LengthIgnored => "length-ignored",
            Self::ClientHalfClosed => "client-half-closed",
        }
    }
}

impl fmt::Display for Note {
    /// A sentence for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnHeadersRemoved => {
                "X-Nightaudit headers of the response, which only nightaudit gives, were removed"
            }
            Self::OriginHeadersRemoved => {
                "Alt-Svc and Strict-Transport-Security, which lead past the proxy, were removed from the response"
            }
            Self::RedirectRewritten => "the redirect to Mews was rewritten to lead to the proxy",
            Self::CookiesRewritten => "cookies for Mews' host were rewritten to be the proxy's",
            Self::LengthIgnored => "the response had both Content-Length and chunks; the chunks counted",
            Self::ClientHalfClosed => "the client closed its side of the connection before it had the response",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_spelt_alike_in_json_and_as_text() {
        for note in [
            Note::OwnHeadersRemoved,
            Note::OriginHeadersRemoved,
            Note::RedirectRewritten,
            Note::CookiesRewritten,
            Note::LengthIgnored,
            Note::ClientHalfClosed,
        ] {
            assert_eq!(serde_json::to_value(note).unwrap(), note.as_str());
        }
    }
}
