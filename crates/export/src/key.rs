//! The key with which an installation signs its evidence.

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_STANDARD_NO_PAD};
use nightaudit_exchange::{Digest, Timestamp};
use ring::{
    rand::{SecureRandom as _, SystemRandom},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use serde::{Deserialize, Serialize};

/// The file in the data folder that holds the key: the 32 bytes of an Ed25519 seed (RFC 8032) in base64.
const FILE: &str = "signing-key";

/// An installation's Ed25519 key, kept in the data folder's file `signing-key` (mode 0600).
///
/// ```
/// use nightaudit_exchange::Timestamp;
/// use nightaudit_export::SigningKey;
///
/// let folder = tempfile::tempdir()?;
/// let key = SigningKey::load_or_create(folder.path())?;
/// let signature = key.sign(b"manifest", Timestamp::from_micros(0));
/// assert_eq!(signature.check(b"manifest").unwrap(), key.fingerprint());
/// assert!(signature.check(b"another").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SigningKey(Ed25519KeyPair);

/// The signing key can't be loaded or created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file can't be read or written.
    #[error("can't {what} the signing key {}: {source}", path.display())]
    Io {
        /// The operation: `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not a signing key.
    #[error("{} is not a signing key: restore the key, or move the file away to have a new one created", .0.display())]
    Invalid(PathBuf),
    /// The system's random number generator failed.
    #[error("the system's random number generator failed: no signing key was created")]
    Random,
}

impl SigningKey {
    /// Loads the key of a data folder; `None` if there isn't one yet.
    ///
    /// # Errors
    ///
    /// [`KeyError::Io`] if it can't be read, [`KeyError::Invalid`] if the file is not a key.
    pub fn load(folder: &Path) -> Result<Option<Self>, KeyError> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(KeyError::Invalid(path)),
            Err(source) => return Err(KeyError::Io { what: "read", path, source }),
        };
        let seed = BASE64_STANDARD.decode(text.trim_end()).ok();
        let pair = seed.and_then(|seed| Ed25519KeyPair::from_seed_unchecked(&seed).ok());
        pair.map(|pair| Some(Self(pair))).ok_or(KeyError::Invalid(path))
    }

    /// Loads the key of a data folder, or creates one. A file that is not a key is left alone.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if it can't be read or written.
    pub fn load_or_create(folder: &Path) -> Result<Self, KeyError> {
        loop {
            if let Some(key) = Self::load(folder)? {
                return Ok(key);
            }
            let mut seed = [0; 32];
            SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Random)?;
            let path = folder.join(FILE);
            match create(folder, &path, &BASE64_STANDARD.encode(seed)) {
                // Another process was first; load its key.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(KeyError::Io { what: "write", path, source }),
                Ok(()) => {}
            }
        }
    }

    /// The key's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.0.public_key().as_ref())
    }

    /// Signs a manifest with `at` as the time of signing.
    #[must_use]
    pub fn sign(&self, manifest: &[u8], at: Timestamp) -> Signature {
        let statement = statement(Digest::of(manifest), at);
        Signature {
            algorithm: Algorithm::Ed25519,
            public_key: BASE64_STANDARD.encode(self.0.public_key().as_ref()),
            fingerprint: self.fingerprint(),
            signed_at: at,
            signature: BASE64_STANDARD.encode(self.0.sign(statement.as_bytes()).as_ref()),
        }
    }
}

/// Omits the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.fingerprint()).finish()
    }
}

/// The SHA-256 of a public key's 32 bytes, written as `SHA256:` and base64 without padding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    fn of(public_key: &[u8]) -> Self {
        Self(format!("{FINGERPRINT_PREFIX}{}", BASE64_STANDARD_NO_PAD.encode(Digest::of(public_key).0)))
    }
}

/// What a fingerprint begins with.
const FINGERPRINT_PREFIX: &str = "SHA256:";

/// A text that is no key's fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is `SHA256:` and 43 letters, as `export` and `verify` print it")]
pub struct InvalidFingerprint;

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digest =
            text.strip_prefix(FINGERPRINT_PREFIX).and_then(|digest| BASE64_STANDARD_NO_PAD.decode(digest).ok());
        match digest {
            Some(digest) if digest.len() == Digest::of(b"").0.len() => Ok(Self(text.to_owned())),
            _ => Err(InvalidFingerprint),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A manifest's signature: the content of `signature.json`.
///
/// The signed text has three lines, each terminated by a line feed: `nightaudit evidence 1`, the SHA-256 of the manifest in
/// hex, and `signedAt` as written in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signature {
    algorithm: Algorithm,
    /// The 32 bytes in base64.
    public_key: String,
    fingerprint: Fingerprint,
    /// When it was signed, by the signing machine's clock.
    pub signed_at: Timestamp,
    /// The 64 bytes in base64.
    signature: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Algorithm {
    Ed25519,
}

/// The signature doesn't match the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid for this manifest and the key it names")]
pub struct InvalidSignature;

impl Signature {
    /// Checks the signature against the manifest; returns the fingerprint of its key.
    ///
    /// # Errors
    ///
    /// [`InvalidSignature`] if any of the signed data changed, or the fingerprint is not the key's.
    pub fn check(&self, manifest: &[u8]) -> Result<Fingerprint, InvalidSignature> {
        let decode = |text: &str| BASE64_STANDARD.decode(text).map_err(|_| InvalidSignature);
        let (key, signature) = (decode(&self.public_key)?, decode(&self.signature)?);
        let statement = statement(Digest::of(manifest), self.signed_at);
        UnparsedPublicKey::new(&ED25519, &key)
            .verify(statement.as_bytes(), &signature)
            .map_err(|_| InvalidSignature)?;
        let fingerprint = Fingerprint::of(&key);
        if fingerprint == self.fingerprint { Ok(fingerprint) } else { Err(InvalidSignature) }
    }
}

fn statement(manifest: Digest, at: Timestamp) -> String {
    format!("nightaudit evidence 1\n{manifest}\n{at}\n")
}

/// Creates the file atomically, readable by its owner only; fails if it exists.
fn create(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    // A temporary file has mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{text}")?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_created_once_and_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        assert!(SigningKey::load(folder.path()).unwrap().is_none());
        let made = SigningKey::load_or_create(folder.path()).unwrap().fingerprint();
        assert_eq!(SigningKey::load_or_create(folder.path()).unwrap().fingerprint(), made);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(SigningKey::load_or_create(other.path()).unwrap().fingerprint(), made);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn keys_created_concurrently_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let make = || SigningKey::load_or_create(path).unwrap().fingerprint();
        let made: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(made.iter().all(|key| *key == made[0]), "{made:?}");
    }

    #[test]
    fn an_invalid_key_file_is_left_alone_and_named() {
        for text in [&b"hello"[..], b"aGVsbG8=", b"\xff"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), text).unwrap();
            let error = SigningKey::load_or_create(folder.path()).unwrap_err().to_string();
            assert!(error.contains("signing-key") && error.contains("move the file away"), "{error}");
            assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), text);
        }
    }

    #[test]
    fn any_change_to_a_signature_invalidates_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(folder.path()).unwrap();
        let signature = key.sign(b"{}", Timestamp::from_micros(1));
        let mut others = vec![signature.clone(); 4];
        others[0].signed_at = Timestamp::from_micros(2);
        others[1].fingerprint = Fingerprint::of(b"another");
        others[2].signature.replace_range(0..1, if signature.signature.starts_with('A') { "B" } else { "A" });
        others[3].public_key = BASE64_STANDARD.encode([7; 32]);
        for other in others {
            assert_eq!(other.check(b"{}"), Err(InvalidSignature), "{other:?}");
        }
        assert_eq!(signature.check(b"{}"), Ok(key.fingerprint()));
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let own = Fingerprint::of(b"key");
        assert_eq!(own.to_string().parse(), Ok(own.clone()));
        let digest = own.to_string()[FINGERPRINT_PREFIX.len()..].to_owned();
        for wrong in ["", "nonsense", "SHA256:", &digest, &format!("{own}="), &format!("{own}AAAA"), &format!(" {own}")]
        {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(InvalidFingerprint), "{wrong}");
        }
    }
}
