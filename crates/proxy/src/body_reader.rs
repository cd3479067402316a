//! Reading the envelope from a body that arrives in pieces.

use nightaudit_exchange::Utf8Stream;
use nightaudit_mews::{Envelope, envelope};

/// Reads the envelope from a body that arrives in pieces.
#[derive(Default)]
pub(crate) struct BodyReader {
    text: Utf8Stream,
    envelope: envelope::Reader,
    /// How much of the body it was given.
    length: usize,
}

impl BodyReader {
    /// Reads these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Box<Self> {
        let mut reader = Box::<Self>::default();
        reader.read(bytes);
        reader
    }

    /// Reads the next piece, and returns whether it changed the envelope.
    pub(crate) fn read(&mut self, piece: &[u8]) -> bool {
        self.length += piece.len();
        !self.is_final() && self.envelope.read(&self.text.push(piece))
    }

    /// How much of the body it was given.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn envelope(&self) -> &Envelope<'static> {
        self.envelope.envelope()
    }

    pub(crate) fn into_envelope(self) -> Envelope<'static> {
        self.envelope.into_envelope()
    }

    /// Whether it had a token that is too long to be known.
    pub(crate) fn is_too_long(&self) -> bool {
        self.envelope.is_too_long()
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        *self.envelope() == Envelope::default()
    }

    /// Whether more of the body can't change the envelope.
    pub(crate) fn is_final(&self) -> bool {
        self.envelope.is_final()
    }
}
