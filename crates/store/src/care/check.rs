//! Every byte read and compared with what it should be.

use std::{fs, io};

use nightaudit_exchange::{Digest, Exchange, SessionId, chain};

use super::{Check, Progress};
use crate::{
    error::{Damage, ReadError},
    index::BlockAt,
    log::Log,
    segment::{self, Block, Footer, HEADER, Header, Step, Walk},
    shared::Shared,
};

impl Log {
    /// Verifies every checksum, body, hash and footer, and that the index has it all.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where a file or the index can't be read at all; damage is found, not failed at.
    pub fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<Check, ReadError> {
        let sessions = self.shared.list();
        let total = sessions.iter().map(|session| session.bytes).sum();
        let mut check = Checker {
            shared: &self.shared,
            found: Check::default(),
            progress,
            at: Progress { total, ..Progress::default() },
        };
        for session in sessions {
            check.session(session.id, session.incomplete)?;
            check.found.sessions += 1;
        }
        Ok(check.found)
    }
}

struct Checker<'a> {
    shared: &'a Shared,
    found: Check,
    progress: &'a mut dyn FnMut(Progress),
    at: Progress,
}

/// Where a session's chain has come to.
struct Chain {
    session: SessionId,
    hash: Digest,
    last: u64,
    /// Whether gaps are known and noted.
    incomplete: bool,
    /// Whether the hash is unknown because what came before could not be read.
    lost: bool,
}

impl Checker<'_> {
    fn session(&mut self, session: SessionId, incomplete: bool) -> Result<(), ReadError> {
        let folder = self.shared.folder(session);
        let io = |source: io::Error| ReadError::Io { path: self.shared.shown(&folder), source };
        let numbers = match segment::list(&folder) {
            Ok(numbers) => numbers,
            // Deleted meanwhile.
            Err(_) if !self.shared.sessions().contains_key(&session) || !folder.exists() => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        let recorded = self.shared.index.listings().get(&session).map_or(0, |listing| listing.exchanges());
        let mut chain = Chain { session, hash: chain::genesis(session), last: 0, incomplete, lost: false };
        let before = self.found.exchanges;
        for (place, number) in numbers.iter().enumerate() {
            if *number != place as u32 + 1 && (place == 0 || numbers[place - 1] + 1 != *number) {
                let path = self.shared.shown(&segment::path(&folder, *number));
                self.found.damage.push(Damage { path, offset: 0, what: "the segment before it is missing".to_owned() });
                chain.lost = true;
            }
            self.segment(&mut chain, *number).map_err(io)?;
        }
        let here = self.found.exchanges - before;
        self.found.index_faults += recorded.saturating_sub(here.max(recorded.min(chain.last)));
        Ok(())
    }

    fn segment(&mut self, chain: &mut Chain, number: u32) -> io::Result<()> {
        let path = segment::path(&self.shared.folder(chain.session), number);
        let shown = self.shared.shown(&path);
        let damaged = |offset, what| Damage { path: shown.clone(), offset, what };
        // What is being written at the moment is no damage.
        let known =
            self.shared.index.listings().get(&chain.session).and_then(|listing| {
                listing.segments.iter().find(|known| known.number == number).map(|known| known.length)
            });
        let is_last = self
            .shared
            .index
            .listings()
            .get(&chain.session)
            .is_some_and(|listing| listing.segments.last().is_some_and(|known| known.number == number));
        let is_open = self.shared.sessions().get(&chain.session).is_some_and(|entry| entry.meta.ended.is_none());
        match Header::read(&fs::File::open(&path)?) {
            Ok(header) if header.session == chain.session && header.number == number => {}
            Ok(_) => self.found.damage.push(damaged(0, "the header is of another segment".to_owned())),
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
                    let what = "zeros, where the segment's end should be".to_owned();
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
                let what = "the footer does not fit what comes before it".to_owned();
                self.found.damage.push(damaged(at, what));
            }
        }
        self.found.bytes += walk.at().max(HEADER as u64);
        Ok(())
    }

    fn block(&mut self, chain: &mut Chain, number: u32, block: &Block, damaged: &mut dyn FnMut(String) -> Damage) {
        for record in &block.records {
            let sequence = record.sequence;
            let mut wrong = None;
            if sequence <= chain.last {
                self.found.damage.push(damaged(format!("exchange {sequence} is there twice")));
                continue;
            }
            if sequence != chain.last + 1 && !chain.incomplete {
                wrong = Some(format!("exchanges {} to {} are missing", chain.last + 1, sequence - 1));
            }
            if record.previous != chain.hash && !chain.lost {
                wrong.get_or_insert(format!("exchange {sequence} is not chained to the one before it"));
            }
            match record.exchange(&block.raw) {
                Ok(exchange) => {
                    if !is_as_recorded(&exchange) {
                        wrong = Some(format!("a body of exchange {sequence} is not as it was recorded"));
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
                Some(what) => self.found.damage.push(damaged(what)),
                None => self.found.exchanges += 1,
            }
            let at = BlockAt { segment: number, offset: block.offset };
            if !matches!(self.shared.locate(chain.session, sequence), Ok(Some(place)) if place == at) {
                self.found.index_faults += 1;
            }
        }
    }
}

fn is_as_recorded(exchange: &Exchange) -> bool {
    exchange.bodies().all(|body| Digest::of(&body.bytes) == body.stored_digest())
}
