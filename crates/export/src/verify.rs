//! The check that evidence is what was recorded and exported.
//!
//! [`verify`] takes a bundle, an NDJSON export or a HAR, [`verify_exchanges`] a log's exchanges. What is wrong with them
//! are [`Finding`]s; a [`VerifyError`] is a file that is none of these at all. Files are read as a stream: what they claim
//! of themselves bounds neither memory nor disk.

mod bundle;
mod chain;
mod container;
mod finding;
mod har;
mod lines;
mod origins;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufReader, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use nightaudit_exchange::{Alteration, Digest, Exchange, Import, SessionId, Timestamp};
use nightaudit_mews::{Contracts, Environment};
use serde::Serialize;

use self::{chain::ChainCheck, finding::Findings, lines::check_lines, origins::SessionOrigins};
pub use self::{
    finding::{Finding, FindingKind},
    origins::SessionOrigin,
};
use crate::key::Fingerprint;

/// The most hosts of a HAR that are named.
const FOREIGN: usize = 10;

/// How a file is verified.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// The fingerprint of the key that must have signed; any will do where it is none.
    pub key: Option<String>,
    /// Contracts of an OpenAPI document, for a bundle whose requests were held against it.
    pub contracts: Contracts,
    /// The SHA-256 of that document; none where there isn't one.
    pub openapi: Option<Digest>,
    /// The folder for a temporary file without a name, in which a bundle's report is made again.
    pub scratch: PathBuf,
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Exchanges checked.
    pub exchanges: u64,
    /// Exchanges in all, as far as the file says; 0 where it doesn't.
    pub total: u64,
}

/// What a verification comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// What it was: `bundle`, `ndjson`, `har` or `log`.
    pub what: &'static str,
    /// Exchanges in it.
    pub exchanges: u64,
    /// Sessions in it.
    pub sessions: u64,
    /// Whose signature it bears; none where that is missing or wrong, or the file has no place for one.
    pub signed_by: Option<SignedBy>,
    /// Who answered, session by session; empty for a HAR.
    pub origins: Vec<SessionOrigin>,
    /// What can't be told, a sentence each.
    pub notes: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether there was too much wrong to go on.
    pub cut: bool,
}

/// A signature that is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedBy {
    /// The key.
    pub key: Fingerprint,
    /// When, by the clock of the machine that signed.
    pub at: Timestamp,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether it shows, beside that, that Mews answered every session.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.is_good() && !self.origins.is_empty() && self.origins.iter().all(|origin| origin.provenance.is_proven())
    }
}

/// A file that can't be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It can't be read.
    #[error("can't read: {0}")]
    Io(#[from] io::Error),
    /// It is a zip, or was one, and no bundle.
    #[error("not a bundle of evidence: {0}")]
    NotABundle(String),
    /// A later version wrote it.
    #[error("it was written by nightaudit {nightaudit}, in a layout that this version doesn't know: use that one")]
    Newer {
        /// The version that wrote it.
        nightaudit: String,
    },
    /// It is nothing that can be verified.
    #[error("neither a bundle nor an NDJSON or HAR export: {0}")]
    Unknown(String),
}

/// Verifies a bundle, an NDJSON export or a HAR, told apart by what is in it.
///
/// # Errors
///
/// [`VerifyError`] where it is none of them, or can't be read.
pub fn verify(
    mut file: File,
    options: &VerifyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, VerifyError> {
    let mut beginning = Vec::new();
    (&mut file).take(4096).read_to_end(&mut beginning)?;
    file.seek(SeekFrom::Start(0))?;
    // Editors of other systems put a byte order mark before a text.
    let text = match beginning.strip_prefix(b"\xef\xbb\xbf") {
        Some(text) => {
            file.seek(SeekFrom::Start(3))?;
            text
        }
        None => &beginning[..],
    };
    let text = text.trim_ascii_start();
    if beginning.starts_with(b"PK") {
        bundle::verify(file, options, progress)
    } else if text.starts_with(b"{\"id\"") {
        ndjson(file, progress)
    } else if text.starts_with(b"{") {
        har_file(file)
    } else if text.is_empty() {
        Err(VerifyError::Unknown("it is empty".to_owned()))
    } else {
        Err(VerifyError::Unknown("it begins with something else than one of them".to_owned()))
    }
}

/// Verifies exchanges as a log gives them: each by itself, and the chain from each to the next. `imported` says which
/// sessions the log knows to be imported.
///
/// # Errors
///
/// The first error that the exchanges come with.
pub fn verify_exchanges<E>(
    exchanges: impl Iterator<Item = Result<Exchange, E>>,
    imported: BTreeMap<SessionId, Import>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, E> {
    let mut findings = Findings::default();
    let mut chain = ChainCheck::new(None, false);
    let mut origins = SessionOrigins::new(imported);
    let mut count = 0;
    for exchange in exchanges {
        let mut exchange = exchange?;
        chain.check(&mut exchange, &mut findings);
        origins.add(&exchange);
        count += 1;
        progress(Progress { exchanges: count, total: 0 });
        if findings.is_full() {
            break;
        }
    }
    chain.finish(None, &mut findings);
    let origins = origins.finish(None, true, &mut findings);
    Ok(Verification { origins, ..unsigned("log", count, chain.sessions(), Vec::new(), findings) })
}

fn ndjson(file: File, progress: &mut dyn FnMut(Progress)) -> Result<Verification, VerifyError> {
    let mut findings = Findings::default();
    let mut chain = ChainCheck::new(None, false);
    let (mut seen, mut masked) = (0, 0_u64);
    let mut origins = SessionOrigins::default();
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let (exchanges, _) = check_lines(&mut reader, None, &mut chain, &mut findings, &mut |exchange| {
        seen += 1;
        progress(Progress { exchanges: seen, total: 0 });
        origins.add(exchange);
        masked += exchange.bodies().filter(|body| body.masked).count() as u64;
        Ok(())
    })?;
    chain.finish(None, &mut findings);
    let origins = origins.finish(None, false, &mut findings);
    let mut notes =
        vec!["a line at its end could be missing: only a bundle says how many there were, and is signed".to_owned()];
    if masked > 0 {
        notes
            .push(format!("fields were masked in {masked} bodies: nobody can tell whether what stands there is right"));
    }
    Ok(Verification { origins, ..unsigned("ndjson", exchanges, chain.sessions(), notes, findings) })
}

fn har_file(file: File) -> Result<Verification, VerifyError> {
    let mut findings = Findings::default();
    let mut exchanges = 0;
    let mut before: Option<har::Facts> = None;
    let mut foreign = BTreeSet::new();
    let read = har::entries(BufReader::with_capacity(256 << 10, file), &mut |entry| {
        exchanges += 1;
        let bodies = entry.altered_bodies();
        let Some(facts) = entry.nightaudit else {
            findings.add(FindingKind::Inserted, None, format_args!("entry {exchanges} is not nightaudit's"));
            return;
        };
        let (id, sequence, session) = (facts.id, facts.sequence, finding::shown(&facts.session_name));
        if facts.alteration == Some(Alteration::Edited) {
            let what =
                format_args!("exchange {id} ({sequence} of {session}) was imported and is not as it was recorded");
            findings.add(FindingKind::Altered, None, what);
        }
        if let Some(destination) = &facts.destination
            && Environment::at(&destination.address).is_none()
            && foreign.len() < FOREIGN
        {
            foreign.insert(finding::shown(&destination.address));
        }
        for body in bodies {
            let what = format_args!("exchange {id} ({sequence} of {session}): {body} is not the recorded one");
            findings.add(FindingKind::Altered, None, what);
        }
        let last = before.as_ref().filter(|last| last.session_name == facts.session_name);
        if let Some(last) = last {
            let chained = facts.previous_hash == last.hash;
            if sequence <= last.sequence {
                findings.add(
                    FindingKind::Reordered,
                    None,
                    format_args!("exchange {id} stands after number {}", last.sequence),
                );
            } else if !chained && sequence == last.sequence + 1 {
                let what = format_args!("exchange {id} ({sequence} of {session}) is not chained to the one before it");
                findings.add(FindingKind::Altered, None, what);
            } else if !chained {
                let what = format_args!(
                    "exchanges {} to {} of {session}, before {id}: missing",
                    last.sequence + 1,
                    sequence - 1
                );
                findings.add(FindingKind::Missing, None, what);
            }
        }
        before = Some(facts);
    });
    match read {
        Ok(()) => {}
        Err(error) if error.is_io() => return Err(VerifyError::Io(error.into())),
        Err(error) => return Err(VerifyError::Unknown(finding::shown(&error.to_string()))),
    }
    let mut notes = vec![
        "a HAR holds less than the chain covers: bodies in no content coding and the links of the chain were checked; a \
         bundle or an NDJSON export is checked whole"
            .to_owned(),
    ];
    if !foreign.is_empty() {
        let hosts: Vec<String> = foreign.into_iter().collect();
        notes.push(format!("not Mews: {}", hosts.join(", ")));
    }
    Ok(unsigned("har", exchanges, u64::from(exchanges > 0), notes, findings))
}

fn unsigned(what: &'static str, exchanges: u64, sessions: u64, notes: Vec<String>, findings: Findings) -> Verification {
    let cut = findings.is_full();
    Verification {
        what,
        exchanges,
        sessions,
        signed_by: None,
        origins: Vec::new(),
        notes,
        findings: findings.into_list(),
        cut,
    }
}
