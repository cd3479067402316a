//! Verification of a bundle.

mod har;
mod report;
mod signature;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use nightaudit_exchange::{Digest, Exchange, Filter, Missing, SessionId, Timestamp};
use nightaudit_mews::Contracts;
use nightaudit_review::Basis;

use super::{
    Progress, SignedBy, Verification, VerifyError, VerifyOptions,
    chain::ChainCheck,
    container::Container,
    finding::{FindingKind, Findings, shown},
    lines::check_lines,
    origins::{SessionOrigin, SessionOrigins},
    verification::NodeRecord,
};
use crate::{
    Evidence, ExchangeWriter as _,
    bundle::{FileEntry, Layout, Manifest, Outline, Tally, names},
    evidence::{Gathered, to_json},
    har::HarWriter,
    hashed::Hashed,
};

/// Exchanges between two progress reports.
const PROGRESS_INTERVAL: u64 = 256;

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
    let layout: Layout = serde_json::from_slice(&bytes).map_err(|error| broken(names::MANIFEST, &error))?;
    if !layout.is_known() {
        return Err(VerifyError::Newer { nightaudit: shown(&layout.nightaudit) });
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| broken(names::MANIFEST, &error))?;
    let mut check = BundleCheck {
        same_version: manifest.nightaudit == env!("CARGO_PKG_VERSION"),
        contracts: contracts(&manifest, options),
        container,
        manifest,
        findings,
        origins: Vec::new(),
        nodes: Vec::new(),
        notes: Vec::new(),
    };
    check.signer(signed_by.as_ref());
    check.names();
    check.node_names();
    let gathered = check.exchanges(options, progress)?;
    check.small_files();
    if let Some(gathered) = gathered {
        check.agreement(gathered, &options.scratch)?;
    } else {
        if !check.findings.is_full() && check.manifest.exchanges > 0 {
            let why = "report, review and HAR were checked by digest only: they can't be rebuilt from the exchanges";
            check.notes.push(why.to_owned());
        }
        // Without exchanges to compare with, only the digests can be checked.
        check.digest(names::HAR);
        check.digest(names::REPORT);
    }
    check.missing();
    let BundleCheck { manifest, findings, origins, nodes, mut notes, same_version, contracts, .. } = check;
    let all = manifest.nodes();
    let sessions: BTreeSet<SessionId> = manifest.sessions.iter().map(|chain| all.session_of(chain.id)).collect();
    if !same_version {
        let version = shown(&manifest.nightaudit);
        notes.push(format!(
            "written by nightaudit {version}, verified by {}: report and review were checked by digest, the HAR by ids and \
             hashes; use the writing version to compare them byte for byte",
            env!("CARGO_PKG_VERSION")
        ));
    }
    if same_version && contracts.is_none() {
        notes.extend(missing_contracts(&manifest));
    }
    if manifest.masked_bodies > 0 {
        notes.push(format!(
            "properties were masked in {} bodies: their content is covered by the signature, not by the chain",
            manifest.masked_bodies
        ));
    }
    if is_filtered(&manifest) {
        notes.push("exported with a filter: gaps between the exchanges are expected".to_owned());
    }
    Ok(Verification {
        what: "bundle",
        exchanges: manifest.exchanges,
        sessions: sessions.len() as u64,
        signed_by,
        origins,
        nodes,
        notes,
        cut: findings.is_full(),
        findings: findings.into_list(),
    })
}

/// The contracts that a bundle's requests were checked against, if they are available.
fn contracts(manifest: &Manifest, options: &VerifyOptions) -> Option<Contracts> {
    let built_in = Basis::default();
    let mut known = options.documentation.iter().chain([&built_in]);
    let is_it = |basis: &&Basis| (basis.updated, basis.openapi) == (manifest.documentation, manifest.openapi);
    known.find(is_it).map(|basis| basis.contracts.clone())
}

/// What a bundle's requests were checked against, and the remedy if it isn't available.
fn missing_contracts(manifest: &Manifest) -> Option<String> {
    let (what, digest, how) = match (manifest.openapi, manifest.documentation) {
        (Some(digest), None) => ("an OpenAPI document", digest, "pass that document with --openapi"),
        (None, Some(digest)) => ("newer documentation", digest, "read it with `nightaudit mews update`"),
        (Some(_), Some(digest)) => (
            "newer documentation and an OpenAPI document",
            digest,
            "read it with `nightaudit mews update`, and pass the document with --openapi",
        ),
        (None, None) => return None,
    };
    Some(format!(
        "its requests were checked against {what} (SHA-256 {digest}): report and review were checked by digest only; {how} \
         to rebuild and compare them"
    ))
}

/// Whether the export left exchanges out on purpose.
fn is_filtered(manifest: &Manifest) -> bool {
    manifest.filter.keys().any(|flag| flag != "session")
}

/// How many of these come after the last exchange in the bundle; all if their numbers aren't known.
fn beyond(missing: &Missing, last: u64) -> u64 {
    if missing.ranges.is_empty() {
        return missing.count;
    }
    let from = last.saturating_add(1);
    let of = |(first, end): &(u64, u64)| end.saturating_add(1).saturating_sub(from.max(*first));
    missing.ranges.iter().map(of).fold(0, u64::saturating_add)
}

fn broken(name: &str, error: &dyn std::fmt::Display) -> VerifyError {
    VerifyError::NotABundle(format!("can't read its {name}: {}", shown(&error.to_string())))
}

struct BundleCheck {
    container: Container,
    manifest: Manifest,
    findings: Findings,
    origins: Vec<SessionOrigin>,
    nodes: Vec<NodeRecord>,
    notes: Vec<String>,
    same_version: bool,
    /// The contracts that the requests were checked against; `None` if they aren't available.
    contracts: Option<Contracts>,
}

/// What was rebuilt from the exchanges.
struct Rebuilt {
    gathered: Gathered,
    har: FileEntry,
}

impl BundleCheck {
    /// The signing key must be the one the report names.
    fn signer(&mut self, signed_by: Option<&SignedBy>) {
        if let (Some(made), Some(signed)) = (&self.manifest.made, signed_by)
            && made.key != signed.key
        {
            let what = format!("written by {}, but signed by {}", made.key, signed.key);
            self.findings.add(FindingKind::Unsigned, Some(names::MANIFEST), what);
        }
    }

    /// The zip must have exactly the files of the manifest.
    fn names(&mut self) {
        let named = |name: &str| self.manifest.files.contains_key(name);
        for name in self.container.names() {
            let own = [names::MANIFEST, names::SIGNATURE].contains(&&name[..]);
            if !own && !named(&name) {
                self.findings.add(FindingKind::Inserted, Some(&shown(&name)), "not in the manifest");
            }
        }
        for name in self.manifest.files.keys().filter(|name| !self.container.has(name)) {
            self.findings.add(FindingKind::Missing, Some(&shown(name)), "in the manifest but not in the bundle");
        }
        for name in [names::EXCHANGES, names::HAR, names::REPORT, names::REVIEW, names::README] {
            if !named(name) {
                self.findings.add(FindingKind::Missing, Some(name), "not in the manifest");
            }
        }
    }

    /// Within a session each node has a name of its own, and only bundles of several nodes have any.
    fn node_names(&mut self) {
        let nodes = self.manifest.nodes();
        let file = Some(names::MANIFEST);
        if self.manifest.format != Layout::of(&nodes) {
            self.findings.add(FindingKind::Altered, file, "its format isn't that of the sessions in it");
        }
        for pair in nodes.chains().windows(2) {
            if (pair[0].session, &pair[0].node) == (pair[1].session, &pair[1].node) {
                let (name, node) = (shown(&pair[0].session_name), shown(&pair[0].node));
                let what = format_args!(
                    "session {name} has two records of node {node}: {} and {}",
                    pair[0].chain, pair[1].chain
                );
                self.findings.add(FindingKind::Altered, file, what);
            }
        }
    }

    /// Checks the exchanges and rebuilds what follows from them; `None` if they could not be read to the end.
    fn exchanges(
        &mut self,
        options: &VerifyOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Rebuilt>, VerifyError> {
        const NAME: &str = names::EXCHANGES;
        if !self.container.has(NAME) {
            return Ok(None);
        }
        let filtered = is_filtered(&self.manifest);
        let mut gathered = self.evidence(options).and_then(|evidence| Gathered::new(&evidence).ok());
        let mut expected_har = HarWriter::new(BufWriter::with_capacity(64 << 10, Hashed::new(io::sink())));
        let nodes = self.manifest.nodes();
        let mut tally = Tally::new(self.manifest.unrecorded(), self.manifest.imported(), nodes.clone());
        let mut origins = SessionOrigins::new(&self.manifest.imported(), nodes.clone());
        let mut chain = ChainCheck::new(Some(NAME), filtered, nodes);
        let total = self.manifest.exchanges;
        let mut each = |exchange: &Exchange| {
            tally.add(exchange);
            origins.add(exchange);
            if tally.exchanges.is_multiple_of(PROGRESS_INTERVAL) {
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
                    format_args!("can't be read to the end: {error}"),
                );
                false
            }
        };
        let (_, entry) = reader.into_inner().finish();
        self.origins = origins.finish(Some(NAME), true, &mut self.findings);
        let outlines: BTreeMap<SessionId, &Outline> =
            self.manifest.reviews.iter().rev().map(|outline| (outline.session, outline)).collect();
        for origin in &mut self.origins {
            origin.headline = outlines.get(&origin.session).map(|outline| shown(&outline.headline));
        }
        if !whole {
            self.nodes = chain.records(None);
            return Ok(None);
        }
        let before = self.findings.len();
        chain.finish(Some(&self.manifest.sessions), &mut self.findings);
        self.nodes = chain.records(Some(&self.manifest.sessions));
        if self.manifest.files.get(NAME).is_some_and(|due| *due != entry) {
            let what = "its SHA-256 differs from the signed one";
            self.findings.add(FindingKind::Altered, Some(NAME), what);
        }
        let (exchanges, masked) = (tally.exchanges, tally.masked_bodies);
        if self.findings.len() == before
            && (exchanges != self.manifest.exchanges
                || masked != self.manifest.masked_bodies
                || tally.into_sessions() != self.manifest.sessions)
        {
            let what = "its summary doesn't match the exchanges";
            self.findings.add(FindingKind::Altered, Some(names::MANIFEST), what);
        }
        expected_har.missing(&self.manifest.missing).map_err(io::Error::other)?;
        let har = expected_har.close().map_err(io::Error::other)?;
        let (_, har) = har.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
        Ok(gathered.map(|gathered| Rebuilt { gathered, har }))
    }

    /// The report's other inputs.
    fn evidence(&mut self, options: &VerifyOptions) -> Option<Evidence> {
        // With other contracts the declaration may be invalid, and the review isn't rebuilt anyway.
        let declaration = if self.contracts.is_some() && self.manifest.files.contains_key(names::DECLARATION) {
            String::from_utf8(self.container.small(names::DECLARATION).ok()?).ok()
        } else {
            None
        };
        let filter = Filter::from_query(&self.manifest.filter, Timestamp::from_micros(0)).ok()?;
        let masked_fields = self.manifest.masked_fields.clone();
        let basis = Basis {
            contracts: self.contracts.clone().unwrap_or_default(),
            updated: self.manifest.documentation,
            openapi: self.manifest.openapi,
            limits: self.manifest.limits.clone(),
        };
        Some(Evidence {
            declaration,
            filter,
            masked_fields,
            basis,
            unrecorded: self.manifest.unrecorded(),
            missing: self.manifest.missing.clone(),
            imported: self.manifest.imported(),
            nodes: self.manifest.nodes(),
            made: self.manifest.made.clone(),
            scratch: options.scratch.clone(),
        })
    }

    /// Reports what the manifest itself lists as lost; gaps between the exchanges were already found by the chain.
    fn missing(&mut self) {
        let ends: BTreeMap<SessionId, u64> =
            self.manifest.sessions.iter().rev().map(|chain| (chain.id, chain.last)).collect();
        let mut lost: BTreeMap<SessionId, u64> = BTreeMap::new();
        for missing in &self.manifest.missing {
            let end = ends.get(&missing.session).copied();
            let shows = |(_, last): &(u64, u64)| end.is_some_and(|end| *last < end);
            if missing.ranges.is_empty() || !missing.ranges.iter().all(shows) {
                let what = format_args!("{}: already lost from the log when the bundle was written", missing);
                self.findings.add(FindingKind::Missing, Some(names::MANIFEST), what);
                lost.entry(missing.session).or_insert_with(|| beyond(missing, end.unwrap_or(0)));
            }
        }
        for node in &mut self.nodes {
            let more = lost.get(&node.chain).copied().unwrap_or(0);
            node.missing = node.missing.saturating_add(more);
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

    /// Compares a file with its manifest entry; returns whether it is the signed one.
    fn digest(&mut self, name: &str) -> bool {
        let Some(due) = self.manifest.files.get(name).copied() else { return false };
        if !self.container.has(name) {
            return false;
        }
        let (kind, what) = match self.entry(name, due.bytes) {
            Ok(entry) if entry == due => return true,
            Ok(_) => (FindingKind::Altered, "its SHA-256 differs from the signed one".to_owned()),
            Err(error) => (FindingKind::Unreadable, format!("can't be read to the end: {error}")),
        };
        self.findings.add(kind, Some(&shown(name)), what);
        false
    }

    /// Length and digest of a file, read at most one byte past its expected length.
    fn entry(&mut self, name: &str, due: u64) -> io::Result<FileEntry> {
        let mut reader = Hashed::new(self.container.read(name)?);
        io::copy(&mut (&mut reader).take(due.saturating_add(1)), &mut io::sink())?;
        Ok(reader.finish().1)
    }

    /// Review, report and HAR must be those rebuilt from the exchanges.
    fn agreement(&mut self, rebuilt: Rebuilt, scratch: &Path) -> Result<(), VerifyError> {
        let Rebuilt { gathered, har } = rebuilt;
        let har_signed = self.digest(names::HAR);
        let report_signed = self.digest(names::REPORT);
        let signed = |name: &str| self.manifest.files.get(name).copied();
        if !self.container.has(names::HAR) {
        } else if !self.same_version {
            self.compare_har(false)?;
        } else if !har_signed || signed(names::HAR) != Some(har) {
            self.compare_har(true)?;
        }
        if !self.same_version || self.contracts.is_none() {
            return Ok(());
        }
        let reviews = gathered.reviews();
        let review = to_json(&reviews);
        let mut report = Hashed::new(BufWriter::new(tempfile::tempfile_in(scratch)?));
        gathered.write_report(&reviews, &mut report)?;
        let (report, entry) = report.finish();
        if self.manifest.reviews != Outline::of(&reviews) {
            let what = "its review summaries don't match the reviews";
            self.findings.add(FindingKind::Altered, Some(names::MANIFEST), what);
        }
        let review = FileEntry { bytes: review.len() as u64, sha256: Digest::of(&review) };
        if self.container.has(names::REVIEW) && self.manifest.files.get(names::REVIEW) != Some(&review) {
            let what = "doesn't match the exchanges: reviewing them again gives a different result";
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
