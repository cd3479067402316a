//! Writing batches to segments.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, atomic::Ordering},
};

use nightaudit_exchange::{Exchange, SessionId};
use nightaudit_log::{Position, SessionError};

use super::{Writer, active::Active, pending::Pending};
use crate::{
    index::{BlockAt, NewRow},
    ledger::Head,
    pipeline::Completion,
    records::{BlockBuilder, Records, SessionTail},
    shared::Shared,
};

/// Maximum size of a buffer kept for the next block.
const MAX_SPARE: usize = 256 << 10;
/// Maximum size of the buffer kept for the next packed blocks.
const MAX_SPARE_PACKED: usize = 1 << 20;

impl Writer {
    /// Chains and packs a block, to write with the next commit.
    pub(super) fn pack(&mut self, mut records: Records) {
        let session = records.session;
        if !self.exists(session) {
            // It may have been given up since these were encoded.
            self.retry(&mut |writer| writer.take_back(session));
        }
        if !self.exists(session) {
            return self.drop_deleted(session, records.rows.len());
        }
        if !self.pending.contains_key(&session) {
            let prepared =
                self.retry(&mut |writer| if writer.exists(session) { writer.prepare(session) } else { Ok(()) });
            if !prepared {
                return self.drop_block(&records);
            }
            if !self.exists(session) {
                return self.drop_deleted(session, records.rows.len());
            }
            let bytes = mem::take(&mut self.spare_packed);
            self.pending.insert(session, Pending { bytes, ..Pending::default() });
        }
        let (Some(active), Some(pending)) = (self.active.get(&session), self.pending.get_mut(&session)) else { return };
        let (mut hash, last) = pending.reached().unwrap_or(active.reached());
        if records.after != last {
            // It was encoded before the encoder learned that exchanges before it were dropped.
            return self.drop_block(&records);
        }
        let mut followed = records.followed.iter_mut();
        for link in &records.links {
            let previous = hash;
            hash = link.chain(previous, &mut records.raw);
            if let Some(exchange) = followed.next() {
                (exchange.previous_hash, exchange.hash) = (Some(previous), Some(hash));
            }
        }
        let at = pending.bytes.len();
        let count = records.rows.len();
        let (salt, tail) = (active.salt(session), mem::take(&mut records.tail));
        let packed = self.packer.pack(salt, &records.raw, &tail, count as u32, records.first, &mut pending.bytes);
        drop(tail);
        let mut raw = mem::take(&mut records.raw);
        raw.clear();
        if raw.capacity() <= MAX_SPARE {
            self.spare.push(raw);
        }
        match packed {
            Ok(()) => {
                pending.exchanges += count;
                pending.reached = records.rows.last().map(|row| (hash, row.sequence())).or(pending.reached);
                pending.blocks.push((records, at as u64));
            }
            Err(error) => {
                // Out of memory for zstd, or a body above 4 GiB: retrying would not help.
                tracing::error!(%error, "a block can't be compressed");
                pending.bytes.truncate(at);
                self.drop_block(&records);
            }
        }
    }

    fn exists(&self, session: SessionId) -> bool {
        self.shared.sessions().contains_key(&session)
    }

    /// Drops exchanges of a session that was deleted while they waited for the disk: they were deleted with it. Encoder
    /// and journal treat them as unrecorded.
    fn drop_deleted(&mut self, session: SessionId, exchanges: usize) {
        self.dropping = true;
        tracing::warn!(%session, exchanges, "exchanges that waited to be written were deleted with their session");
    }

    fn drop_block(&mut self, records: &Records) {
        self.dropping = true;
        self.count_dropped(Some(records.session), records.rows.len());
    }

    /// Writes the packed blocks and completes their exchanges.
    pub(super) fn commit(&mut self, completions: Vec<Completion>) {
        let whole = self.write_packed();
        // Before completing them: later exchanges must not be chained to dropped ones.
        self.report(whole);
        self.complete(completions, whole);
    }

    /// Returns whether all exchanges of the batch were written.
    fn write_packed(&mut self) -> bool {
        self.turn += 1;
        for (session, mut pending) in mem::take(&mut self.pending) {
            let written = self.retry(&mut |writer| match writer.exists(session) {
                true => writer.write_on(session, &mut pending.bytes),
                false => Ok(()),
            });
            let mut bytes = mem::take(&mut pending.bytes);
            if !self.exists(session) {
                self.drop_deleted(session, pending.exchanges);
            } else if written {
                self.publish(session, bytes.len() as u64, pending);
            } else {
                self.dropping = true;
                self.count_dropped(Some(session), pending.exchanges);
            }
            bytes.clear();
            if bytes.capacity() <= MAX_SPARE_PACKED {
                self.spare_packed = bytes;
            }
        }
        !mem::take(&mut self.dropping)
    }

    fn complete(&self, completions: Vec<Completion>, whole: bool) {
        let bytes = completions.iter().map(|completion| completion.bytes).sum();
        if let Some(journal) = self.shared.journal.get() {
            let slots = completions.iter().filter_map(|completion| completion.slot);
            if whole {
                journal.free(slots);
            } else if !self.shared.is_closing() {
                slots.for_each(|slot| journal.forget(slot));
            }
            // Exchanges that could not be written before shutdown stay in the journal, and show as interrupted.
        }
        // A client may send its next request at once: make room first.
        self.shared.remove_from_backlog(bytes);
        self.shared.notifiers.deliver(completions.into_iter().filter_map(
            |Completion { permit, notifier, done, .. }| {
                drop(permit);
                Some((notifier, done?))
            },
        ));
    }

    /// Writes exchanges from elsewhere; returns how many were written.
    pub(crate) fn append(&mut self, exchanges: Vec<Exchange>) -> u64 {
        self.append_at(exchanges, self.shared.stamp())
    }

    /// As [`append`](Self::append), for a caller that can start over: nothing is retried or counted as lost. An error
    /// says why not all were written.
    pub(crate) fn append_or_fail(&mut self, exchanges: Vec<Exchange>) -> Result<(), SessionError> {
        let due = exchanges.len() as u64;
        let sessions: BTreeSet<SessionId> = exchanges.iter().map(|exchange| exchange.session).collect();
        let lost = self.shared.lost.load(Ordering::Relaxed);
        let gave_up = mem::replace(&mut self.no_retry, true);
        let written = self.append(exchanges);
        self.no_retry = gave_up;
        self.shared.lost.store(lost, Ordering::Relaxed);
        if written == due {
            return Ok(());
        }
        let gone = sessions.into_iter().find(|session| !self.exists(*session));
        let gone = gone.map(|session| SessionError::NotFound(session.to_string()));
        Err(gone.unwrap_or_else(|| self.failure().map_or(SessionError::ReadOnly, SessionError::Store)))
    }

    /// As [`append`](Self::append), with this stamp, which must be above all others.
    pub(crate) fn append_at(&mut self, exchanges: Vec<Exchange>, written: u64) -> u64 {
        let before = self.published;
        let mut groups: BTreeMap<SessionId, Vec<Exchange>> = BTreeMap::new();
        for exchange in exchanges {
            groups.entry(exchange.session).or_default().push(exchange);
        }
        for (session, exchanges) in groups {
            if !self.retry(&mut |writer| if writer.exists(session) { writer.reopen(session) } else { Ok(()) }) {
                self.count_dropped(Some(session), exchanges.len());
                continue;
            }
            if !self.exists(session) {
                // Its folder can't be opened again, and to keep trying would stop everything else.
                self.drop_deleted(session, exchanges.len());
                continue;
            }
            let Some((_, last)) = self.active.get(&session).map(Active::reached) else { continue };
            let mut open = BlockBuilder::new(SessionTail { session, name: Arc::default(), last });
            let followed = self.shared.ring.is_followed();
            for exchange in exchanges {
                let sequence = exchange.sequence.max(open.tail().last + 1);
                if let Some(records) = open.add(Exchange { sequence, ..exchange }, written, followed, &mut self.spare) {
                    self.pack(records);
                }
            }
            if let Some(records) = open.take() {
                self.pack(records);
            }
        }
        self.write_packed();
        self.published - before
    }

    /// Publishes what was written to readers.
    fn publish(&mut self, session: SessionId, bytes: u64, pending: Pending) {
        let Some(active) = self.active.get_mut(&session) else { return };
        let segment = active.number;
        let (start, end) = active.wrote(bytes, pending.reached());
        let mut filled = false;
        {
            let mut listings = self.shared.index.listings();
            let listing = listings.entry(session).or_default();
            for (records, at) in &pending.blocks {
                let block = BlockAt { segment, offset: start + at };
                filled = records.rows.iter().fold(filled, |filled, row| listing.push(row, block) | filled);
            }
            listing.reached(segment, active.generation, end);
        }
        let (hash, last) = active.reached();
        let mut is_imported = false;
        if let Some(entry) = self.shared.sessions().get_mut(&session) {
            is_imported = entry.meta.imported.is_some() || entry.meta.importing.is_some();
            entry.bytes += end - start;
            entry.head = Head { count: entry.head.count + pending.exchanges as u64, last, hash: Some(hash) };
        }
        if !self.shared.ledger_stale.swap(true, Ordering::Relaxed) {
            let _ = self.index.send(());
        }
        self.published += pending.exchanges as u64;
        if !is_imported {
            Shared::count(&self.shared.recorded, pending.exchanges);
        }
        let Some((records, _)) = pending.blocks.last() else { return };
        let position = |sequence: u64, written: u64| Position { written, session, sequence };
        let last = position(records.rows.last().map_or(0, NewRow::sequence), records.written);
        let followed = pending.blocks.iter().all(|(records, _)| records.followed.len() == records.rows.len());
        if followed && self.shared.ring.is_followed() {
            let blocks = pending.blocks.into_iter();
            let exchanges = blocks.flat_map(|(records, _)| {
                let written = records.written;
                records.followed.into_iter().map(move |one| (position(one.sequence, written), Arc::new(one)))
            });
            self.shared.ring.push(exchanges.collect());
        } else {
            self.shared.ring.pass(last, pending.exchanges);
        }
        if filled {
            let _ = self.index.send(());
        }
    }

    /// Counts exchanges that will not be in the log, and marks their session.
    pub(super) fn count_dropped(&mut self, session: Option<SessionId>, exchanges: usize) {
        if exchanges == 0 {
            return;
        }
        if self.no_retry || self.shared.is_closing() {
            Shared::count(&self.shared.lost, exchanges);
        } else {
            Shared::count(&self.shared.unrecorded, exchanges);
        }
        if let Some(session) = session.or(self.current) {
            self.mark_incomplete(session, exchanges as u64);
        }
        tracing::error!(exchanges, "exchanges passed unrecorded");
    }
}
