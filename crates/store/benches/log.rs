//! `cargo bench -p nightaudit-store`: appending and reading, by criterion. `examples/log_numbers.rs` measures the rest.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nightaudit_exchange::{Body, Exchange};
use nightaudit_import::{Options, Reader};
use nightaudit_store::{Log, Query, StoreConfig};

fn line(number: u64) -> String {
    let rows: Vec<String> = (0..12)
        .map(|row| format!(r#"{{"Id":"{:032x}","State":"Confirmed","Number":"{row}"}}"#, number * 977 + row))
        .collect();
    let mut exchange: Exchange = serde_json::from_str(
        r#"{"id":"01KAS00000000000000000000A","session":"01KAS000000000000000000000","sessionName":"bench","sequence":1,
        "environment":"demo","operation":"reservations/getAll/2023-06-06","startedAt":"2026-11-23T12:00:00.123456Z",
        "timesUs":{"forwarded":210,"responseHead":84312,"responseEnd":85120},"peer":"127.0.0.1:51234",
        "envelope":{"client":"Acme Kiosk 2.1.0","clientToken":null,"accessToken":"REDACTED:b1946ac92492","paginated":true},
        "request":{"method":"POST","url":"https://api.mews-demo.com/api/connector/v1/reservations/getAll/2023-06-06",
        "httpVersion":"HTTP/1.1","headers":[],"body":null,"bodyLength":0,
        "bodySha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","truncated":false},
        "response":null,"limit":null,"outcome":"failed","error":{"kind":"connect","message":"refused"}}"#,
    )
    .unwrap();
    exchange.id = nightaudit_exchange::ExchangeId::from_parts(1_795_435_200_000 + number, u128::from(number));
    exchange.sequence = number + 1;
    exchange.request.body = Body::whole(rows.join(",").into());
    serde_json::to_string(&exchange).unwrap()
}

fn log(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(StoreConfig::new(dir.path(), &nightaudit_mews::API)).unwrap();
    let lines: Vec<String> = (0..4096).map(line).collect();
    log.import(Reader::open(lines.join("\n").as_bytes(), Options::default()).unwrap()).unwrap();
    let id = nightaudit_exchange::ExchangeId::from_parts(1_795_435_200_000 + 2000, 2000);

    let mut group = c.benchmark_group("log");
    group.bench_function("get by id", |b| b.iter(|| black_box(log.get(id).unwrap().unwrap())));
    group.throughput(Throughput::Elements(4096));
    group.bench_function("scan", |b| b.iter(|| log.query(Query::default()).unwrap().map(Result::unwrap).count()));
    group.bench_function("reindex", |b| b.iter(|| log.reindex(&mut |_| {}).unwrap()));
    group.finish();
}

criterion_group!(benches, log);
criterion_main!(benches);
