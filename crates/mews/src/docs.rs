//! Converts the documentation's Markdown to the format of this crate's data.
//!
//! Mews generates most pages from its OpenAPI document, so tables and lists are uniform. Tables are taken literally. Of the
//! prose, recurring forms are recognised: required and mutually exclusive filters, maximum intervals, formats and
//! deprecations. No sentence is kept.

mod deprecations;
mod page;
mod prose;
mod rules;
mod text;
mod types;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::catalogue::{Catalogue, InvalidData};
use page::Page;

/// Maximum length of a page in bytes; Mews' longest has 200 KiB.
pub const LONGEST_PAGE: usize = 4 << 20;

/// A folder that can't be used as documentation.
#[derive(Debug, Error)]
pub enum InvalidDocs {
    /// No page has an operation's tables.
    #[error("no page has an operation below /api/connector/v1/; is it the Connector API's documentation?")]
    NoOperations,
    /// The pages contradict each other.
    #[error("what the pages say doesn't fit together: {0}")]
    Data(String),
}

impl From<InvalidData> for InvalidDocs {
    fn from(error: InvalidData) -> Self {
        Self::Data(error.to_string())
    }
}

/// The pages of a checkout of Mews' documentation, by their paths below `connector-api`: `operations/bills.md`.
#[derive(Debug, Default)]
pub struct Docs {
    pages: BTreeMap<String, String>,
}

impl Docs {
    /// Whether a page at `path` below `connector-api` is used.
    pub fn wants(path: &str) -> bool {
        if path.ends_with("/_export-types.md") {
            return false;
        }
        let is_operation =
            path.strip_prefix("operations/").is_some_and(|name| name.ends_with(".md") && !name.contains('/'));
        is_operation || matches!(path, "guidelines/pagination.md" | "deprecations/README.md" | "changelog/README.md")
    }

    /// Adds a page, truncated to [`LONGEST_PAGE`].
    pub fn add(&mut self, path: &str, mut text: String) {
        let cut = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST_PAGE).last().unwrap_or_default();
        if text.len() > LONGEST_PAGE {
            text.truncate(cut);
        }
        self.pages.insert(path.to_owned(), text.replace('\r', ""));
    }

    /// The date of the newest change in the documentation's changelog.
    pub fn revision(&self) -> Option<String> {
        let changelog = self.pages.get("changelog/README.md")?;
        let days = changelog.split("date=\"").skip(1).filter_map(|rest| rest.get(..10));
        days.filter(|day| day.parse::<jiff::civil::Date>().is_ok()).max().map(str::to_owned)
    }

    /// The pages in the format of this crate's data: see its README.
    ///
    /// # Errors
    ///
    /// [`InvalidDocs`] if there are no operations, or the result can't be parsed.
    pub fn data(&self) -> Result<String, InvalidDocs> {
        let pages: BTreeMap<&str, Page> = self
            .pages
            .iter()
            .filter_map(|(path, text)| {
                let name = path.rsplit('/').next()?;
                let is_read =
                    !path.starts_with("deprecations") && !path.starts_with("changelog") && name != "README.md";
                is_read.then(|| (name, Page::read(text)))
            })
            .collect();
        let groups = self.pages.get("operations/README.md").map_or_else(BTreeMap::new, |text| page::groups(text));
        let deprecations =
            self.pages.get("deprecations/README.md").map(|text| deprecations::read(text)).unwrap_or_default();
        let data = text::write(&pages, &groups, &deprecations);
        if !data.contains("[operation.") {
            return Err(InvalidDocs::NoOperations);
        }
        Ok(data)
    }

    /// The pages as a catalogue.
    ///
    /// # Errors
    ///
    /// As [`data`](Self::data).
    pub fn catalogue(&self) -> Result<Catalogue, InvalidDocs> {
        Ok(Catalogue::from_data(&self.data()?)?)
    }
}
