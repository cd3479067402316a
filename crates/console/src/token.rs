//! The console's access token.

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq as _;

/// The file in the data folder that holds the token.
const FILE: &str = "console-token";

/// Random bytes in a token.
const BYTES: usize = 32;

/// The console's token: 256 random bits in URL-safe base64, kept in the data folder's file `console-token` (mode 0600).
///
/// ```
/// use nightaudit_console::Token;
///
/// let folder = tempfile::tempdir()?;
/// let token = Token::load_or_create(folder.path())?;
/// assert_eq!(token.as_str().len(), 43);
/// assert!(Token::load(folder.path())?.matches(token.as_str()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Token(String);

/// The token can't be loaded or created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file can't be read or written.
    #[error("can't {what} the console's token {}: {source}", path.display())]
    Io {
        /// The operation: `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not a token.
    #[error("{} is not a token: delete it, and the next `nightaudit serve` creates a new one", .0.display())]
    Invalid(PathBuf),
    /// The system's random number generator failed.
    #[error("the system's random number generator failed: no console token was created: {0}")]
    Random(getrandom::Error),
}

impl Token {
    /// Loads the token of a data folder.
    ///
    /// # Errors
    ///
    /// [`TokenError::Io`] if it is missing or can't be read, [`TokenError::Invalid`] if the file is not a token.
    pub fn load(folder: &Path) -> Result<Self, TokenError> {
        let path = folder.join(FILE);
        let text = nightaudit_store::read_secret(&path).map_err(|source| TokenError::Io {
            what: "read",
            path: path.clone(),
            source,
        })?;
        Self::parse(text.trim_end()).ok_or(TokenError::Invalid(path))
    }

    /// Loads the token of a data folder, or creates one. A file that is not a token is left alone.
    ///
    /// # Errors
    ///
    /// [`TokenError`] if it can't be read or written.
    pub fn load_or_create(folder: &Path) -> Result<Self, TokenError> {
        match Self::load(folder) {
            Err(TokenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Self::create(folder),
            result => result,
        }
    }

    /// Loads the token of a data folder that can't be written, or makes one that is kept nowhere.
    ///
    /// # Errors
    ///
    /// [`TokenError`] if it can't be read.
    pub fn load_or_make(folder: &Path) -> Result<Self, TokenError> {
        match Self::load(folder) {
            Err(TokenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Self::random(),
            result => result,
        }
    }

    fn random() -> Result<Self, TokenError> {
        let mut random = [0; BYTES];
        getrandom::fill(&mut random).map_err(TokenError::Random)?;
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(random)))
    }

    fn create(folder: &Path) -> Result<Self, TokenError> {
        let token = Self::random()?;
        let path = folder.join(FILE);
        // Written to a temporary file and renamed: a partial token would lock everyone out.
        let temporary = folder.join(format!("{FILE}.new"));
        let written = write_private(&temporary, &token.0).and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|source| TokenError::Io { what: "write", path, source })?;
        Ok(token)
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        (bytes.len() == BYTES).then(|| Self(text.to_owned()))
    }

    /// Whether `text` has the form of a token: only then does it go into a URL.
    pub(crate) fn has_form(text: &str) -> bool {
        Self::parse(text).is_some()
    }

    /// The token's text, for a URL or an `Authorization` header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address that opens the page of the console at `origin`. The token is in the fragment, which browsers send to
    /// no one; the page removes it from the address.
    #[must_use]
    pub fn page_url(&self, origin: &str) -> String {
        format!("{origin}/#token={}", self.0)
    }

    /// Whether `text` is the token, compared in constant time.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

/// Omits the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    // `create_new`, so that the mode is ours and not that of a file that somebody has left there.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_opens_only_for_itself() {
        let folder = tempfile::tempdir().unwrap();
        let token = Token::load_or_create(folder.path()).unwrap();
        assert!(Token::load_or_create(folder.path()).unwrap().matches(token.as_str()));
        for wrong in ["", "x", &token.as_str()[1..], &format!("{}x", token.as_str())] {
            assert!(!token.matches(wrong), "{wrong}");
        }
        let other = Token::load_or_create(tempfile::tempdir().unwrap().path()).unwrap();
        assert!(!other.matches(token.as_str()));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let leftover = folder.path().join("console-token.new");
        fs::write(&leftover, "torn").unwrap();
        fs::set_permissions(&leftover, fs::Permissions::from_mode(0o666)).unwrap();
        Token::load_or_create(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_token_is_left_alone_and_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "hello").unwrap();
        let error = Token::load_or_create(folder.path()).unwrap_err().to_string();
        assert!(error.contains("console-token") && error.contains("delete it"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), "hello");
    }

    #[test]
    fn debug_shows_nothing() {
        let token = Token::load_or_create(tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
