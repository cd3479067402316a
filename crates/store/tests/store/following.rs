//! Followers see everything in order, whether or not they keep up.

use nightaudit_exchange::{Exchange, ExchangeId, Filter};
use nightaudit_store::{FollowFrom, Followed, Follower, Log};

use crate::support::{capture, config, id};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Records from another thread: tokio's cooperative budget would pause a task that polls thousands of receipts in a
/// row.
fn record(log: &Log, numbers: std::ops::Range<u64>) {
    std::thread::scope(|scope| scope.spawn(|| crate::support::record(log, numbers)).join().unwrap());
}

fn number(exchange: &Exchange) -> u64 {
    exchange.request_id().unwrap()[4..].parse().unwrap()
}

async fn take(follower: &mut Follower, count: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match follower.next().await {
            Some(Followed::Exchange(exchange)) => seen.push(number(&exchange)),
            other => panic!("{other:?} after {} exchanges", seen.len()),
        }
    }
    seen
}

#[test]
fn a_follower_that_falls_behind_reads_from_disk_and_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    record(&log, 0..50);
    runtime().block_on(async {
        let mut fast = log.follow(Filter::default(), FollowFrom::Now).unwrap();
        let mut slow = log.follow(Filter::default(), FollowFrom::Last(3)).unwrap();
        let mut later = log.follow(Filter::default(), FollowFrom::After(id(10))).unwrap();
        record(&log, 50..60);
        assert_eq!(take(&mut fast, 10).await, (50..60).collect::<Vec<_>>());
        for part in 0..6 {
            record(&log, 60 + part * 500..560 + part * 500);
        }
        assert_eq!(take(&mut fast, 3000).await, (60..3060).collect::<Vec<_>>());
        assert_eq!(take(&mut slow, 3013).await, (47..3060).collect::<Vec<_>>());
        assert_eq!(take(&mut later, 3049).await, (11..3060).collect::<Vec<_>>());
        record(&log, 3060..3061);
        for follower in [&mut fast, &mut slow, &mut later] {
            assert_eq!(take(follower, 1).await, [3060]);
        }
        log.close();
        assert!(fast.next().await.is_none());
    });
}

#[test]
fn a_follower_sees_matches_of_its_session_only() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    log.start_session("mine").unwrap();
    let filter = Filter { session: Some("mine".into()), status: Some("4xx".parse().unwrap()), ..Filter::default() };
    runtime().block_on(async {
        let mut follower = log.follow(filter, FollowFrom::Now).unwrap();
        record(&log, 0..20);
        crate::support::record_all(
            &log,
            [nightaudit_exchange::Capture { session: Some("other".into()), ..capture(29) }],
        );
        record(&log, 39..40);
        assert_eq!(take(&mut follower, 3).await, [9, 19, 39]);
    });
}

#[test]
fn a_follower_resumes_from_the_position_of_another_even_if_that_saw_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    runtime().block_on(async {
        let from_nothing = log.follow(Filter::default(), FollowFrom::Now).unwrap().position().unwrap();
        record(&log, 0..20);
        let last = log.follow(Filter::default(), FollowFrom::Last(3)).unwrap().position().unwrap();
        log.close();
        drop(log);
        let log = Log::open(config(dir.path())).unwrap();
        record(&log, 20..22);
        let mut all = log.follow(Filter::default(), FollowFrom::Position(from_nothing)).unwrap();
        assert_eq!(take(&mut all, 22).await, (0..22).collect::<Vec<_>>());
        let mut three = log.follow(Filter::default(), FollowFrom::Position(last)).unwrap();
        assert_eq!(take(&mut three, 5).await, (17..22).collect::<Vec<_>>());
    });
}

#[test]
fn a_follower_learns_how_many_exchanges_were_deleted_unread() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    runtime().block_on(async {
        let mut follower = log.follow(Filter::default(), FollowFrom::Now).unwrap();
        record(&log, 0..5);
        assert_eq!(take(&mut follower, 5).await, [0, 1, 2, 3, 4]);
        for part in 0..5 {
            record(&log, 1000 + part * 300..1300 + part * 300);
        }
        log.start_session("second").unwrap();
        log.end_session("certification").unwrap();
        log.delete_session("certification").unwrap();
        // More than the ring keeps, so that the deleted ones are not in memory either.
        for part in 0..5 {
            record(&log, 3000 + part * 300..3300 + part * 300);
        }
        let (mut seen, mut missed) = (0, 0);
        while seen < 1500 {
            match follower.next().await.unwrap() {
                Followed::Missed(count) => missed += count,
                Followed::Exchange(_) => seen += 1,
                other => panic!("{other:?}"),
            }
        }
        // The last page is counted once it is complete.
        record(&log, 9000..9001);
        while missed == 0 {
            if let Some(Followed::Missed(count)) = follower.next().await {
                missed += count;
            }
        }
        assert_eq!((seen, missed), (1500, 1500));
    });
}

#[test]
fn regression_a_follower_had_no_place_between_the_exchanges_of_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    record(&log, 0..10);
    runtime().block_on(async {
        let mut follower = log.follow(Filter::default(), FollowFrom::Last(10)).unwrap();
        for seen in 0..9 {
            assert_eq!(take(&mut follower, 1).await, [seen]);
            let place = follower.position().unwrap();
            let mut resumed = log.follow(Filter::default(), FollowFrom::Position(place)).unwrap();
            assert_eq!(take(&mut resumed, 9 - seen as usize).await, (seen + 1..10).collect::<Vec<_>>());
        }
    });
}

#[test]
fn regression_a_follower_whose_last_exchange_was_deleted_skipped_those_that_came_since() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    runtime().block_on(async {
        let mut follower = log.follow(Filter::default(), FollowFrom::Now).unwrap();
        record(&log, 0..3);
        assert_eq!(take(&mut follower, 3).await, [0, 1, 2]);
        let place = follower.position().unwrap();
        log.start_session("second").unwrap();
        record(&log, 3..6);
        log.delete_session("certification").unwrap();
        let mut resumed = log.follow(Filter::default(), FollowFrom::Position(place)).unwrap();
        assert_eq!(take(&mut resumed, 3).await, [3, 4, 5]);
        // Of an id that nothing has, the time is known. What came since may be seen twice, but is not skipped.
        let unknown = ExchangeId::from_parts(1_795_435_199_999, 1);
        let mut resumed = log.follow(Filter::default(), FollowFrom::After(unknown)).unwrap();
        assert_eq!(take(&mut resumed, 6).await, [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn regression_a_follower_of_a_name_was_silent_once_another_session_had_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    let suite = |numbers: std::ops::Range<u64>| {
        let named = |number| nightaudit_exchange::Capture { session: Some("suite".into()), ..capture(number) };
        let all: Vec<_> = numbers.map(named).collect();
        std::thread::scope(|scope| scope.spawn(|| crate::support::record_all(&log, all)).join().unwrap());
    };
    suite(0..2);
    let filter = Filter { session: Some("suite".into()), ..Filter::default() };
    runtime().block_on(async {
        let mut fast = log.follow(filter.clone(), FollowFrom::Now).unwrap();
        let mut slow = log.follow(filter.clone(), FollowFrom::Last(2)).unwrap();
        let id = log.session("suite").unwrap().id.to_string();
        let mut of_one = log.follow(Filter { session: Some(id), ..filter }, FollowFrom::Last(2)).unwrap();
        suite(2..4);
        log.end_session("suite").unwrap();
        record(&log, 100..101);
        suite(4..6);
        assert_eq!(take(&mut fast, 4).await, [2, 3, 4, 5]);
        // More than memory keeps.
        for round in 0..4 {
            suite(6 + round * 500..506 + round * 500);
        }
        log.end_session("suite").unwrap();
        suite(2006..2007);
        assert_eq!(take(&mut fast, 2001).await, (6..2007).collect::<Vec<_>>());
        assert_eq!(take(&mut slow, 2007).await, (0..2007).collect::<Vec<_>>());
        assert_eq!(take(&mut of_one, 4).await, [0, 1, 2, 3]);
        log.close();
        assert!(of_one.next().await.is_none());
    });
}
