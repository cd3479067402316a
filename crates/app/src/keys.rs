//! The installation's keys, as exports use them.

use std::{
    io,
    path::{Path, PathBuf},
};

use nightaudit_console::EvidenceTools;
use nightaudit_exchange::PseudonymKey;
use nightaudit_export::{KeyError, SigningKey};

use crate::config::Settings;

/// The signing key can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// The file can't be read, or others could have replaced it.
    #[error("can't read the signing key {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It isn't a key, or can't be created.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The key with which this installation signs, created if there is none.
///
/// # Errors
///
/// [`SigningKeyError`] if it can't be read or created, or if others could have replaced it.
pub fn signing_key(data: &Path) -> Result<SigningKey, SigningKeyError> {
    let path = data.join("signing-key");
    match nightaudit_store::read_secret(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(SigningKeyError::Unreadable { path, source }),
        Err(_) => {
            // Who only reads an archive has no data folder before the first key.
            let folder = nightaudit_store::create_private_folder(data);
            folder.map_err(|source| KeyError::Io { what: "write", path, source })?;
            Ok(SigningKey::load_or_create(data)?)
        }
        Ok(_) => Ok(SigningKey::load_or_create(data)?),
    }
}

/// What the console needs to make evidence in `folder`, with the keys of the data folder.
pub(crate) fn evidence_tools(settings: &Settings, folder: &Path) -> EvidenceTools {
    let (signing, masking) = (settings.data.clone(), settings.data.clone());
    EvidenceTools {
        folder: folder.to_owned(),
        keys: settings.data.clone(),
        masked_fields: settings.export_mask.clone(),
        mask_key: Box::new(move || mask_key(&masking)),
        signing_key: Box::new(move || Ok(signing_key(&signing)?)),
    }
}

/// The installation's key for pseudonyms of masked values, or a new one for one export if it can't be read or created, as
/// in a read-only copy of a log.
#[must_use]
pub fn mask_key(data: &Path) -> PseudonymKey {
    nightaudit_store::redaction_key(data).unwrap_or_else(|error| {
        tracing::warn!("pseudonyms of masked values are valid for this export only: {error}");
        PseudonymKey::ephemeral()
    })
}
