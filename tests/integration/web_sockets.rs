//! WebSocket messages: forwarded byte for byte, and recorded in parts that follow the handshake.

use std::io::Write as _;

use nightaudit_exchange::{Digest, Direction, Exchange, FailureKind, Outcome, Pseudonym, WebSocket};
use nightaudit_testkit::{Harness, Process, Upstream, open_web_socket, read_response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

const TEXT: u8 = 0x81;
const BINARY_FRAME: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A frame as a server sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(length),
        _ => {
            frame.push(126);
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// A frame as a client sends it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = frame(first, &[]);
    frame[1] = 0x80 | u8::try_from(payload.len()).unwrap();
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A Mews that accepts, sends `first`, reads as many bytes as `wanted`, sends `then`, and closes.
async fn mews(fields: &'static str, first: Vec<u8>, wanted: Vec<u8>, then: Vec<u8>) -> Upstream {
    Upstream::raw(move |mut stream| {
        let (first, wanted, then) = (first.clone(), wanted.clone(), then.clone());
        async move {
            let accept = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{fields}\r\n"
            );
            stream.write_all(accept.as_bytes()).await.unwrap();
            stream.write_all(&first).await.unwrap();
            let mut read = vec![0; wanted.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, wanted);
            stream.write_all(&then).await.unwrap();
        }
    })
    .await
}

async fn connect(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = open_web_socket("Cookie: ClientToken=client-token-1; AccessToken=access-token-0001\r\n");
    stream.write_all(&request).await.unwrap();
    stream
}

/// Reads a 101 to the end of its head and nothing of what follows.
async fn accepted(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
}

/// The handshake, and all that was said, put together from its parts.
async fn recorded(harness: &Harness) -> (Exchange, Exchange, WebSocket) {
    let handshake = harness.recorded().await;
    assert_eq!((handshake.status(), handshake.outcome), (Some(101), Outcome::Answered));
    assert!(handshake.web_socket.is_none());
    let mut messages = Vec::new();
    loop {
        let mut part = harness.recorded().await;
        let mut said = part.web_socket.take().unwrap();
        assert_eq!(said.handshake, handshake.id);
        messages.append(&mut said.messages);
        if said.ended {
            said.messages = messages;
            return (handshake, part, said);
        }
    }
}

fn said(whole: &WebSocket) -> Vec<(Direction, u8, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    whole.messages.iter().map(|message| (message.direction, message.opcode, text(&message.body.bytes))).collect()
}

#[tokio::test]
async fn messages_are_recorded_while_their_bytes_pass_unchanged() {
    use Direction::{Receive, Send};
    let (first, then) = (
        [frame(TEXT, b"welcome"), frame(PING, b"p")].concat(),
        [frame(BINARY_FRAME, b"\xff\x00"), frame(CLOSE, b"\x03\xe8")].concat(),
    );
    let sent =
        [masked(0x01, b"{\"Eve"), masked(PONG, b"p"), masked(0x00, b"nts\":"), masked(0x80, b"[]}"), masked(TEXT, b"")];
    let mews = mews("", first.clone(), sent.concat(), then.clone()).await;
    let harness = Harness::start(&mews.url()).await;
    let mut stream = connect(harness.address()).await;
    accepted(&mut stream).await;
    let mut read = vec![0; first.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(read, first);
    stream.write_all(&sent.concat()).await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, then);
    drop(stream);

    let (handshake, last, whole) = recorded(&harness).await;
    let expected = [
        (Receive, 1, "welcome"),
        (Receive, 9, "p"),
        (Send, 10, "p"),
        (Send, 1, "{\"Events\":[]}"),
        (Send, 1, ""),
        (Receive, 2, "\u{fffd}\0"),
        (Receive, 8, "\u{3}\u{fffd}"),
    ];
    assert_eq!(said(&whole), expected.map(|(direction, opcode, text)| (direction, opcode, text.to_owned())));
    assert!(whole.messages.is_sorted_by_key(|message| message.time) && whole.messages[0].time >= handshake.started_at);
    assert_eq!(whole.messages[3].body.sha256, Digest::of(b"{\"Events\":[]}"));
    assert_eq!((whole.omitted.is_none(), whole.unreadable_bytes), (true, 0));
    // A part is no request: nothing was forwarded by it, and it has no answer.
    assert_eq!((last.operation, last.envelope), (handshake.operation, handshake.envelope));
    assert_eq!((last.times_us.forwarded, last.response, last.limit), (None, None, None));
    assert_eq!((last.outcome, last.error), (Outcome::Answered, None));
}

#[tokio::test]
async fn a_handshake_is_safe_before_its_answer_leaves() {
    let mews = mews("", Vec::new(), b"x".to_vec(), Vec::new()).await;
    let harness = Harness::start(&mews.url()).await;
    harness.gate().close();
    let mut stream = connect(harness.address()).await;
    assert_eq!(harness.recorded().await.status(), Some(101));
    let mut byte = [0];
    let early = tokio::time::timeout(std::time::Duration::from_millis(50), stream.read(&mut byte)).await;
    assert!(early.is_err(), "the answer came before its receipt");
    harness.gate().open();
    accepted(&mut stream).await;
}

#[tokio::test]
async fn tokens_in_messages_are_replaced() {
    let message = br#"{"Token":"access-token-0001","Inner":"{\"AccessToken\":\"another-token\"}"}"#;
    let mews = mews("", frame(TEXT, message), Vec::new(), Vec::new()).await;
    let harness = Harness::start(&mews.url()).await;
    let mut stream = connect(harness.address()).await;
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    drop(stream);
    let (.., whole) = recorded(&harness).await;
    let [(_, _, text)] = &said(&whole)[..] else { panic!("{whole:?}") };
    let (one, other) = (Pseudonym::of(b"access-token-0001"), Pseudonym::of(b"another-token"));
    assert_eq!(*text, format!(r#"{{"Token":"{one}","Inner":"{{\"AccessToken\":\"{other}\"}}"}}"#));
    assert_eq!(whole.messages[0].body.sha256, Digest::of(message));
}

#[tokio::test]
async fn compressed_messages_are_recorded_as_they_are_meant() {
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    let mut frames = Vec::new();
    for message in ["reservation 1 confirmed", "reservation 2 confirmed"] {
        deflate.write_all(message.as_bytes()).unwrap();
        deflate.flush().unwrap();
        let bytes = std::mem::take(deflate.get_mut());
        frames.extend(frame(0xc1, bytes.strip_suffix(b"\0\0\xff\xff").unwrap()));
    }
    let mews = mews("Sec-WebSocket-Extensions: permessage-deflate\r\n", frames, Vec::new(), Vec::new()).await;
    let harness = Harness::start(&mews.url()).await;
    let mut stream = connect(harness.address()).await;
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    drop(stream);
    let (.., whole) = recorded(&harness).await;
    let texts: Vec<_> = said(&whole).into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, ["reservation 1 confirmed", "reservation 2 confirmed"]);
}

#[tokio::test]
async fn an_integration_that_breaks_off_within_a_message_leaves_what_came_of_it() {
    let half = &masked(TEXT, b"half of it")[..10];
    let mews = mews("", Vec::new(), [half, b"never comes"].concat(), Vec::new()).await;
    let harness = Harness::start(&mews.url()).await;
    let mut stream = connect(harness.address()).await;
    accepted(&mut stream).await;
    stream.write_all(half).await.unwrap();
    drop(stream);
    let (_, last, whole) = recorded(&harness).await;
    assert_eq!(said(&whole), [(Direction::Send, 1, "half".to_owned())]);
    assert!(whole.messages[0].body.truncated);
    assert!(last.error.is_none_or(|error| error.kind == FailureKind::Closed));
}

#[tokio::test]
async fn what_is_no_websocket_passes_all_the_same_and_is_counted() {
    let garbage = b"GET / HTTP/1.1\r\n\r\n".repeat(100);
    let mews = mews("", garbage.clone(), garbage.clone(), frame(TEXT, b"ok")).await;
    let harness = Harness::start(&mews.url()).await;
    let mut stream = connect(harness.address()).await;
    accepted(&mut stream).await;
    stream.write_all(&garbage).await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, [garbage.clone(), frame(TEXT, b"ok")].concat());
    drop(stream);
    let mut unreadable = 0;
    harness.recorded().await;
    loop {
        let part = harness.recorded().await.web_socket.unwrap();
        unreadable += part.unreadable_bytes;
        assert!(part.messages.is_empty());
        if part.ended {
            break;
        }
    }
    assert_eq!(unreadable, 2 * garbage.len() as u64 + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_survives_a_crash_of_an_open_connection() {
    let mews = mews("", frame(TEXT, b"a reservation"), b"never".to_vec(), Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "events"]);
    let mut stream = connect(serve.proxy()).await;
    assert_eq!(read_response(&mut stream).await.status, 101);
    let lines = |serve: &Process| {
        let output = serve.run(BINARY, &["tail", "--no-follow", "--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect::<Vec<_>>()
    };
    while lines(&serve).len() < 2 {
        tokio::task::yield_now().await;
    }
    serve.kill();
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "events"]);
    let lines = lines(&serve);
    assert_eq!((lines.len(), &lines[0]["response"]["status"]), (2, &101.into()));
    let said = &lines[1]["webSocket"];
    assert_eq!((&said["handshake"], &said["part"]), (&lines[0]["id"], &1.into()));
    let message = &said["messages"][0];
    assert_eq!(
        (&message["type"], &message["opcode"], &message["body"]),
        (&"receive".into(), &1.into(), &"a reservation".into())
    );
    assert!(said.get("ended").is_none());
    let check = serve.run(BINARY, &["show", lines[1]["id"].as_str().unwrap()]);
    assert!(String::from_utf8(check.stdout).unwrap().contains("a reservation"));
    serve.stop();
    let output = std::process::Command::new(BINARY).args(["log", "check", "--data"]).arg(&data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
