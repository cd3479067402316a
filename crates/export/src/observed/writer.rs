//! Merges exchanges, and writes a document of them at the end.

use std::io::Write;

use nightaudit_exchange::{Exchange, Missing};

use super::Observed;
use crate::{ExchangeWriter, ExportError};

/// Writes a document of what was observed, and of how many exchanges are missing.
type Document = fn(&Observed, u64, &mut dyn Write) -> serde_json::Result<()>;

pub(crate) struct ObservedWriter<W> {
    out: W,
    observed: Observed,
    missing: u64,
    document: Document,
}

impl<W: Write> ObservedWriter<W> {
    pub(crate) fn new(out: W, document: Document) -> Self {
        Self { out, observed: Observed::default(), missing: 0, document }
    }
}

impl<W: Write> ExchangeWriter for ObservedWriter<W> {
    fn write(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        self.observed.add(exchange);
        Ok(())
    }

    fn missing(&mut self, missing: &[Missing]) -> Result<(), ExportError> {
        self.missing = missing.iter().map(|missing| missing.count).sum();
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        (self.document)(&self.observed, self.missing, &mut self.out)
            .map_err(|error| ExportError::Write(error.into()))?;
        self.out.write_all(b"\n")?;
        Ok(self.out.flush()?)
    }
}
