//! A copy of the index's chunks, so that long reads don't keep other processes from owning the log.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use super::table::{IndexError, Table};

/// Stored chunks and columns in an unlinked file, which disappears with the process.
#[derive(Debug)]
pub(crate) struct Snapshot {
    file: fs::File,
    /// The offset and length of each in the file.
    chunks: HashMap<Box<[u8]>, (u64, usize)>,
    /// The end of what was written to the file.
    end: u64,
    /// What is to be written next.
    piece: Vec<u8>,
    /// The size of the index on disk, in bytes.
    pub(crate) original_size: u64,
}

/// The size of a write, in bytes.
const PIECE: usize = 1 << 20;

impl Snapshot {
    /// Copies the chunks of a table; [`finish`](Self::finish) it afterwards. Call only as the owner of the data folder `dir`,
    /// so that there is no concurrent copy.
    pub(crate) fn of(table: &Table, dir: &Path) -> Result<Self, IndexError> {
        let path = dir.join("index.copy");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let options = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = options.map_err(failed)?;
        fs::remove_file(&path).map_err(failed)?;
        let mut copy = Self { file, chunks: HashMap::new(), end: 0, piece: Vec::new(), original_size: table.size() };
        let mut added = Ok(());
        for kind in [b"c", b"k"] {
            table.scan(kind, &mut |key, value| {
                if added.is_ok() {
                    added = copy.add(key, value);
                }
            })?;
        }
        added.map(|()| copy)
    }

    /// Adds a chunk.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), IndexError> {
        self.chunks.insert(key.into(), (self.end + self.piece.len() as u64, value.len()));
        self.piece.extend_from_slice(value);
        if self.piece.len() >= PIECE { self.write() } else { Ok(()) }
    }

    /// Writes the rest. The index has `others` bytes besides the table.
    pub(crate) fn finish(&mut self, others: u64) -> Result<(), IndexError> {
        self.original_size += others;
        self.write()?;
        self.piece = Vec::new();
        Ok(())
    }

    fn write(&mut self) -> Result<(), IndexError> {
        self.file.write_all_at(&self.piece, self.end).map_err(failed)?;
        self.end += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let Some((offset, length)) = self.chunks.get(key) else { return Ok(None) };
        let mut stored = vec![0; *length];
        self.file.read_exact_at(&mut stored, *offset).map_err(|error| IndexError(error.to_string()))?;
        Ok(Some(stored))
    }
}

fn failed(error: io::Error) -> IndexError {
    IndexError(format!("it can't be copied: {error}"))
}
