//! How fast two recordings are compared, and in how much memory, without reading them from anywhere.
//!
//! `cargo run --profile dist -p nightaudit-compare --example compare_numbers [EXCHANGES]`
#![allow(clippy::unwrap_used, reason = "a program for measuring")]

use std::{fs, thread, time::Instant};

use bytes::Bytes;
use nightaudit_compare::{Differences, Ignore, Recording};
use nightaudit_exchange::{Exchange, ExchangeId};
use nightaudit_mews::Contracts;

const OPERATIONS: [&str; 8] = [
    "reservations/getAll/2023-06-06",
    "customers/getAll",
    "bills/getAll",
    "orderItems/getAll/2024-01-22",
    "payments/getAll",
    "resources/getAll",
    "rates/getAll",
    "services/getAll",
];

/// Requests of 0.4 KB and responses of 2.9 KB with eight items of 24 properties; latencies vary with the seed.
fn exchanges(count: u64, seed: u64) -> impl Iterator<Item = Exchange> {
    let template: Exchange = serde_json::from_str(TEMPLATE).unwrap();
    let names = ["Gross", "Net", "Tax"];
    let prices =
        names.map(|name| format!(r#""{name}":{{"Value":1.5,"Currency":"EUR","Taxes":[{{"Code":"x","Amount":0.3}}]}}"#));
    let item = format!(
        r#"{{"Id":"3fa85f64-5717-4562-b3fc-2c963f66afa6","State":"Confirmed","UpdatedUtc":"2026-11-20T08:00:00Z","Notes":null,{}}}"#,
        prices.join(",")
    );
    let page: Bytes = format!(r#"{{"Items":[{}],"Cursor":null}}"#, vec![item; 8].join(",")).into();
    let mut random = fastrand::Rng::with_seed(seed);
    (1..=count).map(move |number| {
        let mut exchange = template.clone();
        OPERATIONS[number as usize % OPERATIONS.len()].clone_into(&mut exchange.operation);
        exchange.id = ExchangeId::from_parts(1_790_000_000_000 + number, seed.into());
        exchange.sequence = number;
        let ids: Vec<String> = (0..4).map(|id| format!("\"3fa85f64-5717-4562-b3fc-{:012x}\"", number + id)).collect();
        let body = format!(
            r#"{{"ClientToken":"REDACTED:3f9a1c0b7d24","AccessToken":"REDACTED:b1946ac92492","Client":"Acme Kiosk 2.1.0","Ids":[{}],"Limitation":{{"Count":100}}}}"#,
            ids.join(",")
        );
        exchange.request.body.bytes = body.into();
        exchange.response.as_mut().unwrap().body.bytes = page.clone();
        exchange.times_us.response_end = Some(210 + random.u64(40_000..80_000) + random.u64(0..20_000));
        exchange
    })
}

fn main() {
    let count: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let begun = Instant::now();
    let bytes: usize = exchanges(count, 1).map(|own| own.bodies().map(|body| body.bytes.len()).sum::<usize>()).sum();
    let making = begun.elapsed();
    println!("making     {count} exchanges with {} MiB of bodies: {:.2} s", bytes >> 20, making.as_secs_f64());
    let begun = Instant::now();
    let side = |seed: u64| {
        let mut recording = Recording::new("x", Contracts::built_in());
        exchanges(count, seed).for_each(|exchange| recording.push(&exchange));
        recording
    };
    let (a, b) = thread::scope(|scope| {
        let a = scope.spawn(|| side(1));
        (side(2), a.join().unwrap())
    });
    println!("both read  {:.2} s on two threads, with the making of the exchanges", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let differences = Differences::of(&a, &b, &Ignore::default());
    println!("compared   {:.1} ms: {}", begun.elapsed().as_secs_f64() * 1e3, differences.counts);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("memory     {}", line.trim_start_matches("VmHWM:").trim());
    }
}

const TEMPLATE: &str = r#"{
  "id": "01KAS00000000000000000000A", "session": "01KAS000000000000000000000", "sessionName": "numbers",
  "sequence": 1, "environment": "demo", "operation": "x", "startedAt": "2026-11-20T08:00:00.000000Z",
  "timesUs": {"forwarded": 210, "responseHead": 40000, "responseEnd": 85120}, "peer": "127.0.0.1:51234",
  "envelope": {"client": "Acme Kiosk 2.1.0", "clientToken": "REDACTED:3f9a1c0b7d24", "accessToken": "REDACTED:b1946ac92492", "paginated": true},
  "request": {"method": "POST", "url": "https://api.mews-demo.com/api/connector/v1/x", "httpVersion": "HTTP/1.1",
    "headers": [{"name": "Content-Type", "value": "application/json"}], "bodyLength": 400, "truncated": false,
    "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
  "response": {"status": 200, "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}],
    "requestId": "r", "bodyLength": 2900, "truncated": false,
    "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
  "limit": {"decision": "admitted", "rule": "published", "used": 12, "limit": 200, "waitedMs": 0, "retryAfterS": null},
  "outcome": "answered", "error": null}"#;
