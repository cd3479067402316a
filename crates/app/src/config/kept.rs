//! Contracts that `nightaudit mews update` stores in the data folder, replacing the built-in ones.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use nightaudit_exchange::Digest;
use nightaudit_mews::{
    Contracts, InvalidOpenApi,
    docs::{Docs, InvalidDocs},
};
use serde::{Deserialize, Serialize};

/// Why the contracts can't be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractsError {
    /// The document that `openapi` names can't be read.
    #[error("`openapi`: can't read {}", path.display())]
    Document {
        /// The document.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The document that `openapi` names isn't valid OpenAPI.
    #[error("`openapi`: {}", path.display())]
    OpenApi {
        /// The document.
        path: PathBuf,
        /// What is wrong with it.
        source: InvalidOpenApi,
    },
    /// The stored contracts can't be read.
    #[error("can't read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The stored contracts are damaged, or of another version.
    #[error("{} can't be used; `nightaudit mews update --builtin` removes it", path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: UnusableContent,
    },
}

/// What is wrong with the stored contracts' content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableContent {
    /// The enclosing file.
    #[error(transparent)]
    File(#[from] serde_json::Error),
    /// The pages' data.
    #[error(transparent)]
    Docs(#[from] InvalidDocs),
    /// The OpenAPI document.
    #[error(transparent)]
    OpenApi(#[from] InvalidOpenApi),
}

/// Why contracts can't be updated from a path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The document can't be read.
    #[error("{}: can't be read", path.display())]
    Unreadable {
        /// The document or the folder.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The document isn't text.
    #[error("{}: is not UTF-8 text", path.display())]
    NoText {
        /// The document.
        path: PathBuf,
    },
    /// The folder isn't documentation of the Connector API.
    #[error("{}: has no folder `operations`, unlike Mews' Connector API documentation", path.display())]
    NoOperations {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has too many pages.
    #[error("{}: has more than {MOST_PAGES} pages", path.display())]
    TooManyPages {
        /// The folder.
        path: PathBuf,
    },
    /// A page can't be read.
    #[error("{}: can't read {page}", path.display())]
    Page {
        /// The folder.
        path: PathBuf,
        /// The page in it.
        page: String,
        /// The I/O error.
        source: io::Error,
    },
    /// The content isn't valid.
    #[error("{}", path.display())]
    Content {
        /// The document or the folder.
        path: PathBuf,
        /// What is wrong with it.
        source: UnusableContent,
    },
}

/// Why contracts can't be stored in or removed from the data folder.
#[derive(Debug, thiserror::Error)]
#[error("can't {what} {}", path.display())]
pub struct KeepError {
    /// What failed: `write` or `remove`.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The I/O error.
    pub source: io::Error,
}

/// The largest file that is read or written, in bytes.
const LARGEST: u64 = 64 << 20;

/// The most pages read from a folder.
const MOST_PAGES: usize = 1000;

/// The stored file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kept {
    kind: KeptKind,
    revision: String,
    content: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptKind {
    /// The format of the built-in data.
    Data,
    /// An OpenAPI document, over the built-in contracts.
    OpenApi,
}

/// Where contracts are stored.
pub fn folder(data: &Path) -> PathBuf {
    data.join("mews")
}

pub(super) fn file(data: &Path) -> PathBuf {
    folder(data).join("contracts.json")
}

/// The stored contracts, else the built-in ones.
///
/// # Errors
///
/// [`ContractsError`] if the stored contracts can't be read or used.
pub fn contracts(data: &Path) -> Result<Contracts, ContractsError> {
    Ok(stored(data)?.map_or_else(Contracts::built_in, |(contracts, _)| contracts))
}

/// The stored contracts, and the SHA-256 of the documentation that they were read from; `None` without any.
///
/// # Errors
///
/// As [`contracts`].
pub(super) fn stored(data: &Path) -> Result<Option<(Contracts, Digest)>, ContractsError> {
    let path = file(data);
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ContractsError::Unreadable { path, source }),
    };
    let kept = serde_json::from_slice::<Kept>(&text).map_err(UnusableContent::from);
    let read = kept.and_then(|kept| Ok((kept.contracts()?, Digest::of(kept.content.as_bytes()))));
    read.map(Some).map_err(|source| ContractsError::Kept { path, source })
}

/// Removes the stored contracts.
///
/// # Errors
///
/// The file can't be removed.
pub fn forget(data: &Path) -> Result<(), KeepError> {
    let path = file(data);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(KeepError { what: "remove", path, source }),
        _ => Ok(()),
    }
}

impl Kept {
    fn contracts(&self) -> Result<Contracts, UnusableContent> {
        Ok(match self.kind {
            KeptKind::Data => Contracts::from_data(&self.content, &self.revision)?,
            KeptKind::OpenApi => Contracts::from_openapi(self.content.as_bytes())?.of_revision(&self.revision),
        })
    }
}

/// Contracts that were read from a path and may be stored.
#[derive(Debug)]
pub struct Newer {
    kept: Kept,
    from: PathBuf,
}

impl Newer {
    /// Reads an OpenAPI document, or a folder of documentation.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] if it is neither.
    pub fn read(from: &Path, revision: Option<&str>) -> Result<Self, UpdateError> {
        let mut kept = if from.is_dir() { documentation(from) } else { document(from) }?;
        if let Some(revision) = revision {
            kept.revision = revision.chars().filter(|letter| !letter.is_control()).take(100).collect();
        }
        Ok(Self { kept, from: from.to_owned() })
    }

    /// The contracts.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Content`] if they aren't valid.
    pub fn contracts(&self) -> Result<Contracts, UpdateError> {
        self.kept.contracts().map_err(|source| UpdateError::Content { path: self.from.clone(), source })
    }

    /// Stores them atomically.
    ///
    /// # Errors
    ///
    /// The data folder can't be written.
    pub fn keep(&self, data: &Path) -> Result<(), KeepError> {
        let (folder, path) = (folder(data), file(data));
        let write = || -> io::Result<()> {
            nightaudit_store::create_private_folder(&folder)?;
            let mut temporary = tempfile::NamedTempFile::new_in(&folder)?;
            temporary.write_all(&serde_json::to_vec(&self.kept)?)?;
            temporary.as_file().sync_all()?;
            temporary.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| KeepError { what: "write", path: path.clone(), source })
    }
}

fn document(from: &Path) -> Result<Kept, UpdateError> {
    let path = || from.to_owned();
    let bytes = read(from).map_err(|source| UpdateError::Unreadable { path: path(), source })?;
    let content = String::from_utf8(bytes).map_err(|_| UpdateError::NoText { path: path() })?;
    let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Kept { kind: KeptKind::OpenApi, revision: name, content })
}

/// Reads a checkout, its folder `connector-api`, or the folder `operations` in that.
fn documentation(from: &Path) -> Result<Kept, UpdateError> {
    let path = || from.to_owned();
    let unreadable = |source| UpdateError::Unreadable { path: path(), source };
    let roots = [from.join("connector-api"), from.to_path_buf(), from.join("..")];
    let Some(root) = roots.iter().find(|root| root.join("operations").is_dir()) else {
        return Err(UpdateError::NoOperations { path: path() });
    };
    let mut docs = Docs::default();
    let mut pages = 0;
    for folder in ["operations", "guidelines", "deprecations", "changelog"] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
            let page = format!("{folder}/{name}");
            if !Docs::wants(&page) {
                continue;
            }
            pages += 1;
            if pages > MOST_PAGES {
                return Err(UpdateError::TooManyPages { path: path() });
            }
            match read(&root.join(&page)) {
                Ok(bytes) => docs.add(&page, String::from_utf8_lossy(&bytes).into_owned()),
                Err(source) => return Err(UpdateError::Page { path: path(), page, source }),
            }
        }
    }
    let revision = docs.revision().unwrap_or_else(|| "without a date".to_owned());
    let content = docs.data().map_err(|error| UpdateError::Content { path: path(), source: error.into() })?;
    Ok(Kept { kind: KeptKind::Data, revision, content })
}

/// Reads a file of bounded size.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 MiB"));
    }
    Ok(bytes)
}
