//! Captures, and helpers to use a log without a runtime.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use nightaudit_exchange::{
    Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedResponse, ExchangeId, Head, Outcome, Pseudonym,
    Timestamp,
};
use nightaudit_store::{JournalEntry, Log, Query, StoreConfig};

pub(crate) const ACCESS: &str = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";
pub(crate) const CLIENT: &str = "E0D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D";

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

/// Polls a future once; `None` if it is pending.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Waits for a future on this thread.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker())) {
            return output;
        }
        std::thread::park();
    }
}

pub(crate) fn id(number: u64) -> ExchangeId {
    ExchangeId::from_parts(1_795_435_200_000 + number, u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15) << 16)
}

/// A capture whose values all derive from `number`.
pub(crate) fn capture(number: u64) -> Capture {
    let request = format!(
        r#"{{"ClientToken":"{CLIENT}","AccessToken":"{ACCESS}","Client":"Kiosk {}","Limitation":{{"Count":{number}}}}}"#,
        number % 3
    );
    let response = format!(r#"{{"Reservations":[{{"Id":"{number:032x}","Note":"guest {number}"}}],"Cursor":null}}"#);
    let operation = ["reservations/getAll/2023-06-06", "customers/search", "configuration/get"][number as usize % 3];
    let status = if number % 10 == 9 { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let head = format!(
        "HTTP/1.1 {} OK\r\nContent-Type: application/json\r\nRequest-Id: req-{number}\r\n\r\n",
        status.as_u16()
    );
    Capture {
        id: id(number),
        session: None,
        environment: "demo".into(),
        received: Timestamp::from_micros(1_795_435_200_000_000 + number as i64 * 1000),
        forwarded: Some(Duration::from_micros(200)),
        response_head: Some(Duration::from_micros(80_000)),
        response_end: Some(Duration::from_micros(80_000 + number)),
        peer: "127.0.0.1:51234".parse().unwrap(),
        envelope: CapturedEnvelope {
            access_token: Some(ACCESS.into()),
            client_token: Some(CLIENT.into()),
            client: Some(format!("Kiosk {}", number % 3).into()),
            paginated: true,
        },
        request: CapturedRequest {
            method: Method::POST,
            origin: "https://api.mews-demo.com".into(),
            target: format!("/api/connector/v1/{operation}").into(),
            version: Version::HTTP_11,
            head: Head::Wire(Bytes::from(format!(
                "POST /api/connector/v1/{operation} HTTP/1.1\r\nhost: x\r\nCookie: AccessToken={ACCESS}\r\n\r\n"
            ))),
            body: CapturedBody::whole(request.into()),
        },
        response: Some(CapturedResponse {
            status,
            version: Version::HTTP_11,
            head: Head::Wire(head.into()),
            body: CapturedBody::whole(response.into()),
        }),
        limit: None,
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

pub(crate) fn started(number: u64) -> JournalEntry<'static> {
    JournalEntry {
        id: id(number),
        session: None,
        environment: "demo",
        received: Timestamp::from_micros(1_795_435_200_000_000 + number as i64 * 1000),
        forwarded: std::time::Duration::from_micros(150),
        method: "POST",
        direction: nightaudit_exchange::CallDirection::Outgoing,
        origin: "https://api.mews-demo.com",
        target: b"/api/connector/v1/configuration/get?token=secret".into(),
        peer: "127.0.0.1:51234".parse().unwrap(),
        client: Some("Kiosk 1".into()),
        access_token: Some(Pseudonym::of(ACCESS.as_bytes())),
        client_token: Some(Pseudonym::of(CLIENT.as_bytes())),
        paginated: false,
    }
}

/// Records exchanges, in one batch if possible, and waits until they are stored.
pub(crate) fn record(log: &Log, numbers: impl IntoIterator<Item = u64>) {
    record_all(log, numbers.into_iter().map(capture));
}

pub(crate) fn record_all(log: &Log, captures: impl IntoIterator<Item = Capture>) {
    let recorder = log.recorder();
    let receipts: Vec<_> =
        captures.into_iter().map(|capture| wait(recorder.reserve()).unwrap().record(capture)).collect();
    receipts.into_iter().for_each(wait);
}

pub(crate) fn config(dir: &std::path::Path) -> StoreConfig {
    StoreConfig {
        session: Some("certification".into()),
        retry_interval: Duration::from_millis(5),
        now: || Timestamp::from_micros(1_795_435_200_000_000),
        ..StoreConfig::new(dir, &nightaudit_mews::API)
    }
}

/// The request ids of a query's exchanges, as numbers.
pub(crate) fn numbers(log: &Log, query: Query) -> Vec<u64> {
    let exchanges = log.query(query).unwrap();
    exchanges.map(|exchange| exchange.unwrap().request_id().unwrap()[4..].parse().unwrap()).collect()
}

/// The exchanges of an NDJSON export.
pub(crate) fn ndjson<'a>(lines: impl std::io::BufRead + 'a) -> nightaudit_import::Reader<'a> {
    nightaudit_import::Reader::open(lines, nightaudit_import::Options::default()).unwrap()
}
