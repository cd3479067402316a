//! How long it takes to check a request against its contract, and to find the contract.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nightaudit_mews::{check_request, operation};

const ENVELOPE: &str = concat!(
    r#""ClientToken":"E0D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D","#,
    r#""AccessToken":"C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D","#,
    r#""Client":"Sample Client 1.0.0""#,
);

/// A request that uses every filter once, as the documentation's samples do.
fn reservations_get_all() -> String {
    let ids = r#"["622eea8a-32c8-4542-ae21-b93c0f1a8d53","5cb6ae46-30c8-4e7e-bd5f-b12d6d11d5a8"]"#;
    let interval = r#"{"StartUtc":"2026-10-01T00:00:00Z","EndUtc":"2026-12-31T00:00:00Z"}"#;
    let id_filters = [
        "EnterpriseIds",
        "ReservationIds",
        "ServiceIds",
        "ReservationGroupIds",
        "AccountIds",
        "PartnerCompanyIds",
        "TravelAgencyIds",
        "Numbers",
        "ChannelNumbers",
        "AssignedResourceIds",
        "AvailabilityBlockIds",
    ];
    let time_filters = ["CreatedUtc", "UpdatedUtc", "CollidingUtc", "ScheduledStartUtc", "ScheduledEndUtc"];
    let mut body = format!("{{{ENVELOPE}");
    body.extend(id_filters.map(|name| format!(r#","{name}":{ids}"#)));
    body.extend(time_filters.map(|name| format!(r#","{name}":{interval}"#)));
    body.push_str(r#","States":["Confirmed","Started"],"Limitation":{"Count":100,"Cursor":null}}"#);
    body
}

/// A thousand reservations of about a kilobyte each.
fn reservations_add() -> String {
    let id = "622eea8a-32c8-4542-ae21-b93c0f1a8d53";
    let reservation = format!(
        concat!(
            r#"{{"Identifier":"{id}","State":"Confirmed","StartUtc":"2026-10-01T14:00:00Z","#,
            r#""EndUtc":"2026-10-04T10:00:00Z","ReleasedUtc":null,"CustomerId":"{id}","BookerId":"{id}","#,
            r#""RequestedCategoryId":"{id}","RateId":"{id}","TravelAgencyId":null,"CompanyId":null,"Notes":"{notes}","#,
            r#""TimeUnitAmount":{{"GrossValue":100.5,"Currency":"GBP","TaxCodes":["UK-S"]}},"#,
            r#""PersonCounts":[{{"AgeCategoryId":"{id}","Count":2}},{{"AgeCategoryId":"{id}","Count":1}}],"#,
            r#""ProductOrders":[{{"ProductId":"{id}","StartUtc":"2026-10-01T14:00:00Z","EndUtc":null}}]}}"#
        ),
        id = id,
        notes = "Late arrival, quiet room. ".repeat(8)
    );
    let reservations = vec![reservation; 1000].join(",");
    format!(r#"{{{ENVELOPE},"ServiceId":"{id}","Reservations":[{reservations}]}}"#)
}

fn accounts_add_file() -> String {
    let data = "JVBERi0xLjQKJeLjz9MKMyAw".repeat((1 << 20) / 24);
    format!(
        r#"{{{ENVELOPE},"AccountId":"622eea8a-32c8-4542-ae21-b93c0f1a8d53","Name":"a.pdf","Type":"application/pdf","Data":"{data}"}}"#
    )
}

fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check_request");
    for (path, body) in [
        ("reservations/getAll/2023-06-06", reservations_get_all()),
        ("reservations/add", reservations_add()),
        ("accounts/addFile", accounts_add_file()),
    ] {
        let operation = operation(path).expect("it is in the catalogue");
        // A body with findings would measure how they are worded.
        assert_eq!(check_request(operation, body.as_bytes()), []);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("{path}, {} bytes", body.len()), |bencher| {
            bencher.iter(|| check_request(operation, black_box(body.as_bytes())));
        });
    }
    group.finish();

    criterion.bench_function("operation", |bencher| {
        bencher.iter(|| operation(black_box("reservations/getAll/2023-06-06")));
    });
}

criterion_group!(benches, check);
criterion_main!(benches);
