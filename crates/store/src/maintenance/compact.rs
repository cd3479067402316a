//! Compaction: small blocks merged into large ones.

use std::{fs, io, path::Path};

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
            let mut swaps = Vec::new();
            for number in segment::list(&self.shared.folder(session.id)).map_err(failed)? {
                let path = segment::path(&self.shared.folder(session.id), number);
                let before = fs::metadata(&path).map_err(failed)?.len();
                if let Some(after) = rewrite(&self.shared, session.id, number, &path).map_err(failed)? {
                    swaps.push(path);
                    compacted.segments += 1;
                    compacted.before += before;
                    compacted.after += after;
                }
                at.done += before;
                progress(at);
            }
            at.exchanges += session.exchanges;
            if !swaps.is_empty() {
                self.paused(|| swap(&self.shared, session.id, &swaps))?.map_err(failed)?;
            }
        }
        Ok(compacted)
    }
}

/// Replaces segments by their rewritten versions.
fn swap(shared: &Shared, session: SessionId, paths: &[std::path::PathBuf]) -> io::Result<()> {
    if !shared.sessions().contains_key(&session) {
        return Ok(());
    }
    // If the process ends in between, the index sees from the segments' generations that it has to read them again.
    for path in paths {
        shared.disk.rename(&path.with_extension("new"), path)?;
    }
    shared.disk.sync_dir(&shared.folder(session))?;
    recover::session(shared, session)
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
