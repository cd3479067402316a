//! The documentation's own Markdown, read into the form in which the data of this crate is written.
//!
//! Mews generates most of its pages from its OpenAPI document, so that tables and lists look alike everywhere. What a
//! table says is taken as it stands; of what is said in words, the forms that recur are understood: which filters are
//! asked for, what excludes what, how long an interval may be, formats, and what is deprecated. No sentence is kept.

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

/// The longest page that is read, in bytes. The longest of Mews' has 200 KiB.
pub const LONGEST_PAGE: usize = 4 << 20;

/// Why a folder doesn't serve as documentation.
#[derive(Debug, Error)]
pub enum InvalidDocs {
    /// No page has the tables of an operation.
    #[error("no page has an operation below /api/connector/v1/; is it the Connector API's documentation?")]
    NoOperations,
    /// What was read contradicts itself.
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
    /// Whether a page at `path` below `connector-api` says anything that is read here.
    pub fn wants(path: &str) -> bool {
        if path.ends_with("/_export-types.md") {
            return false;
        }
        let is_operation =
            path.strip_prefix("operations/").is_some_and(|name| name.ends_with(".md") && !name.contains('/'));
        is_operation || matches!(path, "guidelines/pagination.md" | "deprecations/README.md" | "changelog/README.md")
    }

    /// Adds a page. One beyond [`LONGEST_PAGE`] is cut.
    pub fn add(&mut self, path: &str, mut text: String) {
        let cut = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST_PAGE).last().unwrap_or_default();
        if text.len() > LONGEST_PAGE {
            text.truncate(cut);
        }
        self.pages.insert(path.to_owned(), text.replace('\r', ""));
    }

    /// The day of the newest change that the documentation's changelog names.
    pub fn revision(&self) -> Option<String> {
        let changelog = self.pages.get("changelog/README.md")?;
        let days = changelog.split("date=\"").skip(1).filter_map(|rest| rest.get(..10));
        days.filter(|day| day.parse::<jiff::civil::Date>().is_ok()).max().map(str::to_owned)
    }

    /// What the pages say, in the form of this crate's data: see its README.
    ///
    /// # Errors
    ///
    /// [`InvalidDocs`] where there are no operations, or the result can't be read.
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

    /// The catalogue that the pages are.
    ///
    /// # Errors
    ///
    /// As [`data`](Self::data).
    pub fn catalogue(&self) -> Result<Catalogue, InvalidDocs> {
        Ok(Catalogue::from_data(&self.data()?)?)
    }
}
