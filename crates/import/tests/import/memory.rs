//! Entries that are small in the file and large in memory.

use nightaudit_exchange::Incoming;
use nightaudit_import::{Error, Options, Reader};

/// An entry with these properties besides.
fn entry(request: &str, besides: &str) -> String {
    format!(
        r#"{{"startedDateTime":"2026-11-23T12:00:00.000Z","time":1,"request":{{"method":"POST",
  "url":"wss://ws.mews-demo.com/ws/connector"{request}}},"response":{{"status":101,"headers":[],"content":{{}}}}{besides}}}"#
    )
}

fn har(entries: &[String]) -> String {
    format!(r#"{{"log":{{"version":"1.2","entries":[{}]}}}}"#, entries.join(",\n"))
}

/// How many exchanges a file gives that is read leniently, and why entries of it were skipped.
fn read(file: &[u8]) -> (usize, Vec<String>) {
    let mut reader = Reader::open(file, Options { lenient: true, ..Options::default() }).unwrap();
    let count = reader.by_ref().filter(|incoming| matches!(incoming, Ok(Incoming::Foreign(_)))).count();
    let reasons = reader.summary().reasons.iter().map(|skipped| skipped.reason.clone()).collect();
    (count, reasons)
}

#[test]
fn regression_lists_of_next_to_nothing_took_many_times_their_size() {
    const COUNT: usize = 1_500_000;
    let many = |item: &str| vec![item; COUNT].join(",");
    let sound = || entry("", "");
    for (what, entry) in [
        ("messages", entry("", &format!(r#","_webSocketMessages":[{}]"#, many(r#"{"type":"error"}"#)))),
        ("messages", entry("", &format!(r#","_webSocketMessages":[{}]"#, many("{}")))),
        ("names", entry(&format!(r#","headers":[{}]"#, many(r#"{"name":""}"#)), "")),
        ("names", entry(&format!(r#","headers":[{}]"#, many(r#"[""]"#)), "")),
        ("names", entry(&format!(r#","headers":{{{}}}"#, many(r#""":0"#)), "")),
        ("names", entry(&format!(r#","postData":{{"params":[{}]}}"#, many(r#"{"name":""}"#)), "")),
    ] {
        let (count, reasons) = read(har(&[entry, sound()]).as_bytes());
        assert_eq!((count, reasons.len()), (1, 1), "{what}: {reasons:?}");
        assert!(reasons[0].contains(&format!("more {what} than")), "{}", reasons[0]);
    }
    // What isn't understood takes nothing.
    let entry = entry("", &format!(r#","_nightaudit":[{}],"_other":[{}]"#, many("0"), many("0")));
    assert_eq!(read(har(&[entry, sound()]).as_bytes()), (2, vec![]));
}

#[test]
fn regression_reasons_quoted_whatever_the_file_has() {
    let long = "x".repeat(1 << 20);
    let lines = format!("{{\"id\":\"{long}\"}}\n{{\"session\":\"{long}\"}}\n");
    let entries = har(&[
        entry("", "").replace("\"POST\"", &format!("\"{long}\"")),
        entry("", "").replace("time\":1", &format!("{long}\":1,\"request\":\"{long}\",\"a\":1")),
    ]);
    for file in [lines, entries] {
        let (count, reasons) = read(file.as_bytes());
        assert_eq!((count, reasons.len()), (0, 2));
        assert!(reasons.iter().all(|reason| reason.len() < 1_000), "{:.100}", reasons[0]);
        let first = Reader::open(file.as_bytes(), Options::default()).unwrap().find_map(Result::err).unwrap();
        assert!(matches!(first, Error::Line { .. } | Error::Entry { .. }) && first.to_string().len() < 1_000);
    }
}
