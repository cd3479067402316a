//! Exports exchanges as HAR, NDJSON, CSV and cURL commands, merged as a Postman collection and an OpenAPI document, and single
//! requests as [`code`] in several languages.
//!
//! A [`Format`] opens an [`ExchangeWriter`] over any [`Write`]. It takes exchanges one by one and keeps none, so memory is
//! bounded by the largest exchange; what merges them is bounded by the operations and properties that it keeps. The output is complete after [`finish`](ExchangeWriter::finish); without exchanges it is a
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
mod code;
mod csv;
mod curl;
mod evidence;
mod format;
mod har;
mod hashed;
mod key;
mod mask;
mod name;
mod ndjson;
mod nodes;
mod observed;
mod read;
mod report;
mod text;
mod verify;
mod writer;

use std::io::Write;

pub use self::{
    bundle::{Chain, FileEntry, Made, Manifest, Outline},
    code::{Language, UnknownLanguage, code},
    evidence::Evidence,
    format::{Format, UnknownFormat},
    key::{Fingerprint, InvalidFingerprint, InvalidSignature, KeyError, Signature, SigningKey},
    mask::ExportMask,
    name::default_name,
    nodes::{NodeChain, Nodes},
    read::Bundle,
    report::comparison_page,
    verify::{
        Finding, FindingKind, NodeRecord, Progress, SessionOrigin, SignedBy, Verification, VerifyError, VerifyOptions,
        verify, verify_exchanges,
    },
    writer::{ExchangeWriter, ExportError},
};

impl Format {
    /// A writer of this format to `out`.
    ///
    /// Writes are small: wrap `out` in a [`BufWriter`](std::io::BufWriter) where that matters.
    pub fn writer<'w>(self, out: impl Write + Send + 'w) -> Box<dyn ExchangeWriter + Send + 'w> {
        match self {
            Self::Har => Box::new(har::HarWriter::new(out)),
            Self::Ndjson => Box::new(ndjson::NdjsonWriter::new(out)),
            Self::Csv => Box::new(csv::CsvWriter::new(out)),
            Self::Curl => Box::new(curl::CurlWriter::new(out)),
            Self::Postman => Box::new(observed::ObservedWriter::new(out, observed::postman::write)),
            Self::OpenApi => Box::new(observed::ObservedWriter::new(out, observed::openapi::write)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

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
        for format in [Format::Har, Format::Csv, Format::Curl, Format::Postman, Format::OpenApi] {
            let error = format.writer(Full).finish().unwrap_err();
            assert!(
                matches!(&error, ExportError::Write(error) if error.kind() == io::ErrorKind::StorageFull),
                "{error}"
            );
        }
    }
}
