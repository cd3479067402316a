//! What a request costs where it counts: `cargo bench --bench hot_path`.
//!
//! The first three groups are on the request's way. `exchange` is what the log's own thread does with each exchange, and
//! `log` both: the hand-over, which the request's way pays, and the whole way to the file system.

use std::{hint::black_box, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use nightaudit_exchange::{
    AdmissionRecord, Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedResponse, Decision, ExchangeId,
    Head, Outcome, Redactor, SessionId, Timestamp, chain,
};
use nightaudit_limit::{AdmissionRequest, Clock, Config, KeyParts, Limiter, MonotonicClock, Rule, Sleep, Verdict};
use nightaudit_mews::envelope;
use nightaudit_store::{Durability, Log, Recorder};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const CLIENT_TOKEN: &str = "E0D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D";
const ACCESS_TOKEN: &str = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";
const CLIENT: &str = "Sample Client 1.0.0";

/// A request of at least `length` bytes: the envelope, a list of ids, and a page's size.
fn request_body(length: usize) -> Bytes {
    let mut ids = String::new();
    while ids.len() + 260 < length {
        let separator = if ids.is_empty() { "" } else { "," };
        ids.push_str(&format!("{separator}\"e6ea708c-2a2a-412f-a152-b6c76ffa{:04x}\"", ids.len()));
    }
    Bytes::from(format!(
        r#"{{"ClientToken":"{CLIENT_TOKEN}","AccessToken":"{ACCESS_TOKEN}","Client":"{CLIENT}","ReservationIds":[{ids}],"Limitation":{{"Count":100}}}}"#
    ))
}

/// An answer of at least `length` bytes: a list of reservations.
fn response_body(length: usize) -> Bytes {
    let mut items = String::new();
    while items.len() + 20 < length {
        let separator = if items.is_empty() { "" } else { "," };
        items.push_str(&format!(
            r#"{separator}{{"Id":"e6ea708c-2a2a-412f-a152-b6c76ffa{:04x}","State":"Confirmed","StartUtc":"2026-12-01T14:00:00Z"}}"#,
            items.len()
        ));
    }
    Bytes::from(format!(r#"{{"Reservations":[{items}]}}"#))
}

fn envelope(criterion: &mut Criterion) {
    let body = request_body(1 << 10);
    let mut group = criterion.benchmark_group("envelope");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("1 KB", |bencher| bencher.iter(|| envelope::read(black_box(&body))));
    group.finish();
}

/// The machine's clock, and so the cost of reading it, a thousand times faster: more is admitted in a second than a
/// rule may allow, but not in a thousandth of one.
struct FastClock(MonotonicClock);

const SPEED: u64 = 1000;

impl Clock for FastClock {
    fn now(&self) -> u64 {
        self.0.now() * SPEED
    }

    fn sleep_until(&self, instant: u64) -> Sleep {
        self.0.sleep_until(instant / SPEED)
    }
}

/// An admission under one rule: a place taken, and the send noted.
fn limit(criterion: &mut Criterion) {
    let rule = Rule {
        name: "published".to_owned(),
        key: KeyParts { access_token: true, client_token: false, operation: false },
        requests: 1_000_000,
        window: Duration::from_secs(1),
        burst: None,
        paginated_factor: 1,
    };
    let config = Config { rules: vec![rule], ..Config::default() };
    let limiter = Limiter::with_clock(config, FastClock(MonotonicClock::default())).expect("the rule is within bounds");
    let arrival = AdmissionRequest {
        access_token: "REDACTED:b1946ac92492",
        client_token: "REDACTED:3f9a1c0b7d24",
        operation: "reservations/getAll/2023-06-06",
        paginated: true,
    };
    criterion.bench_function("limit/one rule", |bencher| {
        bencher.iter(|| match limiter.check(black_box(&arrival)) {
            Verdict::Admitted(place) => drop(place.sent()),
            Verdict::Refused(refusal) => panic!("this is to measure admissions: {refusal:?}"),
        });
    });
}

/// Twelve fields, as a client behind a framework sends.
const FIELDS: [(&str, &str); 12] = [
    ("host", "api.mews-demo.com"),
    ("content-type", "application/json; charset=utf-8"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "en-GB"),
    ("user-agent", "SampleClient/1.0.0 (+https://client.example)"),
    ("content-length", "1400"),
    ("cache-control", "no-cache"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("x-correlation-id", "0c0e6d1e-bd9f-4f3a-9f33-6b6a41f0c2aa"),
    ("x-requested-with", "SampleClient"),
    ("date", "Mon, 23 Nov 2026 12:00:00 GMT"),
];

fn headers() -> HeaderMap {
    let field =
        |(name, value): (&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    FIELDS.into_iter().map(field).collect()
}

fn header_copy(criterion: &mut Criterion) {
    let headers = headers();
    criterion.bench_function("headers/copy 12", |bencher| bencher.iter(|| Head::from(black_box(&headers))));
}

/// An answered exchange with 1.4 KB of request and 2.1 KB of answer, of which each call shares the bodies.
struct Captures {
    request: Bytes,
    response: Bytes,
    environment: Arc<str>,
    origin: Arc<str>,
    made: u64,
}

impl Captures {
    fn new() -> Self {
        Self {
            request: request_body(1400),
            response: response_body(2100),
            environment: "demo".into(),
            origin: "https://api.mews-demo.com".into(),
            made: 0,
        }
    }

    fn next(&mut self) -> Capture {
        self.made += 1;
        let received = Timestamp::from_micros(1_795_000_000_000_000).plus(Duration::from_micros(self.made));
        Capture {
            id: ExchangeId::from_parts(1_795_000_000_000 + self.made / 1000, self.made.into()),
            session: None,
            environment: Arc::clone(&self.environment),
            received,
            forwarded: Some(Duration::from_micros(210)),
            response_head: Some(Duration::from_micros(84_312)),
            response_end: Some(Duration::from_micros(85_120)),
            peer: ([127, 0, 0, 1], 51_234).into(),
            envelope: CapturedEnvelope {
                access_token: Some(ACCESS_TOKEN.into()),
                client_token: Some(CLIENT_TOKEN.into()),
                client: Some(CLIENT.into()),
                paginated: true,
            },
            request: CapturedRequest {
                method: Method::POST,
                origin: Arc::clone(&self.origin),
                target: Bytes::from_static(b"/api/connector/v1/reservations/getAll/2023-06-06"),
                version: Version::HTTP_11,
                head: Head::from(&headers()),
                body: CapturedBody::whole(self.request.clone()),
            },
            response: Some(CapturedResponse {
                status: StatusCode::OK,
                version: Version::HTTP_11,
                head: Head::from(&headers()),
                body: CapturedBody::whole(self.response.clone()),
            }),
            limit: Some(AdmissionRecord {
                decision: Decision::Admitted,
                rule: "published".into(),
                used: 12,
                limit: 200,
                waited_ms: 0,
                retry_after_s: None,
            }),
            outcome: Outcome::Answered,
            error: None,
            fault: None,
            direction: nightaudit_exchange::CallDirection::Outgoing,
            web_socket: None,
            resent_from: None,
            memory: Default::default(),
            destination: None,
            notes: Vec::new(),
        }
    }
}

/// Redacted and encoded, as it is before it is compressed.
fn exchange(criterion: &mut Criterion) {
    let mut captures = Captures::new();
    let mut redactor = Redactor::new(&nightaudit_mews::API, &[], nightaudit_exchange::PseudonymKey::ephemeral());
    let session = SessionId::from_parts(1_795_000_000_000, 1);
    let mut group = criterion.benchmark_group("exchange");
    group.throughput(Throughput::Bytes((captures.request.len() + captures.response.len()) as u64));
    group.bench_function("encode 3.5 KB", |bencher| {
        bencher.iter_batched(
            || captures.next(),
            |mut capture| {
                let exchange = redactor.exchange(&mut capture, session, "bench", 1);
                let mut metadata = Vec::with_capacity(2048);
                chain::write_metadata(&exchange, &mut metadata);
                (metadata, exchange, capture)
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

const BATCH: usize = 1024;

/// A batch of exchanges recorded one after the other, as the proxy does it.
fn record(runtime: &Runtime, recorder: &Recorder, captures: Vec<Capture>) {
    runtime.block_on(async {
        let mut receipts = Vec::with_capacity(captures.len());
        for capture in captures {
            let place = recorder.reserve().await.expect("the log can be written");
            receipts.push(place.record(capture));
        }
        for receipt in receipts {
            receipt.await;
        }
    });
}

/// `batch` ends when the writer has been handed everything, and begins when it has nothing left to do; `write` ends when
/// the file system has it.
fn log(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime needs nothing");
    let mut captures = Captures::new();
    let mut group = criterion.benchmark_group("log append 1024");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
    for (name, durability) in [("batch", Durability::Batch), ("write", Durability::Write)] {
        let folder = TempDir::new().expect("there is a folder for temporary files");
        let mut config = nightaudit_store::StoreConfig::new(folder.path().join("data"), &nightaudit_mews::API);
        config.durability = durability;
        let log = Log::open(config).expect("a new folder can be opened");
        let recorder = log.recorder();
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    while log.status().waiting > 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    (0..BATCH).map(|_| captures.next()).collect()
                },
                |captures| record(&runtime, &recorder, captures),
                BatchSize::PerIteration,
            );
        });
        let closed = log.close();
        assert_eq!(closed.lost, 0, "what isn't written costs nothing");
    }
    group.finish();
}

criterion_group!(benches, envelope, limit, header_copy, exchange, log);
criterion_main!(benches);
