//! Exchanges written for other programs: as HAR, NDJSON, CSV and as cURL commands.
//!
//! A [`Format`] opens an [`ExchangeWriter`] over anything that takes bytes. It takes exchanges one by one and keeps none,
//! so that a session of any length goes through in the memory of its largest exchange. What has been written is complete
//! after [`finish`](ExchangeWriter::finish); a session without exchanges gives a valid file as well.
//!
//! Whatever came over the network is escaped as the format has it: text in a body can't become a formula in a
//! spreadsheet or a command in a shell.
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
    verify::{
        Finding, FindingKind, Progress, SessionOrigin, SignedBy, Verification, VerifyError, VerifyOptions, verify,
        verify_exchanges,
    },
};

/// A format in which exchanges can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// HTTP Archive 1.2, which browsers and HTTP tools open.
    Har,
    /// An exchange a line, complete: importing it again gives the same log.
    Ndjson,
    /// A line an exchange, for a spreadsheet; bodies and header fields are left out.
    Csv,
    /// A shell script of `curl` commands that send the requests again; the tokens are shell variables.
    Curl,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Har, Self::Ndjson, Self::Csv, Self::Curl];

    /// The name by which it is asked for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Har => "har",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Curl => "curl",
        }
    }

    /// What the name of such a file ends with, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Curl => "sh",
            _ => self.name(),
        }
    }

    /// The media type, as a `Content-Type` has it.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Har => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Curl => "application/x-sh",
        }
    }

    /// A writer that puts exchanges into `out`.
    ///
    /// It writes in small pieces: give it a [`BufWriter`](io::BufWriter) where that matters.
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

/// A text that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no format `{0}`: there are har, ndjson, csv and curl")]
pub struct UnknownFormat(String);

/// Takes exchanges one by one and writes them.
///
/// After an error what was written is incomplete, and going on makes no sense.
pub trait ExchangeWriter {
    /// Writes an exchange.
    ///
    /// # Errors
    ///
    /// [`ExportError`] where the output takes no more.
    fn write(&mut self, exchange: &Exchange) -> Result<(), ExportError>;

    /// Names what is missing between or after the exchanges. Call at most once, after the last exchange.
    ///
    /// A format that has no place for it leaves it out.
    ///
    /// # Errors
    ///
    /// [`ExportError`] where the output takes no more.
    fn missing(&mut self, missing: &[Missing]) -> Result<(), ExportError> {
        let _ = missing;
        Ok(())
    }

    /// Writes what stands behind the last exchange, and flushes.
    ///
    /// # Errors
    ///
    /// [`ExportError`] where the output takes no more.
    fn finish(self: Box<Self>) -> Result<(), ExportError>;
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output could not be written.
    #[error("the export could not be written")]
    Write(#[from] io::Error),
    /// An exchange has no form in this format.
    #[error("exchange {id} could not be written as {format}")]
    Encode {
        /// The exchange.
        id: ExchangeId,
        /// The format.
        format: Format,
        /// What is in the way.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The declaration can't be read.
    #[error("the declaration: {0}")]
    Declaration(Box<dyn std::error::Error + Send + Sync>),
    /// There are more sessions than one report or bundle reviews.
    #[error("these exchanges are of more than {0} sessions: choose one with --session")]
    TooManySessions(usize),
}

impl ExportError {
    /// What serde_json says about an exchange: mostly that the output takes no more.
    fn json(id: ExchangeId, format: Format, error: serde_json::Error) -> Self {
        if error.is_io() { Self::Write(error.into()) } else { Self::Encode { id, format, source: error.into() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("HAR".parse(), Ok(Format::Har));
        assert!("xml".parse::<Format>().unwrap_err().to_string().contains("`xml`"));
    }

    #[test]
    fn an_output_that_takes_no_more_is_an_error_of_writing() {
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
