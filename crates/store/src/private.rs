//! Private files of the data folder: opened without following links, checked before they are trusted.

use std::{
    fmt, fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{fs::OFlags, process::geteuid};

/// The file with the key for pseudonyms of property values: 64 hexadecimal digits.
pub(crate) const REDACTION_KEY: &str = "redaction-key";
/// Files of a data folder that are secret or reveal what is recorded.
const FILES: [&str; 7] = ["lock", "console", "journal", "ledger", "console-token", "signing-key", REDACTION_KEY];
/// Folders of a data folder.
const FOLDERS: [&str; 2] = ["sessions", "index"];

/// Write and read permission for others than the owner.
const WRITABLE: u32 = 0o022;
const READABLE: u32 = 0o044;

/// A file that can't be trusted, because another user may have created it or can change it.
#[derive(Debug, thiserror::Error)]
#[error("{} {problem}", path.display())]
pub struct UntrustedFile {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Link,
    NoFile,
    Owner { owner: u32, own: u32 },
    Writable(u32),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("is a symbolic link: remove it"),
            Self::NoFile => f.write_str("is not a regular file: remove it"),
            Self::Owner { owner, own } => {
                write!(f, "belongs to user {owner}, not to you ({own}): choose another folder with --data, or chown it")
            }
            Self::Writable(mode) => {
                write!(f, "is writable by other users (mode {:04o}): check it, then chmod go-w it", mode & 0o7777)
            }
        }
    }
}

/// Opens a regular file: no link, no pipe that would block.
pub(crate) fn open(options: &mut fs::OpenOptions, path: &Path) -> io::Result<fs::File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = options.custom_flags(flags.cast_signed()).open(path).map_err(|error| {
        if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            io::Error::new(error.kind(), "it is a symbolic link: remove it")
        } else {
            error
        }
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file: remove it")) }
}

/// Reads a small secret from the data folder, such as a token or a key.
///
/// # Errors
///
/// The error of the operating system, or [`io::ErrorKind::PermissionDenied`] wrapping an [`UntrustedFile`] if other
/// users may have written the file.
pub fn read_secret(path: &Path) -> io::Result<String> {
    let file = open(fs::OpenOptions::new().read(true), path)?;
    check_trusted(path, &file.metadata()?).map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, 4096), &mut text)?;
    Ok(text)
}

/// Creates a data folder, or one in it, that other users can't read, unless it exists.
///
/// # Errors
///
/// The error of the operating system.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Checks a data folder before it is used: fails if other users can change it, and returns what they can read.
///
/// # Errors
///
/// [`UntrustedFile`] for the first path that can't be trusted.
pub(crate) fn check(dir: &Path) -> Result<Vec<PathBuf>, UntrustedFile> {
    let mut readable = Vec::new();
    let mut check = |path: &Path, metadata: &fs::Metadata| {
        if metadata.mode() & READABLE != 0 {
            readable.push(path.to_owned());
        }
        check_trusted(path, metadata)
    };
    // A folder may be a link: whoever can change the link can write the folder it is in, which is refused.
    for folder in [dir.to_owned()].into_iter().chain(FOLDERS.map(|name| dir.join(name))) {
        if let Ok(metadata) = fs::metadata(&folder) {
            check(&folder, &metadata)?;
        }
    }
    for path in FILES.map(|name| dir.join(name)) {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let untrusted = |problem| Err(UntrustedFile { path: path.clone(), problem });
        if metadata.is_symlink() {
            return untrusted(Problem::Link);
        }
        if !metadata.is_file() {
            return untrusted(Problem::NoFile);
        }
        check(&path, &metadata)?;
    }
    Ok(readable)
}

fn check_trusted(path: &Path, metadata: &fs::Metadata) -> Result<(), UntrustedFile> {
    let own = geteuid().as_raw();
    let problem = match (metadata.uid(), metadata.mode()) {
        // The superuser can change everything anyway.
        (owner, _) if owner != own && owner != 0 => Problem::Owner { owner, own },
        (_, mode) if mode & WRITABLE != 0 => Problem::Writable(mode),
        _ => return Ok(()),
    };
    Err(UntrustedFile { path: path.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn paths_writable_by_others_are_refused_and_readable_ones_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), 0o700);
        assert_eq!(check(dir.path()).unwrap(), [""; 0].map(PathBuf::from));
        for name in FILES.iter().chain(&FOLDERS) {
            let path = dir.path().join(name);
            match FOLDERS.contains(name) {
                true => fs::create_dir(&path).unwrap(),
                false => fs::write(&path, "x").unwrap(),
            }
            for (mode, refused) in [(0o666, true), (0o620, true), (0o602, true), (0o640, false), (0o604, false)] {
                set_mode(&path, mode);
                match check(dir.path()) {
                    Ok(readable) => assert!(!refused && readable == [path.clone()], "{name} {mode:o}"),
                    Err(error) => assert!(refused && error.to_string().contains(*name), "{name} {mode:o}: {error}"),
                }
            }
            set_mode(&path, 0o700);
        }
        set_mode(dir.path(), 0o777);
        assert!(check(dir.path()).unwrap_err().to_string().contains("0777"));
    }

    #[test]
    fn links_and_pipes_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, "precious").unwrap();
        for name in FILES {
            let link = dir.path().join(name);
            symlink(&target, &link).unwrap();
            assert!(check(dir.path()).unwrap_err().to_string().contains("symbolic link"));
            let error = open(fs::OpenOptions::new().write(true).create(true), &link).unwrap_err();
            assert!(error.to_string().contains("symbolic link"), "{error}");
            assert!(read_secret(&link).is_err());
            fs::remove_file(&link).unwrap();
        }
        let pipe = dir.path().join("journal");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        assert!(open(fs::OpenOptions::new().write(true), &pipe).is_err());
        assert!(check(dir.path()).unwrap_err().to_string().contains("not a regular file"));
        assert_eq!(fs::read_to_string(target).unwrap(), "precious");
    }
}
