//! What an archive in a PostgreSQL of its own carries, on this machine.
//!
//! ```text
//! cargo run --profile dist -p nightaudit-archive --example archive_numbers -- 2000000 60
//! ```
//!
//! Ships so many exchanges as fast as it goes, then 5,000 a second for so many seconds, and reads them.
#![allow(clippy::unwrap_used, reason = "an example that can't go on panics")]

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use nightaudit_archive::{Archive, Shipper, ShipperConfig, ShippingStatus, setup};
use nightaudit_exchange::{Body, Digest, Exchange, ExchangeId, Filter, Pseudonym, Timestamp, chain};
use nightaudit_log::{
    Order, Query, ReadLog, Start,
    testing::{MemoryLog, exchange, session_id},
};
use nightaudit_testkit::Postgres;

/// Exchanges a second of the second part.
const RATE: u64 = 5000;
/// Exchanges of a session of the first part, which are in memory while they are shipped.
const AT_ONCE: u64 = 250_000;

fn main() {
    let argument = |place: usize, default: u64| -> u64 {
        std::env::args().nth(place).map_or(default, |number| number.parse().unwrap())
    };
    let (count, seconds) = (argument(1, 300_000), argument(2, 20));
    let Some(postgres) = Postgres::start() else { return };
    postgres.create("audit");
    postgres.sql("audit", "ALTER SYSTEM SET fsync = on");
    postgres.sql("audit", "SELECT pg_reload_conf()");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(setup(&postgres.owner("audit").parse().unwrap())).unwrap();
    let ship = |log: &Arc<MemoryLog>, status: &ShippingStatus| {
        let (address, log, status) = (postgres.owner("audit").parse().unwrap(), log.clone(), status.clone());
        Shipper::start(ShipperConfig { address, node: "a".to_owned(), log, status }).unwrap()
    };
    let wait = |status: &ShippingStatus, session: u64, count: u64| {
        while !status.has(session_id(session), count) {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut shipping = Duration::ZERO;
    let mut middle = None;
    let mut session = 0;
    for first in (0..count).step_by(usize::try_from(AT_ONCE).unwrap()) {
        session += 1;
        let (log, status) = (Arc::new(MemoryLog::default()), ShippingStatus::default());
        let mut source = Source::new(session);
        let some = AT_ONCE.min(count - first);
        (0..some).for_each(|_| log.record(source.next()));
        let begun = Instant::now();
        let shipper = ship(&log, &status);
        wait(&status, session, some);
        shipping += begun.elapsed();
        log.close();
        shipper.stop();
        middle.get_or_insert(source.middle);
    }
    let took = shipping.as_secs_f64();
    println!("shipped {count} in {took:.1} s: {:.0} a second", count as f64 / took);

    session += 1;
    let mut source = Source::new(session);
    let (log, status) = (Arc::new(MemoryLog::default()), ShippingStatus::default());
    log.record(source.next());
    let shipper = ship(&log, &status);
    wait(&status, session, 1);
    // The lag of what arrived last counts for two seconds.
    std::thread::sleep(Duration::from_secs(3));
    let begun = Instant::now();
    let mut lags = Vec::new();
    for tick in 0..seconds * 100 {
        for _ in 0..RATE / 100 {
            log.record(source.next());
        }
        lags.push(status.state().lag);
        std::thread::sleep(
            (begun + Duration::from_millis(10) * (tick as u32 + 1)).saturating_duration_since(Instant::now()),
        );
    }
    lags.sort_unstable();
    let own = 1 + RATE * seconds;
    let total = count + own;
    println!(
        "{RATE} a second for {seconds} s: lag {:?} at the median, {:?} at most; {} behind at the end",
        lags[lags.len() / 2],
        lags[lags.len() - 1],
        own - status.state().shipped
    );
    wait(&status, session, own);
    let size = postgres.sql("audit", "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits");
    let index = postgres.sql("audit", "SELECT sum(pg_indexes_size(inhrelid)) FROM pg_inherits");
    let per = |bytes: &str| bytes.parse::<f64>().unwrap() / total as f64;
    println!("{:.0} bytes an exchange in PostgreSQL, {:.0} of them indexes", per(&size), per(&index));
    postgres.sql("audit", "ANALYZE");

    let archive = Archive::open(postgres.owner("audit").parse().unwrap()).unwrap();
    let filter = |name: &str, value: &str| Filter::from_query([(name, value)], Timestamp::from_micros(0)).unwrap();
    let page = |filter: Filter| {
        let query = Query { filter, order: Order::Newest, limit: Some(100), ..Query::default() };
        archive.query(query).unwrap().count()
    };
    let id = middle.unwrap_or(source.middle).to_string();
    timed("newest 100", &mut || page(Filter::default()));
    timed("by id", &mut || archive.find(&id).is_ok().into());
    timed("by the end of an id", &mut || archive.find(&id[16..]).is_ok().into());
    timed("first page of a status", &mut || page(filter("status", "500")));
    timed("first page of an operation", &mut || page(filter("operation", "customers/*")));
    timed("first page of slower than 10 s (none)", &mut || page(filter("slower-than", "10s")));
    timed("count of all and the place of the newest 100", &mut || {
        archive.seek(&Filter::default(), Start::Newest(100)).unwrap().total as usize
    });
    let begun = Instant::now();
    let read = archive.query(Query { filter: filter("session", "numbers-1"), ..Query::default() }).unwrap().count();
    let took = begun.elapsed().as_secs_f64();
    println!("read {read} in {took:.1} s: {:.0} a second", read as f64 / took);
    log.close();
    shipper.stop();
}

fn timed(what: &str, work: &mut dyn FnMut() -> usize) {
    let mut times: Vec<_> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            let found = work();
            (begun.elapsed(), found)
        })
        .collect();
    times.sort_unstable();
    println!("{what}: {:.1?} at the median, {:.1?} at most ({} found)", times[10].0, times[19].0, times[10].1);
}

/// Exchanges of one session, as of an integration: bodies of 300 bytes and 1.5 KiB.
struct Source {
    session: u64,
    name: String,
    sequence: u64,
    before: Digest,
    middle: ExchangeId,
}

impl Source {
    fn new(session: u64) -> Self {
        let (name, before) = (format!("numbers-{session}"), chain::genesis(session_id(session)));
        Self { session, name, sequence: 0, before, middle: ExchangeId::from_parts(0, 0) }
    }

    fn next(&mut self) -> Exchange {
        self.sequence += 1;
        let number = self.sequence;
        let mut made = exchange(self.session, &self.name, number);
        let now = SystemTime::now();
        made.started_at = Timestamp::from_system(now - made.duration());
        let milliseconds = u64::try_from(made.started_at.micros() / 1000).unwrap();
        // Its upper bits are the well mixed ones, and people name exchanges by the ends of their ids.
        let random = (number + (self.session << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15).swap_bytes();
        made.id = ExchangeId::from_parts(milliseconds, u128::from(random) << 16);
        made.envelope.access_token = Some(Pseudonym::of(&number.to_le_bytes()[..1]));
        let request =
            format!(r#"{{"Client":"Kiosk 1","Limitation":{{"Count":{number}}},"Padding":"{}"}}"#, "x".repeat(240));
        let items: Vec<_> = (0..12)
            .map(|item| {
                format!(r#"{{"Id":"{:032x}","State":"Confirmed","Amount":{}}}"#, number * 31 + item, number % 997)
            })
            .collect();
        let response = format!(r#"{{"Reservations":[{}],"Cursor":null}}"#, items.join(","));
        made.request.body = Body::whole(Bytes::from(request));
        if let Some(answer) = &mut made.response {
            answer.body = Body::whole(Bytes::from(response));
            answer.status = if number.is_multiple_of(200) { 500 } else { 200 };
        }
        made.previous_hash = Some(self.before);
        self.before = chain::hash(self.before, &made);
        made.hash = Some(self.before);
        if number.is_multiple_of(1000) {
            self.middle = made.id;
        }
        made
    }
}
