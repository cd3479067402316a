//! HAR files as each tool writes them.

use nightaudit_exchange::{
    Authority, Direction, Exchange, FailureKind, Incoming, Note, Outcome, Pseudonym, TimesUs, Withheld,
};
use nightaudit_import::{Format, Options, Reader, Summary};

const ANSWER: &str = r#"{"Reservations":[{"Id":"a","Note":"Zimmer mit Süßwasserpool"}],"Cursor":null}"#;
const ACCESS: &str = "0123456789ABCDEF0123456789ABCDEF-0123456789ABCDEF0123456789ABCDE";

/// The exchanges of a file, and what it had.
fn read(file: &[u8], options: Options) -> (Vec<Exchange>, Summary) {
    let mut reader = Reader::open(file, options).unwrap();
    let exchanges = reader.by_ref().map(|incoming| match incoming.unwrap() {
        Incoming::Foreign(exchange) => *exchange,
        other => panic!("{other:?}"),
    });
    let exchanges = exchanges.collect();
    (exchanges, reader.summary().clone())
}

/// What is the same whoever recorded it.
fn assert_reservations(exchange: &Exchange, tool: &str, started: &str) {
    assert_eq!(exchange.recorded_by.as_deref(), Some(tool));
    assert_eq!(exchange.started_at.to_string(), started, "{tool}");
    assert_eq!(exchange.operation, "reservations/getAll/2023-06-06", "{tool}");
    assert_eq!((&*exchange.environment, &*exchange.request.method), ("demo", "POST"), "{tool}");
    assert!(exchange.request.url.starts_with("https://api.mews-demo.com/api/connector/v1/reservations/"), "{tool}");
    let body = str::from_utf8(&exchange.request.body.bytes).unwrap();
    assert!(
        body.starts_with(r#"{"ClientToken":"#) && body.ends_with(r#""Limitation":{"Count":10}}"#),
        "{tool}: {body}"
    );
    assert_eq!(exchange.request.body.length, body.len() as u64, "{tool}");
    let response = exchange.response.as_ref().unwrap();
    assert_eq!((response.status, &response.body.bytes[..]), (200, ANSWER.as_bytes()), "{tool}");
    assert!(!response.body.truncated && response.body.withheld.is_none(), "{tool}");
    assert_eq!((exchange.outcome, &exchange.error), (Outcome::Answered, &None), "{tool}");
    let envelope = &exchange.envelope;
    assert_eq!(envelope.client.as_deref(), Some("Sample Kiosk 1.0"), "{tool}");
    assert_eq!((envelope.access_token, envelope.paginated), (Some(Pseudonym::of(ACCESS.as_bytes())), true), "{tool}");
    let mut headers = exchange.request.headers.iter().chain(&response.headers);
    assert!(headers.all(|header| !header.name.starts_with(':')), "{tool}");
    // Nobody's word for the certificate is in a HAR.
    let destination = exchange.destination.as_ref().unwrap();
    assert_eq!(destination.address, "https://api.mews-demo.com", "{tool}");
    assert_eq!(destination.tls.as_ref().unwrap().authority, Authority::Unknown, "{tool}");
}

#[test]
fn one_request_is_the_same_in_the_files_of_all_tools() {
    type Case<'a> = (&'a str, &'a [u8], &'a str, &'a str, &'a str, [u64; 3]);
    let quarter = "2026-11-23T12:00:00.250000Z";
    let cases: [Case<'_>; 9] = [
        (
            "chromium",
            include_bytes!("../data/chromium.har"),
            "WebInspector 537.36",
            quarter,
            "HTTP/2",
            [25_000, 80_120, 85_120],
        ),
        (
            "firefox",
            include_bytes!("../data/firefox.har"),
            "Firefox 145.0",
            quarter,
            "HTTP/2",
            [21_000, 81_000, 85_000],
        ),
        (
            "safari",
            include_bytes!("../data/safari.har"),
            "WebKit Web Inspector 1.0",
            quarter,
            "HTTP/2",
            [23_500, 82_120, 85_120],
        ),
        (
            "mitmproxy",
            include_bytes!("../data/mitmproxy.har"),
            "mitmproxy 11.0.2",
            quarter,
            "HTTP/2",
            [20_500, 81_800, 84_900],
        ),
        (
            "charles",
            include_bytes!("../data/charles.har"),
            "Charles Proxy 5.0.1",
            quarter,
            "HTTP/1.1",
            [23_000, 81_000, 85_000],
        ),
        (
            "proxyman",
            include_bytes!("../data/proxyman.har"),
            "Proxyman 5.20.0",
            "2026-11-23T12:00:00.000000Z",
            "HTTP/1.1",
            [1_000, 81_000, 85_000],
        ),
        (
            "fiddler",
            include_bytes!("../data/fiddler.har"),
            "Fiddler 5.0.20251.1171",
            quarter,
            "HTTP/1.1",
            [23_000, 81_000, 85_000],
        ),
        (
            "insomnia",
            include_bytes!("../data/insomnia.har"),
            "Insomnia REST Client insomnia.desktop.app:v11.6.0",
            quarter,
            "HTTP/1.1",
            [0, 85_120, 85_120],
        ),
        (
            "postman",
            include_bytes!("../data/postman.har"),
            "Postman 11.70.0",
            quarter,
            "HTTP/1.1",
            [1_000, 81_000, 85_000],
        ),
    ];
    for (name, file, tool, started, version, [forwarded, response_head, response_end]) in cases {
        let (exchanges, summary) = read(file, Options::default());
        assert_eq!((summary.format, summary.tool.as_deref(), summary.skipped), (Format::Har, Some(tool), 0), "{name}");
        let exchange = &exchanges[0];
        assert_reservations(exchange, tool, started);
        assert_eq!((&*exchange.request.http_version, exchange.sequence), (version, 1), "{name}");
        let times = TimesUs {
            forwarded: Some(forwarded),
            response_head: Some(response_head),
            response_end: Some(response_end),
        };
        assert_eq!(exchange.times_us, times, "{name}");
        // In HTTP/2 there is no reason phrase.
        let reason = exchange.response.as_ref().unwrap().reason.as_deref();
        assert_eq!(reason, (version == "HTTP/1.1").then_some("OK"), "{name}");
        let response = exchange.response.as_ref().unwrap();
        let is_coded = response.headers.iter().any(|header| header.name.eq_ignore_ascii_case("content-encoding"));
        assert_eq!(exchange.notes.contains(&Note::BodyDecoded), is_coded, "{name}");
        let remote = exchange.destination.as_ref().unwrap().remote.map(|remote| remote.to_string());
        let has_address = !matches!(name, "insomnia" | "postman");
        assert_eq!(remote.as_deref(), has_address.then_some("192.0.2.7:443"), "{name}");
    }
}

#[test]
fn chromium_has_web_sockets_failures_and_what_is_not_http() {
    let file = include_bytes!("../data/chromium.har");
    let (exchanges, summary) = read(file, Options::default());
    assert_eq!((summary.entries, summary.other_hosts, summary.not_http), (4, 1, 1));
    let [_, failed, handshake, part] = &exchanges[..] else { panic!("{}", exchanges.len()) };
    let error = failed.error.as_ref().unwrap();
    assert_eq!((failed.outcome, error.kind), (Outcome::Failed, FailureKind::Connect));
    assert_eq!((error.message.as_str(), &failed.response), ("net::ERR_CONNECTION_REFUSED", &None));
    // A body is missing of which the size is known.
    assert_eq!((failed.request.body.withheld, failed.request.body.length), (Some(Withheld::Absent), 44));

    assert_eq!(
        (handshake.status(), handshake.request.url.as_str()),
        (Some(101), "wss://ws.mews-demo.com/ws/connector")
    );
    assert_eq!(handshake.envelope.access_token, Some(Pseudonym::of(ACCESS.as_bytes())));
    let said = part.web_socket.as_ref().unwrap();
    assert_eq!((said.handshake, said.part, said.ended, &part.response), (handshake.id, 1, true, &None));
    let messages: Vec<_> = said
        .messages
        .iter()
        .map(|message| (message.time.to_string(), message.direction, message.opcode, &message.body.bytes[..]))
        .collect();
    let event = &br#"{"Events":[{"Id":"r","Type":"Reservation"}]}"#[..];
    assert_eq!(
        messages,
        [
            ("2026-11-23T12:00:02.500000Z".to_owned(), Direction::Receive, 1, event),
            ("2026-11-23T12:00:03.000000Z".to_owned(), Direction::Send, 2, &[0, 1, 2][..]),
            ("2026-11-23T12:00:04.000000Z".to_owned(), Direction::Receive, 8, &b""[..]),
        ]
    );
    assert_eq!(exchanges.iter().map(|exchange| exchange.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);

    let (exchanges, summary) = read(file, Options { all_hosts: true, ..Options::default() });
    assert_eq!((summary.other_hosts, summary.not_http, exchanges.len()), (0, 1, 5));
    let script = exchanges.iter().find(|exchange| exchange.operation == "/app.js").unwrap();
    assert_eq!(script.environment, "stand-in");
}

#[test]
fn firefox_leaves_out_pictures_and_their_size_is_kept() {
    let (exchanges, _) = read(include_bytes!("../data/firefox.har"), Options::default());
    let picture = &exchanges[1].response.as_ref().unwrap().body;
    assert_eq!((picture.withheld, picture.length, picture.truncated), (Some(Withheld::Absent), 2048, true));
}

#[test]
fn requests_without_a_response_are_failures() {
    let (exchanges, _) = read(include_bytes!("../data/proxyman.har"), Options::default());
    let error = exchanges[1].error.as_ref().unwrap();
    assert_eq!((exchanges[1].outcome, error.kind), (Outcome::Failed, FailureKind::Unknown));
    assert_eq!(error.message, "the file has no response, and no reason");
    let (exchanges, _) = read(include_bytes!("../data/mitmproxy.har"), Options::default());
    let error = exchanges[1].error.as_ref().unwrap();
    assert_eq!(
        (exchanges[1].outcome, error.kind, &*error.message),
        (Outcome::Failed, FailureKind::Closed, "server disconnected")
    );
}
