//! Tampering, one test per kind.

use std::{collections::BTreeMap, sync::OnceLock};

use nightaudit_exchange::{Body, CallDirection, Destination, Exchange, ExchangeId, Missing, Outcome, chain};
use nightaudit_export::{FindingKind, Format, VerifyOptions, verify};
use proptest::prelude::*;

use crate::{
    bundles::*,
    samples::{chained, demo, exchange, said},
};

fn written(format: Format, exchanges: &[Exchange]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = format.writer(&mut out);
    exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
    writer.finish().unwrap();
    out
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
        invented.id = ExchangeId::from_parts(1, 1);
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
fn an_altered_message_of_a_websocket_is_told_with_its_exchange() {
    let exchanges = chained(vec![exchange(1), said(), exchange(3)]);
    let id = exchanges[1].id.to_string();
    let files = unpacked(&bundle_of(&evidence(), &exchanges));
    assert_eq!(findings(&files), []);
    let mut edited = lines(&files);
    assert!(edited[1].contains(r#"{\"a\":1}"#));
    edited[1] = edited[1].replacen(r#"{\"a\":1}"#, r#"{\"a\":2}"#, 1);
    let found = findings(&resigned(with_lines(&files, &edited), &key()));
    assert!(names(&found, FindingKind::Altered, &id), "{found:?}");
    assert!(names(&found, FindingKind::Altered, "WebSocket message 1 differs"), "{found:?}");
    // With a matching digest, the hash no longer matches.
    let mut parted = exchanges[1].clone();
    parted.web_socket.as_mut().unwrap().messages[0].body = Body::whole("{\"a\":2}".into());
    edited[1] = serde_json::to_string(&parted).unwrap() + "\n";
    let found = findings(&resigned(with_lines(&files, &edited), &key()));
    assert!(names(&found, FindingKind::Altered, &id), "{found:?}");
}

#[test]
fn an_altered_message_in_a_har_is_told_with_its_exchange() {
    let exchanges = chained(vec![said()]);
    let mut out = Vec::new();
    let mut writer = Format::Har.writer(&mut out);
    writer.write(&exchanges[0]).unwrap();
    writer.finish().unwrap();
    assert!(check(&out).unwrap().is_good());
    let text = String::from_utf8(out).unwrap();
    for (from, to) in
        [(r#""data":"{\"a\":1}""#, r#""data":"{\"a\":2}""#), ("\"/wA=\"", "\"/wB=\""), ("\"/wA=\"", "\"/w==\"")]
    {
        assert!(text.contains(from), "{text}");
        let found = check(text.replacen(from, to, 1).as_bytes()).unwrap().findings;
        assert!(found.len() == 1 && found[0].what.contains(&exchanges[0].id.to_string()), "{found:?}");
    }
}

#[test]
fn regression_a_webhook_made_its_session_not_mews() {
    let mut webhook = exchange(2);
    webhook.direction = CallDirection::Incoming;
    webhook.destination = Some(Destination { address: "http://127.0.0.1:3000".into(), tls: None, ..demo() });
    let exchanges = chained(vec![exchange(1), webhook]);
    let statement = |file: &[u8]| check(file).unwrap().origins[0].provenance.statement.clone();
    let claimed = "Claims to be answered by api.mews-demo.com over TLS";
    assert_eq!(statement(&written(Format::Ndjson, &exchanges)), claimed);
    assert_eq!(statement(&bundle_of(&evidence(), &exchanges)), "Answered by api.mews-demo.com over TLS");
    let notes = check(&written(Format::Har, &exchanges)).unwrap().notes;
    assert!(!notes.iter().any(|note| note.contains("not Mews")), "{notes:?}");
}

#[test]
fn regression_a_session_without_an_answer_was_answered_by_mews() {
    let mut failed = exchange(1);
    failed.outcome = Outcome::Failed;
    let origins = check(&bundle_of(&evidence(), &chained(vec![failed]))).unwrap().origins;
    let statement = &origins[0].provenance.statement;
    assert_eq!(statement, "Nothing was answered: 1 request was sent to api.mews-demo.com");
}

#[test]
fn regression_a_required_key_was_ignored_where_nothing_is_signed() {
    for format in [Format::Ndjson, Format::Har] {
        let file = written(format, &recorded());
        let options = VerifyOptions { key: Some(key().fingerprint()), ..VerifyOptions::default() };
        let verification = verify(file_of(&file), &options, &mut |_| {}).unwrap();
        let found: Vec<_> = verification.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(found, [FindingKind::Unsigned], "{format}");
    }
}

#[test]
fn regression_entries_removed_from_the_start_of_a_har_were_not_missed() {
    let exchanges = recorded();
    for (left_out, missing) in [(1, "exchange 1 of"), (3, "exchanges 1 to 3 of")] {
        let found = check(&written(Format::Har, &exchanges[left_out..])).unwrap().findings;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].kind == FindingKind::Missing && found[0].what.contains(missing), "{found:?}");
    }
    // Another first entry doesn't chain to the start of its session.
    let mut other = exchanges[1].clone();
    other.sequence = 1;
    let found = check(&written(Format::Har, &[other])).unwrap().findings;
    assert!(found.len() == 1 && found[0].what.contains("the start of the session"), "{found:?}");
    let notes = check(&written(Format::Har, &exchanges)).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("missing at the end")), "{notes:?}");
}

#[test]
fn regression_entries_without_hashes_hid_what_was_removed_between_them() {
    let mut exchanges = recorded();
    (exchanges[1].hash, exchanges[4].previous_hash) = (None, None);
    exchanges.drain(2..4);
    let found = check(&written(Format::Har, &exchanges)).unwrap().findings;
    assert!(found.iter().any(|finding| finding.what.contains("exchanges 3 to 4 of")), "{found:?}");
}

#[test]
fn regression_a_har_without_entries_fitted() {
    let found = check(&written(Format::Har, &[])).unwrap().findings;
    assert!(found.len() == 1 && found[0].kind == FindingKind::Missing, "{found:?}");
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

#[test]
fn regression_a_har_that_says_itself_what_it_lacks_was_called_complete() {
    let exchanges = recorded();
    let lost = Missing {
        session: exchanges[0].session,
        session_name: "certification".to_owned(),
        count: 2,
        ranges: vec![(90, 91)],
        whole_session: false,
    };
    let mut har = Vec::new();
    let mut writer = Format::Har.writer(&mut har);
    exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
    writer.missing(std::slice::from_ref(&lost)).unwrap();
    writer.finish().unwrap();
    let found = check(&har).unwrap().findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind, FindingKind::Missing);
    assert_eq!(found[0].what, format!("{lost}: already lost from the log when the file was written"));
    // Wherever it stands, and whatever else it is.
    let text = String::from_utf8(har).unwrap();
    let (entries, missing) = text.split_once(",\"_missing\":").unwrap();
    let missing = missing.trim_end().strip_suffix("}}").unwrap();
    let before = entries.replacen("\"entries\":", &format!("\"_missing\":{missing},\"entries\":"), 1) + "}}";
    assert_eq!(check(before.as_bytes()).unwrap().findings, found);
    let hostile = text.replace("certification\",\"count", "\\u001b[2J\\u202e\",\"count");
    assert!(!check(hostile.as_bytes()).unwrap().findings[0].what.contains(['\u{1b}', '\u{202e}']));
    for other in ["7", "[1]", "{}", "[{\"count\":1}]"] {
        assert!(check(format!("{entries},\"_missing\":{other}}}}}").as_bytes()).is_err(), "{other}");
    }
}
