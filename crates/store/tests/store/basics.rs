//! Recorded exchanges can be read in every way the log offers.

use http::StatusCode;
use nightaudit_exchange::{Capture, CapturedBody, Exchange, Filter, Outcome, Pseudonym, chain};
use nightaudit_store::{FindError, Log, Order, Query, StoreConfig};

use crate::support::{ACCESS, CLIENT, capture, config, id, numbers, record, record_all, started, wait};

fn filter(name: &str, value: &str) -> Filter {
    Filter::from_query([(name, value)], nightaudit_exchange::Timestamp::from_micros(0)).unwrap()
}

#[test]
fn recorded_exchanges_are_read_back_and_chained() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    record(&log, 0..300);
    let exchanges: Vec<_> = log.query(Query::default()).unwrap().map(Result::unwrap).collect();
    assert_eq!(exchanges.len(), 300);
    let session = log.session("certification").unwrap();
    assert_eq!((session.exchanges, session.open, session.current), (300, true, true));
    let mut previous = chain::genesis(session.id);
    for (index, exchange) in exchanges.iter().enumerate() {
        assert_eq!(exchange.sequence, index as u64 + 1);
        assert_eq!(exchange.previous_hash, Some(previous));
        assert_eq!(exchange.hash, Some(chain::hash(previous, exchange)));
        previous = exchange.hash.unwrap();
        assert_eq!(exchange.envelope.access_token, Some(Pseudonym::of(ACCESS.as_bytes())));
        let body = String::from_utf8(exchange.response.as_ref().unwrap().body.bytes.to_vec()).unwrap();
        assert!(body.contains(&format!("\"guest {index}\"")), "{body}");
    }
    assert_eq!(log.close().recorded, 300);
    assert_eq!(log.check(&mut |_| {}).unwrap().exchanges, 300);
}

#[test]
fn filters_give_the_same_results_from_the_index_and_the_exchanges() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    record(&log, 0..1500);
    let all: Vec<_> = log.query(Query::default()).unwrap().map(Result::unwrap).collect();
    for (name, value) in [
        ("operation", "reservations/*"),
        ("operation", "*"),
        ("status", "4xx"),
        ("outcome", "answered"),
        ("outcome", "delayed"),
        ("client", "*1"),
        ("token", &Pseudonym::of(CLIENT.as_bytes()).to_string()),
        ("token", "REDACTED:000000000000"),
        ("request-id", "REQ-77"),
        ("contains", "guest 12"),
        ("slower-than", "81ms"),
        ("since", "2026-11-23T12:00:01Z"),
        ("until", "2026-11-23T12:00:01Z"),
    ] {
        let filter = filter(name, value);
        let due: Vec<u64> = all.iter().filter(|e| filter.matches(e)).map(|e| e.sequence).collect();
        let mut found: Vec<u64> = log
            .query(Query { filter: filter.clone(), order: Order::Newest, ..Query::default() })
            .unwrap()
            .map(|exchange| exchange.unwrap().sequence)
            .collect();
        found.reverse();
        assert_eq!(found, due, "{name} {value}");
        assert_eq!(log.count(&filter).unwrap(), due.len() as u64, "{name} {value}");
    }
}

#[test]
fn a_query_resumes_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    for part in 0..7 {
        record_all(
            &log,
            (part * 100..part * 100 + 100).map(|number| {
                let mut capture = capture(number);
                capture.session = (number % 3 > 0).then(|| format!("suite {}", number % 3).into());
                capture
            }),
        );
    }
    for order in [Order::Oldest, Order::Newest] {
        let whole = numbers(&log, Query { order, ..Query::default() });
        assert_eq!(whole.len(), 700);
        let (mut pieces, mut after) = (Vec::new(), None);
        loop {
            let mut page = log.query(Query { order, after, limit: Some(33), ..Query::default() }).unwrap();
            let before = pieces.len();
            pieces.extend(page.by_ref().map(|e| e.unwrap().request_id().unwrap()[4..].parse::<u64>().unwrap()));
            if pieces.len() == before {
                break;
            }
            after = Some(page.last_position().unwrap().to_string().parse().unwrap());
        }
        assert_eq!(pieces, whole, "{order:?}");
    }
    let session = |name: &str| Filter { session: Some(name.into()), ..Filter::default() };
    assert_eq!(log.count(&session("suite 1")).unwrap(), 233);
    assert!(log.query(Query { filter: session("nobody"), ..Query::default() }).is_err());
}

#[test]
fn an_exchange_is_found_by_any_unique_prefix_of_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    record(&log, 0..600);
    let whole = id(321).to_string();
    assert_eq!(log.get(id(321)).unwrap().unwrap().id, id(321));
    assert!(log.get(id(9999)).unwrap().is_none());
    assert_eq!(log.find(&whole).unwrap().id, id(321));
    assert_eq!(log.find(&whole[..16].to_lowercase()).unwrap().id, id(321));
    assert!(matches!(log.find(&whole[..6]), Err(FindError::Ambiguous { ids, .. }) if ids.len() == 8));
    for nothing in ["", "01ZZ", "é", "8ZZZ", &"Z".repeat(40)] {
        assert!(matches!(log.find(nothing), Err(FindError::NotFound(_))), "{nothing}");
    }
}

#[test]
fn an_exchange_is_found_by_a_suffix_of_its_id_and_as_last() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    assert!(matches!(log.find("last"), Err(FindError::Empty)));
    record(&log, 0..600);
    let whole = id(321).to_string();
    for letters in [8, 12, 25] {
        assert_eq!(log.find(&whole[26 - letters..]).unwrap().id, id(321), "{letters}");
        assert_eq!(log.find(&whole[26 - letters..].to_lowercase()).unwrap().id, id(321), "{letters}");
    }
    // All ids of this test have this suffix.
    let error = log.find("0000").unwrap_err();
    assert!(matches!(&error, FindError::Ambiguous { ids, .. } if ids.len() == 8), "{error}");
    assert!(error.to_string().contains(&id(0).to_string()) && error.to_string().contains("more"), "{error}");
    assert_eq!(log.find("last").unwrap().id, id(599));
    let newest =
        |wanted: &dyn Fn(&Exchange) -> bool| (0..600).rev().find_map(|n| log.get(id(n)).unwrap().filter(wanted));
    let wrong = |exchange: &Exchange| exchange.status().is_none_or(|status| status >= 400);
    match newest(&wrong) {
        Some(expected) => assert_eq!(log.find("last-error").unwrap().id, expected.id),
        None => assert!(matches!(log.find("last-error"), Err(FindError::NoError))),
    }
}

#[test]
fn a_session_is_found_by_prefix_suffix_and_as_last_and_can_be_excluded() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    for (name, numbers) in [("first", 0..10), ("second", 10..30)] {
        log.start_session(name).unwrap();
        record(&log, numbers);
    }
    let first = log.session("first").unwrap().id.to_string();
    for which in [&first[..], &first[16..], &first[16..].to_lowercase()] {
        assert_eq!(log.session(which).unwrap().name, "first", "{which}");
    }
    assert_eq!(log.session("last").unwrap().name, "second");
    let count = |pairs: &[(&str, &str)]| {
        log.count(&Filter::from_query(pairs.iter().copied(), capture(0).received).unwrap()).unwrap()
    };
    assert_eq!((count(&[("session", "!first")]), count(&[("session", "last")])), (20, 20));
    // From the index alone, and with data the index doesn't have.
    let all = count(&[]);
    for (flag, value) in
        [("operation", "*/getAll*"), ("status", "2xx"), ("client", "*1*"), ("contains", "1"), ("request-id", "x")]
    {
        let unwanted = format!("!{value}");
        assert_eq!(count(&[(flag, value)]) + count(&[(flag, &unwanted)]), all, "{flag}");
    }
    log.start_session("last").unwrap();
    assert_eq!(log.session("last").unwrap().name, "last");
}

#[test]
fn a_named_session_continues_after_a_restart_and_an_unnamed_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..3 {
        let log = Log::open(config(dir.path())).unwrap();
        assert_eq!(log.opened().exchanges, run * 10);
        record(&log, run * 10..run * 10 + 10);
        log.close();
    }
    for _ in 0..2 {
        let log = Log::open(StoreConfig { session: None, ..config(dir.path()) }).unwrap();
        assert_eq!(log.current_session(), None);
        record(&log, 100..103);
        assert_eq!(log.current_session().unwrap().name, "2026-11-23T12-00-00Z");
        log.close();
    }
    let log = Log::open(config(dir.path())).unwrap();
    let mut seen: Vec<_> = log.sessions().into_iter().map(|s| (s.name, s.exchanges, s.open)).collect();
    seen.sort();
    let unnamed = ("2026-11-23T12-00-00Z".to_owned(), 3, false);
    assert_eq!(seen, [unnamed.clone(), unnamed, ("certification".to_owned(), 30, true)]);
    let check = log.check(&mut |_| {}).unwrap();
    assert_eq!((check.exchanges, check.index_faults), (36, 0));
    assert_eq!(check.damage, []);
}

#[test]
fn sessions_are_started_ended_renamed_noted_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    record(&log, 0..5);
    assert!(log.delete_session("certification").unwrap_err().to_string().contains("end it first"));
    log.start_session("second").unwrap();
    record(&log, 5..8);
    assert_eq!(log.rename_session("second", "other").unwrap().name, "other");
    assert_eq!(log.note_session("other", " good ").unwrap().note.as_deref(), Some("good"));
    assert!(!log.end_session("certification").unwrap().open);
    assert!(log.rename_session("other", "\n").is_err());
    assert!(log.start_session("certification").unwrap().exchanges == 0);
    let doomed = log.sessions().into_iter().find(|session| !session.open).unwrap();
    assert_eq!(log.delete_session(&doomed.id.to_string()).unwrap().exchanges, doomed.exchanges);
    assert!(log.session(&doomed.id.to_string()).is_err());
    assert_eq!(log.count(&Filter::default()).unwrap(), 8 - doomed.exchanges);
    drop(log);
    let log = Log::open(config(dir.path())).unwrap();
    assert_eq!(log.sessions().len(), 2);
    assert_eq!(log.opened().exchanges, 8 - doomed.exchanges);
}

#[test]
fn a_second_owner_learns_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    log.set_console("http://127.0.0.1:8081").unwrap();
    let error = Log::open(config(dir.path())).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    assert!(error.ends_with("with its console on http://127.0.0.1:8081"), "{error}");
    assert!(Log::open_read_only(dir.path(), &nightaudit_mews::API).is_err());
    drop(log);
    let log = Log::open_read_only(dir.path(), &nightaudit_mews::API).unwrap();
    assert!(log.start_session("x").unwrap_err().to_string().contains("not open for writing"));
    assert!(wait(log.recorder().reserve()).is_err());
    assert!(
        Log::open_read_only(&dir.path().join("nothing"), &nightaudit_mews::API)
            .unwrap_err()
            .to_string()
            .contains("there is no log")
    );
}

#[test]
fn no_secret_reaches_any_file_and_the_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = Log::open(StoreConfig { redact_fields: vec!["Note".into()], ..config(&data) }).unwrap();
    let mut permit = wait(log.recorder().reserve()).unwrap();
    permit.begin(&started(1)).unwrap();
    record(&log, 1..50);
    log.close();
    // Compression hides the content, so search the records as well as the files.
    let mut text: Vec<u8> = Vec::new();
    for exchange in log.query(Query::default()).unwrap() {
        text.extend(serde_json::to_vec(&exchange.unwrap()).unwrap());
    }
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
                text.extend(std::fs::read(&path).unwrap());
            }
        }
    }
    for secret in [ACCESS, CLIENT, "token=secret", "guest 7"] {
        assert!(!text.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

#[test]
fn recent_sends_are_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    let mut refused = capture(5);
    (refused.outcome, refused.forwarded) = (Outcome::Refused, None);
    record_all(&log, [capture(1), capture(2), capture(3), refused, capture(6)]);
    drop(log);
    let log = Log::open(config(dir.path())).unwrap();
    let since = capture(2).received.plus(std::time::Duration::from_micros(200));
    let sends: Vec<_> = log.recent_sends(since).unwrap().collect();
    assert_eq!(
        sends.iter().map(|sent| &sent.operation[..]).collect::<Vec<_>>(),
        ["configuration/get", "reservations/getAll/2023-06-06", "reservations/getAll/2023-06-06",]
    );
    assert_eq!(sends[0].at, since);
    assert_eq!(sends[0].access_token, Some(Pseudonym::of(ACCESS.as_bytes())));
}

#[test]
fn regression_a_start_read_every_exchange_of_the_last_hour() {
    // More than a few chunks of rows: most were over long before, some arrived then and were sent or rejected later.
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    let micros = std::time::Duration::from_micros;
    let since = capture(3000).received;
    let all: Vec<Capture> = (0..4000)
        .map(|number| {
            let mut capture = capture(number);
            let late = number % 700 == 0;
            let until = since.since(capture.received);
            if late {
                (capture.forwarded, capture.response_head) = (Some(until + micros(1)), Some(until + micros(2)));
                capture.response_end = capture.response_head;
            }
            if number % 900 == 0 {
                capture.response.as_mut().unwrap().status = StatusCode::TOO_MANY_REQUESTS;
            }
            capture
        })
        .collect();
    let sent_at = |capture: &Capture| capture.received.plus(capture.forwarded.unwrap());
    let responded_at = |capture: &Capture| capture.received.plus(capture.response_head.unwrap());
    let expected: Vec<_> = all.iter().map(sent_at).filter(|at| *at >= since).collect();
    let is_rejected = |capture: &&Capture| capture.response.as_ref().unwrap().status.as_u16() == 429;
    let rejected: Vec<_> = all.iter().filter(is_rejected).map(responded_at).filter(|at| *at >= since).collect();
    record_all(&log, all);
    drop(log);
    let log = Log::open(config(dir.path())).unwrap();
    let sends: Vec<_> = log.recent_sends(since).unwrap().map(|sent| sent.at).collect();
    assert_eq!(sends, expected);
    assert!(sends.len() > 1000, "some of them arrived earlier");
    let end = capture(9000).received;
    let rejections: Vec<_> = log.recent_rejections(since, end).unwrap().iter().map(|response| response.at).collect();
    assert_eq!(rejections, rejected);
    assert!(rejections.len() > 1);
}

#[test]
fn large_exchanges_among_small_ones_are_chained_and_read_alike() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    let body = |number: u64| vec![b'a' + (number % 26) as u8; if number.is_multiple_of(3) { 2 << 20 } else { 300 }];
    record_all(
        &log,
        (0..12).map(|number| {
            let mut capture = capture(number);
            capture.response.as_mut().unwrap().body = CapturedBody::whole(body(number).into());
            if number == 6 {
                capture.request.body = CapturedBody::whole(body(9).into());
            }
            capture
        }),
    );
    let mut previous = chain::genesis(log.session("certification").unwrap().id);
    for (number, exchange) in (0..).zip(log.query(Query::default()).unwrap().map(Result::unwrap)) {
        assert_eq!(exchange.hash, Some(chain::hash(previous, &exchange)));
        previous = exchange.hash.unwrap();
        assert!(exchange.response.unwrap().body.bytes == body(number), "{number}");
        assert!(number != 6 || exchange.request.body.bytes == body(9));
    }
    assert_eq!(log.close().recorded, 12);
    assert_eq!(log.check(&mut |_| {}).unwrap().exchanges, 12);
}

#[test]
fn captures_come_back_without_content_and_not_without_bound() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    let (recorder, notifier) = log.recorder().with_notifier();
    assert!(recorder.spare().is_none());
    let record = |number| wait(recorder.reserve()).unwrap().record(capture(number));
    let receipts: Vec<_> = (0..300).map(record).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.spawn(notifier.run());
    runtime.block_on(async {
        for receipt in receipts {
            receipt.await;
        }
    });
    let spares: Vec<_> = std::iter::from_fn(|| recorder.spare()).collect();
    assert!((1..=128).contains(&spares.len()), "{}", spares.len());
    for spare in spares {
        assert!(spare.request.target.is_empty() && spare.request.body.kept.is_empty() && spare.response.is_none());
        assert!(spare.envelope.access_token.is_none() && spare.envelope.client.is_none() && spare.notes.is_empty());
    }
    assert_eq!(log.close().recorded, 300);
    // Whoever has no notifier gets none back.
    assert!(log.recorder().spare().is_none());
}

#[test]
fn receipts_resolve_through_the_notifier_and_after_it_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    let (recorder, notifier) = log.recorder().with_notifier();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let record = |number| {
        let permit = wait(recorder.reserve()).unwrap();
        permit.record(capture(number))
    };
    let receipts: Vec<_> = (0..20).map(record).collect();
    runtime.spawn(notifier.run());
    runtime.block_on(async {
        for receipt in receipts {
            receipt.await;
        }
    });
    // The notifier is dropped with its runtime; later receipts resolve one by one.
    drop(runtime);
    (20..40).map(record).collect::<Vec<_>>().into_iter().for_each(wait);
    assert_eq!(log.close().recorded, 40);
}

#[test]
fn exchanges_start_at_most_the_maximum_number_of_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(StoreConfig { max_sessions: 3, ..config(dir.path()) }).unwrap();
    let named = |number: u64, name: &str| {
        let mut capture = capture(number);
        capture.session = Some(name.into());
        capture
    };
    record_all(&log, (0..6).map(|number| named(number, &format!("request {number}"))));
    // Existing sessions, started by a request or a command, can still be named.
    log.start_session("begun by hand").unwrap();
    record_all(&log, [named(6, "request 2"), named(7, "begun by hand"), named(8, "request 8")]);
    let mut sessions: Vec<_> = log.sessions().into_iter().map(|session| (session.name, session.exchanges)).collect();
    sessions.sort();
    let due = [("begun by hand", 2), ("certification", 3), ("request 0", 1), ("request 1", 1), ("request 2", 2)];
    assert_eq!(sessions, due.map(|(name, exchanges)| (name.to_owned(), exchanges)));
    assert_eq!(log.close().recorded, 9);
}

#[test]
fn more_session_names_than_are_cached_leave_one_intact_chain() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(StoreConfig { max_sessions: 1, ..config(dir.path()) }).unwrap();
    for batch in 0..3 {
        record_all(
            &log,
            (batch * 300..batch * 300 + 300).map(|number| {
                let mut capture = capture(number);
                capture.session = (number > 0).then(|| format!("request {number}").into());
                capture
            }),
        );
    }
    let mut sessions: Vec<_> = log.sessions().into_iter().map(|session| (session.name, session.exchanges)).collect();
    sessions.sort();
    assert_eq!(sessions, [("certification".to_owned(), 899), ("request 1".to_owned(), 1)]);
    log.close();
    assert_eq!(log.check(&mut |_| {}).unwrap().exchanges, 900);
}

#[test]
fn regression_a_token_in_a_session_name_note_or_declaration_was_stored() {
    const MEWS: &str = "5F56B9903A834F199E28AD20015E58CA-5C6A1A00550634911534AD6A098E8B7";
    let dir = tempfile::tempdir().unwrap();
    let mews = Pseudonym::of(MEWS.as_bytes()).to_string();
    let log = Log::open(StoreConfig { session: Some(format!("at start {MEWS}")), ..config(dir.path()) }).unwrap();
    assert_eq!(log.sessions()[0].name, format!("at start {mews}"));

    assert_eq!(log.start_session(MEWS).unwrap().name, mews);
    // The token itself still finds the session.
    assert_eq!(log.note_session(MEWS, &format!("with {MEWS}")).unwrap().note, Some(format!("with {mews}")));
    let declaration = log.declare_session(MEWS, &format!("contact = \"{MEWS}\"\naccess_token = \"short\"\n")).unwrap();
    let short = Pseudonym::of(b"short");
    assert_eq!(declaration.declaration, Some(format!("contact = \"{mews}\"\naccess_token = \"{short}\"\n")));
    assert_eq!(log.rename_session(MEWS, &format!("take {MEWS}")).unwrap().name, format!("take {mews}"));
    for error in [log.session(&format!("no {MEWS}")).unwrap_err(), log.start_session(&format!("\n{MEWS}")).unwrap_err()]
    {
        assert!(!error.to_string().contains(MEWS), "{error}");
    }
    // Ordinary text is unchanged.
    for name in ["certification", "Žluťoučký kůň: take 1/2 (2026-11-23)", "0c19d2e4-bb3e-4d9c-9b3c-b1f0008a3b9d"]
    {
        assert_eq!(log.start_session(name).unwrap().name, name);
        assert_eq!(log.note_session(name, name).unwrap().note.as_deref(), Some(name));
    }
    drop(log);
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = std::fs::read(entry.path()).unwrap();
            assert!(!bytes.windows(MEWS.len()).any(|window| window == MEWS.as_bytes()), "{}", entry.path().display());
        }
    }
}

#[test]
fn regression_a_known_token_was_stored_in_a_path_of_the_journal() {
    const OWN: &str = "kQ7own-secret.Token_42";
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    let mut first = capture(0);
    first.envelope.access_token = Some(OWN.into());
    record_all(&log, [first]);
    let own = Pseudonym::of(OWN.as_bytes());
    let permit = wait(log.recorder().reserve()).unwrap();
    let path = format!("/hooks/{OWN}/last");
    let noted = |path: &str| {
        let mut capture = capture(1);
        capture.request.target = path.to_owned().into();
        permit.journal_entry(&capture).target.into_owned()
    };
    assert_eq!(&noted(&path)[..], format!("/hooks/{own}/last").as_bytes());
    assert_eq!(log.start_session(&format!("run of {OWN}")).unwrap().name, format!("run of {own}"));
    let plain = "/api/connector/v1/reservationGroups/getAll";
    assert_eq!(&noted(plain)[..], plain.as_bytes());
}
