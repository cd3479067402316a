//! Verification: is this evidence what was recorded and exported?
//!
//! [`verify`] takes a bundle, an NDJSON export or a HAR, [`verify_exchanges`] the exchanges of a log. Problems are
//! [`Finding`]s; a [`VerifyError`] means that the file is none of these. Files are streamed, so the sizes they claim affect
//! neither memory nor disk.

mod bundle;
mod chain;
mod container;
mod entries;
mod finding;
mod har;
mod lines;
mod origins;
mod verification;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufReader, Read as _, Seek as _, SeekFrom},
};

use nightaudit_exchange::{Alteration, Exchange};
use nightaudit_log::Session;
use nightaudit_mews::{API, Environment};

pub(crate) use self::container::Container;
use self::{chain::ChainCheck, entries::EntryChains, finding::Findings, lines::check_lines, origins::SessionOrigins};
pub use self::{
    finding::{Finding, FindingKind},
    origins::SessionOrigin,
    verification::{NodeRecord, Progress, SignedBy, Verification, VerifyError, VerifyOptions},
};
use crate::{Nodes, nodes::by_chain};

/// Maximum foreign hosts of a HAR that are listed.
const MAX_FOREIGN: usize = 10;

/// Verifies a bundle, an NDJSON export or a HAR, detected from its content.
///
/// # Errors
///
/// [`VerifyError`] if it is none of them or can't be read.
pub fn verify(
    mut file: File,
    options: &VerifyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, VerifyError> {
    let mut prefix = Vec::new();
    (&mut file).take(4096).read_to_end(&mut prefix)?;
    file.seek(SeekFrom::Start(0))?;
    // Some editors add a byte order mark.
    let text = match prefix.strip_prefix(b"\xef\xbb\xbf") {
        Some(text) => {
            file.seek(SeekFrom::Start(3))?;
            text
        }
        None => &prefix[..],
    };
    let text = text.trim_ascii_start();
    if prefix.starts_with(b"PK") {
        bundle::verify(file, options, progress)
    } else if text.starts_with(b"{\"id\"") {
        ndjson(file, options, progress)
    } else if text.starts_with(b"{") {
        har_file(file, options)
    } else if text.is_empty() {
        Err(VerifyError::Unknown("it is empty".to_owned()))
    } else {
        Err(VerifyError::Unknown("unknown file type".to_owned()))
    }
}

/// Verifies exchanges in log order: each on its own, and the hash chain of each session, of several nodes each one's.
/// `sessions` are those that the log knows.
///
/// # Errors
///
/// The first error that `exchanges` yields.
pub fn verify_exchanges<E>(
    exchanges: impl Iterator<Item = Result<Exchange, E>>,
    sessions: &[Session],
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, E> {
    let mut findings = Findings::default();
    let nodes = Nodes::of_sessions(sessions);
    let mut chain = ChainCheck::new(None, false, nodes.clone());
    let imported = by_chain(sessions, |session| session.imported, |chain| chain.imported);
    let mut origins = SessionOrigins::new(&imported, nodes);
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
    let nodes = chain.records(None);
    Ok(Verification { origins, nodes, ..unsigned("log", count, chain.sessions(), Vec::new(), findings) })
}

fn ndjson(
    file: File,
    options: &VerifyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, VerifyError> {
    let mut findings = Findings::default();
    require_key(options, &mut findings);
    let mut chain = ChainCheck::new(None, false, Nodes::default());
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
    let mut notes = vec![unseen("lines")];
    if masked > 0 {
        notes.push(format!("properties were masked in {masked} bodies: their current content can't be verified"));
    }
    Ok(Verification { origins, ..unsigned("ndjson", exchanges, chain.sessions(), notes, findings) })
}

/// A required key is a finding where nothing is signed: whoever requires one must not take the file for the signer's.
fn require_key(options: &VerifyOptions, findings: &mut Findings) {
    if let Some(wanted) = &options.key {
        findings.add(FindingKind::Unsigned, None, format_args!("not signed by {wanted}: only a bundle is signed"));
    }
}

/// What nobody can see in a file that isn't a bundle.
fn unseen(what: &str) -> String {
    format!("{what} missing at the end can't be detected: only a bundle states the number of exchanges and is signed")
}

fn har_file(file: File, options: &VerifyOptions) -> Result<Verification, VerifyError> {
    let mut findings = Findings::default();
    require_key(options, &mut findings);
    let mut lost = Findings::default();
    let mut exchanges = 0;
    let mut chains = EntryChains::default();
    let mut foreign = BTreeSet::new();
    let mut each = |entry: har::Entry| {
        exchanges += 1;
        let bodies = entry.altered_bodies();
        let Some(facts) = entry.nightaudit else {
            findings.add(FindingKind::Inserted, None, format_args!("entry {exchanges} was not written by nightaudit"));
            return;
        };
        let (id, sequence, session) = (facts.id, facts.sequence, finding::shown(&facts.session_name));
        if facts.alteration == Some(Alteration::Edited) {
            let what = format_args!("exchange {id} ({sequence} of {session}) was edited before it was imported");
            findings.add(FindingKind::Altered, None, what);
        }
        // A webhook goes to the integration.
        if let Some(destination) = facts.destination.as_ref().filter(|_| facts.direction.is_outgoing())
            && Environment::at(&destination.address).is_none()
            && foreign.len() < MAX_FOREIGN
        {
            foreign.insert(finding::shown(&destination.address));
        }
        for body in bodies {
            let what = format_args!("exchange {id} ({sequence} of {session}): {body} differs from what was recorded");
            findings.add(FindingKind::Altered, None, what);
        }
        chains.follow(&facts, &mut findings);
    };
    let read = har::entries(BufReader::with_capacity(256 << 10, file), &mut each, &mut |missing| {
        lost.add(FindingKind::Missing, None, finding::already_lost(missing));
    });
    findings.append(lost);
    match read {
        Ok(()) => {}
        Err(error) if error.is_io() => return Err(VerifyError::Io(error.into())),
        Err(error) => return Err(VerifyError::Unknown(finding::shown(&error.to_string()))),
    }
    if exchanges == 0 {
        findings.add(FindingKind::Missing, None, "it has no entries");
    }
    let mut notes = vec![
        unseen("entries"),
        "a HAR holds less than the chain covers: only bodies without a content coding and the chain's links were checked; \
         a bundle or an NDJSON export is checked completely"
            .to_owned(),
    ];
    if !foreign.is_empty() {
        let hosts: Vec<String> = foreign.into_iter().collect();
        notes.push(format!("not {}: {}", API.name, hosts.join(", ")));
    }
    Ok(unsigned("har", exchanges, chains.sessions(), notes, findings))
}

fn unsigned(what: &'static str, exchanges: u64, sessions: u64, notes: Vec<String>, findings: Findings) -> Verification {
    let cut = findings.is_full();
    Verification {
        what,
        exchanges,
        sessions,
        signed_by: None,
        origins: Vec::new(),
        nodes: Vec::new(),
        notes,
        findings: findings.into_list(),
        cut,
    }
}
