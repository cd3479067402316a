//! How fast an archive is read and reviewed, on this machine.
//!
//! ```text
//! cargo run --profile dist -p nightaudit-archive --example archive_reading -- 250000 postgres://owner:secret@localhost/numbers
//! ```
//!
//! Reads the archive in that database, and makes it first, of so many exchanges of each of two nodes, if there is none. So
//! two versions of this program can read the same one in turn.
#![allow(clippy::unwrap_used, reason = "an example that can't go on panics")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nightaudit_archive::{Address, Archive, Shipper, ShipperConfig, ShippingStatus, setup};
use nightaudit_exchange::{Body, Exchange, Filter, Pseudonym, Timestamp, chain};
use nightaudit_log::{
    Query, ReadLog,
    testing::{MemoryLog, exchange, session_id},
};
use nightaudit_review::{Declaration, Reviewer};

/// The name of the session on both nodes.
const NAME: &str = "numbers";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(count), Some(address)) = (arguments.next(), arguments.next()) else {
        eprintln!("give the number of each node's exchanges, and the address of a database");
        return;
    };
    let (count, address): (u64, Address) = (count.parse().unwrap(), address.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(setup(&address)).unwrap();
    let archive = Archive::open(address.clone()).unwrap();
    if archive.info().unwrap().exchanges == 0 {
        ["a", "b"].into_iter().zip(1..).for_each(|(node, session)| ship(&address, node, session, count));
    }
    for which in [format!("{NAME}@a"), NAME.to_owned()] {
        let filter = Filter::from_query([("session", &which)], Timestamp::from_micros(0)).unwrap();
        let query = || archive.query(Query { filter: filter.clone(), ..Query::default() }).unwrap();
        rate(&format!("read {which}"), &mut || query().map(Result::unwrap).count());
        rate(&format!("review {which}"), &mut || {
            let mut reviewer = Reviewer::new(Declaration::default());
            let count = query().map(|exchange| reviewer.push(&exchange.unwrap())).count();
            assert_eq!(reviewer.into_review().run.missing, 0);
            count
        });
    }
}

fn rate(what: &str, work: &mut dyn FnMut() -> usize) {
    let begun = Instant::now();
    let count = work();
    let took = begun.elapsed().as_secs_f64();
    println!("{what}: {count} in {took:.2} s, {:.0} a second", count as f64 / took);
}

/// Ships a session of a node.
fn ship(address: &Address, node: &str, session: u64, count: u64) {
    let log = Arc::new(MemoryLog::default());
    let mut before = chain::genesis(session_id(session));
    for number in 1..=count {
        let mut made = made(session, number);
        made.previous_hash = Some(before);
        before = chain::hash(before, &made);
        made.hash = Some(before);
        log.record(made);
    }
    let status = ShippingStatus::default();
    let config =
        ShipperConfig { address: address.clone(), node: node.to_owned(), log: log.clone(), status: status.clone() };
    let shipper = Shipper::start(config).unwrap();
    while !status.has(session_id(session), count) {
        std::thread::sleep(Duration::from_millis(5));
    }
    log.close();
    shipper.stop();
}

/// An exchange with 300 bytes of request and 0.9 KiB of response, sent between two of the other node.
fn made(session: u64, number: u64) -> Exchange {
    let mut made = exchange(session, NAME, number);
    made.started_at = Timestamp::from_micros(1_795_435_200_000_000 + (number * 2 + session).cast_signed() * 1_000);
    made.envelope.access_token = Some(Pseudonym::of(&number.to_le_bytes()[..1]));
    let request =
        format!(r#"{{"Client":"Kiosk 1","Limitation":{{"Count":{number}}},"Padding":"{}"}}"#, "x".repeat(240));
    let item =
        |item| format!(r#"{{"Id":"{:032x}","State":"Confirmed","Amount":{}}}"#, number * 31 + item, number % 997);
    let items: Vec<_> = (0..12).map(item).collect();
    made.request.body = Body::whole(request.into());
    if let Some(answer) = &mut made.response {
        answer.body = Body::whole(format!(r#"{{"Reservations":[{}],"Cursor":null}}"#, items.join(",")).into());
        answer.status = if number.is_multiple_of(200) { 500 } else { 200 };
    }
    made
}
