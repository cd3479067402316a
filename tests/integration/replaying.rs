//! A recording served as the upstream.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use nightaudit_mews::PUBLISHED_TOKENS;
use nightaudit_testkit::{Process, RawResponse, Replayed, Simulated, Upstream, open_web_socket, post, send, skip};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

fn replay(data: &Path, arguments: &[&str]) -> Replayed {
    Replayed::start(BINARY, data, arguments).unwrap_or_else(|(status, error)| panic!("{status}: {error}"))
}

/// Replays, which must fail; returns the exit code and the message.
fn refused(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    match Replayed::start(BINARY, data, arguments) {
        Ok(_) => panic!("it replays"),
        Err((status, error)) => (status.code(), error),
    }
}

fn body(token: &str, rest: &str) -> String {
    format!(r#"{{"ClientToken":"client-token-0001","AccessToken":"{token}","Client":"Kiosk 1.0"{rest}}}"#)
}

const TOKEN: &str = "access-token-0001";

/// A log with the responses of a Mews that counts its requests.
async fn recorded(requests: &[(&str, String)]) -> (tempfile::TempDir, Process) {
    let count = std::sync::atomic::AtomicU32::new(0);
    let mews = Upstream::scripted(move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            use http_body_util::BodyExt as _;
            let body = http_body_util::Full::from(format!(r#"{{"Number":{number}}}"#));
            let response = http::Response::builder().header("X-Number", number).header("Request-Id", "r-1");
            response.body(body.map_err(|never| match never {}).boxed()).unwrap()
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let serve =
        Process::serve_on(BINARY, &folder.path().join("data"), &["--upstream", &mews.url(), "--session", "first"]);
    for (operation, body) in requests {
        assert_eq!(send(serve.proxy(), &post(operation, body)).await.status, 200);
    }
    (folder, serve)
}

/// The number of the recorded response.
fn number(response: &RawResponse) -> u64 {
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    assert!(response.header("x-nightaudit-replayed").is_some(), "{}", response.head);
    response.json()["Number"].as_u64().unwrap()
}

/// Calls that differ in everything that matters; prints each response in full.
const PYTHON: &str = r#"
import hashlib, sys, requests
base, client, access = sys.argv[1:]
session = requests.Session()
def call(operation, headers=None, method="POST", **fields):
    body = dict(ClientToken=client, AccessToken=access, Client="Foreign 1.0.0", **fields)
    answer = session.request(method, f"{base}/api/connector/v1/{operation}", json=body, headers=headers, timeout=30, stream=True)
    raw = answer.raw.read(decode_content=False)
    kept = sorted((name.lower(), value) for name, value in answer.headers.items() if name.lower() != "x-nightaudit-replayed")
    print(operation, answer.status_code, answer.reason, kept, len(raw), hashlib.sha256(raw).hexdigest())
for page in range(3):
    call("reservations/getAll/2023-06-06", States=["Confirmed"], Limitation={"Count": 10 + page})
# Large enough to be compressed, and the same request again with another response.
for _ in range(2):
    call("services/getAll", Limitation={"Count": 100})
call("customers/add", LastName="Ø’Brien", OverwriteExisting=False)
call("customers/add", LastName="Ø’Brien", OverwriteExisting=False)
call("customers/getAll", headers={"Prefer": "return=minimal"}, CustomerIds=["nobody"], Extent={"Customers": True}, Limitation={"Count": 1})
call("customers/getAll/", Limitation={"Count": 1})
call("customers/getAll", Limitation={"Count": 0})
call("currencies/getAll", headers={"X-Simulator": "size=3MB"})
call("currencies/getAll", headers={"X-Simulator": "status=503"})
call("currencies/getAll", method="GET")
call("configuration/get", headers={"Accept-Encoding": "identity"})
"#;

/// The round: recorded from the simulator, then replayed to the same client, directly and through the proxy.
#[test]
fn a_third_party_client_sees_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("calls.py");
    std::fs::write(&script, PYTHON).unwrap();
    let is_there = Command::new("python3").args(["-c", "import requests"]).stderr(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        skip("Python's `requests` is not installed");
        return;
    }
    let tokens = PUBLISHED_TOKENS[0];
    let transcript = |base: &str, access: &str| {
        let output = Command::new("python3").arg(&script).args([base, tokens.client, access]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let simulated = Simulated::start(BINARY, &[]);
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", simulated.url(), "--session", "round"]);
    let first = transcript(&format!("http://{}", serve.proxy()), tokens.access);
    assert!(first.lines().count() == 14 && first.contains(" 503 ") && first.contains(" 405 "), "{first}");
    assert!(serve.stop().0.success());
    assert!(simulated.stop().success());

    let replayed = replay(&data, &["--session", "round"]);
    assert_eq!(transcript(replayed.url(), tokens.access), first);
    let (status, summary, _) = replayed.stop();
    assert!(status.success());
    assert!(summary.contains("14: 14 with the same body, 0 alike, 0 not recorded"), "{summary}");
    assert!(summary.contains("not asked     0 of 14 recordings"), "{summary}");

    // Through the proxy, with other tokens.
    let replayed = replay(&data, &["--session", "round"]);
    let again = Process::serve_on(BINARY, &data, &["--upstream", replayed.url(), "--session", "again"]);
    let other = PUBLISHED_TOKENS[1].access;
    assert_eq!(transcript(&format!("http://{}", again.proxy()), other), first);
    let (_, summary, _) = replayed.stop();
    assert!(summary.contains("14: 0 with the same body, 14 alike, 0 not recorded"), "{summary}");
    // What was recorded of the replay is what was replayed. It takes no time, and latencies would tell.
    let compared = again.run(BINARY, &["compare", "round", "again", "--ignore", "latency", "--fail-on", "note"]);
    let said = String::from_utf8_lossy(&compared.stdout);
    assert!(compared.status.success() && said.contains("\nno difference\n"), "{said}");
}

/// Reads a response's head.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn responses_take_their_recorded_time_and_hold_up_no_other() {
    let operations = ["rates/getAll", "bills/getAll", "services/getAll"];
    let (folder, serve) = recorded(&operations.map(|operation| (operation, body(TOKEN, "")))).await;
    assert!(serve.stop().0.success());
    let (data, file) = (folder.path().join("data"), folder.path().join("recorded.ndjson"));
    let run = |arguments: &[&str], data: &Path| {
        let output = Command::new(BINARY).args(arguments).arg("--data").arg(data).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    // As recorded of a slow Mews: a response that comes after an hour, and one whose body does.
    let hour = 3_600_000_000_u64;
    let exported = String::from_utf8(run(&["export", "--format", "ndjson", "-o", "-"], &data)).unwrap();
    let lines = exported.lines().map(|line| {
        let mut exchange: Value = serde_json::from_str(line).unwrap();
        let (head, end) = match exchange["operation"].as_str().unwrap() {
            "rates/getAll" => (hour, hour),
            "bills/getAll" => (2000, hour),
            _ => (2000, 3000),
        };
        exchange["timesUs"] = json!({ "forwarded": 100, "responseHead": head, "responseEnd": end });
        format!("{exchange}\n")
    });
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let slow = folder.path().join("slow");
    run(&["log", "import", file.to_str().unwrap()], &slow);

    let replayed = replay(&slow, &["--timing", "recorded"]);
    let mut waiting = Vec::new();
    for operation in &operations[..2] {
        let mut stream = TcpStream::connect(replayed.address()).await.unwrap();
        stream.write_all(&post(operation, &body(TOKEN, ""))).await.unwrap();
        waiting.push(stream);
    }
    assert!(read_head(&mut waiting[1]).await.starts_with("HTTP/1.1 200 "));
    // Sent last, and complete while the others still wait.
    assert_eq!(number(&send(replayed.address(), &post(operations[2], &body(TOKEN, ""))).await), 2);
    for stream in &waiting {
        let nothing = stream.try_read(&mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }
    drop(waiting);
    drop(replayed);

    // The same recording without its times.
    let replayed = replay(&slow, &[]);
    for (expected, operation) in operations.iter().enumerate() {
        let response = send(replayed.address(), &post(operation, &body(TOKEN, ""))).await;
        assert_eq!(number(&response), expected as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_find_their_recordings_with_and_without_a_running_serve() {
    let bodies = [
        body(TOKEN, r#","Limitation":{"Count":10,"Cursor":null},"UpdatedUtc":"a""#),
        body(TOKEN, r#","Limitation":{"Count":10,"Cursor":null},"UpdatedUtc":"b""#),
        body(TOKEN, r#","Limitation":{"Count":20,"Cursor":null},"UpdatedUtc":"c""#),
    ];
    let requests = bodies.clone().map(|body| ("rates/getAll", body));
    let (folder, serve) = recorded(&requests).await;
    let data = folder.path().join("data");
    let mut serve = Some(serve);
    for is_running in [true, false] {
        if !is_running {
            serve = None;
        }
        let replayed = replay(&data, &["--session", "first", "--ignore", "/UpdatedUtc,/Limitation/Cursor"]);
        let ask = async |body: &str| send(replayed.address(), &post("rates/getAll", body)).await;
        assert_eq!(number(&ask(&bodies[1]).await), 1);
        // Another token, order and blanks, and values that are ignored.
        let other = r#"{ "UpdatedUtc": "z", "Limitation": { "Cursor": "y", "Count": 10 }, "AccessToken": "access-token-0002" }"#;
        for wanted in [0, 1, 1] {
            assert_eq!(number(&ask(other).await), wanted, "running: {is_running}");
        }
        let unknown = ask(&other.replace("10", "30")).await;
        assert_eq!((unknown.status, unknown.header("x-nightaudit-error")), (501, Some("not-recorded")));
        let told = unknown.json();
        assert!(told["Message"].as_str().unwrap().contains("of 3 recordings"), "{told}");
        assert_eq!(told["Differences"][0]["Pointer"], json!("/Limitation/Count"), "{told}");
        let (status, summary, _) = replayed.stop();
        assert!(status.success());
        for line in [
            "requests      5: 1 with the same body, 3 alike, 1 not recorded",
            "              2 got the last recording again",
            "not recorded      1  rates/getAll  differs from ",
            "not asked     1 of 3 recordings",
            "                  1 of 3  rates/getAll  first ",
        ] {
            assert!(summary.contains(line), "{line}: {summary}");
        }
    }
    drop(serve);
}

#[tokio::test]
async fn without_ignored_places_every_value_counts_and_json_lists_what_was_missed() {
    let (folder, serve) = recorded(&[("rates/getAll", body(TOKEN, r#","UpdatedUtc":"a""#))]).await;
    drop(serve);
    let replayed = replay(&folder.path().join("data"), &["--json"]);
    let unknown = send(replayed.address(), &post("rates/getAll", &body(TOKEN, r#","UpdatedUtc":"b""#))).await;
    assert_eq!(unknown.status, 501);
    let never = send(replayed.address(), &post("rates/getAl", "{}")).await;
    assert!(never.json()["Message"].as_str().unwrap().contains("Did you mean rates/getAll?"));
    let (_, summary, _) = replayed.stop();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!((&summary["requests"], &summary["unrecorded"]), (&json!(2), &json!(2)));
    let missed = summary["notRecorded"].as_array().unwrap();
    assert!(missed.iter().any(|one| one["differsIn"] == json!(["/UpdatedUtc"])), "{summary}");
    assert_eq!(summary["notAsked"][0]["unasked"], 1);
}

#[tokio::test]
async fn what_was_recorded_with_redacted_properties_is_told_apart_by_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("nightaudit.toml");
    std::fs::write(&config, "[redact]\nfields = [\"LastName\"]\n").unwrap();
    let config = config.to_str().unwrap();
    let mews = Upstream::scripted(|seen| async move {
        use http_body_util::BodyExt as _;
        let asked: Value = serde_json::from_slice(&seen.body).unwrap();
        let number = asked["LastName"].as_str().unwrap().len();
        let body = http_body_util::Full::from(format!(r#"{{"Number":{number}}}"#));
        http::Response::new(body.map_err(|never| match never {}).boxed())
    })
    .await;
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--config", config]);
    let named = |name: &str| post("customers/getAll", &body(TOKEN, &format!(r#","LastName":"{name}""#)));
    for name in ["Doe", "Smith"] {
        assert_eq!(send(serve.proxy(), &named(name)).await.status, 200);
    }
    drop(serve);
    let replayed = replay(&data, &["--config", config]);
    // Not the same bytes, so that they are compared.
    let asked = |name: &str| String::from_utf8(named(name)).unwrap().replace("0001\",\"Client", "0002\",\"Client");
    assert_eq!(number(&send(replayed.address(), asked("Smith").as_bytes()).await), 5);
    assert_eq!(number(&send(replayed.address(), asked("Doe").as_bytes()).await), 3);
    assert_eq!(send(replayed.address(), asked("Roe").as_bytes()).await.status, 501);
}

#[tokio::test]
async fn a_response_that_is_not_all_in_the_log_is_explained() {
    let mews = Upstream::responding(200, "{\"Text\":\"01234567890123456789\"}").await;
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("nightaudit.toml"));
    std::fs::write(&config, "[body]\nkeep = \"10 B\"\n").unwrap();
    let config = config.to_str().unwrap();
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--config", config]);
    send(serve.proxy(), &post("rates/getAll", "{\"LongerThanThat\":1}")).await;
    drop(serve);
    let replayed = replay(&data, &[]);
    // The request is found, although it isn't all in the log either.
    let response = send(replayed.address(), &post("rates/getAll", "{\"LongerThanThat\":1}")).await;
    assert_eq!((response.status, response.header("x-nightaudit-error")), (501, Some("incomplete-recording")));
    assert!(response.json()["Message"].as_str().unwrap().contains("10 of 31 bytes"), "{:?}", response.json());
    let (_, summary, _) = replayed.stop();
    assert!(summary.contains("1 whose recorded response is not complete in the log"), "{summary}");
}

/// A request in chunks of 64 KiB.
fn chunked(operation: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /api/connector/v1/{operation} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    .into_bytes();
    for piece in body.chunks(64 << 10) {
        request.extend(format!("{:x}\r\n", piece.len()).bytes());
        request.extend(piece);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_any_size_is_found_by_its_digest() {
    let small = body(TOKEN, &format!(r#","Data":"{}""#, "x".repeat(300 << 10)));
    let large = body(TOKEN, &format!(r#","Data":"{}""#, "x".repeat(9 << 20)));
    let (folder, serve) = recorded(&[("images/add", small.clone()), ("images/add", large.clone())]).await;
    drop(serve);
    let replayed = replay(&folder.path().join("data"), &[]);
    for (asked, wanted) in [(&small, 0), (&large, 1)] {
        assert_eq!(number(&send(replayed.address(), &post("images/add", asked)).await), wanted);
        assert_eq!(number(&send(replayed.address(), &chunked("images/add", asked.as_bytes())).await), wanted);
    }
    // Beyond what is kept of a body, only the very same one is found.
    let alike = |body: &str| post("images/add", &body.replace(TOKEN, "access-token-0002"));
    assert_eq!(number(&send(replayed.address(), &alike(&small)).await), 0);
    let unknown = send(replayed.address(), &alike(&large)).await;
    let message = unknown.json()["Message"].as_str().unwrap().to_owned();
    assert!(unknown.status == 501 && message.contains("very same body"), "{message}");
}

#[tokio::test]
async fn what_can_not_be_replayed_is_an_error() {
    let nothing = tempfile::tempdir().unwrap();
    assert_eq!(refused(nothing.path(), &[]).0, Some(1));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // A host that can't be reached responds to nothing.
    let serve = Process::serve_on(BINARY, &data, &["--upstream", "http://127.0.0.1:1", "--session", "unanswered"]);
    let empty = serve.run(BINARY, &["sessions", "start", "empty"]);
    assert!(empty.status.success());
    let request = b"POST /api/connector/v1/a HTTP/1.1\r\nHost: a\r\nX-Nightaudit-Session: unanswered\r\n\
        Content-Length: 2\r\nConnection: close\r\n\r\n{}";
    assert_eq!(send(serve.proxy(), request).await.status, 502);
    drop(serve);
    for (arguments, code, named) in [
        (&["--session", "empty"][..], 1, "no exchange matches"),
        (&["--session", "unanswered"], 1, "none of the 1 exchanges that match has a response from Mews"),
        (&["--operation", "rates/*"], 1, "no exchange matches"),
        (&["--session", "none"], 2, "none"),
        (&["--status", "often"], 2, "often"),
        (&["--ignore", "UpdatedUtc"], 2, "`UpdatedUtc` is not a JSON pointer"),
        (&["--ignore", "/a,"], 2, "is not a JSON pointer"),
        (&["--ignore", "/a~x"], 2, "`/a~x`"),
        (&["--timing", "slow"], 2, "slow"),
        (&["--otherwise", "guess"], 2, "guess"),
        (&["--tls-ca", "x.pem"], 2, "--tls"),
    ] {
        let (status, error) = refused(&data, arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {error}");
        assert!(error.contains(named), "{arguments:?}: {error}");
    }
}

#[tokio::test]
async fn the_rest_is_simulated_or_forwarded_and_never_in_circles() {
    let (folder, serve) = recorded(&[("rates/getAll", body(TOKEN, ""))]).await;
    let data = folder.path().join("data");
    // Through the running `serve`, which records it.
    let replayed = replay(&data, &["--otherwise", "forward"]);
    assert_eq!(number(&send(replayed.address(), &post("rates/getAll", &body(TOKEN, ""))).await), 0);
    let passed_on = send(replayed.address(), &post("bills/getAll", &body(TOKEN, ""))).await;
    assert_eq!((passed_on.status, passed_on.json()), (200, json!({ "Number": 1 })));
    assert!(passed_on.header("x-nightaudit-replayed").is_none());
    let tail = serve.run(BINARY, &["tail", "--no-follow", "--json", "-n", "1"]);
    assert!(String::from_utf8_lossy(&tail.stdout).contains(r#""operation":"bills/getAll""#));
    drop(serve);
    let lost = send(replayed.address(), &post("bills/getAll", &body(TOKEN, ""))).await;
    let message = lost.json()["Message"].as_str().unwrap().to_owned();
    assert!(lost.status == 501 && message.contains("no `nightaudit serve` is running"), "{message}");
    let (status, error) = refused(&data, &["--otherwise", "forward"]);
    assert!(status == Some(1) && error.contains("no `nightaudit serve` is running"), "{error}");

    // A `serve` whose upstream is the replay itself.
    let circle = Process::serve_on(BINARY, &data, &["--upstream", replayed.url()]);
    let refused = send(replayed.address(), &post("bills/getAll", &body(TOKEN, ""))).await;
    let message = refused.json()["Message"].as_str().unwrap().to_owned();
    assert!(refused.status == 501 && message.contains("in circles"), "{message}");
    drop((circle, replayed));

    let replayed = replay(&data, &["--otherwise", "simulate"]);
    let tokens = PUBLISHED_TOKENS[0];
    let known = format!(r#"{{"ClientToken":"{}","AccessToken":"{}","Client":"T 1"}}"#, tokens.client, tokens.access);
    let simulated = send(replayed.address(), &post("currencies/getAll", &known)).await;
    assert!(simulated.status == 200 && simulated.json()["Currencies"].is_array(), "{}", simulated.head);
    let (_, summary, _) = replayed.stop();
    assert!(summary.contains("1 not recorded"), "{summary}");
}

/// A frame as a server sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).unwrap()], payload].concat()
}

/// A text as a client sends it.
fn masked_text(payload: &[u8]) -> Vec<u8> {
    [&[0x81, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0], payload].concat()
}

async fn connect(address: std::net::SocketAddr, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let cookies = format!("Cookie: ClientToken=client-token-1; AccessToken={token}\r\n");
    stream.write_all(&open_web_socket(&cookies)).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn web_sockets_get_the_recorded_messages() {
    let (first, then) = (frame(0x81, b"welcome"), [frame(0x82, b"\xff\x00"), frame(0x88, b"\x03\xe8bye")].concat());
    let script = (first.clone(), then.clone());
    let mews = Upstream::raw(move |mut stream| {
        let (first, then) = script.clone();
        async move {
            let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(head).await.unwrap();
            stream.write_all(&first).await.unwrap();
            let mut asked = [0; 10];
            stream.read_exact(&mut asked).await.unwrap();
            stream.write_all(&then).await.unwrap();
            // Until the client has closed.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url()]);
    let talk = async |address, token: &str| {
        let mut stream = connect(address, token).await;
        let mut welcome = vec![0; first.len()];
        stream.read_exact(&mut welcome).await.unwrap();
        assert_eq!(welcome, first);
        stream.write_all(&masked_text(b"more")).await.unwrap();
        let mut rest = vec![0; then.len()];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest, then);
        // The client's part of closing.
        stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 3, 0xe8]).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    talk(serve.proxy(), "access-token-0001").await;
    assert!(serve.stop().0.success());
    let replayed = replay(&data, &[]);
    talk(replayed.address(), "access-token-0001").await;
    talk(replayed.address(), "access-token-0002").await;
    let plain = send(replayed.address(), b"GET /ws/connector HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!((plain.status, plain.header("x-nightaudit-error")), (400, Some("web-socket")));
    let (_, summary, _) = replayed.stop();
    assert!(summary.contains("not asked     0 of 1 recordings"), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn web_sockets_are_closed_when_the_replay_stops() {
    let mews = Upstream::raw(move |mut stream| async move {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url()]);
    drop(connect(serve.proxy(), "access-token-0001").await);
    assert!(serve.stop().0.success());
    let replayed = replay(&data, &[]);
    // The recorded connection was closed by its client, which this one doesn't do.
    let mut stream = connect(replayed.address(), "access-token-0001").await;
    let stopped = tokio::task::spawn_blocking(move || replayed.stop());
    let mut rest = Vec::new();
    let mut piece = [0; 64];
    while !rest.ends_with(b"the replay stops") {
        let length = stream.read(&mut piece).await.unwrap();
        assert!(length > 0, "{rest:?}");
        rest.extend_from_slice(&piece[..length]);
    }
    drop(stream);
    assert!(stopped.await.unwrap().0.success());
}

#[tokio::test]
async fn it_serves_tls_like_the_simulator() {
    let (folder, serve) = recorded(&[("rates/getAll", body(TOKEN, ""))]).await;
    drop(serve);
    let data = folder.path().join("data");
    let ca = folder.path().join("ca.pem");
    let replayed = replay(&data, &["--tls", "--tls-ca", ca.to_str().unwrap()]);
    let upstream = ["--upstream", replayed.url(), "--upstream-ca", ca.to_str().unwrap()];
    let again = Process::serve_on(BINARY, &data, &upstream);
    let response = send(again.proxy(), &post("rates/getAll", &body(TOKEN, ""))).await;
    assert_eq!((response.status, response.json()), (200, json!({ "Number": 0 })));
    // What nightaudit adds is not passed on.
    assert!(response.header("x-nightaudit-replayed").is_none() && response.header("x-number") == Some("0"));
}
