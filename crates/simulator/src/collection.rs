//! Collections: what a property has many of.

use serde::Deserialize;

use crate::kind::Field;
use crate::name::capitalised;
use crate::rules::{InvalidData, Rules};

/// A collection of items.
#[derive(Debug)]
pub(crate) struct Collection {
    /// Its name in responses: `Resources`.
    pub(crate) title: Box<str>,
    /// The initial number of items.
    pub(crate) items: usize,
    pub(crate) fields: Vec<Field>,
    /// The object published over WebSockets when an item changes.
    pub(crate) event: Option<Box<str>>,
    /// The discriminator of the webhook event.
    pub(crate) webhook: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectionSource {
    #[serde(rename = "as")]
    title: Option<Box<str>>,
    items: usize,
    fields: String,
    event: Option<String>,
    webhook: Option<Box<str>>,
}

impl CollectionSource {
    pub(crate) fn collection(self, rules: &Rules, name: &str) -> Result<Collection, InvalidData> {
        Ok(Collection {
            title: self.title.unwrap_or_else(|| capitalised(name).into()),
            items: self.items,
            fields: rules.fields(name, &self.fields)?,
            event: self.event.map(|event| format!("{event}Event").into()),
            webhook: self.webhook,
        })
    }
}
