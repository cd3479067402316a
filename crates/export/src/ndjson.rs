//! One exchange per line.

use std::io::Write;

use nightaudit_exchange::{Exchange, Missing};

use crate::{ExchangeWriter, ExportError, Format};

pub(crate) struct NdjsonWriter<W> {
    out: W,
}

impl<W: Write> NdjsonWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write> ExchangeWriter for NdjsonWriter<W> {
    fn write(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        serde_json::to_writer(&mut self.out, exchange)
            .map_err(|error| ExportError::json(exchange.id, Format::Ndjson, error))?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// One line `{"missing": …}` each.
    fn missing(&mut self, missing: &[Missing]) -> Result<(), ExportError> {
        for missing in missing {
            serde_json::to_writer(&mut self.out, &serde_json::json!({ "missing": missing }))
                .map_err(|error| ExportError::Write(error.into()))?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        Ok(self.out.flush()?)
    }
}
