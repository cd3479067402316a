//! Where a log is.

use std::path::{Path, PathBuf};

use nightaudit_archive::Address;

/// A log of this machine, or an archive.
#[derive(Debug, Clone)]
pub enum Place {
    /// A data folder, and the `serve` that may have it open.
    Folder(PathBuf),
    /// An archive in PostgreSQL.
    Archive(Box<Address>),
}

impl From<&Path> for Place {
    fn from(data: &Path) -> Self {
        Self::Folder(data.to_owned())
    }
}

impl From<&PathBuf> for Place {
    fn from(data: &PathBuf) -> Self {
        Self::Folder(data.clone())
    }
}

impl From<&Self> for Place {
    fn from(place: &Self) -> Self {
        place.clone()
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(data) => data.display().fmt(f),
            Self::Archive(address) => address.fmt(f),
        }
    }
}
