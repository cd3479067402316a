//! Masking on export.

use nightaudit_exchange::{Exchange, Mask, PseudonymKey};

/// The JSON properties whose values an export masks in bodies.
#[derive(Debug, Default)]
pub struct ExportMask {
    fields: Vec<String>,
    mask: Option<Mask>,
}

impl ExportMask {
    /// Masks these properties; `key` makes the pseudonyms of their values, and isn't needed without properties.
    #[must_use]
    pub fn new(mut fields: Vec<String>, key: impl FnOnce() -> PseudonymKey) -> Self {
        fields.sort();
        fields.dedup();
        let mask = (!fields.is_empty()).then(|| Mask::new(&fields, key()));
        Self { fields, mask }
    }

    /// The properties, sorted.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Masks an exchange.
    pub fn apply(&self, exchange: &mut Exchange) {
        if let Some(mask) = &self.mask {
            mask.apply_to(exchange);
        }
    }
}
