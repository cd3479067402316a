//! A bundle's zip, opened with distrust.
//!
//! Nothing is unpacked to disk and no name is used as a path. Before anything is read, the directory must be small, its
//! names unlike, and each local header as the directory has it, so that every program finds the same files.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use zip::{CompressionMethod, ZipArchive};

use super::VerifyError;

/// The most files that a zip may have; a bundle has eight.
const MOST: usize = 64;
/// The most that is read to find the files, in bytes: the directory is kept in memory, and may claim to be as long as the
/// file.
const DIRECTORY: u64 = 1 << 20;
/// The most that one of the files may be that are read into memory, in bytes.
const SMALL: u64 = 64 << 20;

pub(super) struct Container {
    archive: ZipArchive<BufReader<File>>,
}

impl Container {
    pub(super) fn open(mut file: File) -> Result<Self, VerifyError> {
        let wrong = |error: zip::result::ZipError| match error {
            zip::result::ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => error.into(),
            error => VerifyError::NotABundle(error.to_string()),
        };
        file.seek(SeekFrom::Start(0))?;
        let metered = Metered { inner: BufReader::new(&mut file), left: DIRECTORY };
        let count = ZipArchive::new(metered).map_err(wrong)?.len();
        if count > MOST {
            return Err(VerifyError::NotABundle(format!("it holds {count} files")));
        }
        file.seek(SeekFrom::Start(0))?;
        let mut archive = ZipArchive::new(BufReader::with_capacity(256 << 10, file)).map_err(wrong)?;
        archive.validate_header_consistency().map_err(wrong)?;
        let mut container = Self { archive };
        for place in 0..container.archive.len() {
            let entry = container.archive.by_index_raw(place).map_err(wrong)?;
            let known = matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated);
            if !known || entry.encrypted() || entry.is_dir() || entry.is_symlink() {
                let name = super::finding::shown(&String::from_utf8_lossy(entry.name_raw()));
                return Err(VerifyError::NotABundle(format!("{name} in it is not a file as a bundle has them")));
            }
        }
        Ok(container)
    }

    /// The names of the files, as far as they are text.
    pub(super) fn names(&self) -> Vec<String> {
        self.archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.archive.index_for_name(name).is_some()
    }

    /// A file as it is unpacked while it is read; it gives an error where its checksum is wrong.
    pub(super) fn read(&mut self, name: &str) -> io::Result<impl Read> {
        Ok(self.archive.by_name(name)?)
    }

    /// A small file whole.
    pub(super) fn small(&mut self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(name)?.take(SMALL + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > SMALL {
            return Err(io::Error::other(format!("it is longer than {SMALL} bytes")));
        }
        Ok(bytes)
    }
}

/// Gives no more than so many bytes.
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
