//! Writing exchanges, whatever the format.

use std::io;

use nightaudit_exchange::{Exchange, ExchangeId, Missing};

use crate::format::Format;

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

    /// How many of the exchanges are not in the output, because the format has no place for them.
    fn left_out(&self) -> u64 {
        0
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
    /// Too many nodes for one report or bundle.
    #[error("more than {0} nodes recorded these sessions: choose one with --session NAME@NODE")]
    TooManyNodes(usize),
}

impl ExportError {
    /// Maps an error of serde_json, which is mostly an I/O error of the output.
    pub(crate) fn json(id: ExchangeId, format: Format, error: serde_json::Error) -> Self {
        if error.is_io() { Self::Write(error.into()) } else { Self::Encode { id, format, source: error.into() } }
    }
}
