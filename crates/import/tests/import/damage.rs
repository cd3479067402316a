//! Damaged, hostile and odd files: named, skipped if asked for, and never more than that.

use std::io::{self, BufReader, Read, Write as _};

use nightaudit_exchange::{Body, Exchange, Incoming, Request};
use nightaudit_import::{Error, Format, Options, Place, Reader, Skipped, Summary};
use proptest::prelude::*;

fn lenient() -> Options {
    Options { lenient: true, ..Options::default() }
}

fn read(file: &[u8], options: Options) -> (Vec<Exchange>, Summary) {
    let mut reader = Reader::open(file, options).unwrap();
    let mut exchanges = Vec::new();
    for incoming in reader.by_ref() {
        match incoming {
            Ok(Incoming::Foreign(exchange) | Incoming::Recorded(exchange)) => exchanges.push(*exchange),
            Ok(Incoming::Missing(_)) => {}
            Err(Error::Empty) => assert!(exchanges.is_empty()),
            Err(error) => panic!("{error}"),
        }
    }
    (exchanges, reader.summary().clone())
}

fn error(file: &[u8]) -> Error {
    match Reader::open(file, Options::default()) {
        Err(error) => error,
        Ok(mut reader) => reader.find_map(Result::err).unwrap(),
    }
}

/// An entry as Chromium begins it.
fn entry(number: u32) -> String {
    format!(
        r#"{{"_connectionId":"7","_initiator":{{"type":"script"}},"startedDateTime":"2026-11-23T12:00:{:02}.000Z","time":1,
  "request":{{"method":"POST","url":"https://api.mews-demo.com/api/connector/v1/rates/getAll?n={number}","httpVersion":"h2",
  "headers":[{{"name":"content-type","value":"application/json"}}],"postData":{{"mimeType":"application/json","text":"{{\"Client\":\"A \\\"1\\\"\"}}"}}}},
  "response":{{"status":200,"headers":[],"content":{{"size":2,"text":"{{}}"}}}},"timings":{{"send":0,"wait":1,"receive":0}}}}"#,
        number % 60
    )
}

fn har(entries: &[String]) -> String {
    format!(
        r#"{{"log":{{"version":"1.2","creator":{{"name":"Tool","version":"1"}},"entries":[{}]}}}}"#,
        entries.join(",\n")
    )
}

fn entries(count: u32) -> Vec<String> {
    (0..count).map(entry).collect()
}

/// Which entries are taken of a damaged file, by their numbers, and which are named. Strictly, the first is the error.
fn taken(file: &[u8]) -> (Vec<u32>, Vec<(Place, String)>) {
    let (exchanges, summary) = read(file, lenient());
    let first = summary.reasons.first();
    match (error_if_any(file), first) {
        (Some(Error::Entry { place, reason, .. }), Some(first)) => {
            assert_eq!((place, &reason), (first.place, &first.reason))
        }
        (None, None) => {}
        other => panic!("{other:?}"),
    }
    let number = |exchange: &Exchange| exchange.request.url.rsplit_once('=').unwrap().1.parse().unwrap();
    let reasons = summary.reasons.into_iter().map(|Skipped { place, reason }| (place, reason));
    (exchanges.iter().map(number).collect(), reasons.collect())
}

fn error_if_any(file: &[u8]) -> Option<Error> {
    Reader::open(file, Options::default()).unwrap().find_map(Result::err)
}

#[test]
fn one_damaged_entry_costs_no_other() {
    // The replacement in the second of four entries, and what is said of it.
    for (what, with, reason) in [
        (r#""request""#, r#""rquest""#, "missing field `request`"),
        ("https://api", "api", "request.url is not an absolute URL"),
        ("\"POST\"", "\"PO ST\"", "request.method is not a method"),
        ("2026-11-23T12:00:01.000Z", "yesterday", "startedDateTime is not a time: `yesterday`"),
        ("2026-11-23T12:00:01.000Z", "", "startedDateTime is missing"),
        (r#""status":200"#, r#""status":9999"#, "response.status is not a status: 9999"),
        (r#""size":2,"#, r#""size":2,"encoding":"base64","#, "response.content.text is not base64"),
        (r#""headers":[]"#, r#""headers":[{"name":"a\q"}]"#, "invalid escape at"),
        // A quote, a brace and a bracket too few or too many: what follows seems to be part of it.
        (r#""method":"POST""#, r#""method":"POST"#, "expected `,` or `}` at"),
        (r#""time":1,"#, r#""time":1,"x":{"#, "key must be a string at line 5 column 1 of the entry"),
        (r#""timings":{"#, r#""timings":{["#, "key must be a string at line 4 column 86 of the entry"),
        (r#""headers":[],"#, r#""headers":[]],"#, "expected `,` or `}` at"),
        // Bytes that no text has.
        (
            "application/json\"}]",
            "application/\u{0}json\"}]",
            "control character (\\u0000-\\u001F) found while parsing a string at",
        ),
    ] {
        let mut list = entries(4);
        assert!(list[1].contains(what), "{what}");
        list[1] = list[1].replacen(what, with, 1);
        let (taken, reasons) = taken(har(&list).as_bytes());
        assert_eq!(taken, [0, 2, 3], "{with}: {reasons:?}");
        assert_eq!(reasons[0].0, Place::Entry(1), "{with}");
        assert!(reasons[0].1.starts_with(reason) && reasons.len() == 1, "{with}: {reasons:?}");
    }
    // A brace too few, so that one is left behind the entry: it is named, too, and costs no other either.
    let mut list = entries(4);
    list[1] = list[1].replacen(r#""content":{"#, r#""content":"#, 1);
    let (numbers, reasons) = taken(har(&list).as_bytes());
    assert_eq!((numbers, reasons.len()), (vec![0, 2, 3], 2), "{reasons:?}");
    assert_eq!((reasons[0].0, &reasons[1]), (Place::Entry(1), &(Place::Entry(2), "it is no object".to_owned())));
    // What isn't an object.
    for (odd, reason) in [("null", "it is no object"), ("17", "it is no object"), ("\"}\"", "it is no object")] {
        let mut list = entries(3);
        list.insert(1, odd.to_owned());
        assert_eq!(taken(har(&list).as_bytes()), (vec![0, 1, 2], vec![(Place::Entry(1), reason.to_owned())]), "{odd}");
    }
}

#[test]
fn a_file_that_was_cut_off_is_named_and_what_is_whole_is_taken() {
    let file = har(&entries(5));
    let third = file.find("n=2").unwrap();
    for cut in [third, third + 40, file.find("n=3").unwrap() - 200] {
        let (taken, reasons) = taken(&file.as_bytes()[..cut]);
        assert_eq!((taken.len() as u64, reasons.len()), (if cut < third + 200 { 2 } else { 3 }, 1), "{cut}");
        assert!(reasons[0].1.starts_with("the file ends"), "{reasons:?}");
    }
    // Between two entries, and before the first.
    let between = file.match_indices("{\"_connectionId\"").nth(1).unwrap().0;
    assert_eq!(
        taken(&file.as_bytes()[..between]).1,
        [(Place::Entry(1), "the file ends before `log.entries` does".into())]
    );
    assert!(matches!(error(&file.as_bytes()[..30]), Error::NotHar("it ends before `log.entries`")));
    // Once the entries have ended, nothing more is needed.
    let whole = file.rfind(']').unwrap() + 1;
    assert_eq!(taken(&file.as_bytes()[..whole]).1, []);
}

#[test]
fn what_is_no_har_is_told_so() {
    for (file, said) in [
        (&b"{\"log\":[]}"[..], "this is not a HAR: `log` is no object"),
        (b"{\"log\":{\"entries\":{}}}", "this is not a HAR: `log.entries` is no array"),
        (b"{\"log\":{\"version\":\"1.2\"}}", "this is not a HAR: it has no `log.entries`"),
        (b"{\"log\":{version:1}}", "this is not a HAR: it is no JSON"),
        (b"{\"log\":{\"entries\":[]}}", "the file has no exchanges"),
        (b"", "the file has no exchanges"),
        (b" \n\t", "the file has no exchanges"),
        (b"{\"info\":{\"name\":\"a Postman collection\"},\"item\":[]}", "line 1 is not an exchange"),
        (b"[]", "the format is unknown"),
        (b"<?xml version=\"1.0\"?>", "the format is unknown"),
        (b"\x89PNG\r\n", "the format is unknown"),
    ] {
        let error = error(file).to_string();
        assert!(error.starts_with(said), "{}: {error}", String::from_utf8_lossy(file));
    }
    let other = har(&entries(2)).replace("api.mews-demo.com", "example.com").replace("/api/connector/v1", "");
    let error = error(other.as_bytes()).to_string();
    assert!(error.starts_with("none of the 2 exchanges in the file is with Mews"), "{error}");
}

#[test]
fn other_properties_may_come_before_and_between() {
    let list = har(&entries(2));
    for (what, with) in [
        (r#""version":"1.2","#, r#""pages":[{"id":"x]}","title":"\"log\":{"}],"comment":null,"version":"1.2","#),
        (r#"{"log":{"#, "\u{feff}{\n  \"$schema\": \"x\",\n  \"a\": [{\"log\": 1}],\r\n\t\"log\" : {"),
    ] {
        let (exchanges, summary) = read(list.replacen(what, with, 1).as_bytes(), Options::default());
        assert_eq!(
            (exchanges.len(), summary.tool.as_deref(), summary.format),
            (2, Some("Tool 1"), Format::Har),
            "{with}"
        );
    }
}

#[test]
fn compressed_files_are_read_as_they_are() {
    let list = har(&entries(3));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(list.as_bytes()).unwrap();
    zlib.write_all(list.as_bytes()).unwrap();
    let (gzip, zlib) = (gzip.finish().unwrap(), zlib.finish().unwrap());
    for file in [&gzip, &zlib] {
        assert_eq!(read(file, Options::default()).0.len(), 3);
    }
    // Cut off, they can't be read to the end.
    assert!(matches!(error(&gzip[..gzip.len() - 20]), Error::Io(_)));
}

#[test]
fn exchanges_are_in_the_order_in_which_they_ended() {
    let mut list = entries(50);
    list.reverse();
    // One that took long.
    list.push(entry(5).replace("n=5", "n=99").replace("\"wait\":1", "\"wait\":20500"));
    let (exchanges, _) = read(har(&list).as_bytes(), Options::default());
    let ends: Vec<_> = exchanges.iter().map(|exchange| exchange.started_at.plus(exchange.duration())).collect();
    assert!(ends.is_sorted());
    let number = |exchange: &Exchange| exchange.request.url.rsplit_once('=').unwrap().1.to_owned();
    assert_eq!((number(&exchanges[0]), number(&exchanges[26])), ("0".to_owned(), "99".to_owned()));
    assert!(exchanges.iter().map(|exchange| exchange.sequence).eq(1..=51));
}

/// A HAR of so many entries, made as it is read.
struct Endless {
    left: u32,
    at: usize,
    text: Vec<u8>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.text.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.left -= 1;
            let end = if self.left == 0 { "]}}" } else { "," };
            (self.text, self.at) = (format!("{}{end}", entry(self.left)).into_bytes(), 0);
        }
        let count = buffer.len().min(self.text.len() - self.at);
        buffer[..count].copy_from_slice(&self.text[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[test]
fn a_large_file_is_read_as_it_comes() {
    const COUNT: u32 = 20_000;
    let begin = br#"{"log":{"entries":["#.to_vec();
    let file = Endless { left: COUNT, at: 0, text: begin };
    let mut read_bytes = 0;
    // When the first exchange comes, most of the file is not read yet.
    let mut at_first = None;
    let seen = std::cell::Cell::new(0);
    let mut reader = Reader::open_with(BufReader::new(file), Options::default(), |bytes| {
        seen.set(bytes);
        Ok(())
    })
    .unwrap();
    let mut count = 0;
    for incoming in reader.by_ref() {
        assert!(matches!(incoming.unwrap(), Incoming::Foreign(_)));
        count += 1;
        read_bytes = seen.get();
        at_first.get_or_insert(read_bytes);
    }
    assert_eq!((count, reader.summary().entries), (COUNT, u64::from(COUNT)));
    assert!(at_first.unwrap() < read_bytes / 2, "{at_first:?} of {read_bytes}");
}

#[test]
fn an_error_of_the_progress_ends_the_reading() {
    let list = har(&entries(3));
    let reader = Reader::open_with(list.as_bytes(), Options::default(), |_| Err(io::ErrorKind::StorageFull.into()));
    assert!(matches!(reader.err(), Some(Error::Io(error)) if error.kind() == io::ErrorKind::StorageFull));
}

#[test]
fn nesting_costs_nothing() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let list = har(&entries(2)).replacen(r#""time":1,"#, &format!(r#""time":1,"x":{deep},"#), 1);
    let (exchanges, summary) = read(list.as_bytes(), lenient());
    assert_eq!((exchanges.len() as u64 + summary.skipped, summary.skipped), (2, 0), "{:?}", summary.reasons);
    // Where a value is read, there is a limit to it, and it is no worse than other damage.
    let list = har(&entries(2)).replacen(r#""text":"{}""#, &format!(r#""text":{deep}"#), 1);
    let (exchanges, summary) = read(list.as_bytes(), lenient());
    assert_eq!(exchanges.len() as u64 + summary.skipped, 2, "{:?}", summary.reasons);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes_are_read_or_refused(file in prop::collection::vec(any::<u8>(), 0..2000)) {
        for begins in [&b""[..], b"{\"log\":{\"entries\":[", b"100:7:version;1:7#", b"{\"id\":", b"\x1f\x8b\x08", b"\x78\x9c"] {
            let file = [begins, &file].concat();
            for options in [Options::default(), Options { all_hosts: true, ..lenient() }] {
                if let Ok(mut reader) = Reader::open(&file[..], options) {
                    let mut ended = false;
                    for incoming in reader.by_ref() {
                        prop_assert!(!ended, "something comes after an error");
                        ended = incoming.is_err();
                    }
                }
            }
        }
    }

    #[test]
    fn a_file_with_bytes_changed_gives_its_other_entries(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let file = har(&entries(30)).into_bytes();
        let begin = file.windows(9).position(|part| part == b"entries\":").unwrap() + 11;
        let mut changed = file.clone();
        for (index, byte) in &changes {
            let at = begin + index.index(file.len() - begin - 3);
            changed[at] = *byte;
        }
        let (exchanges, _) = match Reader::open(&changed[..], lenient()) {
            Ok(_) => read(&changed, lenient()),
            Err(_) => return Ok(()),
        };
        // Each change damages the entry it is in, and at the edge of two both.
        prop_assert!(exchanges.len() >= 30 - 2 * changes.len(), "{} are left", exchanges.len());
    }

    #[test]
    fn a_file_that_is_read_in_pieces_is_the_same(size in 1_usize..400) {
        let file = har(&entries(9)).replacen("\"POST\"", "\"PO\u{1}ST\"", 1);
        let whole = read(file.as_bytes(), lenient());
        let mut reader = Reader::open(BufReader::with_capacity(size, file.as_bytes()), lenient()).unwrap();
        let count = reader.by_ref().filter(Result::is_ok).count();
        prop_assert_eq!((count, reader.summary()), (whole.0.len(), &whole.1));
    }
}

/// Of a body of 3 MB by default, and of as many as `NIGHTAUDIT_TEST_MEGABYTES` says in the long lane of `.ci/run`.
#[test]
fn regression_megabytes_of_escapes_that_an_export_wrote_were_too_long_to_import() {
    let line = |sequence: u32, body: Body| {
        let body = serde_json::to_value(Request {
            method: "POST".into(),
            url: "https://api.mews-demo.com/api/connector/v1/rates/getAll".into(),
            http_version: "HTTP/1.1".into(),
            headers: Vec::new(),
            body,
        });
        let exchange = serde_json::json!({
            "id": format!("01KAS{sequence:021}"), "session": "01KAS000000000000000000000", "sessionName": "run",
            "sequence": sequence, "environment": "demo", "operation": "rates/getAll",
            "startedAt": "2026-11-23T12:00:00.123456Z",
            "timesUs": {"forwarded": null, "responseHead": null, "responseEnd": null}, "peer": null,
            "envelope": {"paginated": false}, "request": body.unwrap(), "response": null, "limit": null,
            "outcome": "failed", "error": {"kind": "connect", "message": "refused"}
        });
        serde_json::to_vec(&exchange).unwrap()
    };
    // Each byte takes six in JSON.
    let megabytes = std::env::var("NIGHTAUDIT_TEST_MEGABYTES").map_or(3, |megabytes| megabytes.parse().unwrap());
    let length: usize = megabytes * 1_000_000;
    let escaped = line(1, Body::whole(vec![1; length].into()));
    let file = [&escaped[..], &line(2, Body::empty())].join(&b'\n');
    let (exchanges, summary) = read(&file, Options::default());
    assert_eq!((exchanges.len(), summary.skipped), (2, 0));
    assert!(exchanges[0].request.body.bytes.iter().all(|byte| *byte == 1));
    assert_eq!(exchanges[0].request.body.bytes.len(), length);

    // A long line that is damaged costs no other.
    for damaged in
        [&escaped[..escaped.len() - 1], &[b"{\"id\":", &escaped[..]].concat(), &[&escaped[..], b"x"].concat()]
    {
        let file = [damaged, &line(2, Body::empty())].join(&b'\n');
        let (exchanges, summary) = read(&file, lenient());
        assert_eq!((exchanges.len(), summary.skipped), (1, 1));
        assert_eq!((exchanges[0].sequence, summary.reasons[0].place), (2, Place::Line(1)));
    }
}
