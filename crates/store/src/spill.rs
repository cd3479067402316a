//! Where blocks of long bodies that can't be compressed wait until they are recorded: in a file without a name, encrypted with a
//! key that only memory has. They are not redacted yet, and the file is gone once all are recorded, or with the process,
//! however that ends.

use std::{
    fmt, fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use nightaudit_exchange::{PackedBytes, Spill, Spilled};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// The size of a slot: a block with its tag, in whole pages.
const SLOT: usize = PackedBytes::BLOCK + 4096;
/// Maximum number of slots: half a GiB, twice as much as all bodies may take by default.
const MAX_SLOTS: u32 = 4096;

/// The spill of a log. Its file is there while blocks are in it.
pub(crate) struct SpillFile {
    dir: PathBuf,
    max: u32,
    open: Mutex<Weak<Open>>,
}

struct Open {
    file: fs::File,
    key: LessSafeKey,
    /// How many blocks have been encrypted: the nonce of the next.
    sealed: AtomicU64,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    free: Vec<u32>,
    used: u32,
}

struct Block {
    open: Arc<Open>,
    slot: u32,
    nonce: u64,
    length: usize,
}

impl SpillFile {
    /// In this folder.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), max: MAX_SLOTS, open: Mutex::default() }
    }

    fn open(&self) -> io::Result<Arc<Open>> {
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = lock().upgrade();
        if let Some(open) = open {
            return Ok(open);
        }
        let created = Open::create(&self.dir)?;
        // If two do this at once, the second file is dropped, and with that gone.
        let mut open = lock();
        Ok(open.upgrade().unwrap_or_else(|| {
            *open = Arc::downgrade(&created);
            created
        }))
    }
}

impl fmt::Debug for SpillFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpillFile").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Spill for SpillFile {
    fn write(&self, block: &[u8]) -> Option<Box<dyn Spilled>> {
        // A full disk, say, is no reason to lose anything: the block stays in memory, which is bounded.
        let open = self.open().ok()?;
        let slot = open.slots().take(self.max)?;
        let nonce = open.sealed.fetch_add(1, Ordering::Relaxed);
        let mut sealed = Vec::with_capacity(block.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(block);
        // From here on dropping it gives the slot back.
        let spilled = Block { open: Arc::clone(&open), slot, nonce, length: block.len() };
        open.key.seal_in_place_append_tag(nonce_of(nonce), Aad::empty(), &mut sealed).ok()?;
        (sealed.len() <= SLOT).then_some(())?;
        open.file.write_all_at(&sealed, place(slot)).ok()?;
        Some(Box::new(spilled))
    }
}

impl Open {
    fn create(dir: &Path) -> io::Result<Arc<Self>> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|error| io::Error::other(error.to_string()))?;
        let file = tempfile::tempfile_in(dir)?;
        Ok(Arc::new(Self { file, key: LessSafeKey::new(key), sealed: AtomicU64::new(0), slots: Mutex::default() }))
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn take(&mut self, max: u32) -> Option<u32> {
        self.free.pop().or_else(|| {
            let next = self.used;
            self.used += u32::from(next < max);
            (next < max).then_some(next)
        })
    }
}

impl Block {
    fn unseal(&self) -> io::Result<Bytes> {
        let mut sealed = vec![0; self.length + AES_256_GCM.tag_len()];
        self.open.file.read_exact_at(&mut sealed, place(self.slot))?;
        let opened = self.open.key.open_in_place(nonce_of(self.nonce), Aad::empty(), &mut sealed);
        let length = opened.map_err(|_| io::Error::other("a spilled block is not what was written"))?.len();
        sealed.truncate(length);
        Ok(sealed.into())
    }
}

impl Spilled for Block {
    fn read(&self) -> io::Result<Bytes> {
        self.unseal().inspect_err(|error| {
            tracing::warn!(%error, "can't read back what was spilled of a long response; it is recorded truncated");
        })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.open.slots().free.push(self.slot);
    }
}

fn place(slot: u32) -> u64 {
    u64::from(slot) * SLOT as u64
}

fn nonce_of(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn block(number: u8) -> Vec<u8> {
        (0..PackedBytes::BLOCK).map(|at| (at as u8).wrapping_mul(31).wrapping_add(number)).collect()
    }

    fn content(spill: &SpillFile) -> Vec<u8> {
        let mut content = Vec::new();
        let open = spill.open().unwrap();
        let file = &open.file;
        let length = file.metadata().unwrap().len();
        io::Seek::rewind(&mut &*file).unwrap();
        file.take(length).read_to_end(&mut content).unwrap();
        content
    }

    #[test]
    fn blocks_are_read_back_and_none_is_on_the_disk_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let spill = SpillFile::new(folder.path());
        let blocks: Vec<_> = (0..5).map(|number| spill.write(&block(number)).unwrap()).collect();
        let short = spill.write(b"the end of a body, with a token in it").unwrap();
        let content = content(&spill);
        assert!(content.len() > 5 * PackedBytes::BLOCK);
        for window in [&block(0)[..32], &block(3)[500..532], b"with a token"] {
            assert!(memchr::memmem::find(&content, window).is_none());
        }
        for (number, spilled) in (0..).zip(&blocks) {
            assert_eq!(spilled.read().unwrap(), block(number));
            assert_eq!(spilled.read().unwrap(), block(number), "once more");
        }
        assert_eq!(short.read().unwrap(), "the end of a body, with a token in it");
        // Nor has it a name.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn slots_are_bounded_and_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let spill = SpillFile { max: 2, ..SpillFile::new(folder.path()) };
        let (first, second) = (spill.write(&block(1)).unwrap(), spill.write(&block(2)).unwrap());
        assert!(spill.write(&block(3)).is_none());
        drop(first);
        let third = spill.write(&block(3)).unwrap();
        assert_eq!((second.read().unwrap(), third.read().unwrap()), (block(2).into(), block(3).into()));
        assert!(content(&spill).len() <= 2 * SLOT);
        drop(second);
        let file = Arc::downgrade(&spill.open().unwrap());
        drop(third);
        assert!(file.upgrade().is_none(), "the file is there, with no block in it");
        assert_eq!(spill.write(&block(4)).unwrap().read().unwrap(), block(4));
    }

    #[test]
    fn a_damaged_block_is_an_error_and_not_other_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let spill = SpillFile::new(folder.path());
        let (first, second) = (spill.write(&block(1)).unwrap(), spill.write(&block(2)).unwrap());
        let open = spill.open().unwrap();
        let file = &open.file;
        file.write_all_at(b"x", 77).unwrap();
        assert!(first.read().is_err());
        // One in the place of another.
        let mut other = vec![0; SLOT];
        file.read_exact_at(&mut other[..PackedBytes::BLOCK + 16], 0).unwrap();
        file.write_all_at(&other, place(1)).unwrap();
        assert!(second.read().is_err());
        file.set_len(0).unwrap();
        assert!(first.read().is_err());
    }

    #[test]
    fn without_a_folder_nothing_is_spilled_until_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let spill = SpillFile::new(&folder.path().join("later"));
        assert!(spill.write(b"a").is_none());
        fs::create_dir(folder.path().join("later")).unwrap();
        assert_eq!(spill.write(b"a").unwrap().read().unwrap(), "a");
    }
}
