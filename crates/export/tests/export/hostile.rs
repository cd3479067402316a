//! Hostile files: broken, huge, or disguised.

use std::io::Cursor;

use nightaudit_exchange::{Body, Exchange};
use nightaudit_export::FindingKind;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::{
    bundles::*,
    samples::{chained, exchange, fields, hostile},
};

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
    // One script, one style, no invisible characters, no markup from the network.
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
        (b"hello", "unknown file type"),
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
    // Each name is both in its local header and in the directory.
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
    // Reading an endless line is bounded.
    files.insert("exchanges.ndjson".to_owned(), b"x\n".repeat(4 << 20));
    let verification = check(&packed(&files)).unwrap();
    assert!(verification.cut && verification.findings.len() == 1_000, "{}", verification.findings.len());
}

/// How long the longest bodies are: 3 MB by default, and as many as `NIGHTAUDIT_TEST_MEGABYTES` says in the long lane of
/// `.ci/run`.
fn megabytes() -> usize {
    std::env::var("NIGHTAUDIT_TEST_MEGABYTES").map_or(3, |megabytes| megabytes.parse().unwrap())
}

/// A complete body on one line.
#[test]
fn megabytes_on_one_line_go_through_everything_and_come_back() {
    let length = megabytes() * 1_000_000;
    let mut long = exchange(1);
    let mut line = b"{\"Note\":\"".to_vec();
    line.resize(length - 2, b'=');
    line.extend_from_slice(b"\"}");
    long.request.body = Body::whole(line.into());
    let exchanges = chained(vec![long, exchange(2)]);

    let zip = bundle_of(&evidence(), &exchanges);
    let verification = check(&zip).unwrap();
    assert_eq!(verification.findings, []);
    let files = unpacked(&zip);
    let mut lines = files["exchanges.ndjson"].split_inclusive(|byte| *byte == b'\n');
    let read: Exchange = serde_json::from_slice(lines.next().unwrap().trim_ascii_end()).unwrap();
    assert!(read == exchanges[0]);
    assert_eq!(lines.count(), 1);
    assert!(files["session.har"].len() > length);
    let page = str::from_utf8(&files["report.html"]).unwrap();
    assert!(page.len() < 1 << 20 && page.contains("The rest is omitted here"), "{}", page.len());

    // `export --format har` and `ndjson` write the same files.
    assert_eq!(check(&files["session.har"]).unwrap().findings, []);
    let mut lines = files["exchanges.ndjson"].clone();
    let middle = lines.windows(4).position(|bytes| bytes == b"====").unwrap();
    lines[middle] = b'-';
    let found = check(&lines).unwrap().findings;
    assert!(found.iter().any(|finding| finding.what.contains(&exchanges[0].id.to_string())), "{found:?}");
}

#[test]
fn regression_megabytes_of_escapes_that_an_export_wrote_were_too_long_to_verify() {
    // Each byte takes six in JSON.
    let mut escaped = exchange(1);
    escaped.request.body = Body::whole(vec![1; megabytes() * 1_000_000].into());
    let exchanges = chained(vec![escaped, exchange(2)]);
    let mut file = Vec::new();
    for exchange in &exchanges {
        serde_json::to_writer(&mut file, exchange).unwrap();
        file.push(b'\n');
    }
    let verification = check(&file).unwrap();
    assert_eq!((verification.findings, verification.exchanges), (vec![], 2));

    // Of a long line, too, every byte is checked: `\u0001` and `\u0002`, and `\u0001` and its other spelling.
    let escape = file.windows(6).position(|bytes| bytes == b"\\u0001").unwrap();
    file[escape + 5] = b'2';
    assert!(check(&file).unwrap().findings.iter().any(|finding| finding.kind == FindingKind::Altered));
    file[escape + 5] = b'1';
    let session = file.windows(9).position(|bytes| bytes == b"\"session\"").unwrap();
    file.insert(session, b' ');
    let found = check(&file[..]).unwrap().findings;
    assert!(found.iter().any(|finding| finding.what.contains("line 1 is not as nightaudit wrote it")), "{found:?}");
}
