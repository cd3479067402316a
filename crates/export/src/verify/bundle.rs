//! A bundle, checked whole.

mod har;
mod report;
mod signature;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use nightaudit_exchange::{Digest, Exchange, Filter, Timestamp};
use nightaudit_mews::Contracts;

use super::{
    Progress, SignedBy, Verification, VerifyError, VerifyOptions,
    chain::ChainCheck,
    container::Container,
    finding::{FindingKind, Findings, shown},
    lines::check_lines,
    origins::{SessionOrigin, SessionOrigins},
};
use crate::{
    Evidence, ExchangeWriter as _,
    bundle::{FORMAT, FileEntry, Manifest, Outline, Tally, names},
    evidence::{Gathered, to_json},
    har::HarWriter,
    hashed::Hashed,
};

/// How often progress is told, in exchanges.
const OFTEN: u64 = 256;

pub(super) fn verify(
    file: File,
    options: &VerifyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, VerifyError> {
    let mut container = Container::open(file)?;
    let mut findings = Findings::default();
    if !container.has(names::MANIFEST) {
        return Err(VerifyError::NotABundle("it has no manifest.json".to_owned()));
    }
    let bytes = container.small(names::MANIFEST).map_err(|error| broken(names::MANIFEST, &error))?;
    let signed_by = signature::signature(&mut container, &bytes, options, &mut findings);
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| broken(names::MANIFEST, &error))?;
    if manifest.format != FORMAT {
        return Err(VerifyError::Newer { nightaudit: shown(&manifest.nightaudit) });
    }
    let mut check = BundleCheck {
        same_version: manifest.nightaudit == env!("CARGO_PKG_VERSION"),
        same_contracts: manifest.openapi.is_none() || manifest.openapi == options.openapi,
        container,
        manifest,
        findings,
        origins: Vec::new(),
        notes: Vec::new(),
    };
    check.signer(signed_by.as_ref());
    check.names();
    let gathered = check.exchanges(options, progress)?;
    check.small_files();
    if let Some(gathered) = gathered {
        check.agreement(gathered, &options.scratch)?;
    } else {
        // Without exchanges to hold against, the digests are all that can be checked.
        check.digest(names::HAR);
        check.digest(names::REPORT);
    }
    check.missing();
    let BundleCheck { manifest, findings, origins, mut notes, same_version, same_contracts, .. } = check;
    if !same_version {
        let version = shown(&manifest.nightaudit);
        notes.push(format!(
            "it was written by nightaudit {version}, this is {}: report and review were checked by their digests, the HAR by \
             its ids and hashes; that version checks that they agree to the letter",
            env!("CARGO_PKG_VERSION")
        ));
    }
    if let Some(digest) = manifest.openapi.filter(|_| same_version && !same_contracts) {
        notes.push(format!(
            "its requests were held against an OpenAPI document (SHA-256 {digest}): report and review were checked by their \
             digests; with --openapi and that document they are made again"
        ));
    }
    if manifest.masked_bodies > 0 {
        notes.push(format!(
            "fields were masked in {} bodies: what they hold is covered by the signature, not by the chain",
            manifest.masked_bodies
        ));
    }
    if is_filtered(&manifest) {
        notes.push("a filter chose the exchanges: that others are missing between them is no fault".to_owned());
    }
    Ok(Verification {
        what: "bundle",
        exchanges: manifest.exchanges,
        sessions: manifest.sessions.len() as u64,
        signed_by,
        origins,
        notes,
        cut: findings.is_full(),
        findings: findings.into_list(),
    })
}

/// Whether exchanges were left out of the sessions on purpose.
fn is_filtered(manifest: &Manifest) -> bool {
    manifest.filter.keys().any(|flag| flag != "session")
}

fn broken(name: &str, error: &dyn std::fmt::Display) -> VerifyError {
    VerifyError::NotABundle(format!("{name} in it can't be read: {}", shown(&error.to_string())))
}

struct BundleCheck {
    container: Container,
    manifest: Manifest,
    findings: Findings,
    origins: Vec<SessionOrigin>,
    notes: Vec<String>,
    same_version: bool,
    /// Whether what the requests were held against is here.
    same_contracts: bool,
}

/// What was made again from the exchanges.
struct Again {
    gathered: Gathered,
    har: FileEntry,
}

impl BundleCheck {
    /// Who signed is who the report names.
    fn signer(&mut self, signed_by: Option<&SignedBy>) {
        if let (Some(made), Some(signed)) = (&self.manifest.made, signed_by)
            && made.key != signed.key
        {
            let what = format!("it was made by {}, and signed by {}", made.key, signed.key);
            self.findings.add(FindingKind::Unsigned, Some(names::MANIFEST), what);
        }
    }

    /// The zip has the files of the manifest, and no others.
    fn names(&mut self) {
        let named = |name: &str| self.manifest.files.contains_key(name);
        for name in self.container.names() {
            let own = [names::MANIFEST, names::SIGNATURE].contains(&&name[..]);
            if !own && !named(&name) {
                self.findings.add(FindingKind::Inserted, Some(&shown(&name)), "the manifest does not have it");
            }
        }
        for name in self.manifest.files.keys().filter(|name| !self.container.has(name)) {
            self.findings.add(FindingKind::Missing, Some(&shown(name)), "the manifest has it, the bundle does not");
        }
        for name in [names::EXCHANGES, names::HAR, names::REPORT, names::REVIEW, names::README] {
            if !named(name) {
                self.findings.add(FindingKind::Missing, Some(name), "the manifest does not have it");
            }
        }
    }

    /// The exchanges, one by one, and what follows from them; none where they could not be read to their end.
    fn exchanges(
        &mut self,
        options: &VerifyOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Again>, VerifyError> {
        const NAME: &str = names::EXCHANGES;
        if !self.container.has(NAME) {
            return Ok(None);
        }
        let filtered = is_filtered(&self.manifest);
        let mut gathered = self.evidence(options).and_then(|evidence| Gathered::new(&evidence).ok());
        let mut expected_har = HarWriter::new(BufWriter::with_capacity(64 << 10, Hashed::new(io::sink())));
        let mut tally = Tally::new(self.manifest.unrecorded(), self.manifest.imported());
        let mut origins = SessionOrigins::new(self.manifest.imported());
        let mut chain = ChainCheck::new(Some(NAME), filtered);
        let total = self.manifest.exchanges;
        let mut each = |exchange: &Exchange| {
            tally.add(exchange);
            origins.add(exchange);
            if tally.exchanges.is_multiple_of(OFTEN) {
                progress(Progress { exchanges: tally.exchanges, total });
            }
            expected_har.write(exchange).map_err(io::Error::other)?;
            if let Some(Err(_)) = gathered.as_mut().map(|gathered| gathered.add(exchange)) {
                gathered = None;
            }
            Ok(())
        };
        let mut reader = BufReader::with_capacity(256 << 10, Hashed::new(self.container.read(NAME)?));
        let read = check_lines(&mut reader, Some(NAME), &mut chain, &mut self.findings, &mut each);
        let whole = match read {
            Ok((_, whole)) => whole,
            Err(error) => {
                self.findings.add(
                    FindingKind::Unreadable,
                    Some(NAME),
                    format_args!("can't be read to its end: {error}"),
                );
                false
            }
        };
        let (_, entry) = reader.into_inner().finish();
        self.origins = origins.finish(Some(NAME), true, &mut self.findings);
        for origin in &mut self.origins {
            let outline = self.manifest.reviews.iter().find(|outline| outline.session == origin.session);
            origin.headline = outline.map(|outline| shown(&outline.headline));
        }
        if !whole {
            return Ok(None);
        }
        let before = self.findings.len();
        chain.finish(Some(&self.manifest.sessions), &mut self.findings);
        if self.manifest.files.get(NAME).is_some_and(|due| *due != entry) {
            let what = "it is not the file that was signed: its SHA-256 is another";
            self.findings.add(FindingKind::Altered, Some(NAME), what);
        }
        let (exchanges, masked) = (tally.exchanges, tally.masked_bodies);
        if self.findings.len() == before
            && (exchanges != self.manifest.exchanges
                || masked != self.manifest.masked_bodies
                || tally.into_sessions() != self.manifest.sessions)
        {
            let what = "what it says of the exchanges is not what they are";
            self.findings.add(FindingKind::Altered, Some(names::MANIFEST), what);
        }
        expected_har.missing(&self.manifest.missing).map_err(io::Error::other)?;
        let har = expected_har.close().map_err(io::Error::other)?;
        let (_, har) = har.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
        Ok(gathered.map(|gathered| Again { gathered, har }))
    }

    /// What the report was made of beside the exchanges.
    fn evidence(&mut self, options: &VerifyOptions) -> Option<Evidence> {
        // By other contracts the declaration may be none, and the review is not made again.
        let declaration = if self.same_contracts && self.manifest.files.contains_key(names::DECLARATION) {
            String::from_utf8(self.container.small(names::DECLARATION).ok()?).ok()
        } else {
            None
        };
        let filter = Filter::from_query(&self.manifest.filter, Timestamp::from_micros(0)).ok()?;
        let masked_fields = self.manifest.masked_fields.clone();
        let openapi = self.manifest.openapi.filter(|_| self.same_contracts);
        let contracts = openapi.map_or_else(Contracts::built_in, |_| options.contracts.clone());
        Some(Evidence {
            declaration,
            filter,
            masked_fields,
            contracts,
            openapi,
            unrecorded: self.manifest.unrecorded(),
            missing: self.manifest.missing.clone(),
            imported: self.manifest.imported(),
            made: self.manifest.made.clone(),
            scratch: options.scratch.clone(),
        })
    }

    /// The manifest itself says what the log had lost; what shows between the exchanges was found there.
    fn missing(&mut self) {
        for missing in &self.manifest.missing {
            let chain = self.manifest.sessions.iter().find(|chain| chain.id == missing.session);
            let shows = |(_, last): &(u64, u64)| chain.is_some_and(|chain| *last < chain.last);
            if missing.ranges.is_empty() || !missing.ranges.iter().all(shows) {
                let what = format_args!("{}: the log had lost that when the bundle was written", missing);
                self.findings.add(FindingKind::Missing, Some(names::MANIFEST), what);
            }
        }
    }

    fn small_files(&mut self) {
        let small: Vec<_> = self.manifest.files.keys().cloned().collect();
        for name in small {
            if ![names::EXCHANGES, names::HAR, names::REPORT].contains(&&name[..]) {
                self.digest(&name);
            }
        }
    }

    /// Compares a file with its entry in the manifest; returns whether it is the one that was signed.
    fn digest(&mut self, name: &str) -> bool {
        let Some(due) = self.manifest.files.get(name).copied() else { return false };
        if !self.container.has(name) {
            return false;
        }
        let (kind, what) = match self.entry(name, due.bytes) {
            Ok(entry) if entry == due => return true,
            Ok(_) => (FindingKind::Altered, "it is not the file that was signed: its SHA-256 is another".to_owned()),
            Err(error) => (FindingKind::Unreadable, format!("can't be read to its end: {error}")),
        };
        self.findings.add(kind, Some(&shown(name)), what);
        false
    }

    /// Length and digest of a file, which is read no further than one byte past what it should be.
    fn entry(&mut self, name: &str, due: u64) -> io::Result<FileEntry> {
        let mut reader = Hashed::new(self.container.read(name)?);
        io::copy(&mut (&mut reader).take(due.saturating_add(1)), &mut io::sink())?;
        Ok(reader.finish().1)
    }

    /// Review, report and HAR are those that the exchanges give.
    fn agreement(&mut self, again: Again, scratch: &Path) -> Result<(), VerifyError> {
        let Again { gathered, har } = again;
        let har_signed = self.digest(names::HAR);
        let report_signed = self.digest(names::REPORT);
        let signed = |name: &str| self.manifest.files.get(name).copied();
        if !self.container.has(names::HAR) {
        } else if !self.same_version {
            self.compare_har(false)?;
        } else if !har_signed || signed(names::HAR) != Some(har) {
            self.compare_har(true)?;
        }
        if !self.same_version || !self.same_contracts {
            return Ok(());
        }
        let reviews = gathered.reviews();
        let review = to_json(&reviews);
        let mut report = Hashed::new(BufWriter::new(tempfile::tempfile_in(scratch)?));
        gathered.write_report(&reviews, &mut report)?;
        let (report, entry) = report.finish();
        if self.manifest.reviews != Outline::of(&reviews) {
            let what = "what it says of the reviews is not what they are";
            self.findings.add(FindingKind::Altered, Some(names::MANIFEST), what);
        }
        let review = FileEntry { bytes: review.len() as u64, sha256: Digest::of(&review) };
        if self.container.has(names::REVIEW) && self.manifest.files.get(names::REVIEW) != Some(&review) {
            let what = "it does not agree with the exchanges: reviewing them again gives another";
            self.findings.add(FindingKind::Altered, Some(names::REVIEW), what);
        }
        if self.container.has(names::REPORT)
            && (!report_signed || self.manifest.files.get(names::REPORT) != Some(&entry))
        {
            let mut report = report.into_inner().map_err(io::IntoInnerError::into_error)?;
            report.seek(SeekFrom::Start(0))?;
            self.compare_report(BufReader::new(report))?;
        }
        Ok(())
    }
}
