//! Which sender a request counts for: the one that Mews reads from its body, however it is sent.

use std::{
    io::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http_body_util::{BodyExt as _, Full};
use nightaudit_exchange::{Decision, FailureKind, Outcome, Pseudonym};
use nightaudit_limit::{Action, Config, KeyParts, Limiter, Rule};
use nightaudit_testkit::{Authority, Harness, Setup, Upstream, leave, read_response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const END: &[u8] = b"0\r\n\r\n";

const ACCESS: KeyParts = KeyParts { access_token: true, client_token: false, operation: false };
const CLIENT: KeyParts = KeyParts { access_token: false, client_token: true, operation: false };

/// A Mews that responds once it has a whole chunked request, and counts those.
struct Mews {
    upstream: Upstream,
    whole: Arc<Mutex<usize>>,
}

impl Mews {
    async fn start() -> Self {
        let whole: Arc<Mutex<usize>> = Arc::default();
        let counted = Arc::clone(&whole);
        let upstream = Upstream::raw(move |mut stream| {
            let whole = Arc::clone(&counted);
            async move {
                let mut body = Vec::new();
                while !body.ends_with(END) {
                    if matches!(stream.read_buf(&mut body).await, Err(_) | Ok(0)) {
                        return;
                    }
                }
                *whole.lock().unwrap() += 1;
                let response = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
                stream.write_all(response).await.unwrap();
            }
        })
        .await;
        Self { upstream, whole }
    }

    /// A proxy that lets one request through in an hour, or ten that are paginated.
    async fn behind(&self, key: KeyParts, paginated_factor: u32) -> Harness {
        let window = Duration::from_secs(3600);
        let rule = Rule { name: "one".to_owned(), key, requests: 1, window, burst: None, paginated_factor };
        let mut setup = Setup::new(&self.upstream.url());
        setup.limiter = Limiter::new(Config { rules: vec![rule], ..Config::default() }).unwrap();
        Harness::with(setup).await
    }

    fn begun(&self) -> usize {
        self.upstream.raw_heads().len()
    }

    fn whole(&self) -> usize {
        *self.whole.lock().unwrap()
    }
}

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

async fn begin(harness: &Harness, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    let head =
        format!("POST /api/connector/v1/bills/add HTTP/1.1\r\nHost: a\r\n{headers}Transfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Sends a request at once, and returns the status of its response.
async fn send(harness: &Harness, headers: &str, body: &[u8]) -> u16 {
    let mut stream = begin(harness, headers).await;
    stream.write_all(&[&chunk(body)[..], END].concat()).await.unwrap();
    read_response(&mut stream).await.status
}

/// Sends the beginning of a request, and the other pieces once it is being forwarded.
async fn stream(mews: &Mews, harness: &Harness, pieces: &[Vec<u8>]) -> u16 {
    let begun = mews.begun();
    let mut stream = begin(harness, "").await;
    stream.write_all(&chunk(&pieces[0])).await.unwrap();
    while mews.begun() == begun {
        tokio::task::yield_now().await;
    }
    for piece in &pieces[1..] {
        // Refused, it may be closed.
        let _ = stream.write_all(&chunk(piece)).await;
        tokio::task::yield_now().await;
    }
    let _ = stream.write_all(END).await;
    read_response(&mut stream).await.status
}

fn pieces(pieces: &[&str]) -> Vec<Vec<u8>> {
    pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect()
}

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn regression_a_token_later_in_the_body_was_not_counted() {
    let long = format!(r#"{{"Data":"{}"#, "x".repeat((1 << 20) + 10));
    let bodies = [
        (ACCESS, 1, pieces(&[r#"{"AccessToken":"decoy","#, r#""a":{"b":[]},"AccessToken":"real"}"#])),
        (ACCESS, 1, pieces(&[r#"{"AccessToken":"decoy","#, "\"AccessTo", "ken\": \"re", "al", "\"}"])),
        (ACCESS, 1, pieces(&[r#"{"AccessToken":"decoy","#, r#""Access\u0054oken":"r\u0065al"}"#])),
        (ACCESS, 1, pieces(&[r#"{"AccessToken":"decoy","#, r#""accesstoken":"real"}"#])),
        (ACCESS, 1, pieces(&[r#"{"AccessToken":"decoy",'a':1,"#, r#""AccessToken":"real"}"#])),
        (ACCESS, 1, pieces(&[r#"{"AccessToken":"real"#, r#"","AccessToken":"decoy","#, r#""AccessToken":"real"}"#])),
        (ACCESS, 1, vec![utf_16(r#"{"AccessToken":"decoy","#), utf_16(r#""AccessToken":"real"}"#)]),
        (ACCESS, 1, pieces(&[&long, r#"","AccessToken":"real"}"#])),
        (CLIENT, 1, pieces(&[r#"{"AccessToken":"a","ClientToken":"decoy","#, r#""ClientToken":"real"}"#])),
        (ACCESS, 10, pieces(&[r#"{"AccessToken":"real","Limitation":{"#, r#"},"Limitation":null}"#])),
    ];
    for (key, factor, body) in bodies {
        let shown = String::from_utf8_lossy(&body[body.len() - 1]).into_owned();
        let mews = Mews::start().await;
        let harness = mews.behind(key, factor).await;
        let real = br#"{"AccessToken":"real","ClientToken":"real"}"#;
        if factor == 1 {
            assert_eq!(send(&harness, "", real).await, 200);
        } else {
            assert_eq!(send(&harness, "", br#"{"AccessToken":"real","Limitation":{}}"#).await, 200);
        }
        harness.recorded().await;
        // A body that is only admitted with its first token isn't begun before that.
        let body =
            if body[0].ends_with(b"real") { vec![[&body[0][..], &body[1]].concat(), body[2].clone()] } else { body };
        assert_eq!(stream(&mews, &harness, &body).await, 429, "{shown}");
        assert_eq!(mews.whole(), 1, "{shown}");
        let exchange = harness.recorded().await;
        assert_eq!(exchange.outcome, Outcome::Refused, "{shown}");
        assert_eq!(exchange.limit.unwrap().decision, Decision::Refused, "{shown}");
        let envelope = exchange.envelope;
        let counted = if key == CLIENT { envelope.client_token } else { envelope.access_token };
        assert_eq!(counted, Some(Pseudonym::of(b"real")), "{shown}");
    }
}

#[tokio::test]
async fn a_token_later_in_the_body_is_admitted_and_counted() {
    let mews = Mews::start().await;
    let harness = mews.behind(ACCESS, 1).await;
    let body = pieces(&[r#"{"AccessToken":"decoy","#, r#""AccessToken":"real","#, r#""AccessToken":"real"}"#]);
    assert_eq!(stream(&mews, &harness, &body).await, 200);
    assert_eq!(harness.recorded().await.envelope.access_token, Some(Pseudonym::of(b"real")));
    for token in ["decoy", "real"] {
        assert_eq!(send(&harness, "", format!(r#"{{"AccessToken":"{token}"}}"#).as_bytes()).await, 429, "{token}");
    }
    assert_eq!(mews.whole(), 1);
}

#[tokio::test]
async fn regression_a_whole_body_that_mews_reads_leniently_counted_for_the_address() {
    let far = format!(r#"{{"A":"{}","AccessToken":"real"}}"#, "語".repeat(4096));
    let bodies = [
        br#"{"accessToken":"real"}"#.to_vec(),
        br#"{"AccessToken":"decoy","ACCESSTOKEN":"real"}"#.to_vec(),
        b"{'AccessToken':'real'}".to_vec(),
        br#"{/* "AccessToken":"decoy" */ "AccessToken":"real"}"#.to_vec(),
        br#"{"AccessToken":"decoy","a":NaN,AccessToken:"real"}"#.to_vec(),
        utf_16(&far),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let mews = Mews::start().await;
        let harness = mews.behind(ACCESS, 1).await;
        assert_eq!(send(&harness, "", br#"{"AccessToken":"real"}"#).await, 200);
        assert_eq!(send(&harness, "", &body).await, 429, "{shown}");
        assert_eq!(mews.whole(), 1, "{shown}");
    }
}

#[tokio::test]
async fn regression_the_token_of_a_coded_body_was_not_counted() {
    let body = br#"{"AccessToken":"real","Client":"Kiosk"}"#;
    let bodies = [
        ("gzip", gzip(body)),
        ("x-gzip", gzip(body)),
        ("deflate", deflate(body)),
        ("deflate, gzip", gzip(&deflate(body))),
        ("deflate\r\nContent-Encoding: GZIP", gzip(&deflate(body))),
        ("gzip", gzip(&utf_16(std::str::from_utf8(body).unwrap()))),
        // The end is missing, or the header is wrong, which whoever doesn't decode won't mind.
        ("gzip", gzip(body)[..gzip(body).len() - 4].to_vec()),
        ("gzip", body.to_vec()),
        ("aes", body.to_vec()),
    ];
    for (coding, body) in bodies {
        let mews = Mews::start().await;
        let harness = mews.behind(ACCESS, 1).await;
        let headers = format!("Content-Encoding: {coding}\r\n");
        assert_eq!(send(&harness, &headers, &body).await, 200, "{coding}");
        let exchange = harness.recorded().await;
        assert_eq!(exchange.envelope.access_token, Some(Pseudonym::of(b"real")), "{coding}");
        assert_eq!(send(&harness, "", br#"{"AccessToken":"real"}"#).await, 429, "{coding}");
        assert_eq!(send(&harness, &headers, &body).await, 429, "{coding}");
        assert_eq!(mews.whole(), 1, "{coding}");
    }
}

/// Bytes that no coding makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (state >> 24) as u8 % 26
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[tokio::test]
async fn a_coded_body_whose_tokens_cannot_be_read_is_refused_only_if_limits_count_them() {
    let long = [br#"{"AccessToken":"decoy","Data":""#, &noise(3 << 20)[..], br#"","AccessToken":"real"}"#].concat();
    let bomb =
        [br#"{"AccessToken":"decoy","Data":""#, &vec![b' '; 60 << 20][..], br#"","AccessToken":"real"}"#].concat();
    for body in [gzip(&long), gzip(&bomb)] {
        let mews = Mews::start().await;
        let harness = mews.behind(ACCESS, 1).await;
        let headers = "Content-Encoding: gzip\r\n";
        assert_eq!(send(&harness, headers, &body).await, 400);
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, exchange.error.unwrap().kind), (Outcome::Rejected, FailureKind::Malformed));
        assert_eq!((mews.begun(), mews.whole()), (0, 0));
        let harness = Harness::start(&mews.upstream.url()).await;
        assert_eq!(send(&harness, headers, &body).await, 200);
        assert_eq!(harness.recorded().await.envelope.access_token, Some(Pseudonym::of(b"decoy")));
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_its_token_is_held_back_is_recorded_and_releases_its_place() {
    let mews = Mews::start().await;
    let window = Duration::from_secs(3600);
    let rule = Rule { name: "one".to_owned(), key: ACCESS, requests: 1, window, burst: None, paginated_factor: 1 };
    let action = Action::Delay { max_delay: window, max_queued: 10 };
    let limiter = Limiter::new(Config { rules: vec![rule], action, ..Config::default() }).unwrap();
    let mut setup = Setup::new(&mews.upstream.url());
    setup.limiter = limiter.clone();
    let harness = Harness::with(setup).await;
    assert_eq!(send(&harness, "", br#"{"AccessToken":"real"}"#).await, 200);
    harness.recorded().await;
    for more in [&b""[..], br#""x":1,"#] {
        let begun = mews.begun();
        let mut stream = begin(&harness, "").await;
        let other = format!(r#"{{"AccessToken":"decoy-{begun}","#);
        stream.write_all(&chunk(other.as_bytes())).await.unwrap();
        while mews.begun() == begun {
            tokio::task::yield_now().await;
        }
        stream.write_all(&chunk(br#""AccessToken":"real","#)).await.unwrap();
        let waiting = || limiter.state().iter().map(|key| key.waiting).sum::<usize>();
        while waiting() == 0 {
            tokio::task::yield_now().await;
        }
        if !more.is_empty() {
            stream.write_all(&chunk(more)).await.unwrap();
        }
        leave(stream);
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, mews.whole()), (Outcome::Aborted, 1));
        while waiting() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn over_http_2_a_body_that_the_limits_refuse_halfway_is_no_whole_request() {
    let authority = Authority::new();
    let whole: Arc<Mutex<usize>> = Arc::default();
    let counted = Arc::clone(&whole);
    let mews = Upstream::http(Some(authority.server_config(&["h2"])), move |seen| {
        // Of a body that is broken off it sees nothing.
        *counted.lock().unwrap() += usize::from(!seen.body.is_empty());
        async { http::Response::new(Full::from("{}").map_err(|never| match never {}).boxed()) }
    })
    .await;
    let window = Duration::from_secs(3600);
    let rule = Rule { name: "one".to_owned(), key: ACCESS, requests: 1, window, burst: None, paginated_factor: 1 };
    let limiter = Limiter::new(Config { rules: vec![rule], ..Config::default() }).unwrap();
    let mut setup = Setup::new(&mews.url());
    (setup.limiter, setup.ca) = (limiter.clone(), Some(authority.ca_file()));
    let harness = Harness::with(setup).await;
    assert_eq!(send(&harness, "", br#"{"AccessToken":"real"}"#).await, 200);
    let mut stream = begin(&harness, "").await;
    stream.write_all(&chunk(br#"{"AccessToken":"decoy","#)).await.unwrap();
    while limiter.state().iter().filter(|key| key.used == 1).count() < 2 {
        tokio::task::yield_now().await;
    }
    stream.write_all(&[&chunk(br#""AccessToken":"real"}"#)[..], END].concat()).await.unwrap();
    assert_eq!(read_response(&mut stream).await.status, 429);
    // The connection goes on.
    assert_eq!(send(&harness, "", br#"{"AccessToken":"another"}"#).await, 200);
    assert_eq!(*whole.lock().unwrap(), 2);
}
