//! How long it takes to read the envelope of a request.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nightaudit_mews::envelope;

/// A request of about `length` bytes that is mostly a list of ids, as requests with filters are.
fn body(length: usize) -> String {
    let mut ids = String::new();
    while ids.len() < length.saturating_sub(300) {
        let separator = if ids.is_empty() { "" } else { "," };
        ids.push_str(&format!("{separator}\"e6ea708c-2a2a-412f-a152-b6c76ffa{:04x}\"", ids.len() % 0x1_0000));
    }
    format!(
        concat!(
            r#"{{"ClientToken":"E0D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D","#,
            r#""AccessToken":"C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D","#,
            r#""Client":"Sample Client 1.0.0","ReservationIds":[{}],"Limitation":{{"Count":100}}}}"#
        ),
        ids
    )
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope");
    for (name, length) in [("1 KB", 1 << 10), ("1 MiB", 1 << 20)] {
        let body = body(length);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| envelope::read(black_box(body.as_bytes()))));
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
