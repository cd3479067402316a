//! The report: one page that needs nothing beside itself.
//!
//! What comes first on the page, the verdict, is known last. So the exchanges are set as they come and kept in a temporary
//! file without a name, at most [`MOST`] of them and [`ROOM`] bytes of bodies, and the page is put together at the end.

mod body;
mod chart;
mod exchange;
mod figures;
mod messages;
mod page;
mod sections;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write},
    path::Path,
};

use nightaudit_exchange::{Digest, Exchange, ExchangeId};
use nightaudit_mews::Contracts;
use nightaudit_review::Review;

use self::page::Facts;
use crate::bundle::Made;

/// The most exchanges that a report shows.
pub(crate) const MOST: u64 = 2_000;
/// The first of each operation that are shown where there are more than [`MOST`] exchanges.
const SAMPLE: u64 = 3;
/// The most operations of which a sample is shown; the paths of wrong addresses know no end.
const SAMPLED: usize = 300;
/// Bytes of a body, and of all bodies together, that are shown; once those are used up, the beginning of each body.
const BODY: usize = 32 << 10;
const ROOM: usize = 16 << 20;
const BEGINNING: usize = 1 << 10;

/// What is said of the export on the page.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) filter: BTreeMap<String, String>,
    pub(crate) masked_fields: Vec<String>,
    pub(crate) openapi: Option<Digest>,
    pub(crate) made: Option<Made>,
}

/// The exchanges of a report, as they come.
pub(crate) struct Excerpt {
    contracts: Contracts,
    file: BufWriter<File>,
    pieces: Vec<Piece>,
    seen: BTreeMap<String, u64>,
    room: usize,
    exchanges: u64,
    failures: u64,
    sampled: u64,
}

/// A set exchange in the file.
struct Piece {
    id: ExchangeId,
    length: u64,
    /// Whether it stays where not all can.
    sample: bool,
    failure: bool,
}

impl Excerpt {
    /// An excerpt that is kept in this folder for a while; requests are held against these contracts.
    pub(crate) fn new(scratch: &Path, contracts: Contracts) -> io::Result<Self> {
        Ok(Self {
            contracts,
            file: BufWriter::new(tempfile::tempfile_in(scratch)?),
            pieces: Vec::new(),
            seen: BTreeMap::new(),
            room: ROOM,
            exchanges: 0,
            failures: 0,
            sampled: 0,
        })
    }

    pub(crate) fn add(&mut self, exchange: &Exchange) -> io::Result<()> {
        self.exchanges += 1;
        let failure = exchange::is_failure(exchange);
        self.failures += u64::from(failure);
        let sample = self.is_sample(exchange);
        let stays = (sample || failure) && self.sampled < MOST;
        self.sampled += u64::from(stays);
        if !stays && self.exchanges > MOST {
            return Ok(());
        }
        let room = if self.room > 2 * BODY { BODY } else { BEGINNING };
        let (markup, taken) = exchange::exchange(exchange, &self.contracts, room);
        self.room = self.room.saturating_sub(taken);
        let text = markup.into_string();
        self.file.write_all(text.as_bytes())?;
        self.file.write_all(b"\n")?;
        self.pieces.push(Piece { id: exchange.id, length: text.len() as u64 + 1, sample: stays, failure });
        Ok(())
    }

    /// Writes the whole page.
    pub(crate) fn write(self, reviews: &[Review], about: &About, out: &mut dyn Write) -> io::Result<()> {
        let all = self.exchanges <= MOST;
        let stays = |piece: &&Piece| all || piece.sample;
        let shown: BTreeSet<ExchangeId> = self.pieces.iter().filter(stays).map(|piece| piece.id).collect();
        let facts = Facts {
            filter: &about.filter,
            masked_fields: &about.masked_fields,
            openapi: about.openapi,
            made: about.made.as_ref(),
            exchanges: self.exchanges,
            shown: self.pieces.iter().filter(stays).count() as u64,
            failures: self.failures,
            failures_shown: self.pieces.iter().filter(stays).filter(|piece| piece.failure).count() as u64,
            sample: SAMPLE,
        };
        out.write_all(page::begin(reviews, &shown, &facts).as_bytes())?;
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        let mut file = BufReader::new(file);
        for piece in &self.pieces {
            let mut text = file.by_ref().take(piece.length);
            if all || piece.sample {
                io::copy(&mut text, out)?;
            } else {
                io::copy(&mut text, &mut io::sink())?;
            }
        }
        out.write_all(page::end().as_bytes())?;
        out.flush()
    }

    fn is_sample(&mut self, exchange: &Exchange) -> bool {
        if let Some(seen) = self.seen.get_mut(&exchange.operation) {
            *seen += 1;
            return *seen <= SAMPLE;
        }
        let room = self.seen.len() < SAMPLED;
        if room {
            self.seen.insert(exchange.operation.clone(), 1);
        }
        room
    }
}
