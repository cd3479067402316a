//! Export formats.

use std::{fmt, str::FromStr};

/// An export format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// HTTP Archive 1.2, which browsers and HTTP tools open.
    Har,
    /// One exchange per line, lossless: importing it gives the same log.
    Ndjson,
    /// One row per exchange, for spreadsheets; without bodies and headers.
    Csv,
    /// A shell script of `curl` commands that resend the requests; tokens are shell variables.
    Curl,
    /// A Postman collection 2.1 with a request for each operation, merged over all that were recorded; tokens are variables.
    Postman,
    /// An OpenAPI 3.1 document of the recorded requests and responses, merged over all: what was observed, which isn't
    /// what Mews documents.
    OpenApi,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [Self::Har, Self::Ndjson, Self::Csv, Self::Curl, Self::Postman, Self::OpenApi];

    /// Its name on the command line and in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Har => "har",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Curl => "curl",
            Self::Postman => "postman",
            Self::OpenApi => "openapi",
        }
    }

    /// The file extension, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Curl => "sh",
            // As Postman itself names them.
            Self::Postman => "postman_collection.json",
            Self::OpenApi => "openapi.json",
            _ => self.name(),
        }
    }

    /// The media type for `Content-Type`.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Har | Self::Postman | Self::OpenApi => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Curl => "application/x-sh",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownFormat(text.chars().take(80).collect()))
    }
}

/// An unknown format name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{0}`: use har, ndjson, csv, curl, postman or openapi")]
pub struct UnknownFormat(String);
