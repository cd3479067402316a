//! The key of the pseudonyms of property values.

use std::{io, path::Path};

use nightaudit_exchange::{Digest, PseudonymKey};

use crate::{
    disk::{self, Disk, OsDisk},
    private::{REDACTION_KEY, read_secret},
};

/// The key of this installation's pseudonyms of property values; created if it doesn't exist.
///
/// # Errors
///
/// The error of the operating system, or [`io::ErrorKind::InvalidData`] if the file holds no key.
pub fn redaction_key(dir: &Path) -> io::Result<PseudonymKey> {
    redaction_key_on(&OsDisk, dir)
}

pub(crate) fn redaction_key_on(disk: &dyn Disk, dir: &Path) -> io::Result<PseudonymKey> {
    let path = dir.join(REDACTION_KEY);
    let invalid = || {
        let message = format!("{} holds no key: put the key back, or remove the file", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    match read_secret(&path) {
        Ok(text) => {
            let key: Digest = text.trim_end().parse().map_err(|_| invalid())?;
            Ok(PseudonymKey(key.0))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(io::Error::other)?;
            let text = format!("{}\n", Digest(key));
            disk::replace(disk, &path, text.as_bytes())?;
            Ok(PseudonymKey(key))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn the_key_is_created_once_with_private_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let key = redaction_key(dir.path()).unwrap();
        assert_eq!(redaction_key(dir.path()).unwrap().0, key.0);
        let path = dir.path().join(REDACTION_KEY);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(redaction_key(dir.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "hello").unwrap();
        assert!(redaction_key(dir.path()).unwrap_err().to_string().contains("holds no key"));
    }
}
