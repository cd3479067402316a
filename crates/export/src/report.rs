//! The report: one self-contained HTML page.
//!
//! The verdict comes first on the page but is known last. So exchanges are rendered as they come and spooled to an unnamed
//! temporary file, at most [`MAX_SHOWN`] of them with [`BODY_BUDGET`] bytes of bodies, and the page is assembled at the end.

mod body;
mod chart;
mod comparison;
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

pub use self::comparison::comparison_page;
use self::page::Facts;
use crate::bundle::Made;

/// Maximum exchanges in a report.
pub(crate) const MAX_SHOWN: u64 = 2_000;
/// How many exchanges of each operation are shown where there are more than [`MAX_SHOWN`] exchanges.
const SAMPLE: u64 = 3;
/// Maximum operations that are sampled; wrong paths are unlimited in number.
const MAX_SAMPLED: usize = 300;
/// Maximum bytes shown of one body and of all bodies together; once the budget is used up, only a prefix of each body.
const MAX_BODY: usize = 32 << 10;
const BODY_BUDGET: usize = 16 << 20;
const BODY_PREFIX: usize = 1 << 10;

/// What the page says about the export itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) filter: BTreeMap<String, String>,
    pub(crate) masked_fields: Vec<String>,
    /// The documentation's revision, and its SHA-256 unless it is the built-in one.
    pub(crate) revision: String,
    pub(crate) updated: Option<Digest>,
    pub(crate) openapi: Option<Digest>,
    pub(crate) made: Option<Made>,
}

/// Spools the exchanges of a report as they come.
pub(crate) struct Excerpt {
    contracts: Contracts,
    file: BufWriter<File>,
    pieces: Vec<Piece>,
    seen: BTreeMap<String, u64>,
    /// Bytes left for bodies.
    budget: usize,
    exchanges: u64,
    failures: u64,
    sampled: u64,
}

/// A rendered exchange in the temporary file.
struct Piece {
    id: ExchangeId,
    length: u64,
    /// Whether it is kept when not all exchanges fit.
    sample: bool,
    failure: bool,
}

impl Excerpt {
    /// An excerpt spooled to `scratch`; requests are checked against `contracts`.
    pub(crate) fn new(scratch: &Path, contracts: Contracts) -> io::Result<Self> {
        Ok(Self {
            contracts,
            file: BufWriter::new(tempfile::tempfile_in(scratch)?),
            pieces: Vec::new(),
            seen: BTreeMap::new(),
            budget: BODY_BUDGET,
            exchanges: 0,
            failures: 0,
            sampled: 0,
        })
    }

    /// Adds an exchange; `node` recorded it, if several recorded its session.
    pub(crate) fn add(&mut self, exchange: &Exchange, node: Option<&str>) -> io::Result<()> {
        self.exchanges += 1;
        let failure = exchange::is_failure(exchange);
        self.failures += u64::from(failure);
        let sample = self.is_sample(exchange);
        let keep = (sample || failure) && self.sampled < MAX_SHOWN;
        self.sampled += u64::from(keep);
        if !keep && self.exchanges > MAX_SHOWN {
            return Ok(());
        }
        let room = if self.budget > 2 * MAX_BODY { MAX_BODY } else { BODY_PREFIX };
        let (markup, taken) = exchange::exchange(exchange, node, &self.contracts, room);
        self.budget = self.budget.saturating_sub(taken);
        let text = markup.into_string();
        self.file.write_all(text.as_bytes())?;
        self.file.write_all(b"\n")?;
        self.pieces.push(Piece { id: exchange.id, length: text.len() as u64 + 1, sample: keep, failure });
        Ok(())
    }

    /// Writes the page.
    pub(crate) fn write(self, reviews: &[Review], about: &About, out: &mut dyn Write) -> io::Result<()> {
        let all = self.exchanges <= MAX_SHOWN;
        let kept = |piece: &&Piece| all || piece.sample;
        let shown: BTreeSet<ExchangeId> = self.pieces.iter().filter(kept).map(|piece| piece.id).collect();
        let facts = Facts {
            filter: &about.filter,
            masked_fields: &about.masked_fields,
            revision: &about.revision,
            updated: about.updated,
            openapi: about.openapi,
            made: about.made.as_ref(),
            exchanges: self.exchanges,
            shown: self.pieces.iter().filter(kept).count() as u64,
            failures: self.failures,
            failures_shown: self.pieces.iter().filter(kept).filter(|piece| piece.failure).count() as u64,
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
        let room = self.seen.len() < MAX_SAMPLED;
        if room {
            self.seen.insert(exchange.operation.clone(), 1);
        }
        room
    }
}
