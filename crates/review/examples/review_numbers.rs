//! How fast a session is reviewed, and in how much memory.
//!
//! `cargo run --profile dist -p nightaudit-review --example review_numbers [COUNT]`
#![allow(clippy::unwrap_used, reason = "a program for measuring")]

use std::{fs, time::Instant};

use bytes::Bytes;
use nightaudit_exchange::{Exchange, ExchangeId, Pseudonym, Timestamp};
use nightaudit_review::{Declaration, Reviewer};

const OPERATIONS: [(&str, &str, bool); 8] = [
    ("reservations/getAll/2023-06-06", r#""ReservationIds":["#, true),
    ("customers/getAll", r#""Extent":{"Customers":true},"CustomerIds":["#, true),
    ("bills/getAll", r#""BillIds":["#, true),
    ("orderItems/getAll", r#""OrderItemIds":["#, true),
    ("payments/getAll", r#""PaymentIds":["#, true),
    ("resources/getAll", r#""Extent":{"Resources":true},"ResourceIds":["#, true),
    ("reservations/cancel", r#""Notes":"guest did not come","ReservationIds":["#, false),
    ("tasks/close", r#""TaskIds":["#, false),
];

/// Exchanges over 48 hours: 20 tokens, 8 operations, bodies of 0.4 and 2 KB, one in a hundred failed.
fn exchanges(count: u64, template: &Exchange) -> impl Iterator<Item = Exchange> {
    let page: Bytes =
        format!("{{\"Items\":[{}],\"Cursor\":null}}", vec!["{\"Id\":\"3fa85f64\"}"; 110].join(",")).into();
    let tokens: Vec<Pseudonym> = (0..20_u8).map(|n| Pseudonym::of(&[n])).collect();
    let step = 48 * 3_600_000_000 / i64::try_from(count).unwrap();
    let start = template.started_at.micros();
    (0..count).map(move |n| {
        let mut exchange = template.clone();
        let (operation, fields, paged) = OPERATIONS[n as usize % OPERATIONS.len()];
        let token = tokens[n as usize / 8 % tokens.len()];
        exchange.sequence = n + 1;
        exchange.started_at = Timestamp::from_micros(start + i64::try_from(n).unwrap() * step);
        exchange.id = ExchangeId::from_parts(exchange.started_at.micros() as u64 / 1000, 7 << 40 | u128::from(n));
        exchange.operation = operation.to_owned();
        exchange.envelope.access_token = Some(token);
        exchange.envelope.paginated = paged;
        let limitation = if paged { r#","Limitation":{"Count":100}"# } else { "" };
        let ids: Vec<String> = (0..4).map(|id| format!("\"3fa85f64-5717-4562-b3fc-{:012x}\"", n * 4 + id)).collect();
        let body = format!(
            r#"{{"ClientToken":"REDACTED:3f9a1c0b7d24","AccessToken":"{token}","Client":"Acme Kiosk 2.1.0",{fields}{}]{limitation}}}"#,
            ids.join(","),
        );
        exchange.request.body.length = body.len() as u64;
        exchange.request.body.bytes = body.into();
        let response = exchange.response.as_mut().unwrap();
        if n % 100 == 99 {
            response.status = 503;
            response.body.bytes = Bytes::from_static(b"{\"Message\":\"Down.\"}");
        } else {
            response.body.bytes = page.clone();
        }
        exchange
    })
}

fn main() {
    let count: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let template: Exchange = serde_json::from_str(TEMPLATE).unwrap();
    let begun = Instant::now();
    let made: u64 = exchanges(count, &template).map(|exchange| exchange.request.body.length).sum();
    let making = begun.elapsed();
    let begun = Instant::now();
    let mut reviewer = Reviewer::new(Declaration::default());
    for exchange in exchanges(count, &template) {
        reviewer.push(&exchange);
    }
    let review = reviewer.into_review();
    let whole = begun.elapsed();
    let rate = |time: std::time::Duration| count as f64 / time.as_secs_f64();
    println!("exchanges  {count}, {} bytes of request bodies", made);
    println!("reviewed   {:.0}/s with the making of the exchanges", rate(whole));
    println!("           {:.0}/s without", rate(whole.saturating_sub(making)));
    println!("findings   {}, {} failed calls", review.findings.len(), review.errors.failed);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("memory     {}", line.trim_start_matches("VmHWM:").trim());
    }
}

const TEMPLATE: &str = r#"{
  "id": "01KAS00000000000000000000A", "session": "01KAS000000000000000000000", "sessionName": "numbers",
  "sequence": 1, "environment": "demo", "operation": "configuration/get",
  "startedAt": "2026-11-20T08:00:00.000000Z",
  "timesUs": {"forwarded": 210, "responseHead": 84312, "responseEnd": 85120}, "peer": "127.0.0.1:51234",
  "envelope": {"client": "Acme Kiosk 2.1.0", "clientToken": "REDACTED:3f9a1c0b7d24", "accessToken": null, "paginated": false},
  "request": {"method": "POST", "url": "https://api.mews-demo.com/api/connector/v1/configuration/get",
    "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"},
    {"name": "Content-Length", "value": "400"}, {"name": "User-Agent", "value": "acme/1"}], "bodyLength": 0,
    "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "truncated": false},
  "response": {"status": 200, "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"},
    {"name": "Request-Id", "value": "r"}], "requestId": "r", "bodyLength": 2000,
    "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "truncated": false},
  "limit": {"decision": "admitted", "rule": "published", "used": 12, "limit": 200, "waitedMs": 0, "retryAfterS": null},
  "outcome": "answered", "error": null}"#;
