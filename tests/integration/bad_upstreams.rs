//! Upstream failures: the client gets an error response for each, and each is recorded.

use std::time::Duration;

use nightaudit_exchange::{Exchange, FailureKind, Outcome};
use nightaudit_proxy::UpstreamProxy;
use nightaudit_testkit::{Authority, Harness, RawResponse, Setup, Upstream, post, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

async fn ask(setup: Setup) -> (RawResponse, Exchange) {
    let harness = Harness::with(setup).await;
    let answer = send(harness.address(), &post("bills/add", r#"{"AccessToken":"secret-token"}"#)).await;
    (answer, harness.recorded().await)
}

fn assert_failed((answer, exchange): &(RawResponse, Exchange), status: u16, kind: FailureKind) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("x-nightaudit-error"), Some(kind.as_str()), "{answer:?}");
    assert_eq!((exchange.outcome, exchange.status()), (Outcome::Failed, Some(status)));
    let error = exchange.error.as_ref().unwrap();
    assert_eq!(error.kind, kind, "{error:?}");
    assert_eq!(answer.json()["Message"], error.message);
    assert!(exchange.envelope.access_token.is_some());
}

async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn nobody_listens() {
    let asked = ask(Setup::new(&closed_port().await)).await;
    assert_failed(&asked, 502, FailureKind::Connect);
    assert_eq!(asked.1.times_us.forwarded, None);
}

#[tokio::test]
async fn the_name_does_not_exist() {
    assert_failed(&ask(Setup::new("http://mews.invalid")).await, 502, FailureKind::Resolve);
}

#[tokio::test]
async fn the_certificate_is_not_trusted() {
    let tls = Authority::new().server_config(&["http/1.1"]);
    let upstream = Upstream::http(Some(tls), |_| async { unreachable!("no session, no request") }).await;
    assert_failed(&ask(Setup::new(&upstream.url())).await, 502, FailureKind::Tls);
}

#[tokio::test]
async fn the_upstream_closes_early() {
    let upstream = Upstream::raw(|stream| async move { drop(stream) }).await;
    let asked = ask(Setup::new(&upstream.url())).await;
    assert_failed(&asked, 502, FailureKind::Closed);
    assert!(asked.1.times_us.forwarded.is_some());
    assert_eq!(upstream.raw_heads().len(), 1, "a request is never sent twice");
}

/// A Mews whose answer has a head of some more than so many bytes.
async fn with_a_head_of(bytes: usize) -> Upstream {
    Upstream::raw(move |mut stream| async move {
        let field = "y".repeat(1000);
        let fields: String = (0..bytes / 1000).map(|number| format!("X-{number}: {field}\r\n")).collect();
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\n{{}}");
        // Who has seen enough may close before the end.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

#[tokio::test]
async fn the_upstream_answers_with_a_head_that_is_long_and_with_one_that_is_too_long() {
    let (answer, exchange) = ask(Setup::new(&with_a_head_of(90_000).await.url())).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    assert_eq!(exchange.response.unwrap().headers.len(), 91);
    assert_failed(&ask(Setup::new(&with_a_head_of(140_000).await.url())).await, 502, FailureKind::InvalidResponse);
}

#[tokio::test]
async fn the_upstream_answers_garbage() {
    let upstream = Upstream::raw(|mut stream| async move {
        stream.write_all(b"HTTP/9.9 oh dear\r\n\r\n").await.unwrap();
    })
    .await;
    assert_failed(&ask(Setup::new(&upstream.url())).await, 502, FailureKind::InvalidResponse);
}

#[tokio::test]
async fn the_upstream_never_answers() {
    let upstream = Upstream::raw(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut setup = Setup::new(&upstream.url());
    setup.proxy = |config| config.timeouts.response_head = Duration::from_millis(50);
    assert_failed(&ask(setup).await, 504, FailureKind::ResponseTimeout);
}

#[tokio::test]
async fn the_upstream_never_finishes_its_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut setup = Setup::new(&format!("https://{}", listener.local_addr().unwrap()));
    setup.proxy = |config| config.timeouts.connect = Duration::from_millis(50);
    assert_failed(&ask(setup).await, 504, FailureKind::ConnectTimeout);
}

#[tokio::test]
async fn the_upstream_sends_less_than_it_promised() {
    let upstream = Upstream::raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    })
    .await;
    let (answer, exchange) = ask(Setup::new(&upstream.url())).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"abc"[..]));
    assert_eq!((exchange.outcome, exchange.status()), (Outcome::Failed, Some(200)));
    assert_eq!(exchange.error.unwrap().kind, FailureKind::Incomplete);
    assert_eq!(exchange.response.unwrap().body.length, 3);
}

#[tokio::test]
async fn the_upstream_stops_within_its_answer() {
    let upstream = Upstream::raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut setup = Setup::new(&upstream.url());
    setup.proxy = |config| config.timeouts.response_body = Duration::from_millis(50);
    let (_, exchange) = ask(setup).await;
    assert_eq!(exchange.error.unwrap().kind, FailureKind::BodyTimeout);
}

#[tokio::test]
async fn the_upstream_sends_a_broken_chunk() {
    let upstream = Upstream::raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n").await.unwrap();
    })
    .await;
    let (_, exchange) = ask(Setup::new(&upstream.url())).await;
    assert_eq!(exchange.outcome, Outcome::Failed);
    assert_eq!(exchange.error.unwrap().kind, FailureKind::InvalidResponse);
    assert_eq!(&exchange.response.unwrap().body.bytes[..], b"abc");
}

#[tokio::test]
async fn an_error_of_mews_is_an_answer() {
    let upstream = Upstream::responding(500, r#"{"Message":"oops","RequestId":"r-1"}"#).await;
    let (answer, exchange) = ask(Setup::new(&upstream.url())).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.header("x-nightaudit-error"), None);
    assert_eq!((exchange.outcome, exchange.request_id()), (Outcome::Answered, Some("r-1")));
}

/// A corporate proxy that answers CONNECT with `answer` and, where that is a success, tunnels to `target`.
async fn corporate_proxy(answer: &'static [u8], target: std::net::SocketAddr) -> (UpstreamProxy, Upstream) {
    let proxy = Upstream::raw(move |mut stream| async move {
        stream.write_all(answer).await.unwrap();
        if let Ok(mut upstream) = TcpStream::connect(target).await {
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
        }
    })
    .await;
    let address = format!("http://user:pass@{}", proxy.address());
    (UpstreamProxy::Fixed { address, except: "elsewhere.invalid".to_owned() }, proxy)
}

#[tokio::test]
async fn a_corporate_proxy_is_used() {
    let authority = Authority::new();
    let upstream = Upstream::http(Some(authority.server_config(&["http/1.1"])), |_| async {
        http::Response::new(http_body_util::Empty::new().map_err_never())
    })
    .await;
    let (via, proxy) = corporate_proxy(b"HTTP/1.1 200 OK\r\n\r\n", upstream.address()).await;
    let mut setup = Setup::new(&upstream.url());
    setup.ca = Some(authority.ca_file());
    setup.via = via;
    let (answer, exchange) = ask(setup).await;
    assert_eq!((answer.status, exchange.outcome), (200, Outcome::Answered));
    let head = &proxy.raw_heads()[0];
    assert!(head.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", upstream.address().port())), "{head}");
    assert!(head.to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz"), "{head}");
}

#[tokio::test]
async fn a_corporate_proxy_refuses() {
    let upstream = Upstream::responding(200, "{}").await;
    let (via, _proxy) =
        corporate_proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", upstream.address()).await;
    let mut setup = Setup::new("https://mews.invalid");
    setup.via = via;
    assert_failed(&ask(setup).await, 502, FailureKind::UpstreamProxy);
}

trait MapErrNever {
    fn map_err_never(self) -> http_body_util::combinators::BoxBody<bytes::Bytes, std::io::Error>;
}

impl MapErrNever for http_body_util::Empty<bytes::Bytes> {
    fn map_err_never(self) -> http_body_util::combinators::BoxBody<bytes::Bytes, std::io::Error> {
        use http_body_util::BodyExt as _;
        self.map_err(|never| match never {}).boxed()
    }
}

/// A SOCKS5 proxy (RFC 1928, and RFC 1929 for the user) that tunnels to `target`; what it was asked for comes by `asked`.
async fn socks_proxy(
    target: std::net::SocketAddr,
    asked: tokio::sync::mpsc::UnboundedSender<(String, String)>,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut start = [0; 3];
                stream.read_exact(&mut start).await.unwrap();
                assert_eq!(start, [5, 1, 2], "user and password are offered");
                stream.write_all(&[5, 2]).await.unwrap();
                let text = async |stream: &mut TcpStream| {
                    let mut text = vec![0; usize::from(stream.read_u8().await.unwrap())];
                    stream.read_exact(&mut text).await.unwrap();
                    String::from_utf8(text).unwrap()
                };
                assert_eq!(stream.read_u8().await.unwrap(), 1);
                let credentials = format!("{}:{}", text(&mut stream).await, text(&mut stream).await);
                stream.write_all(&[1, 0]).await.unwrap();
                let mut request = [0; 4];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(request[..3], [5, 1, 0]);
                let host = match request[3] {
                    1 => std::net::Ipv4Addr::from(stream.read_u32().await.unwrap()).to_string(),
                    3 => text(&mut stream).await,
                    4 => std::net::Ipv6Addr::from(stream.read_u128().await.unwrap()).to_string(),
                    other => panic!("{other}"),
                };
                let port = stream.read_u16().await.unwrap();
                asked.send((credentials, format!("{host}:{port}"))).unwrap();
                stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
                let mut upstream = TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_socks_proxy_is_used_and_resolves_names_only_where_it_is_to() {
    let upstream = Upstream::responding(200, "{}").await;
    let port = upstream.address().port();
    for (scheme, host) in [("socks5h", "localhost"), ("socks5", "127.0.0.1")] {
        let (sender, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let proxy = socks_proxy(upstream.address(), sender).await;
        let mut setup = Setup::new(&upstream.url());
        let address = format!("{scheme}://me:p@ss%3A@{proxy}");
        setup.via = UpstreamProxy::Fixed { address, except: String::new() };
        let (answer, exchange) = ask(setup).await;
        assert_eq!((answer.status, exchange.outcome), (200, Outcome::Answered), "{scheme}: {:?}", exchange.error);
        let (credentials, to) = asked.recv().await.unwrap();
        assert_eq!(credentials, "me:p@ss:");
        // `localhost` may be either.
        assert!(to == format!("{host}:{port}") || to == format!("::1:{port}"), "{scheme}: {to}");
        assert!(scheme == "socks5" || to.starts_with("localhost"), "{to}");
        let destination = exchange.destination.unwrap();
        assert_eq!(destination.proxy.as_deref(), Some(&*format!("{scheme}://{proxy}")));
    }
}

#[tokio::test]
async fn a_socks_proxy_that_refuses_is_an_answer_like_any_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("socks5h://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 3]).await.unwrap();
        stream.write_all(&[5, 0xff]).await.unwrap();
    });
    let mut setup = Setup::new("https://mews.invalid");
    setup.via = UpstreamProxy::Fixed { address, except: String::new() };
    assert_failed(&ask(setup).await, 502, FailureKind::UpstreamProxy);
}
