//! Importing a file through a running `serve`.

use std::io;

use nightaudit_log::Session;
use serde::Deserialize;

use crate::{client::Client, error::Error};

/// What an import made of a file, as the console reports it.
#[derive(Debug, Deserialize)]
pub struct ImportedFile {
    /// The first session.
    #[serde(flatten)]
    pub session: Session,
    /// Further sessions.
    pub also: Vec<Session>,
    /// Exchanges whose hash differs from the exported one.
    pub rehashed: u64,
    /// What the file had.
    pub file: FileContents,
}

/// What a file had.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileContents {
    /// The tool that wrote it; `None` for nightaudit's own export.
    pub tool: Option<String>,
    /// Damaged entries that were skipped.
    pub skipped: u64,
    /// The first of these, with the reasons.
    pub reasons: Vec<String>,
    /// Requests to other hosts that were left out.
    pub other_hosts: u64,
    /// Entries that aren't requests of HTTP.
    pub not_http: u64,
}

/// What to import of a file.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The name of the session.
    pub name: Option<String>,
    /// The file's name, after which the session is named otherwise.
    pub file: Option<String>,
    /// Whether damaged entries are skipped.
    pub lenient: bool,
    /// Whether requests to other hosts than Mews' are imported, too.
    pub all_hosts: bool,
}

impl Client {
    /// Imports a file into the log of the running `serve`, calling `progress` with the bytes sent so far.
    ///
    /// # Errors
    ///
    /// The file can't be read or imported, or the console can't be reached.
    pub fn import(
        &self,
        file: impl io::Read + Send + 'static,
        options: &ImportOptions,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ImportedFile, Error> {
        let mut query = Vec::new();
        let mut add = |name: &str, value: &str| query.push((name.to_owned(), value.to_owned()));
        options.name.iter().for_each(|name| add("name", name));
        options.file.iter().for_each(|file| add("file", file));
        for (name, is_set) in [("lenient", options.lenient), ("all-hosts", options.all_hosts)] {
            if is_set {
                add(name, "true");
            }
        }
        Ok(self.upload("/api/v1/import", &query, file, progress)?)
    }
}
