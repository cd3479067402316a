//! Bundles for the tests: written, taken apart, put together again, and checked.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Cursor, Read as _, Seek as _, SeekFrom, Write as _},
    sync::OnceLock,
};

use nightaudit_exchange::{Digest, Exchange, Timestamp};
use nightaudit_export::{
    Evidence, Finding, FindingKind, Manifest, SigningKey, Verification, VerifyError, VerifyOptions, verify,
};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::samples::{chained, exchange, session};

pub(crate) const DECLARATION: &str = r#"
partner = "INT12345"
integration = "Acme Kiosk"
client = "Acme Kiosk"

[operations]
"configuration/get" = "the property's time zone </dd><script>alert(1)</script>"
"bills/getAll" = "what is open before check-out"
"#;

pub(crate) fn evidence() -> Evidence {
    Evidence { declaration: Some(DECLARATION.to_owned()), scratch: std::env::temp_dir(), ..Evidence::default() }
}

pub(crate) fn key() -> SigningKey {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    SigningKey::load_or_create(FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()).unwrap()
}

pub(crate) fn at() -> Timestamp {
    "2026-11-24T09:00:00Z".parse().unwrap()
}

pub(crate) fn bundle_of(evidence: &Evidence, exchanges: &[Exchange]) -> Vec<u8> {
    let mut zip = Cursor::new(Vec::new());
    let mut writer = evidence.bundle(&mut zip, key(), at()).unwrap();
    exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
    writer.finish().unwrap();
    zip.into_inner()
}

pub(crate) fn report_of(exchanges: &[Exchange]) -> String {
    let mut page = Vec::new();
    let mut writer = evidence().report(&mut page).unwrap();
    exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
    writer.finish().unwrap();
    String::from_utf8(page).unwrap()
}

/// Six exchanges of one session.
pub(crate) fn recorded() -> Vec<Exchange> {
    let mut exchanges = session();
    exchanges.extend([exchange(5), exchange(6)]);
    chained(exchanges)
}

pub(crate) fn unpacked(zip: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    let mut read = |name: &String| {
        let mut bytes = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    names.iter().map(|name| (name.clone(), read(name))).collect()
}

pub(crate) fn packed(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub(crate) fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}

pub(crate) fn check(bytes: &[u8]) -> Result<Verification, VerifyError> {
    let options = VerifyOptions { key: None, scratch: std::env::temp_dir(), ..VerifyOptions::default() };
    verify(file_of(bytes), &options, &mut |_| {})
}

pub(crate) fn findings(files: &BTreeMap<String, Vec<u8>>) -> Vec<Finding> {
    check(&packed(files)).unwrap().findings
}

pub(crate) fn is_noticed(bytes: &[u8]) -> bool {
    check(bytes).map_or(true, |verification| !verification.is_good())
}

/// The files with a manifest that fits them again, and an own signature: what somebody does who knows the format.
pub(crate) fn resigned(mut files: BTreeMap<String, Vec<u8>>, other: &SigningKey) -> BTreeMap<String, Vec<u8>> {
    let mut manifest: Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    for (name, entry) in &mut manifest.files {
        entry.bytes = files[name].len() as u64;
        entry.sha256 = Digest::of(&files[name]);
    }
    let mut json = serde_json::to_vec_pretty(&manifest).unwrap();
    json.push(b'\n');
    let mut signature = serde_json::to_vec_pretty(&other.sign(&json, at())).unwrap();
    signature.push(b'\n');
    files.insert("manifest.json".to_owned(), json);
    files.insert("signature.json".to_owned(), signature);
    files
}

pub(crate) fn lines(files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let text = String::from_utf8(files["exchanges.ndjson"].clone()).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

pub(crate) fn with_lines(files: &BTreeMap<String, Vec<u8>>, lines: &[String]) -> BTreeMap<String, Vec<u8>> {
    let mut files = files.clone();
    files.insert("exchanges.ndjson".to_owned(), lines.concat().into_bytes());
    files
}

/// Whether one of the findings is of this kind, about the chain, and names this.
pub(crate) fn names(findings: &[Finding], kind: FindingKind, text: &str) -> bool {
    let of_lines = |finding: &&Finding| finding.file.as_deref() == Some("exchanges.ndjson");
    findings.iter().filter(of_lines).any(|finding| finding.kind == kind && finding.what.contains(text))
}
