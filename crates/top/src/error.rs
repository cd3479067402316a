//! Errors of the view and of what it is asked for.

use std::{io, path::PathBuf};

use nightaudit_exchange::InvalidFilter;
use nightaudit_export::{ExportError, Format};

/// The view can't be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Standard input and output are no terminal, or it is gone.
    #[error("the terminal can't be used")]
    Terminal(#[source] io::Error),
    /// The system has no resources for another thread.
    #[error("can't spawn a thread")]
    Thread(#[source] io::Error),
    /// The thread that queries the log has ended.
    #[error("the log's thread has ended")]
    LogThread,
}

/// A filter that can't be parsed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FilterError {
    #[error("unclosed quotation mark")]
    Quote,
    #[error(transparent)]
    Invalid(#[from] InvalidFilter),
}

/// A file name from which no format follows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no format has the extension of `{0}`: use {extensions}", extensions = extensions())]
pub(super) struct UnknownExtension(pub(super) String);

/// Every format's extension, with dots.
pub(super) fn extensions() -> String {
    Format::ALL.map(|format| format!(".{}", format.extension())).join(" ")
}

/// Exchanges can't be written to a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Extension(#[from] UnknownExtension),
    #[error("{} already exists: choose another name", .0.display())]
    Exists(PathBuf),
    #[error("can't write {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Log(#[from] nightaudit_client::Error),
    #[error(transparent)]
    Export(#[from] ExportError),
}
