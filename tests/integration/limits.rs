//! The limits, end to end: a Mews that enforces its own limit never has to reject.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nightaudit_exchange::{Decision, Outcome};
use nightaudit_limit::{Action, Clock as _, Config, FakeClock, KeyParts, Limiter, Rule};
use nightaudit_testkit::{Harness, Nobody, Setup, Upstream, post, send};
use tokio::{net::TcpStream, task::JoinSet};

const LIMIT: u32 = 200;
const WINDOW: Duration = Duration::from_secs(30);
const NANOSECOND: Duration = Duration::from_nanos(1);

fn limiter(action: Action, clock: &FakeClock) -> Limiter {
    let key = KeyParts { access_token: true, ..KeyParts::default() };
    let rule =
        Rule { name: "published".into(), key, requests: LIMIT, window: WINDOW, burst: None, paginated_factor: 1 };
    Limiter::with_clock(Config { rules: vec![rule], slack: Duration::ZERO, action }, clock.clone()).unwrap()
}

/// How the host counts.
#[derive(Clone, Copy)]
enum Counting {
    /// Sliding windows.
    Sliding,
    /// Windows that start with the first request after the previous one ended.
    Anchored,
}

/// A Mews that rejects with 429 anything over the limit by its own count.
async fn strict(counting: Counting, clock: FakeClock) -> Upstream {
    let sends: Arc<std::sync::Mutex<Vec<u64>>> = Arc::default();
    Upstream::scripted(move |_| {
        let (now, mut sends) = (clock.now(), sends.lock().unwrap());
        let window = u64::try_from(WINDOW.as_nanos()).unwrap();
        match counting {
            Counting::Sliding => sends.retain(|sent| sent + window >= now),
            Counting::Anchored => {
                if sends.first().is_some_and(|first| first + window < now) {
                    sends.clear();
                }
            }
        }
        let status = if sends.len() < LIMIT as usize { 200 } else { 429 };
        sends.push(now);
        async move {
            let mut response = Response::new(Full::from("{}").map_err(|never| match never {}).boxed());
            *response.status_mut() = status.try_into().unwrap();
            response
        }
    })
    .await
}

async fn proxy(upstream: &Upstream, action: Action, clock: &FakeClock) -> Harness {
    let mut setup = Setup::new(&upstream.url());
    setup.limiter = limiter(action, clock);
    Harness::with(setup).await
}

/// Sends requests all at once, over a few connections.
struct Crowd(Vec<http2::SendRequest<Full<Bytes>>>);

impl Crowd {
    async fn new(address: SocketAddr) -> Self {
        let mut senders = Vec::new();
        for _ in 0..5 {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let builder = http2::Builder::new(TokioExecutor::new());
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            senders.push(sender);
        }
        Self(senders)
    }

    fn send(&self, requests: usize) -> JoinSet<u16> {
        let mut answers = JoinSet::new();
        for number in 0..requests {
            let mut sender = self.0[number % self.0.len()].clone();
            answers.spawn(async move {
                let body = Full::from(r#"{"AccessToken":"the-token-of-all"}"#);
                let request = Request::post("http://proxy/api/connector/v1/resources/getAll").body(body).unwrap();
                let response = sender.send_request(request).await.unwrap();
                let status = response.status().as_u16();
                let limited = response.headers().contains_key("x-nightaudit-limited");
                assert_eq!(limited, status == 429, "the 429 is the proxy's own, not Mews'");
                response.into_body().collect().await.unwrap();
                status
            });
        }
        answers
    }

    async fn count(&self, requests: usize) -> (usize, usize) {
        let answers = self.send(requests).join_all().await;
        let admitted = answers.iter().filter(|status| **status == 200).count();
        (admitted, answers.len() - admitted)
    }
}

#[tokio::test]
async fn of_a_burst_of_a_thousand_exactly_the_limit_is_admitted() {
    for counting in [Counting::Sliding, Counting::Anchored] {
        let clock = FakeClock::default();
        let upstream = strict(counting, clock.clone()).await;
        let harness = proxy(&upstream, Action::Reject, &clock).await;
        let crowd = Crowd::new(harness.address()).await;
        assert_eq!(crowd.count(1000).await, (200, 800));
        clock.advance(WINDOW);
        assert_eq!(crowd.count(1000).await, (0, 1000), "the window includes its end");
        clock.advance(NANOSECOND);
        assert_eq!(crowd.count(1000).await, (200, 800));
        assert_eq!(upstream.seen().len(), 400);
    }
}

#[tokio::test]
async fn at_a_steady_rate_above_the_limit_only_the_excess_is_refused() {
    for counting in [Counting::Sliding, Counting::Anchored] {
        let clock = FakeClock::default();
        let upstream = strict(counting, clock.clone()).await;
        let harness = proxy(&upstream, Action::Reject, &clock).await;
        let crowd = Crowd::new(harness.address()).await;
        // 210 in 30 s, for five windows.
        let (mut admitted, mut refused) = (0, 0);
        for _ in 0..5 * 210 {
            let (yes, no) = crowd.count(1).await;
            (admitted, refused) = (admitted + yes, refused + no);
            clock.advance(WINDOW / 210);
        }
        assert_eq!((admitted, refused), (5 * 200, 5 * 10));
    }
}

#[tokio::test]
async fn immediate_retries_gain_nothing_and_never_reach_mews() {
    let clock = FakeClock::default();
    let upstream = strict(Counting::Sliding, clock.clone()).await;
    let harness = proxy(&upstream, Action::Reject, &clock).await;
    let request = post("resources/getAll", r#"{"AccessToken":"the-token-of-all"}"#);
    for _ in 0..LIMIT {
        assert_eq!(send(harness.address(), &request).await.status, 200);
    }
    for waited in 0..30 {
        let answer = send(harness.address(), &request).await;
        assert_eq!(answer.status, 429);
        // The window ends one nanosecond after 30 s.
        assert_eq!(answer.header("retry-after"), Some((31 - waited).to_string().as_str()));
        clock.advance(Duration::from_secs(1));
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(send(harness.address(), &request).await.status, 200);
    assert_eq!(upstream.seen().len(), LIMIT as usize + 1);
}

#[tokio::test]
async fn delayed_requests_finish_as_soon_as_the_limit_allows() {
    let clock = FakeClock::default();
    let upstream = strict(Counting::Sliding, clock.clone()).await;
    let action = Action::Delay { max_delay: Duration::from_secs(300), max_queued: 1000 };
    let harness = proxy(&upstream, action, &clock).await;
    let crowd = Crowd::new(harness.address()).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut answers = crowd.send(1000);
    let count = {
        let answered = Arc::clone(&answered);
        tokio::spawn(async move {
            while let Some(status) = answers.join_next().await {
                assert_eq!(status.unwrap(), 200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let started = clock.now();
    for window in 1..=5 {
        while answered.load(Ordering::Relaxed) < window * LIMIT as usize {
            assert!(
                !count.is_finished() || answered.load(Ordering::Relaxed) == 1000,
                "a request wasn't answered with 200"
            );
            tokio::task::yield_now().await;
        }
        if window < 5 {
            clock.advance(WINDOW + NANOSECOND);
        }
    }
    count.await.unwrap();
    // The last of a thousand may be sent after four windows.
    let took = Duration::from_nanos(clock.now() - started);
    assert!(took <= 4 * WINDOW + 4 * WINDOW / 20, "{took:?}");
    let mut delayed = 0;
    for _ in 0..1000 {
        let limit = harness.recorded().await.limit.unwrap();
        delayed += usize::from(limit.decision == Decision::Delayed && limit.waited_ms >= 30_000);
    }
    assert_eq!(delayed, 800);
}

#[tokio::test]
async fn observed_requests_are_sent_and_marked() {
    let clock = FakeClock::default();
    let upstream = Upstream::responding(200, "{}").await;
    let harness = proxy(&upstream, Action::Observe, &clock).await;
    let crowd = Crowd::new(harness.address()).await;
    assert_eq!(crowd.count(LIMIT as usize + 3).await, (LIMIT as usize + 3, 0));
    let mut observed = 0;
    for _ in 0..LIMIT + 3 {
        let exchange = harness.recorded().await;
        assert_eq!(exchange.outcome, Outcome::Answered);
        observed += u32::from(exchange.limit.unwrap().decision == Decision::Observed);
    }
    assert_eq!(observed, 3);
}

#[tokio::test]
async fn a_429_of_mews_closes_the_key_and_is_recorded_as_mews_own() {
    let clock = FakeClock::default();
    let upstream = Upstream::scripted(|_| async {
        let mut response = Response::new(Full::from("{}").map_err(|never| match never {}).boxed());
        *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert("retry-after", http::HeaderValue::from_static("7"));
        response
    })
    .await;
    let harness = proxy(&upstream, Action::Reject, &clock).await;
    let request = post("resources/getAll", r#"{"AccessToken":"the-token-of-all"}"#);
    let answer = send(harness.address(), &request).await;
    assert_eq!((answer.status, answer.header("x-nightaudit-limited")), (429, None));
    assert_eq!(harness.recorded().await.outcome, Outcome::Answered);

    let answer = send(harness.address(), &request).await;
    assert_eq!((answer.status, answer.header("x-nightaudit-limited")), (429, Some("test/published")));
    assert_eq!(answer.header("retry-after"), Some("7"));
    let exchange = harness.recorded().await;
    assert_eq!((exchange.outcome, exchange.limit.unwrap().retry_after_s), (Outcome::Refused, Some(7)));
    // Another token is unaffected.
    assert_eq!(
        send(harness.address(), &post("a/b", r#"{"AccessToken":"another"}"#)).await.header("x-nightaudit-limited"),
        None
    );

    clock.advance(Duration::from_secs(7));
    send(harness.address(), &request).await;
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn an_unsent_request_does_not_count() {
    let clock = FakeClock::default();
    let nobody = Nobody::new();
    let mut setup = Setup::new(&format!("http://{}", nobody.address()));
    setup.limiter = limiter(Action::Reject, &clock);
    let harness = Harness::with(setup).await;
    for _ in 0..LIMIT + 10 {
        let answer = send(harness.address(), &post("resources/getAll", r#"{"AccessToken":"the-token-of-all"}"#)).await;
        assert_eq!(answer.status, 502);
    }
}

#[tokio::test]
async fn without_a_token_requests_count_by_client_address() {
    let clock = FakeClock::default();
    let upstream = Upstream::responding(200, "{}").await;
    let harness = proxy(&upstream, Action::Reject, &clock).await;
    for body in ["", "not json", "{}", "[1]"].iter().cycle().take(LIMIT as usize) {
        assert_eq!(send(harness.address(), &post("resources/getAll", body)).await.status, 200);
    }
    assert_eq!(send(harness.address(), &post("resources/getAll", "{}")).await.status, 429);
    assert_eq!(send(harness.address(), &post("resources/getAll", r#"{"AccessToken":"T"}"#)).await.status, 200);
}
