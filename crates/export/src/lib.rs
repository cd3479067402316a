//! Exports exchanges as HAR, NDJSON, CSV and cURL commands.
//!
//! A [`Format`] opens an [`ExchangeWriter`] over any [`Write`]. It takes exchanges one by one and keeps none, so memory is
//! bounded by the largest exchange. The output is complete after [`finish`](ExchangeWriter::finish); without exchanges it is a
//! valid, empty file.
//!
//! Data from the network is escaped for each format: text in a body can't become a formula in a spreadsheet or a command in
//! a shell.
//!
//! ```
//! use nightaudit_export::Format;
//!
//! let mut har = Vec::new();
//! let mut writer = Format::Har.writer(&mut har);
//! let exchanges: [nightaudit_exchange::Exchange; 0] = [];
//! for exchange in &exchanges {
//!     writer.write(exchange)?;
//! }
//! writer.finish()?;
//! assert!(har.starts_with(br#"{"log":{"version":"1.2","#));
//! # Ok::<(), nightaudit_export::ExportError>(())
//! ```

mod bundle;
mod csv;
mod curl;
mod evidence;
mod har;
mod hashed;
mod key;
mod mask;
mod name;
mod ndjson;
mod report;
mod text;
mod verify;

use std::{
    fmt,
    io::{self, Write},
    str::FromStr,
};

use nightaudit_exchange::{Exchange, ExchangeId, Missing};

pub use self::{
    bundle::{Chain, FileEntry, Made, Manifest, Outline},
    evidence::Evidence,
    key::{Fingerprint, InvalidSignature, KeyError, Signature, SigningKey},
    mask::ExportMask,
    name::default_name,
    verify::{
        Finding, FindingKind, Progress, SessionOrigin, SignedBy, Verification, VerifyError, VerifyOptions, verify,
        verify_exchanges,
    },
};

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
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Har, Self::Ndjson, Self::Csv, Self::Curl];

    /// Its name on the command line and in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Har => "har",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Curl => "curl",
        }
    }

    /// The file extension, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Curl => "sh",
            _ => self.name(),
        }
    }

    /// The media type for `Content-Type`.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Har => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Curl => "application/x-sh",
        }
    }

    /// A writer of this format to `out`.
    ///
    /// Writes are small: wrap `out` in a [`BufWriter`](io::BufWriter) where that matters.
    pub fn writer<'w>(self, out: impl Write + Send + 'w) -> Box<dyn ExchangeWriter + Send + 'w> {
        match self {
            Self::Har => Box::new(har::HarWriter::new(out)),
            Self::Ndjson => Box::new(ndjson::NdjsonWriter::new(out)),
            Self::Csv => Box::new(csv::CsvWriter::new(out)),
            Self::Curl => Box::new(curl::CurlWriter::new(out)),
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
#[error("unknown format `{0}`: use har, ndjson, csv or curl")]
pub struct UnknownFormat(String);

/// Writes exchanges one by one.
///
/// After an error the output is incomplete and the writer must not be used again.
pub trait ExchangeWriter {
    /// Writes an exchange.
    ///
    /// # Errors
    ///
    /// [`ExportError`] if the output can't be written.
    fn write(&mut self, exchange: &Exchange) -> Result<(), ExportError>;

    /// Records the exchanges missing from the log. Call at most once, after the last exchange.
    ///
    /// Formats that can't express it ignore it.
    ///
    /// # Errors
    ///
    /// [`ExportError`] if the output can't be written.
    fn missing(&mut self, missing: &[Missing]) -> Result<(), ExportError> {
        let _ = missing;
        Ok(())
    }

    /// Writes the end of the file and flushes.
    ///
    /// # Errors
    ///
    /// [`ExportError`] if the output can't be written.
    fn finish(self: Box<Self>) -> Result<(), ExportError>;
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output could not be written.
    #[error("the export could not be written")]
    Write(#[from] io::Error),
    /// An exchange can't be encoded in this format.
    #[error("exchange {id} could not be written as {format}")]
    Encode {
        /// The exchange.
        id: ExchangeId,
        /// The format.
        format: Format,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The declaration can't be read.
    #[error("the declaration: {0}")]
    Declaration(Box<dyn std::error::Error + Send + Sync>),
    /// Too many sessions for one report or bundle.
    #[error("these exchanges belong to more than {0} sessions: choose one with --session")]
    TooManySessions(usize),
}

impl ExportError {
    /// Maps an error of serde_json, which is mostly an I/O error of the output.
    fn json(id: ExchangeId, format: Format, error: serde_json::Error) -> Self {
        if error.is_io() { Self::Write(error.into()) } else { Self::Encode { id, format, source: error.into() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_parse_from_their_names() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("HAR".parse(), Ok(Format::Har));
        assert!("xml".parse::<Format>().unwrap_err().to_string().contains("`xml`"));
    }

    #[test]
    fn a_full_disk_is_a_write_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for format in [Format::Har, Format::Csv, Format::Curl] {
            let error = format.writer(Full).finish().unwrap_err();
            assert!(
                matches!(&error, ExportError::Write(error) if error.kind() == io::ErrorKind::StorageFull),
                "{error}"
            );
        }
    }
}
