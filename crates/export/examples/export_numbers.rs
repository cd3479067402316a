//! How fast a format is written, how much memory that takes, and how fast a bundle is verified.
//!
//! `cargo run --profile dist -p nightaudit-export --example export_numbers FORMAT [COUNT]`
//!
//! FORMAT is `none` (the exchanges are made and thrown away, which the others do too), `har`, `ndjson`, `csv`, `curl`,
//! `html`, `bundle`, or `verify`, which makes a bundle first.
#![allow(clippy::unwrap_used, reason = "a measurement that can't go on panics")]

use std::{
    fs::File,
    io::BufWriter,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use nightaudit_exchange::{
    AdmissionRecord, Body, Decision, Envelope, Exchange, ExchangeId, Header, Pseudonym, Request, Response, SessionId,
    TimesUs, Timestamp, chain, testing::sample,
};
use nightaudit_export::{Evidence, ExchangeWriter, Format, SigningKey, VerifyOptions, verify};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let format = arguments.next().unwrap_or_else(|| "bundle".to_owned());
    let count = arguments.next().map_or(100_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("export");
    let begun = Instant::now();
    if format == "none" {
        exchanges(count).for_each(drop);
    } else {
        write(&format, count, folder.path(), &path);
    }
    tell(&format, count, begun.elapsed(), std::fs::metadata(&path).map_or(0, |file| file.len()));
    if format == "verify" {
        let begun = Instant::now();
        let options = VerifyOptions { scratch: folder.path().to_owned(), ..VerifyOptions::default() };
        let verification = verify(File::open(&path).unwrap(), &options, &mut |_| {}).unwrap();
        assert!(verification.is_good() && verification.exchanges == count, "{verification:?}");
        tell("verified", count, begun.elapsed(), 0);
    }
}

fn write(format: &str, count: u64, folder: &Path, path: &Path) {
    let out = BufWriter::with_capacity(64 << 10, File::create(path).unwrap());
    let evidence = Evidence { scratch: folder.to_owned(), ..Evidence::default() };
    let mut writer: Box<dyn ExchangeWriter + Send> = match format {
        "html" => evidence.report(out).unwrap(),
        "bundle" | "verify" => {
            let key = SigningKey::load_or_create(folder).unwrap();
            evidence.bundle(out, key, Timestamp::from_micros(0)).unwrap()
        }
        other => other.parse::<Format>().unwrap().writer(out),
    };
    for exchange in exchanges(count) {
        writer.write(&exchange).unwrap();
    }
    writer.finish().unwrap();
}

fn tell(what: &str, count: u64, time: Duration, bytes: u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim();
    let seconds = time.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
    let rate = count as f64 / seconds;
    println!("{what}: {count} exchanges in {seconds:.2} s, {rate:.0}/s, {} MiB, peak {peak}", bytes >> 20);
}

/// Exchanges of 3 KB of bodies, chained as in a log.
fn exchanges(count: u64) -> impl Iterator<Item = Exchange> {
    let session = SessionId::from_parts(1_790_000_000_000, 1);
    let (access, client) = (Pseudonym::of(b"access"), Pseudonym::of(b"client"));
    let mut last = chain::genesis(session);
    (1..=count).map(move |number| {
        let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut items = String::new();
        while items.len() < 2_500 {
            mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31) ^ number;
            items.push_str(&format!(
                r#"{{"Id":"{mixed:016x}-{number:08x}","State":"Confirmed","StartUtc":"2026-11-{:02}T14:00:00Z","Number":"{}"}},"#,
                1 + mixed % 28,
                mixed % 100_000
            ));
        }
        let sent = format!(
            r#"{{"ClientToken":"{client}","AccessToken":"{access}","Client":"Acme Kiosk 2.1.0","UpdatedUtc":{{"StartUtc":"2026-11-01T00:00:00Z","EndUtc":"2026-11-08T00:00:00Z"}},"ServiceIds":["{mixed:016x}","{number:016x}","{mixed:016x}"],"Limitation":{{"Count":100}}}}"#
        );
        let operation = ["reservations/getAll/2023-06-06", "customers/getAll", "bills/getAll"][(number % 3) as usize];
        let field = |name: &str, value: String| Header { name: name.into(), value: value.into() };
        let status = if number % 50 == 0 { 500 } else { 200 };
        let mut exchange = Exchange {
            id: ExchangeId::from_parts(1_790_000_000_000 + number * 150, u128::from(number)),
            session,
            session_name: "certification".into(),
            sequence: number,
            environment: "demo".into(),
            operation: operation.to_owned(),
            started_at: Timestamp::from_micros(1_790_000_000_000_000).plus(Duration::from_millis(number * 150)),
            times_us: TimesUs { forwarded: Some(210), response_head: Some(84_312), response_end: Some(85_120) },
            peer: Some("127.0.0.1:51234".parse().unwrap()),
            envelope: Envelope {
                client: Some("Acme Kiosk 2.1.0".to_owned()),
                client_token: Some(client),
                access_token: Some(access),
                paginated: true,
            },
            request: Request {
                method: "POST".into(),
                url: format!("https://api.mews-demo.com/api/connector/v1/{operation}"),
                http_version: "HTTP/1.1".into(),
                headers: vec![
                    field("Host", "127.0.0.1:8080".to_owned()),
                    field("Content-Type", "application/json".to_owned()),
                    field("User-Agent", "acme/2.1.0".to_owned()),
                    field("Content-Length", sent.len().to_string()),
                ],
                body: Body::whole(sent.into()),
            },
            response: Some(Response {
                status,
                http_version: "HTTP/2".into(),
                reason: None,
                headers: vec![
                    field("Content-Type", "application/json; charset=utf-8".to_owned()),
                    field("Request-Id", format!("00-{mixed:032x}-01")),
                    field("Date", "Mon, 23 Nov 2026 12:00:00 GMT".to_owned()),
                ],
                request_id: Some(format!("00-{mixed:032x}-01")),
                body: Body::whole(Bytes::from(format!(r#"{{"Items":[{}],"Cursor":null}}"#, items.trim_end_matches(',')))),
            }),
            limit: Some(AdmissionRecord {
                decision: Decision::Admitted,
                rule: "published".into(),
                used: 199,
                limit: 200,
                waited_ms: 0,
                retry_after_s: None,
            }),
            previous_hash: Some(last),
            ..sample()
        };
        last = chain::hash(last, &exchange);
        exchange.hash = Some(last);
        exchange
    })
}
