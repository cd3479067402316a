//! The report and the bundle: golden files, hostile content, and every way of tampering that there is a name for.
#![allow(clippy::unwrap_used, reason = "these are tests; clippy sees that in functions marked as such only")]

mod samples;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Cursor, Read as _, Seek as _, SeekFrom, Write as _},
    sync::OnceLock,
};

use nightaudit_exchange::{Body, Digest, Exchange, Filter, Mask, Timestamp, chain};
use nightaudit_export::{
    Evidence, Finding, FindingKind, Format, Manifest, SigningKey, Verification, VerifyError, VerifyOptions, verify,
};
use proptest::prelude::*;
use samples::{chained, exchange, fields, hostile, session};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

const DECLARATION: &str = r#"
partner = "INT12345"
integration = "Acme Kiosk"
client = "Acme Kiosk"

[operations]
"configuration/get" = "the property's time zone </dd><script>alert(1)</script>"
"bills/getAll" = "what is open before check-out"
"#;

fn evidence() -> Evidence {
    Evidence { declaration: Some(DECLARATION.to_owned()), scratch: std::env::temp_dir(), ..Evidence::default() }
}

fn key() -> SigningKey {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    SigningKey::load_or_create(FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()).unwrap()
}

fn at() -> Timestamp {
    "2026-11-24T09:00:00Z".parse().unwrap()
}

fn bundle_of(evidence: &Evidence, exchanges: &[Exchange]) -> Vec<u8> {
    let mut zip = Cursor::new(Vec::new());
    let mut writer = evidence.bundle(&mut zip, key(), at()).unwrap();
    exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
    writer.finish().unwrap();
    zip.into_inner()
}

fn report_of(exchanges: &[Exchange]) -> String {
    let mut page = Vec::new();
    let mut writer = evidence().report(&mut page).unwrap();
    exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
    writer.finish().unwrap();
    String::from_utf8(page).unwrap()
}

/// Six exchanges of one session.
fn recorded() -> Vec<Exchange> {
    let mut exchanges = session();
    exchanges.extend([exchange(5), exchange(6)]);
    chained(exchanges)
}

fn unpacked(zip: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    let mut read = |name: &String| {
        let mut bytes = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    names.iter().map(|name| (name.clone(), read(name))).collect()
}

fn packed(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}

fn check(bytes: &[u8]) -> Result<Verification, VerifyError> {
    let options = VerifyOptions { key: None, scratch: std::env::temp_dir() };
    verify(file_of(bytes), &options, &mut |_| {})
}

fn findings(files: &BTreeMap<String, Vec<u8>>) -> Vec<Finding> {
    check(&packed(files)).unwrap().findings
}

fn is_noticed(bytes: &[u8]) -> bool {
    check(bytes).map_or(true, |verification| !verification.is_good())
}

/// The files with a manifest that fits them again, and an own signature: what somebody does who knows the format.
fn resigned(mut files: BTreeMap<String, Vec<u8>>, other: &SigningKey) -> BTreeMap<String, Vec<u8>> {
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

fn lines(files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let text = String::from_utf8(files["exchanges.ndjson"].clone()).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

fn with_lines(files: &BTreeMap<String, Vec<u8>>, lines: &[String]) -> BTreeMap<String, Vec<u8>> {
    let mut files = files.clone();
    files.insert("exchanges.ndjson".to_owned(), lines.concat().into_bytes());
    files
}

/// Whether one of the findings is of this kind, about the chain, and names this.
fn names(findings: &[Finding], kind: FindingKind, text: &str) -> bool {
    let of_lines = |finding: &&Finding| finding.file.as_deref() == Some("exchanges.ndjson");
    findings.iter().filter(of_lines).any(|finding| finding.kind == kind && finding.what.contains(text))
}

#[test]
fn a_bundle_is_good_and_says_whose() {
    let verification = check(&bundle_of(&evidence(), &recorded())).unwrap();
    assert_eq!(verification.findings, []);
    assert_eq!((verification.exchanges, verification.sessions), (6, 1));
    assert_eq!(verification.signed_by.unwrap().key, key().fingerprint());
    let nothing = check(&bundle_of(&evidence(), &[])).unwrap();
    assert!(nothing.is_good() && nothing.exchanges == 0, "{nothing:?}");
}

#[test]
fn the_files_of_a_bundle_are_as_they_always_were() {
    let files = unpacked(&bundle_of(&evidence(), &recorded()));
    let text = |name: &str| {
        let text = String::from_utf8(files[name].clone()).unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION");
        // Lengths and digests follow from what stands in the other files.
        text.lines()
            .filter(|line| !line.contains("\"sha256\"") && !line.contains("\"bytes\""))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    insta::assert_snapshot!("readme", text("README.txt"));
    insta::assert_snapshot!("manifest", text("manifest.json"));
    assert_eq!(files["declaration.toml"], DECLARATION.as_bytes());
    assert_eq!(files["report.html"], report_of(&recorded()).into_bytes());
    let mut har = Vec::new();
    let mut writer = Format::Har.writer(&mut har);
    recorded().iter().for_each(|exchange| writer.write(exchange).unwrap());
    writer.finish().unwrap();
    assert!(files["session.har"] == har);
}

#[test]
fn the_report_is_as_it_always_was() {
    // What the review says is its own crate's matter.
    let page = report_of(&recorded()).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let exchanges = page.split_once("<section class=\"part\" id=\"exchanges\">").unwrap().1;
    insta::assert_snapshot!("report", exchanges.replace("><", ">\n<"));
}

#[test]
fn the_same_exchanges_give_the_same_bytes_apart_from_the_signature() {
    let first = bundle_of(&evidence(), &recorded());
    assert!(first == bundle_of(&evidence(), &recorded()));
    let mut later = Cursor::new(Vec::new());
    let mut writer = evidence().bundle(&mut later, key(), Timestamp::from_micros(0)).unwrap();
    recorded().iter().for_each(|exchange| writer.write(exchange).unwrap());
    writer.finish().unwrap();
    let (mut first, mut later) = (unpacked(&first), unpacked(&later.into_inner()));
    assert_ne!(first.remove("signature.json"), later.remove("signature.json"));
    assert!(first == later);
}

#[test]
fn another_key_is_told_apart() {
    let other = tempfile::tempdir().unwrap();
    let other = SigningKey::load_or_create(other.path()).unwrap();
    let files = resigned(unpacked(&bundle_of(&evidence(), &recorded())), &other);
    let good = check(&packed(&files)).unwrap();
    assert!(good.is_good() && good.signed_by.unwrap().key == other.fingerprint());
    let options = VerifyOptions { key: Some(key().fingerprint().to_string()), scratch: std::env::temp_dir() };
    let refused = verify(file_of(&packed(&files)), &options, &mut |_| {}).unwrap();
    assert_eq!(refused.findings[0].kind, FindingKind::Unsigned);
}

#[test]
fn an_edited_exchange_is_named_even_where_all_else_was_made_to_fit() {
    let files = unpacked(&bundle_of(&evidence(), &recorded()));
    let id = recorded()[4].id.to_string();
    for (from, to) in [
        ("\"status\":200", "\"status\":201"),
        ("12:00:00Z", "12:00:01Z"),
        ("\"sequence\":5", "\"sequence\":5,\"note\":1"),
    ] {
        let mut edited = lines(&files);
        assert!(edited[4].contains(from), "{from}");
        edited[4] = edited[4].replacen(from, to, 1);
        let found = findings(&resigned(with_lines(&files, &edited), &key()));
        assert!(names(&found, FindingKind::Altered, &id), "{from}: {found:?}");
    }
}

#[test]
fn a_body_that_shows_something_else_than_its_bytes_is_altered() {
    let files = unpacked(&bundle_of(&evidence(), &recorded()));
    let mut edited = lines(&files);
    // The first answer came in gzip: its text stands beside the bytes that the chain covers.
    assert!(edited[0].contains("wireBody") && edited[0].contains("Café"));
    edited[0] = edited[0].replacen("Café", "Cafe", 1);
    let found = findings(&resigned(with_lines(&files, &edited), &key()));
    assert!(names(&found, FindingKind::Altered, &recorded()[0].id.to_string()), "{found:?}");
}

#[test]
fn a_dropped_exchange_is_missing() {
    let files = unpacked(&bundle_of(&evidence(), &recorded()));
    for (place, kept) in [(0, "exchange 1 of"), (2, "exchange 3 of"), (5, "exchange 6 of")] {
        let mut dropped = lines(&files);
        dropped.remove(place);
        let found = findings(&with_lines(&files, &dropped));
        assert!(names(&found, FindingKind::Missing, kept), "{place}: {found:?}");
        // The HAR still has it, and tells its id.
        let id = recorded()[place].id.to_string();
        assert!(
            found.iter().any(|finding| finding.file.as_deref() == Some("session.har") && finding.what.contains(&id))
        );
    }
}

#[test]
fn a_moved_exchange_is_reordered() {
    let files = unpacked(&bundle_of(&evidence(), &recorded()));
    let mut moved = lines(&files);
    moved.swap(2, 3);
    let found = findings(&with_lines(&files, &moved));
    assert!(names(&found, FindingKind::Reordered, &recorded()[2].id.to_string()), "{found:?}");
    assert!(!found.iter().any(|finding| finding.kind == FindingKind::Missing), "{found:?}");
}

#[test]
fn a_repeated_exchange_is_inserted() {
    let files = unpacked(&bundle_of(&evidence(), &recorded()));
    let mut repeated = lines(&files);
    repeated.insert(3, repeated[2].clone());
    let found = findings(&with_lines(&files, &repeated));
    assert!(names(&found, FindingKind::Inserted, &recorded()[2].id.to_string()), "{found:?}");
}

#[test]
fn an_invented_exchange_is_inserted_though_its_own_hash_fits() {
    let files = unpacked(&bundle_of(&evidence(), &recorded()));
    for place in [2, 5] {
        let before = recorded()[place - 1].hash.unwrap();
        let mut invented = Exchange { previous_hash: Some(before), ..recorded()[place].clone() };
        invented.id = nightaudit_exchange::ExchangeId::from_parts(1, 1);
        invented.hash = Some(chain::hash(before, &invented));
        let line = serde_json::to_string(&invented).unwrap() + "\n";
        for after in [0, 1] {
            let mut inserted = lines(&files);
            inserted.insert(place + after, line.clone());
            let found = findings(&with_lines(&files, &inserted));
            assert!(names(&found, FindingKind::Inserted, &invented.id.to_string()), "{place} {after}: {found:?}");
            let genuine = recorded()[place].id.to_string();
            assert!(!names(&found, FindingKind::Inserted, &genuine), "{place} {after}: {found:?}");
        }
    }
}

#[test]
fn har_and_report_must_agree_even_where_they_were_signed() {
    let files = unpacked(&bundle_of(&evidence(), &recorded()));
    let id = recorded()[4].id.to_string();
    for (name, from, to) in [
        ("session.har", "\"status\":200,\"statusText\"", "\"status\":204,\"statusText\""),
        ("report.html", "<b>200</b>", "<b>204</b>"),
        ("review.json", "\"verdict\": \"not-ready\"", "\"verdict\": \"ready\""),
    ] {
        let mut edited = files.clone();
        let text = String::from_utf8(files[name].clone()).unwrap();
        let at = text.rfind(from).unwrap_or_else(|| panic!("{name} has no {from}"));
        edited.insert(name.to_owned(), format!("{}{to}{}", &text[..at], &text[at + from.len()..]).into_bytes());
        let found = findings(&resigned(edited, &key()));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].kind, found[0].file.as_deref()), (FindingKind::Altered, Some(name)));
        let last = recorded()[5].id.to_string();
        assert!(name == "review.json" || found[0].what.contains(&id) || found[0].what.contains(&last), "{found:?}");
    }
}

#[test]
fn a_filtered_and_masked_bundle_is_good_and_says_what_it_cant_know() {
    let mut exchanges = recorded();
    exchanges.remove(2);
    let mask = Mask::new(&["Client".to_owned()]);
    for exchange in &mut exchanges {
        mask.apply(&mut exchange.request.body);
    }
    let evidence = Evidence {
        filter: Filter::from_query([("status", "2xx")], at()).unwrap(),
        masked_fields: vec!["Client".to_owned()],
        ..evidence()
    };
    let verification = check(&bundle_of(&evidence, &exchanges)).unwrap();
    assert_eq!(verification.findings, []);
    assert!(verification.notes.iter().any(|note| note.contains("masked in 5 bodies")), "{verification:?}");
    // Without the filter the hole would be one.
    let unfiltered = Evidence { filter: Filter::default(), ..evidence };
    assert!(names(
        &check(&bundle_of(&unfiltered, &exchanges)).unwrap().findings,
        FindingKind::Missing,
        "exchange 3 of"
    ));
}

#[test]
fn single_exports_are_verified_as_far_as_they_go() {
    for format in [Format::Ndjson, Format::Har] {
        let mut out = Vec::new();
        let mut writer = format.writer(&mut out);
        recorded().iter().for_each(|exchange| writer.write(exchange).unwrap());
        writer.finish().unwrap();
        let good = check(&out).unwrap();
        assert!(good.is_good() && good.exchanges == 6 && !good.notes.is_empty(), "{good:?}");
        let text = String::from_utf8(out).unwrap();
        let edited = text.replacen("2026-11-23T12:00:00Z\\\"}", "2026-11-23T12:00:01Z\\\"}", 1);
        assert_ne!(edited, text);
        let found = check(edited.as_bytes()).unwrap().findings;
        assert_eq!(found[0].kind, FindingKind::Altered, "{found:?}");
        let mut without: Vec<&str> = text.split_inclusive('\n').collect();
        without.remove(3);
        let found = check(without.concat().as_bytes()).unwrap().findings;
        assert!(found.iter().any(|finding| finding.kind == FindingKind::Missing), "{format}: {found:?}");
    }
}

#[test]
fn hostile_content_breaks_out_of_nothing_and_nothing_is_lost() {
    let mut huge = exchange(3);
    huge.request.body = Body::whole(format!("\"{}\"", "=x</script>\u{202e}".repeat(300_000)).into());
    huge.request.headers = vec![fields(&[("X-Bomb", &"y".repeat(100_000))]).remove(0); 500];
    let mut deep = exchange(4);
    deep.request.body = Body::whole("[".repeat(1 << 20).into());
    deep.operation = "x".repeat(100_000);
    let exchanges = chained(vec![hostile(), exchange(2), huge, deep]);
    let zip = bundle_of(&evidence(), &exchanges);
    let verification = check(&zip).unwrap();
    assert_eq!(verification.findings, []);
    let files = unpacked(&zip);
    let page = str::from_utf8(&files["report.html"]).unwrap();
    // One script, one style, no hidden mark, nothing that a parser would read otherwise.
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script").count(), 1);
    assert_eq!(page.matches("<style").count(), 1);
    assert!(!page.contains(['\0', '\u{202e}', '\u{2028}', '\u{feff}', '\r']));
    assert!(page.len() < 2 << 20, "{}", page.len());
    let read: Vec<Exchange> =
        lines(&files).iter().map(|line| serde_json::from_str(line.trim_end_matches('\n')).unwrap()).collect();
    assert!(read == exchanges);
}

#[test]
fn of_a_long_session_the_report_has_a_sample_and_every_failure() {
    let mut exchanges: Vec<Exchange> = (1..=2_500).map(exchange).collect();
    for place in [1_000, 2_400] {
        exchanges[place].response.as_mut().unwrap().status = 500;
    }
    for place in [2_200, 2_201, 2_202, 2_203] {
        exchanges[place].operation = "rates/getAll".to_owned();
    }
    let exchanges = chained(exchanges);
    let page = report_of(&exchanges);
    assert!(
        page.contains("8 of 2,500 exchanges: the first 3 of each operation and every failure."),
        "what it says is another"
    );
    let shown: Vec<usize> =
        (0..2_500).filter(|&place| page.contains(&format!("id=\"x-{}\"", exchanges[place].id))).collect();
    assert_eq!(shown, [0, 1, 2, 1_000, 2_200, 2_201, 2_202, 2_400]);
    // Links lead only to what is there.
    for link in page.split("href=\"#x-").skip(1) {
        assert!(page.contains(&format!("id=\"x-{}\"", &link[..26])), "{}", &link[..26]);
    }
}

#[test]
fn what_is_no_evidence_gets_one_line() {
    let zip = bundle_of(&evidence(), &recorded());
    let mut crowded = ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..30_000 {
        crowded.start_file(format!("{number}"), SimpleFileOptions::default()).unwrap();
    }
    let crowded = crowded.finish().unwrap().into_inner();
    let empty = ZipWriter::new(Cursor::new(Vec::new())).finish().unwrap().into_inner();
    for (bytes, named) in [
        (&b""[..], "empty"),
        (b"hello", "begins with something else"),
        (b"{\"log\":{}}", "entries"),
        (b"{\"a\":1}", "log"),
        (b"PK\x03\x04", "bundle"),
        (&zip[..zip.len() / 2], "bundle"),
        (&zip[..zip.len() - 3], "bundle"),
        (&empty, "manifest.json"),
        (&crowded, "bundle"),
    ] {
        let error = check(bytes).unwrap_err().to_string();
        assert!(error.contains(named) && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn a_zip_that_two_programs_read_in_two_ways_is_refused() {
    let zip = bundle_of(&evidence(), &recorded());
    // Each name stands in its local header and in the directory.
    let places: Vec<usize> = (0..zip.len()).filter(|&at| zip[at..].starts_with(b"review.json")).collect();
    assert_eq!(places.len(), 2);
    for place in places {
        let mut renamed = zip.clone();
        renamed[place..place + 11].copy_from_slice(b"report.html");
        assert!(is_noticed(&renamed));
        renamed[place..place + 11].copy_from_slice(b"../eview.js");
        assert!(is_noticed(&renamed));
    }
}

#[test]
fn strangers_in_the_zip_are_named_and_never_read() {
    let mut files = unpacked(&bundle_of(&evidence(), &recorded()));
    files.insert("../../etc/passwd\u{202e}".to_owned(), vec![0; 1 << 20]);
    let found = findings(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind, FindingKind::Inserted);
    assert!(!found[0].to_string().contains('\u{202e}'));
    files.retain(|name, _| !name.starts_with(".."));
    for name in ["session.har", "README.txt", "signature.json"] {
        let mut without = files.clone();
        without.remove(name);
        assert!(findings(&without).iter().any(|finding| finding.file.as_deref() == Some(name)), "{name}");
    }
}

#[test]
fn a_bomb_is_left_where_it_lies() {
    let mut files = unpacked(&bundle_of(&evidence(), &recorded()));
    for name in ["exchanges.ndjson", "session.har", "report.html", "README.txt"] {
        let kept = files.insert(name.to_owned(), vec![b'{'; 64 << 20]).unwrap();
        let found = findings(&files);
        assert!(found.iter().any(|finding| finding.file.as_deref() == Some(name)), "{name}: {found:?}");
        files.insert(name.to_owned(), kept);
    }
    // Lines without end are not read without end.
    files.insert("exchanges.ndjson".to_owned(), b"x\n".repeat(4 << 20));
    let verification = check(&packed(&files)).unwrap();
    assert!(verification.cut && verification.findings.len() == 1_000, "{}", verification.findings.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_byte_of_any_file_is_missed(place: prop::sample::Index, name: prop::sample::Index, flip in 1u8..) {
        static FILES: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
        let mut files = FILES.get_or_init(|| unpacked(&bundle_of(&evidence(), &recorded()))).clone();
        let name = files.keys().nth(name.index(files.len())).unwrap().clone();
        let bytes = files.get_mut(&name).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        prop_assert!(is_noticed(&packed(&files)), "{name} {place} {flip}");
    }

    #[test]
    fn any_byte_of_the_zip_is_missed_or_changes_no_file(place: prop::sample::Index, flip in 1u8..) {
        static ZIP: OnceLock<Vec<u8>> = OnceLock::new();
        let zip = ZIP.get_or_init(|| bundle_of(&evidence(), &recorded()));
        let mut flipped = zip.clone();
        flipped[place.index(zip.len())] ^= flip;
        prop_assert!(is_noticed(&flipped) || unpacked(&flipped) == unpacked(zip));
    }

    #[test]
    fn whatever_is_done_to_the_lines_is_noticed(place: prop::sample::Index, to: prop::sample::Index, what in 0..4, fit: bool) {
        static FILES: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
        let files = FILES.get_or_init(|| unpacked(&bundle_of(&evidence(), &recorded())));
        let mut lines = lines(files);
        let (place, to) = (place.index(lines.len()), to.index(lines.len()));
        match what {
            0 => drop(lines.remove(place)),
            1 => lines.insert(to, lines[place].clone()),
            2 if place != to => lines.swap(place, to),
            2 => return Ok(()),
            _ => lines.insert(to, serde_json::to_string(&exchange(place as u64)).unwrap() + "\n"),
        }
        let mut changed = with_lines(files, &lines);
        if fit {
            changed = resigned(changed, &key());
        }
        prop_assert!(is_noticed(&packed(&changed)));
    }

    #[test]
    fn no_file_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..4_usize) {
        let start: &[u8] = [&b"PK\x03\x04"[..], b"{\"id\"", b"{\"log\":{\"entries\":[", b""][kind];
        let _ = check(&[start, &bytes[..]].concat());
    }
}
