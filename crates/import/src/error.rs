//! What is wrong with a file.

use std::{fmt, io};

/// A file that can't be read as exchanges.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read.
    #[error("can't read: {0}")]
    Io(#[from] io::Error),
    /// A line of an NDJSON export is not an exchange.
    #[error("line {line} is not an exchange: {reason}{LENIENTLY}")]
    Line {
        /// The line number, from 1.
        line: u64,
        /// The cause.
        reason: String,
    },
    /// An entry of a HAR or a flow of mitmproxy is damaged.
    #[error("{place} can't be read, at byte {offset}: {reason}{LENIENTLY}")]
    Entry {
        /// Which one.
        place: Place,
        /// Where it begins in the file, after decompression.
        offset: u64,
        /// The cause.
        reason: String,
    },
    /// The file is a bundle.
    #[error("this is a bundle: `unzip -p BUNDLE exchanges.ndjson | nightaudit log import -` imports its exchanges")]
    Bundle,
    /// The file begins like a HAR but isn't one.
    #[error("this is not a HAR: {0}")]
    NotHar(&'static str),
    /// The format is unknown.
    #[error(
        "the format is unknown: an NDJSON export, a HAR, or a flow file of mitmproxy can be read, each also compressed \
         with gzip or zlib"
    )]
    Unknown,
    /// The file has no exchange.
    #[error("the file has no exchanges")]
    Empty,
    /// None of the file's exchanges is with Mews.
    #[error(
        "none of the {0} exchanges in the file is with Mews: `--all-hosts` (or `all-hosts=true`) imports the others"
    )]
    OtherHosts(u64),
}

/// The remedy for damage, as far as there is one.
const LENIENTLY: &str = "; `--lenient` (or `lenient=true`) imports the rest";

/// Which entry of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The line of an NDJSON export, from 1.
    Line(u64),
    /// The entry of a HAR, from 0.
    Entry(u64),
    /// The flow of a flow file, from 1.
    Flow(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Entry(index) => write!(f, "log.entries[{index}]"),
            Self::Flow(number) => write!(f, "flow {number}"),
        }
    }
}

/// Damage to one entry.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) place: Place,
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

impl Damage {
    /// The reason in as many letters as anyone reads: it may quote what the file has.
    pub(crate) fn shown(&self) -> String {
        const MAX: usize = 300;
        match self.reason.char_indices().nth(MAX) {
            Some((end, _)) => format!("{}…", &self.reason[..end]),
            None => self.reason.clone(),
        }
    }
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        let reason = damage.shown();
        let Damage { place, offset, .. } = damage;
        match place {
            Place::Line(line) => Self::Line { line, reason },
            place => Self::Entry { place, offset, reason },
        }
    }
}

/// Reading the next entry failed: the file can't be read, or the entry is damaged.
#[derive(Debug)]
pub(crate) enum Failed {
    Io(io::Error),
    Damage(Damage),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
