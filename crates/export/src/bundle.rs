//! The bundle: a signed zip with all evidence of a session.
//!
//! Exchanges are read once. Their lines are written to the zip as they come; the HAR and the report are spooled to temporary
//! files, since a zip is written one file at a time. `crates/export/BUNDLE.md` describes the format.

mod manifest;
mod readme;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Seek, Write},
};

use nightaudit_exchange::{Exchange, Missing, Timestamp};
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, write::SimpleFileOptions};

pub use self::manifest::{Chain, FileEntry, Made, Manifest, Outline};
pub(crate) use self::manifest::{Layout, Tally};
use crate::{
    Evidence, ExchangeWriter, ExportError, Format, SigningKey,
    evidence::{Gathered, to_json},
    har::HarWriter,
    hashed::Hashed,
    key::Signature,
};

/// The names of a bundle's files.
pub(crate) mod names {
    pub(crate) const EXCHANGES: &str = "exchanges.ndjson";
    pub(crate) const HAR: &str = "session.har";
    pub(crate) const REPORT: &str = "report.html";
    pub(crate) const REVIEW: &str = "review.json";
    pub(crate) const DECLARATION: &str = "declaration.toml";
    pub(crate) const README: &str = "README.txt";
    pub(crate) const MANIFEST: &str = "manifest.json";
    pub(crate) const SIGNATURE: &str = "signature.json";
}

/// Compression level: reduces text to a tenth at a good speed.
const LEVEL: i64 = 4;
/// Bytes passed to the compressor at once.
const CHUNK: usize = 64 << 10;

impl Evidence {
    /// A writer of a bundle, signed with `key` at `at`.
    ///
    /// Memory is bounded; exchanges go to `out` and temporary files.
    ///
    /// # Errors
    ///
    /// [`ExportError`] if the declaration is invalid or temporary files can't be written.
    pub fn bundle<'w>(
        &self,
        out: impl Write + Seek + Send + 'w,
        key: SigningKey,
        at: Timestamp,
    ) -> Result<Box<dyn ExchangeWriter + Send + 'w>, ExportError> {
        // The key in the report must be the signing key.
        let made = self.made.as_ref().map(|made| Made { at: made.at, key: key.fingerprint() });
        let evidence = Self { made, ..self.clone() };
        let mut zip = ZipWriter::new(out);
        zip.start_file(names::EXCHANGES, options(true)).map_err(io)?;
        let mut har = ZipWriter::new(tempfile::tempfile_in(&self.scratch)?);
        har.start_file(names::HAR, options(true)).map_err(io)?;
        Ok(Box::new(BundleWriter {
            lines: Hashed::new(zip),
            line: Vec::new(),
            har: {
                let mut har = HarWriter::new(BufWriter::with_capacity(CHUNK, Hashed::new(har)));
                har.missing(&self.missing)?;
                har
            },
            gathered: Gathered::new(&evidence)?,
            tally: Tally::new(self.unrecorded.clone(), self.imported.clone(), self.nodes.clone()),
            evidence,
            key,
            at,
        }))
    }
}

struct BundleWriter<W: Write + Seek> {
    lines: Hashed<ZipWriter<W>>,
    line: Vec<u8>,
    har: HarWriter<BufWriter<Hashed<ZipWriter<File>>>>,
    gathered: Gathered,
    tally: Tally,
    evidence: Evidence,
    key: SigningKey,
    at: Timestamp,
}

impl<W: Write + Seek + Send> ExchangeWriter for BundleWriter<W> {
    fn write(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        let encode = |error| ExportError::json(exchange.id, Format::Ndjson, error);
        serde_json::to_writer(&mut self.line, exchange).map_err(encode)?;
        self.line.push(b'\n');
        if self.line.len() >= CHUNK {
            self.lines.write_all(&self.line)?;
            self.line.clear();
        }
        self.har.write(exchange)?;
        self.tally.add(exchange);
        self.gathered.add(exchange)
    }

    fn missing(&mut self, missing: &[Missing]) -> Result<(), ExportError> {
        self.har.missing(missing)?;
        self.gathered.set_missing(missing);
        self.evidence.missing = missing.to_vec();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        let Self { mut lines, line, har, gathered, tally, evidence, key, at } = *self;
        lines.write_all(&line)?;
        let (zip, entry) = lines.finish();
        let mut files = Files { zip, entries: BTreeMap::from([(names::EXCHANGES.to_owned(), entry)]) };

        let (har, entry) = har.close()?.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
        let mut har: ZipArchive<File> = har.finish_into_readable().map_err(io)?;
        files.zip.raw_copy_file(har.by_index_raw(0).map_err(io)?).map_err(io)?;
        files.entries.insert(names::HAR.to_owned(), entry);
        drop(har);

        let reviews = gathered.reviews();
        files.add(names::REPORT, |out| gathered.write_report(&reviews, out))?;
        files.add(names::REVIEW, |out| out.write_all(&to_json(&reviews)))?;
        if let Some(declaration) = &evidence.declaration {
            files.add(names::DECLARATION, |out| out.write_all(declaration.as_bytes()))?;
        }
        let revision = evidence.basis.contracts.revision().to_owned();
        let mut manifest = Manifest {
            format: 0,
            nightaudit: env!("CARGO_PKG_VERSION").to_owned(),
            exchanges: tally.exchanges,
            filter: evidence.filter.to_query().into_iter().collect(),
            masked_fields: evidence.masked_fields,
            masked_bodies: tally.masked_bodies,
            documentation: evidence.basis.updated,
            openapi: evidence.basis.openapi,
            limits: evidence.basis.limits,
            made: evidence.made,
            reviews: Outline::of(&reviews),
            sessions: tally.into_sessions(),
            missing: evidence.missing,
            files: BTreeMap::new(),
        };
        manifest.format = Layout::of(&manifest.nodes());
        let readme = readme::readme(&manifest, &revision, evidence.declaration.is_some());
        files.add(names::README, |out| out.write_all(readme.as_bytes()))?;
        manifest.files = std::mem::take(&mut files.entries);
        let manifest = manifest.to_json();
        let signature = signature_json(&key.sign(&manifest, at));
        files.add(names::MANIFEST, |out| out.write_all(&manifest))?;
        files.add(names::SIGNATURE, |out| out.write_all(&signature))?;
        files.zip.finish().map_err(io)?.flush()?;
        Ok(())
    }
}

/// The zip and the manifest entries of its files.
struct Files<W: Write + Seek> {
    zip: ZipWriter<W>,
    entries: BTreeMap<String, FileEntry>,
}

impl<W: Write + Seek> Files<W> {
    fn add(&mut self, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), ExportError> {
        self.zip.start_file(name, options(false)).map_err(io)?;
        let mut out = BufWriter::with_capacity(CHUNK, Hashed::new(&mut self.zip));
        write(&mut out)?;
        let (_, entry) = out.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
        self.entries.insert(name.to_owned(), entry);
        Ok(())
    }
}

pub(crate) fn signature_json(signature: &Signature) -> Vec<u8> {
    // Strings only: there is nothing that JSON can't hold.
    let mut json = serde_json::to_vec_pretty(signature).unwrap_or_default();
    json.push(b'\n');
    json
}

/// No machine or time data in the zip, so that the same exchanges give the same bytes.
fn options(large: bool) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        .last_modified_time(DateTime::default())
        .system(zip::System::Unix)
        .unix_permissions(0o644)
        .large_file(large)
}

fn io(error: zip::result::ZipError) -> ExportError {
    ExportError::Write(error.into())
}
