//! Remarks about an exchange.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A difference between what one side sent and the other received, or something unusual from either. The messages are
/// recorded as they arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Note {
    /// The response had `X-Nightaudit-…` headers, which are reserved for nightaudit; they were not passed on.
    OwnHeadersRemoved,
    /// The response had `Alt-Svc` or `Strict-Transport-Security`, which would make the client bypass the proxy; they
    /// were not passed on.
    OriginHeadersRemoved,
    /// The response redirected to the host itself; the client was redirected to the proxy instead.
    RedirectRewritten,
    /// The response set cookies for the host, or `Secure` ones; the client received them for the proxy.
    CookiesRewritten,
    /// The response had both `Content-Length` and chunked coding; `Content-Length` was ignored (RFC 9112, section 6.3).
    LengthIgnored,
    /// The client half-closed the connection before the response; it may have left.
    ClientHalfClosed,
    /// The tool that recorded the exchange kept a body decoded from its `Content-Encoding`: length and digest are those
    /// of the decoded bytes.
    BodyDecoded,
    /// The request or the response had trailers, which are not recorded.
    TrailersNotRecorded,
}

impl Note {
    /// The note as written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnHeadersRemoved => "own-headers-removed",
            Self::OriginHeadersRemoved => "origin-headers-removed",
            Self::RedirectRewritten => "redirect-rewritten",
            Self::CookiesRewritten => "cookies-rewritten",
            Self::LengthIgnored => "length-ignored",
            Self::ClientHalfClosed => "client-half-closed",
            Self::BodyDecoded => "body-decoded",
            Self::TrailersNotRecorded => "trailers-not-recorded",
        }
    }
}

impl fmt::Display for Note {
    /// A readable sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnHeadersRemoved => {
                "X-Nightaudit headers, which are reserved for nightaudit, were removed from the response"
            }
            Self::OriginHeadersRemoved => {
                "Alt-Svc and Strict-Transport-Security, which bypass the proxy, were removed from the response"
            }
            Self::RedirectRewritten => "the redirect to the host was rewritten to point to the proxy",
            Self::CookiesRewritten => "cookies for the host were rewritten for the proxy",
            Self::LengthIgnored => {
                "the response had both Content-Length and chunked coding; Content-Length was ignored"
            }
            Self::ClientHalfClosed => "the client half-closed the connection before the response",
            Self::BodyDecoded => {
                "a body was recorded decoded from its Content-Encoding; length and digest are of the decoded bytes"
            }
            Self::TrailersNotRecorded => {
                "a message had trailers, which are not recorded; those that Trailer did not announce, or that are not \
                 allowed in trailers, may not have been passed on"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_one_spelling_in_json_and_as_text() {
        for note in [
            Note::OwnHeadersRemoved,
            Note::OriginHeadersRemoved,
            Note::RedirectRewritten,
            Note::CookiesRewritten,
            Note::LengthIgnored,
            Note::ClientHalfClosed,
            Note::BodyDecoded,
            Note::TrailersNotRecorded,
        ] {
            assert_eq!(serde_json::to_value(note).unwrap(), note.as_str());
        }
    }
}
