//! The report and the bundle: golden files and verification.

use std::io::Cursor;

use nightaudit_exchange::{Body, CallDirection, Digest, Direction, Exchange, Filter, Mask, PseudonymKey, Timestamp};
use nightaudit_export::{Evidence, FindingKind, Format, Made, SigningKey, VerifyOptions, verify};
use nightaudit_mews::Contracts;
use nightaudit_review::{Basis, RequestLimit};

use crate::{
    bundles::*,
    samples::{chained, exchange, said},
};

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
        // Lengths and digests depend on the other files.
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
    // The review's text is tested in its own crate.
    let page = report_of(&recorded()).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let exchanges = page.split_once("<section class=\"part\" id=\"exchanges\">").unwrap().1;
    insta::assert_snapshot!("report", exchanges.replace("><", ">\n<"));
}

#[test]
fn the_report_tells_of_webhooks_and_events_where_there_are_any() {
    assert!(!report_of(&recorded()).contains("id=\"events\""));
    let webhook = |sequence: u64, event: &str, status: u16| {
        let mut webhook = exchange(sequence);
        webhook.operation = "webhook".to_owned();
        webhook.direction = CallDirection::Incoming;
        let body = format!(r#"{{"Events":[{{"Discriminator":"{event}","Value":{{"Id":"r-{sequence}"}}}}]}}"#);
        webhook.request.body = Body::whole(body.into());
        webhook.response.as_mut().unwrap().status = status;
        webhook
    };
    let mut told = said();
    (told.sequence, told.id) = (11, exchange(11).id);
    told.web_socket.as_mut().unwrap().messages[0].body =
        Body::whole(r#"{"Events":[{"Type":"Resource","Id":"r-1","State":"Dirty"}]}"#.into());
    told.web_socket.as_mut().unwrap().messages[0].direction = Direction::Receive;
    let mut opened = exchange(10);
    opened.operation = "/ws/connector".to_owned();
    opened.response.as_mut().unwrap().status = 101;
    let events = [
        webhook(7, "ServiceOrderUpdated", 200),
        webhook(8, "<b>Unheard</b>", 200),
        webhook(9, "ServiceOrderUpdated", 500),
        opened,
        told,
    ];
    let exchanges = chained(recorded().into_iter().chain(events).collect());
    assert_eq!(check(&bundle_of(&evidence(), &exchanges)).unwrap().findings, []);
    let page = report_of(&exchanges);
    let (_, section) = page.split_once("<section class=\"part\" id=\"events\">").unwrap();
    let (section, _) = section.split_once("</section>").unwrap();
    insta::assert_snapshot!("events", section.replace("><", ">\n<"));
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
    // A report that names its key can't be signed with another.
    let made = Evidence { made: Some(Made { at: at(), key: key().fingerprint() }), ..evidence() };
    let zip = bundle_of(&made, &recorded());
    assert!(check(&zip).unwrap().is_good());
    let report = String::from_utf8(unpacked(&zip)["report.html"].clone()).unwrap();
    assert!(report.contains(&key().fingerprint().to_string()) && report.contains("2026-11-24 09:00:00 UTC"));
    let noticed = findings(&resigned(unpacked(&zip), &other));
    assert!(noticed.iter().any(|found| found.kind == FindingKind::Unsigned), "{noticed:?}");
    let options =
        VerifyOptions { key: Some(key().fingerprint()), scratch: std::env::temp_dir(), ..VerifyOptions::default() };
    let refused = verify(file_of(&packed(&files)), &options, &mut |_| {}).unwrap();
    assert_eq!(refused.findings[0].kind, FindingKind::Unsigned);
}

#[test]
fn a_filtered_and_masked_bundle_is_good_and_says_what_it_cant_know() {
    let mut exchanges = recorded();
    exchanges.remove(2);
    let mask = Mask::new(&["Client".to_owned()], PseudonymKey([7; 32]));
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
    // Without the filter this would be a gap.
    let unfiltered = Evidence { filter: Filter::default(), ..evidence };
    assert!(names(
        &check(&bundle_of(&unfiltered, &exchanges)).unwrap().findings,
        FindingKind::Missing,
        "exchange 3 of"
    ));
}

#[test]
fn regression_what_a_filter_left_out_is_not_missing() {
    let mut exchanges = recorded();
    exchanges.retain(|exchange| exchange.sequence % 2 == 0);
    let filtered = |filter: [(&str, &str); 1]| {
        let evidence = Evidence { filter: Filter::from_query(filter, at()).unwrap(), ..evidence() };
        let mut page = Vec::new();
        let mut writer = evidence.report(&mut page).unwrap();
        exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
        writer.finish().unwrap();
        String::from_utf8(page).unwrap()
    };
    let page = filtered([("status", "4xx")]);
    assert!(page.contains("after a filter, so it can't be told whether any are missing"));
    assert!(!page.contains("record/incomplete"));
    // A whole session is no filter within it.
    for name in ["session", "session!"] {
        assert!(filtered([(name, "other")]).contains("record/incomplete"), "{name}");
    }
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
    // Links lead only to exchanges on the page.
    for link in page.split("href=\"#x-").skip(1) {
        assert!(page.contains(&format!("id=\"x-{}\"", &link[..26])), "{}", &link[..26]);
    }
}

#[test]
fn a_part_of_a_websocket_is_shown_as_messages_and_is_no_failure() {
    let mut part = said();
    let messages = &mut part.web_socket.as_mut().unwrap().messages;
    messages[0].body = Body::whole("<script>\u{202e}".into());
    for _ in 0..300 {
        messages.push(messages[0].clone());
    }
    let page = report_of(&chained(vec![exchange(1), part]));
    let shown = page.split_once("data-kind=\"said\"").unwrap().1;
    for text in ["Client to Mews", "Mews to client", "09-21 14:13:20.250", "binary", "close"] {
        assert!(shown.contains(text), "{text}");
    }
    assert!(shown.contains("&lt;script&gt;<i class=\"u\">U+202E</i>"));
    assert!(shown.contains("103 more messages are omitted here"));
    assert!(shown.contains("1 message (2 B) was forwarded but not recorded"));
    assert!(!shown.contains("The client got no response") && !shown.contains("No body"));
    assert_eq!(page.matches("data-kind=\"bad\"").count(), 0);
}

#[test]
fn a_bundle_held_against_an_openapi_document_says_so_and_is_checked_with_it() {
    let content = "{post: {requestBody: {content: {application/json: {schema: {type: object}}}}}}";
    let document = format!("openapi: 3.1.0\npaths: {{/api/connector/v1/new/getAll: {content}}}");
    let basis = Basis {
        contracts: Contracts::from_openapi(document.as_bytes()).unwrap(),
        openapi: Some(Digest::of(document.as_bytes())),
        ..Basis::default()
    };
    let evidence = Evidence {
        declaration: Some("[operations]\n\"new/getAll\" = \"what is new\"\n".to_owned()),
        basis: basis.clone(),
        unrecorded: [(exchange(1).session, 3)].into(),
        ..evidence()
    };
    let zip = bundle_of(&evidence, &recorded());
    let files = unpacked(&zip);
    let review = str::from_utf8(&files["review.json"]).unwrap();
    assert!(review.contains("\"missing\": 3") && review.contains("record/incomplete"), "{review}");
    assert!(str::from_utf8(&files["README.txt"]).unwrap().contains("3 more were forwarded but not recorded"));
    let changed = files.into_iter().map(|(name, bytes)| match &*name {
        "review.json" => {
            (name, str::from_utf8(&bytes).unwrap().replace("\"missing\": 3", "\"missing\": 2").into_bytes())
        }
        _ => (name, bytes),
    });
    let changed = packed(&resigned(changed.collect(), &key()));

    let options = |documentation: Vec<Basis>| VerifyOptions {
        documentation,
        scratch: std::env::temp_dir(),
        ..VerifyOptions::default()
    };
    let here = options(vec![basis.clone()]);
    let with = |bytes: &[u8]| verify(file_of(bytes), &here, &mut |_| {}).unwrap();
    assert_eq!((with(&zip).findings, with(&zip).notes), (vec![], vec![]));
    assert_eq!(with(&changed).findings[0].file.as_deref(), Some("review.json"));
    // Without the document, or with another, it says what it could not rebuild.
    let another = Basis { openapi: Some(Digest::of(b"another")), ..basis.clone() };
    let with_updated = Basis { updated: Some(Digest::of(b"newer")), ..basis.clone() };
    for documentation in [vec![], vec![another], vec![with_updated]] {
        let without = verify(file_of(&zip), &options(documentation), &mut |_| {}).unwrap();
        assert_eq!(without.findings, []);
        assert!(
            without.notes.iter().any(|note| note.contains("pass that document with --openapi")),
            "{:?}",
            without.notes
        );
    }
}

#[test]
fn a_bundle_is_reviewed_with_the_configured_limits_and_verified_with_them() {
    let limit = RequestLimit {
        name: "ours".to_owned(),
        requests: 1,
        window: std::time::Duration::from_secs(600),
        access_token: false,
        client_token: false,
        operation: false,
    };
    let limited = Evidence { basis: Basis { limits: vec![limit], ..Basis::default() }, ..evidence() };
    let zip = bundle_of(&limited, &recorded());
    let files = unpacked(&zip);
    let review: serde_json::Value = serde_json::from_slice(&files["review.json"]).unwrap();
    let limits: Vec<_> = review[0]["limits"].as_array().unwrap().iter().map(|own| own["rule"].clone()).collect();
    assert!(limits.contains(&"ours".into()), "{limits:?}");
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(manifest["limits"][0]["windowUs"], 600_000_000);
    assert_eq!(check(&zip).unwrap().findings, []);
    // Without its limit the review is another one.
    let unlimited = bundle_of(&evidence(), &recorded());
    assert_ne!(unpacked(&unlimited)["review.json"], files["review.json"]);
    let mut moved = unpacked(&unlimited);
    moved.insert("review.json".to_owned(), files["review.json"].clone());
    let noticed = findings(&resigned(moved, &key()));
    assert!(noticed.iter().any(|found| found.file.as_deref() == Some("review.json")), "{noticed:?}");
}

/// The report of a request of this operation with this body.
fn report_of_request(operation: &str, body: &str) -> String {
    let mut asked = exchange(1);
    asked.operation = operation.to_owned();
    asked.request.body = Body::whole(body.to_owned().into());
    report_of(&chained(vec![asked]))
}

#[test]
fn regression_the_exchange_shows_what_the_review_finds_relative_to_its_time() {
    let unit = r#""FirstTimeUnitStartUtc":"2040-01-01T23:00:00Z","LastTimeUnitStartUtc":"2040-01-01T23:00:00Z""#;
    let body = format!(
        r#"{{"RateId":"{}","PriceUpdates":[{{{unit},"Value":1}}]}}"#,
        "0".repeat(8) + "-0000-4000-8000-000000000000"
    );
    let page = report_of_request("rates/updatePrice", &body);
    let (review, exchanges) = page.split_once("<section class=\"part\" id=\"exchanges\">").unwrap();
    for (part, place) in [(review, "review"), (exchanges, "exchange")] {
        assert!(part.contains("at the latest 5 years after the request of"), "{place}");
    }
}

#[test]
fn regression_a_report_of_more_than_30_days_tells_stretches() {
    let mut late = exchange(2);
    late.started_at = "2027-01-10T12:00:00Z".parse().unwrap();
    let page = report_of(&chained(vec![exchange(1), late]));
    assert!(page.contains("2 calls in 2 of 577 stretches of 2 h"), "{}", chart_of(&page));
    assert!(chart_of(&report_of(&recorded())).contains("of 1 hour;"), "{}", chart_of(&report_of(&recorded())));
}

fn chart_of(page: &str) -> &str {
    let chart = page.split_once("id=\"hours-text\">").unwrap().1;
    chart.split_once('<').unwrap().0
}

#[test]
fn regression_the_head_counts_what_the_list_has() {
    let page = report_of(&chained(vec![exchange(1), said()]));
    assert!(page.contains("<dt>Exchanges</dt><dd>2, 1 of them requests</dd>"));
    assert!(page.contains("2 exchanges, 1 of them requests, none missing"));
    assert!(page.contains("All 2 exchanges, in recording order."));
}

#[test]
fn regression_masking_does_not_make_test_data() {
    let guest = r#"{"Client":"Acme Kiosk 2.1.0","LastName":"Lee","Email":"ann.lee@gmail.com"}"#;
    let mask = Mask::new(&["Email".to_owned()], PseudonymKey([7; 32]));
    let mut added = exchange(1);
    added.operation = "customers/add".to_owned();
    added.request.body = Body::whole(guest.into());
    assert!(report_of(&chained(vec![added.clone()])).contains("1 value looks real"));
    mask.apply_to(&mut added);
    assert!(report_of(&chained(vec![added])).contains("nothing looks real in 0 requests; 1 with masked values"));
}
