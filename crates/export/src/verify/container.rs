//! A bundle's zip, treated as untrusted.
//!
//! Nothing is unpacked to disk and no name is used as a path. Before any file is read, the directory must be small, its names
//! unique, and each local header consistent with it, so that every program sees the same files.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use zip::{CompressionMethod, ZipArchive};

use super::VerifyError;

/// Maximum files in the zip; a bundle has eight.
const MAX_FILES: usize = 64;
/// Maximum bytes read to find the files: the directory is kept in memory and may claim any size.
const MAX_DIRECTORY: u64 = 1 << 20;
/// Maximum bytes of a file that is read into memory.
const MAX_SMALL: u64 = 64 << 20;

pub(crate) struct Container {
    archive: ZipArchive<BufReader<File>>,
}

impl Container {
    pub(crate) fn open(mut file: File) -> Result<Self, VerifyError> {
        let wrong = |error: zip::result::ZipError| match error {
            zip::result::ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => error.into(),
            error => VerifyError::NotABundle(error.to_string()),
        };
        file.seek(SeekFrom::Start(0))?;
        let metered = Metered { inner: BufReader::new(&mut file), left: MAX_DIRECTORY };
        let count = ZipArchive::new(metered).map_err(wrong)?.len();
        if count > MAX_FILES {
            return Err(VerifyError::NotABundle(format!("it holds {count} files")));
        }
        file.seek(SeekFrom::Start(0))?;
        let mut archive = ZipArchive::new(BufReader::with_capacity(256 << 10, file)).map_err(wrong)?;
        archive.validate_header_consistency().map_err(wrong)?;
        let mut container = Self { archive };
        for index in 0..container.archive.len() {
            let entry = container.archive.by_index_raw(index).map_err(wrong)?;
            let known = matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated);
            if !known || entry.encrypted() || entry.is_dir() || entry.is_symlink() {
                let name = super::finding::shown(&String::from_utf8_lossy(entry.name_raw()));
                return Err(VerifyError::NotABundle(format!("{name} is not a regular file")));
            }
        }
        Ok(container)
    }

    /// The names of the files, lossily decoded.
    pub(crate) fn names(&self) -> Vec<String> {
        self.archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.archive.index_for_name(name).is_some()
    }

    /// A reader that decompresses a file; fails at the end if its checksum is wrong.
    pub(crate) fn read(&mut self, name: &str) -> io::Result<impl Read> {
        Ok(self.archive.by_name(name)?)
    }

    /// Reads a small file into memory.
    pub(crate) fn small(&mut self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(name)?.take(MAX_SMALL + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_SMALL {
            return Err(io::Error::other(format!("it is longer than {MAX_SMALL} bytes")));
        }
        Ok(bytes)
    }
}

/// A reader limited to `left` bytes.
struct Metered<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| buffer.len().min(left));
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its directory is too long"));
        }
        let read = self.inner.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
