//! Verification of every byte of a log.

use std::{fs, io};

use nightaudit_exchange::{Digest, Exchange, Missing, SessionId, chain};
use nightaudit_log::{Damage, ReadError, Session};

use crate::{
    index::BlockAt,
    log::Log,
    results::{Check, Progress},
    segment::{self, Block, Footer, Header, Step, Walk},
    shared::Shared,
};

impl Log {
    /// Verifies every checksum, body, hash and footer, and that the index is complete.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if a file or the index can't be read at all; damage is reported in the result.
    pub fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<Check, ReadError> {
        let sessions = self.shared.list();
        let total = sessions.iter().map(|session| session.bytes).sum();
        let mut check = Checker {
            shared: &self.shared,
            found: Check::default(),
            progress,
            at: Progress { total, ..Progress::default() },
        };
        check.found.damage.extend(self.shared.ledger_damage.iter().cloned());
        check.found.interrupted = self.shared.interrupted.len() as u64;
        let vanished = self.missing().into_iter().filter(|missing| missing.whole_session);
        check.found.missing.extend(vanished);
        for session in sessions {
            let before = check.found.clone();
            let done = check.session(&session);
            if self.is_there(session.id) {
                done?;
                check.found.sessions += 1;
            } else {
                // Deleted in the meantime.
                check.found = before;
            }
        }
        Ok(check.found)
    }

    fn is_there(&self, session: SessionId) -> bool {
        self.shared.sessions().contains_key(&session) && self.shared.folder(session).exists()
    }
}

struct Checker<'a> {
    shared: &'a Shared,
    found: Check,
    progress: &'a mut dyn FnMut(Progress),
    at: Progress,
}

/// The state of a session's chain.
struct Chain {
    session: SessionId,
    hash: Digest,
    last: u64,
    /// Whether the hash is unknown because the exchange before could not be read.
    lost: bool,
    /// Ranges of sequence numbers that are missing or unreadable.
    missing: Vec<(u64, u64)>,
}

impl Chain {
    fn miss(&mut self, first: u64, last: u64) {
        match self.missing.last_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => self.missing.push((first, last)),
        }
    }
}

impl Checker<'_> {
    fn session(&mut self, seen: &Session) -> Result<(), ReadError> {
        let session = seen.id;
        let folder = self.shared.folder(session);
        // Read before the files are listed, as a running `serve` may start another segment at any time.
        let left = self.shared.interrupted.range((session, 0)..=(session, u64::MAX)).count() as u64;
        let recorded = self.shared.index.listings().get(&session).map_or(0, |listing| listing.exchanges() - left);
        let head = self.shared.sessions().get(&session).map(|entry| entry.head).unwrap_or_default();
        let io = |source: io::Error| ReadError::Io { path: self.shared.shown(&folder), source };
        let numbers = segment::list(&folder).map_err(io)?;
        let mut chain = Chain { session, hash: chain::genesis(session), last: 0, lost: false, missing: Vec::new() };
        let before = self.found.exchanges;
        for (index, number) in numbers.iter().enumerate() {
            if *number != index as u32 + 1 && (index == 0 || numbers[index - 1] + 1 != *number) {
                let path = self.shared.shown(&segment::path(&folder, *number));
                self.found.damage.push(Damage { path, offset: 0, what: "the previous segment is missing".to_owned() });
                chain.lost = true;
            }
            self.segment(&mut chain, *number).map_err(io)?;
        }
        if head.last > chain.last {
            chain.miss(chain.last + 1, head.last);
        }
        let here = self.found.exchanges - before;
        // The file that was imported may have had numbers without an exchange.
        let due = (seen.imported.is_some() && head.count > 0).then(|| head.count.saturating_sub(here));
        let numbers = chain.missing.iter().map(|(first, last)| last - first + 1).sum();
        let count = due.unwrap_or(numbers);
        if count > 0 {
            self.found.missing.push(Missing {
                session,
                session_name: seen.name.clone(),
                count,
                ranges: if count == numbers { chain.missing } else { Vec::new() },
                whole_session: false,
            });
        }
        self.found.unfinished_imports += u64::from(seen.importing);
        self.found.index_faults += recorded.saturating_sub(here.max(recorded.min(chain.last)));
        Ok(())
    }

    fn segment(&mut self, chain: &mut Chain, number: u32) -> io::Result<()> {
        let path = segment::path(&self.shared.folder(chain.session), number);
        let shown = self.shared.shown(&path);
        let damaged = |offset, what| Damage { path: shown.clone(), offset, what };
        // A write in progress is not damage.
        let known =
            self.shared.index.listings().get(&chain.session).and_then(|listing| {
                listing.segments.iter().find(|known| known.number == number).map(|known| known.length)
            });
        let is_last = self
            .shared
            .index
            .listings()
            .get(&chain.session)
            .is_some_and(|listing| listing.segments.last().is_none_or(|known| known.number <= number));
        let is_open = self.shared.sessions().get(&chain.session).is_some_and(|entry| entry.meta.ended.is_none());
        let file = fs::File::open(&path)?;
        let length = file.metadata()?.len();
        match Header::read(&file) {
            Ok(header) if header.session == chain.session && header.number == number => {}
            Ok(_) => self.found.damage.push(damaged(0, "the header belongs to another segment".to_owned())),
            // What it should have had is in the session's head, and is missing then.
            Err(_) if is_last && is_open && !segment::is_begun(&file, length)? => return Ok(()),
            Err(what) => self.found.damage.push(damaged(0, what)),
        }
        let mut walk = Walk::new(&path, chain.session, number, 0)?;
        let mut sealed = None;
        while let Some(step) = walk.step()? {
            if is_last && known.is_some_and(|known| known > 0 && walk.at() > known) && sealed.is_none() {
                match step {
                    Step::Block(_) | Step::Tail(..) | Step::Space(_) => break,
                    _ => {}
                }
            }
            match step {
                Step::Block(block) => {
                    if sealed.is_some() {
                        self.found.damage.push(damaged(block.offset, "a block follows the footer".to_owned()));
                    }
                    self.block(chain, number, &block, &mut |what| damaged(block.offset, what));
                    self.at.done += block.end - block.offset;
                    self.at.exchanges = self.found.exchanges;
                    (self.progress)(self.at);
                }
                Step::Footer(footer) => sealed = Some((walk.at() - segment::FOOTER as u64, footer)),
                Step::Space(_) if is_last && is_open => break,
                Step::Space(at) => {
                    let what = "zeros instead of the segment's end".to_owned();
                    self.found.damage.push(damaged(at, what));
                    chain.lost = true;
                }
                Step::Damage(at, what) | Step::Tail(at, what) => {
                    self.found.damage.push(damaged(at, what));
                    chain.lost = true;
                }
            }
        }
        if let Some((at, footer)) = sealed {
            let due = Footer { at, last: chain.last, hash: chain.hash };
            if footer != due && !chain.lost {
                let what = "the footer does not match the blocks before it".to_owned();
                self.found.damage.push(damaged(at, what));
            }
        }
        self.found.bytes += walk.at().min(length);
        Ok(())
    }

    fn block(&mut self, chain: &mut Chain, number: u32, block: &Block, damaged: &mut dyn FnMut(String) -> Damage) {
        for record in &block.records {
            let sequence = record.sequence;
            let mut wrong = None;
            if sequence <= chain.last {
                self.found.damage.push(damaged(format!("exchange {sequence} is repeated")));
                continue;
            }
            let is_chained = record.previous == chain.hash;
            if sequence != chain.last + 1 && !is_chained {
                // A skipped number in an unbroken chain was never recorded.
                chain.miss(chain.last + 1, sequence - 1);
                let what = format!("exchanges {} to {} are missing", chain.last + 1, sequence - 1);
                self.found.damage.push(damaged(what));
            } else if !is_chained && !chain.lost {
                wrong = Some(format!("exchange {sequence} is not chained to the previous one"));
            }
            match record.exchange(&block.raw) {
                Ok(exchange) => {
                    if !is_as_recorded(&exchange) {
                        wrong = Some(format!("a body of exchange {sequence} differs from what was recorded"));
                    }
                    chain.hash = exchange.hash.unwrap_or(record.previous);
                    chain.lost = false;
                }
                Err(what) => {
                    wrong = Some(what);
                    chain.lost = true;
                }
            }
            chain.last = sequence;
            match wrong {
                Some(what) => {
                    chain.miss(sequence, sequence);
                    self.found.damage.push(damaged(what));
                }
                None => self.found.exchanges += 1,
            }
            let at = BlockAt { segment: number, offset: block.offset };
            if !matches!(self.shared.locate(chain.session, sequence), Ok(Some(found)) if found == at) {
                self.found.index_faults += 1;
            }
        }
    }
}

fn is_as_recorded(exchange: &Exchange) -> bool {
    exchange.bodies().all(|body| Digest::of(&body.bytes) == body.stored_digest())
}
