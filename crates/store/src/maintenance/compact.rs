//! Compaction: small blocks merged into large ones.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nightaudit_exchange::SessionId;
use nightaudit_log::SessionError;

use crate::{
    block::{self, Packer, Salt},
    log::Log,
    meta::random,
    recover,
    results::{Compacted, Progress},
    segment::{self, Footer, HEADER, Header, Step, Walk},
    shared::Shared,
    writer::sessions::failed,
};

/// The compression level: a compacted segment is written once and read for years.
const LEVEL: i32 = 6;

impl Log {
    /// Merges the small blocks of ended sessions into large ones; no exchange or hash changes.
    ///
    /// Recording pauses briefly while a session is swapped, and queries may miss it.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the log is read-only or can't be written. Sessions already compacted stay so.
    pub fn compact(&self, progress: &mut dyn FnMut(Progress)) -> Result<Compacted, SessionError> {
        if !self.is_writable() {
            return Err(SessionError::ReadOnly);
        }
        let sessions: Vec<_> = self.shared.list().into_iter().filter(|session| !session.open).collect();
        let mut at = Progress { total: sessions.iter().map(|session| session.bytes).sum(), ..Progress::default() };
        let mut compacted = Compacted::default();
        for session in sessions {
            let done = self.compact_session(session.id, &mut |bytes| {
                at.done += bytes;
                progress(at);
            });
            at.exchanges += session.exchanges;
            match done {
                Ok(Compacted { segments, before, after }) => {
                    compacted.segments += segments;
                    compacted.before += before;
                    compacted.after += after;
                }
                // Deleted in the meantime.
                Err(_) if !self.shared.sessions().contains_key(&session.id) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(compacted)
    }

    fn compact_session(&self, session: SessionId, progress: &mut dyn FnMut(u64)) -> Result<Compacted, SessionError> {
        let (shared, folder) = (&self.shared, self.shared.folder(session));
        let numbers = segment::list(&folder).map_err(failed)?;
        let paths: Vec<PathBuf> = numbers.iter().map(|number| segment::path(&folder, *number)).collect();
        let (mut compacted, mut swaps) = (Compacted::default(), Vec::new());
        let rewritten = numbers.iter().zip(&paths).try_for_each(|(number, path)| {
            let before = fs::metadata(path)?.len();
            if let Some(after) = rewrite(shared, session, *number, path)? {
                swaps.push(path);
                compacted.segments += 1;
                compacted.before += before;
                compacted.after += after;
            }
            progress(before);
            Ok(())
        });
        let done = rewritten.map_err(failed).and_then(|()| match swaps.is_empty() {
            true => Ok(()),
            false => self.paused(|| swap(shared, session, &swaps))?.map_err(failed),
        });
        if done.is_err() {
            // A full disk needs their space.
            for path in &paths {
                let _ = shared.disk.remove_file(&path.with_extension("new"));
            }
        }
        done.map(|()| compacted)
    }
}

/// Replaces segments by their rewritten versions.
fn swap(shared: &Shared, session: SessionId, paths: &[&PathBuf]) -> io::Result<()> {
    if !shared.sessions().contains_key(&session) {
        return Ok(());
    }
    // If the process ends in between, the index sees from the segments' generations that it has to read them again.
    let swapped = paths.iter().try_for_each(|path| shared.disk.rename(&path.with_extension("new"), path));
    let swapped = swapped.and_then(|()| shared.disk.sync_dir(&shared.folder(session)));
    // After a failure some may have been replaced.
    recover::session(shared, session).and(swapped)
}

/// Writes a compacted segment next to the old one and returns its length; `None` if that gains nothing.
fn rewrite(shared: &Shared, session: SessionId, number: u32, path: &Path) -> io::Result<Option<u64>> {
    let mut walk = Walk::new(path, session, number, 0)?;
    let (mut blocks, mut bytes, mut whole) = (0_usize, 0, true);
    let mut first = None;
    let mut seal: Option<Footer> = None;
    while let Some(step) = walk.step()? {
        match step {
            Step::Block(block) => {
                blocks += 1;
                bytes += block.raw.len();
                first.get_or_insert(block.records.first().map_or(0, |record| record.sequence));
            }
            Step::Footer(footer) => seal = Some(footer),
            // Leave damaged segments alone: they might be repairable.
            Step::Damage(..) | Step::Tail(..) | Step::Space(_) => whole = false,
        }
    }
    let Some(first) = first.filter(|_| whole && blocks > 2 * (bytes / block::TARGET + 1)) else { return Ok(None) };
    let file = shared.disk.open(&path.with_extension("new"))?;
    file.set_len(0)?;
    file.write_at(&Header { number, session, first, generation: random() }.to_bytes(), 0)?;
    let salt = Salt::new(session, number);
    let mut packer = Packer::new(LEVEL)?;
    let mut end = HEADER as u64;
    let (mut raw, mut count, mut begins, mut out) = (Vec::new(), 0, 0, Vec::new());
    let mut walk = Walk::new(path, session, number, 0)?;
    loop {
        let step = walk.step()?;
        let is_over = !matches!(step, Some(Step::Block(_)));
        if count > 0 && (is_over || raw.len() >= block::TARGET) {
            out.clear();
            packer.pack(salt, &raw, &[], count, begins, &mut out)?;
            file.write_at(&out, end)?;
            end += out.len() as u64;
            raw.clear();
            count = 0;
        }
        let Some(Step::Block(block)) = step else { break };
        if count == 0 {
            begins = block.records.first().map_or(0, |record| record.sequence);
        }
        count += u32::try_from(block.records.len()).unwrap_or(u32::MAX);
        raw.extend(&block.raw[..]);
    }
    if let Some(footer) = seal {
        let bytes = Footer { at: end, ..footer }.to_bytes(salt);
        file.write_at(&bytes, end)?;
        end += bytes.len() as u64;
    }
    file.sync()?;
    Ok(Some(end))
}
