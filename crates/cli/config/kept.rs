//! Contracts that `nightaudit mews update` keeps in the data folder, in the place of those that are built in.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use nightaudit_mews::{Contracts, docs::Docs};
use serde::{Deserialize, Serialize};

use crate::error::Usage;

/// The largest file that is read or kept, in bytes.
const LARGEST: u64 = 64 << 20;

/// The most pages that are read of a folder.
const MOST_PAGES: usize = 1000;

/// What is kept.
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
    /// The form of the built-in data.
    Data,
    /// An OpenAPI document, over what is built in.
    OpenApi,
}

/// The folder in which it is kept.
pub(crate) fn folder(data: &Path) -> PathBuf {
    data.join("mews")
}

fn file(data: &Path) -> PathBuf {
    folder(data).join("contracts.json")
}

/// The kept contracts, else the built-in ones.
///
/// # Errors
///
/// [`Usage`] where what is kept can't be read, with the remedy.
pub(crate) fn contracts(data: &Path) -> anyhow::Result<Contracts> {
    let path = file(data);
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contracts::built_in()),
        Err(error) => {
            return Err(Usage(anyhow::Error::new(error).context(format!("can't read {}", path.display()))).into());
        }
    };
    let remedy = || format!("{} can't be used; `nightaudit mews update --builtin` removes it", path.display());
    let kept: Kept = serde_json::from_slice(&text).with_context(remedy).map_err(Usage)?;
    Ok(kept.contracts().with_context(remedy).map_err(Usage)?)
}

/// Removes what is kept.
///
/// # Errors
///
/// It can't be removed.
pub(crate) fn forget(data: &Path) -> anyhow::Result<()> {
    let path = file(data);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

impl Kept {
    fn contracts(&self) -> anyhow::Result<Contracts> {
        Ok(match self.kind {
            KeptKind::Data => Contracts::from_data(&self.content, &self.revision)?,
            KeptKind::OpenApi => Contracts::from_openapi(self.content.as_bytes())?.of_revision(&self.revision),
        })
    }
}

/// Contracts that were read, and are kept if they are wanted.
#[derive(Debug)]
pub(crate) struct Newer(Kept);

impl Newer {
    /// Reads an OpenAPI document, or a folder of documentation.
    ///
    /// # Errors
    ///
    /// [`Usage`] where it is neither, in one line.
    pub(crate) fn read(from: &Path, revision: Option<&str>) -> anyhow::Result<Self> {
        let read = || if from.is_dir() { documentation(from) } else { document(from) };
        let mut kept = read().with_context(|| from.display().to_string()).map_err(Usage)?;
        if let Some(revision) = revision {
            kept.revision = revision.chars().filter(|letter| !letter.is_control()).take(100).collect();
        }
        Ok(Self(kept))
    }

    /// The contracts.
    ///
    /// # Errors
    ///
    /// [`Usage`] where they can't be used.
    pub(crate) fn contracts(&self) -> anyhow::Result<Contracts> {
        Ok(self.0.contracts().map_err(Usage)?)
    }

    /// Keeps them, whole or not at all.
    ///
    /// # Errors
    ///
    /// The data folder can't be written.
    pub(crate) fn keep(&self, data: &Path) -> anyhow::Result<()> {
        let (folder, path) = (folder(data), file(data));
        let write = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            let mut temporary = tempfile::NamedTempFile::new_in(&folder)?;
            temporary.write_all(&serde_json::to_vec(&self.0)?)?;
            temporary.as_file().sync_all()?;
            temporary.persist(&path)?;
            Ok(())
        };
        write().with_context(|| format!("can't write {}", path.display()))
    }
}

fn document(from: &Path) -> anyhow::Result<Kept> {
    let bytes = read(from).context("can't be read")?;
    let content = String::from_utf8(bytes).context("is no text in UTF-8")?;
    let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Kept { kind: KeptKind::OpenApi, revision: name, content })
}

/// Reads a checkout: its folder `connector-api`, that folder itself, or the one of its operations.
fn documentation(from: &Path) -> anyhow::Result<Kept> {
    let roots = [from.join("connector-api"), from.to_path_buf(), from.join("..")];
    let Some(root) = roots.iter().find(|root| root.join("operations").is_dir()) else {
        bail!("has no folder `operations`, as Mews' documentation of the Connector API has");
    };
    let mut docs = Docs::default();
    let mut pages = 0;
    for folder in ["operations", "guidelines", "deprecations", "changelog"] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            if !Docs::wants(&path) {
                continue;
            }
            pages += 1;
            if pages > MOST_PAGES {
                bail!("has more than {MOST_PAGES} pages");
            }
            let bytes = read(&root.join(&path)).with_context(|| format!("can't read {path}"))?;
            docs.add(&path, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    let revision = docs.revision().unwrap_or_else(|| "without a date".to_owned());
    Ok(Kept { kind: KeptKind::Data, revision, content: docs.data()? })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64 MiB"));
    }
    Ok(bytes)
}
