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
    /// The size of the table on disk, in bytes.
    pub(crate) original_size: u64,
}

/// The size of a write, in bytes.
const PIECE: usize = 1 << 20;

impl Snapshot {
    /// Copies the chunks of a table. Call only as the owner of the data folder `dir`, so that there is no concurrent
    /// copy.
    pub(crate) fn of(table: &Table, dir: &Path) -> Result<Self, IndexError> {
        let failed = |error: io::Error| IndexError(format!("it can't be copied: {error}"));
        let path = dir.join("index.copy");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let options = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = options.map_err(failed)?;
        fs::remove_file(&path).map_err(failed)?;
        let mut chunks = HashMap::new();
        let (mut end, mut piece) = (0, Vec::with_capacity(PIECE));
        let mut written = Ok(());
        for kind in [b"c", b"k"] {
            table.scan(kind, &mut |key, value| {
                chunks.insert(key.into(), (end + piece.len() as u64, value.len()));
                piece.extend_from_slice(value);
                if piece.len() >= PIECE && written.is_ok() {
                    written = file.write_all_at(&piece, end);
                    end += piece.len() as u64;
                    piece.clear();
                }
            })?;
        }
        written.and_then(|()| file.write_all_at(&piece, end)).map_err(failed)?;
        Ok(Self { file, chunks, original_size: table.size() })
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let Some((offset, length)) = self.chunks.get(key) else { return Ok(None) };
        let mut stored = vec![0; *length];
        self.file.read_exact_at(&mut stored, *offset).map_err(|error| IndexError(error.to_string()))?;
        Ok(Some(stored))
    }
}
