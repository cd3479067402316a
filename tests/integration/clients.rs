//! Clients that don't read their response, and clients that don't send their whole request.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use nightaudit_exchange::{Exchange, FailureKind, Outcome};
use nightaudit_testkit::{Harness, Setup, Upstream, post, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, frame},
    http2_attacks::request,
};

const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;

/// More than the sockets on the way hold by themselves.
const LARGE: usize = 32 << 20;

/// Long enough for anything that is meant to happen.
const AT_LAST: Duration = Duration::from_secs(20);

/// A client of HTTP/2 that writes and reads frames.
struct Http2(TcpStream);

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
}

impl Http2 {
    /// Connects with this initial window for each stream.
    async fn connect(address: SocketAddr, window: u32) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let window = [&4_u16.to_be_bytes()[..], &window.to_be_bytes()].concat();
        let opening = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &window)].concat();
        stream.write_all(&opening).await.unwrap();
        Self(stream)
    }

    async fn ask(&mut self, stream: u32) {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("/api/connector/v1/rates/getAll", &[]));
        self.0.write_all(&head).await.unwrap();
    }

    async fn widen(&mut self, stream: u32, by: u32) {
        self.0.write_all(&frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())).await.unwrap();
    }

    /// The next frame that isn't the connection's own; PINGs and SETTINGS are answered.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap();
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
            let (kind, flags) = (head[3], head[4]);
            match kind {
                PING if flags & ACK == 0 => self.0.write_all(&frame(PING, ACK, 0, &payload)).await.unwrap(),
                SETTINGS if flags & ACK == 0 => self.0.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap(),
                PING | SETTINGS | WINDOW_UPDATE => {}
                _ => return Some(Frame { kind, flags, stream, length }),
            }
        }
    }

    /// What ends a stream: its kind, and how many bytes of data came before.
    async fn end_of(&mut self, stream: u32) -> Option<(u8, usize)> {
        let mut bytes = 0;
        loop {
            let frame = timeout(AT_LAST, self.next()).await.ok()??;
            if frame.stream != stream {
                continue;
            }
            bytes += if frame.kind == DATA { frame.length } else { 0 };
            if frame.kind == RST_STREAM || frame.flags & END_STREAM != 0 {
                return Some((frame.kind, bytes));
            }
        }
    }
}

async fn upstream(size: usize) -> Upstream {
    let body = Bytes::from(vec![b'x'; size]);
    Upstream::scripted(move |_| {
        let body: BoxBody<Bytes, std::io::Error> = Full::from(body.clone()).map_err(|never| match never {}).boxed();
        async move { Response::new(body) }
    })
    .await
}

/// A proxy before an upstream whose answers have this size, whose clients have so long to take them.
async fn harness(upstream: &Upstream, taken: Duration) -> Harness {
    let listen =
        nightaudit_listen::ListenConfig { response_taken: taken, ..nightaudit_listen::ListenConfig::default() };
    Harness::with(Setup { listen, ..Setup::new(&upstream.url()) }).await
}

async fn recorded(harness: &Harness) -> Exchange {
    timeout(AT_LAST, harness.recorded()).await.expect("nothing is recorded")
}

fn assert_stalled(exchange: &Exchange) {
    assert_eq!(exchange.outcome, Outcome::Aborted);
    let error = exchange.error.as_ref().unwrap();
    assert_eq!(error.kind, FailureKind::ClientStalled, "{}", error.message);
    assert!(error.message.contains("timeouts.response_taken"), "{}", error.message);
}

const BRIEFLY: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn regression_http_2_streams_with_a_closed_window_held_their_permits_for_ever() {
    let upstream = upstream(300_000).await;
    let harness = harness(&upstream, BRIEFLY).await;
    let mut client = Http2::connect(harness.address(), 0).await;
    for stream in [1, 3, 5] {
        client.ask(stream).await;
    }
    for _ in 0..3 {
        assert_stalled(&recorded(&harness).await);
    }
    let mut reset: Vec<u32> = Vec::new();
    while reset.len() < 3 {
        let frame = timeout(AT_LAST, client.next()).await.unwrap().unwrap();
        if frame.kind == RST_STREAM {
            reset.push(frame.stream);
        }
    }
    reset.sort_unstable();
    assert_eq!(reset, [1, 3, 5]);
    // The connection is as good as before.
    client.ask(7).await;
    client.widen(0, 1 << 20).await;
    client.widen(7, 1 << 20).await;
    assert_eq!(client.end_of(7).await, Some((DATA, 300_000)));
    assert_eq!(recorded(&harness).await.outcome, Outcome::Answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_2_stream_whose_window_opens_by_a_byte_at_a_time_is_reset() {
    let upstream = upstream(300_000).await;
    let harness = harness(&upstream, BRIEFLY).await;
    let mut client = Http2::connect(harness.address(), 10).await;
    client.ask(1).await;
    let end = async {
        loop {
            let next = timeout(BRIEFLY / 10, client.next()).await;
            match next {
                Ok(Some(frame)) if frame.kind == RST_STREAM => return,
                Ok(frame) => assert!(frame.is_some()),
                Err(_) => client.widen(1, 1).await,
            }
        }
    };
    timeout(AT_LAST, end).await.unwrap();
    assert_stalled(&recorded(&harness).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_1_client_that_does_not_read_is_cut_off() {
    let upstream = upstream(LARGE).await;
    let harness = harness(&upstream, BRIEFLY).await;
    let mut client = TcpStream::connect(harness.address()).await.unwrap();
    client.write_all(&post("rates/getAll", "{}")).await.unwrap();
    assert_stalled(&recorded(&harness).await);
    let mut rest = Vec::new();
    let _ = timeout(AT_LAST, client.read_to_end(&mut rest)).await.expect("the connection is open");
    assert!(rest.len() < LARGE, "{}", rest.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_but_goes_on_gets_all() {
    let upstream = upstream(LARGE).await;
    let harness = harness(&upstream, 4 * BRIEFLY).await;
    let mut client = TcpStream::connect(harness.address()).await.unwrap();
    client.write_all(&post("rates/getAll", "{}")).await.unwrap();
    let (mut got, mut piece) = (0, vec![0; 1 << 20]);
    while got < LARGE {
        let read = timeout(AT_LAST, client.read(&mut piece)).await.unwrap().unwrap();
        assert!(read > 0, "{got}");
        if got < LARGE / 2 {
            tokio::time::sleep(BRIEFLY / 10).await;
        }
        got += read;
    }
    assert_eq!(recorded(&harness).await.outcome, Outcome::Answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_streams_nobody_reads_others_get_their_answers_at_once() {
    let upstream = upstream(300_000).await;
    let listen = nightaudit_listen::ListenConfig { response_taken: LONG, ..nightaudit_listen::ListenConfig::default() };
    let proxy = |config: &mut nightaudit_proxy::ProxyConfig| config.queue = 40;
    let harness = Harness::with(Setup { listen, proxy, ..Setup::new(&upstream.url()) }).await;
    let mut hostile = Vec::new();
    for _ in 0..3 {
        let mut client = Http2::connect(harness.address(), 0).await;
        for stream in 0..100 {
            client.ask(2 * stream + 1).await;
        }
        hostile.push(client);
    }
    // As many as may be are under way, and the rest of them waits.
    let begun = Instant::now();
    while upstream.seen().len() < 12 && begun.elapsed() < AT_LAST {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answer = timeout(AT_LAST, send(harness.address(), &post("rates/getAll", "{}"))).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 300_000));
    // Of thirty one has six, another five (a quarter of 24 and less), the last four.
    assert!(upstream.seen().len() <= 16, "{}", upstream.seen().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_body_that_dripped_was_waited_for_as_long_as_it_liked() {
    let upstream = upstream(2).await;
    let proxy = |config: &mut nightaudit_proxy::ProxyConfig| {
        config.timeouts.request_body = 5 * BRIEFLY;
        config.min_body_rate = 1 << 20;
    };
    let harness = Harness::with(Setup { proxy, ..Setup::new(&upstream.url()) }).await;
    // Within the first 16 KiB, before the request is forwarded; and of a body that flows already.
    for beginning in [&b"{\"Client\":"[..], br#"{"AccessToken":"T","ClientToken":"C","Text":""#] {
        let mut client = TcpStream::connect(harness.address()).await.unwrap();
        let head =
            format!("POST /api/connector/v1/rates/getAll HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(beginning).await.unwrap();
        let (mut reading, mut writing) = client.into_split();
        let dripping = tokio::spawn(async move {
            while writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(BRIEFLY / 10).await;
            }
        });
        let mut answer = vec![0; 12];
        timeout(AT_LAST, reading.read_exact(&mut answer)).await.expect("it is waited for").unwrap();
        assert_eq!(answer, b"HTTP/1.1 408");
        dripping.abort();
        let error = recorded(&harness).await.error.unwrap();
        assert_eq!(error.kind, FailureKind::RequestTimeout);
        assert!(error.message.contains("slower than 1048576 bytes/s (`body.min_rate`)"), "{}", error.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_bodies_that_could_not_be_forwarded_yet_took_memory_without_bound() {
    const BODY: usize = 1 << 20;
    let upstream = upstream(2).await;
    let proxy = |config: &mut nightaudit_proxy::ProxyConfig| {
        (config.keep_body, config.keep_total) = (0, 0);
        config.timeouts.request_body = AT_LAST;
    };
    let harness = Harness::with(Setup { proxy, ..Setup::new(&upstream.url()) }).await;
    // Four bodies without a token, all but their ends: that is all the room there is.
    let without = vec![b' '; BODY];
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut client = TcpStream::connect(harness.address()).await.unwrap();
        let head = format!("POST /api/connector/v1/rates/getAll HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&without[1..]).await.unwrap();
        held.push(client);
    }
    // One whose token is at its beginning needs none.
    let with = format!(r#"{{"ClientToken":"C","AccessToken":"T","Text":"{}"}}"#, "x".repeat(2 * BODY));
    let answer = timeout(AT_LAST, send(harness.address(), &post("rates/getAll", &with))).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.seen()[0].body.len(), with.len());
    // Another one without waits, and gets its answer once there is room.
    let address = harness.address();
    let request = post("rates/getAll", &String::from_utf8(without).unwrap());
    let waiting = tokio::spawn(async move { send(address, &request).await.status });
    tokio::time::sleep(BRIEFLY).await;
    assert!(!waiting.is_finished());
    assert_eq!(upstream.seen().len(), 1);
    for client in &mut held {
        client.write_all(b" ").await.unwrap();
    }
    assert_eq!(timeout(AT_LAST, waiting).await.unwrap().unwrap(), 200);
}

/// Waits until the server has closed a connection, whatever it says before.
async fn closed(client: &mut TcpStream) {
    // A reset is as good: it closes one on which there are bytes that it has not read.
    let _ = timeout(AT_LAST, client.read_to_end(&mut Vec::new())).await.expect("the connection is still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_clients_that_said_nothing_made_a_newcomer_wait() {
    const SLOTS: usize = 8;
    let upstream = upstream(2).await;
    let listen = nightaudit_listen::ListenConfig {
        max_connections: SLOTS,
        idle_timeout: LONG,
        head_timeout: LONG,
        ..nightaudit_listen::ListenConfig::default()
    };
    let harness = Harness::with(Setup { listen, ..Setup::new(&upstream.url()) }).await;
    let mut working = TcpStream::connect(harness.address()).await.unwrap();
    let mut ask = async || {
        working.write_all(b"GET /api/connector/v1/rates/getAll HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let response = timeout(AT_LAST, nightaudit_testkit::read_response(&mut working)).await;
        assert_eq!(response.expect("no response on the connection that works").status, 200);
    };
    ask().await;
    // Some say nothing at all, some stop within a line of the head, some within the preface of HTTP/2.
    let beginnings = [&b""[..], b"POST /api/connector/v1/rates/getAll HTTP/1.1\r\nHost:", b"PRI * HTTP/2.0\r\n"];
    let mut silent = Vec::new();
    for (at, beginning) in beginnings.into_iter().cycle().take(5 * SLOTS).enumerate() {
        let mut client = TcpStream::connect(harness.address()).await.unwrap();
        // Its turn to go may have come already.
        let _ = client.write_all(beginning).await;
        silent.push(client);
        if at % 5 == 0 {
            ask().await;
        }
    }
    let request = post("rates/getAll", "{}");
    assert_eq!(timeout(AT_LAST, send(harness.address(), &request)).await.expect("the newcomer waits").status, 200);
    // The longest idle of them have gone for it, and not the one that works.
    let (gone, last) = silent.split_at_mut(4 * SLOTS);
    for client in gone {
        closed(client).await;
    }
    let read = last.last().unwrap().try_read(&mut [0]);
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "the newest has gone, too");
    ask().await;
}
