//! HTTP Archive 1.2.
//!
//! Follows <http://www.softwareishard.com/blog/har-12-spec/>; extensions are properties that start with `_`, as it requires.

mod entry;

use std::io::Write;

use nightaudit_exchange::{Exchange, Missing};
use serde::Serialize;

use self::entry::Entry;
use crate::{ExchangeWriter, ExportError, Format};

/// A program and its version.
#[derive(Serialize)]
struct Program<'a> {
    name: &'a str,
    version: &'a str,
}

const CREATOR: Program<'static> = Program { name: "nightaudit", version: env!("CARGO_PKG_VERSION") };

pub(crate) struct HarWriter<W> {
    out: W,
    begun: bool,
    missing: Vec<Missing>,
}

/// An exchange's entry, as in the archive.
pub(crate) fn entry_json(exchange: &Exchange) -> Result<Vec<u8>, serde_json::Error> {
    Entry::with(exchange, |entry| serde_json::to_vec(entry))
}

impl<W: Write> HarWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, begun: false, missing: Vec::new() }
    }

    /// Writes the end of the archive and returns the output.
    pub(crate) fn close(mut self) -> Result<W, ExportError> {
        if !self.begun {
            self.begin(None).map_err(|error| ExportError::Write(error.into()))?;
        }
        self.out.write_all(b"\n]")?;
        if !self.missing.is_empty() {
            self.out.write_all(b",\"_missing\":")?;
            serde_json::to_writer(&mut self.out, &self.missing).map_err(|error| ExportError::Write(error.into()))?;
        }
        self.out.write_all(b"}}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Writes the start of the archive; the first exchange's client is HAR's `browser`.
    fn begin(&mut self, client: Option<&str>) -> Result<(), serde_json::Error> {
        let io = serde_json::Error::io;
        self.out.write_all(b"{\"log\":{\"version\":\"1.2\",\"creator\":").map_err(io)?;
        serde_json::to_writer(&mut self.out, &CREATOR)?;
        if let Some(client) = client {
            let (name, version) = client.rsplit_once(' ').unwrap_or((client, ""));
            self.out.write_all(b",\"browser\":").map_err(io)?;
            serde_json::to_writer(&mut self.out, &Program { name, version })?;
        }
        self.out.write_all(b",\"entries\":[\n").map_err(io)
    }
}

impl<W: Write> ExchangeWriter for HarWriter<W> {
    fn write(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        let error = |error| ExportError::json(exchange.id, Format::Har, error);
        if std::mem::replace(&mut self.begun, true) {
            self.out.write_all(b",\n")?;
        } else {
            self.begin(exchange.envelope.client.as_deref()).map_err(error)?;
        }
        Entry::with(exchange, |entry| serde_json::to_writer(&mut self.out, entry)).map_err(error)
    }

    fn missing(&mut self, missing: &[Missing]) -> Result<(), ExportError> {
        self.missing = missing.to_vec();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        self.close().map(drop)
    }
}
