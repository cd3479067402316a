//! A Redis that loses its memory, or can't be reached.

use std::time::{Duration, Instant};

use nightaudit_limit::{Admission, Admit as _, History, Permit as _};
use nightaudit_limit_redis::Budget;
use nightaudit_testkit::{Redis, long_lane};

use crate::{WINDOW, admitted, arrival, limits, node, open, refused, settled};

/// Sends as much as is admitted right now.
async fn send_all(budget: &Budget, token: &str) -> Vec<Instant> {
    let mut sent = Vec::new();
    loop {
        match budget.admit(&arrival(token)).await {
            Ok(Admission::Admitted { mut permit, .. }) => {
                if permit.sent().await.is_ok() {
                    sent.push(Instant::now());
                }
            }
            Ok(_) => return sent,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn never_two_windows_at_once(redis: Redis, restart: impl AsyncFn(&mut Redis)) {
    let url = redis.url();
    never_two_windows_of(&url, redis, restart).await;
}

async fn never_two_windows_of(url: &str, mut redis: Redis, restart: impl AsyncFn(&mut Redis)) {
    let (a, b) = (node(url, "a", limits(10)), node(url, "b", limits(10)));
    open(&b, "x").await;
    let mut sent = send_all(&a, "x").await;
    restart(&mut redis).await;
    let since = Instant::now();
    while since.elapsed() < 4 * WINDOW || sent.len() < 25 {
        assert!(since.elapsed() < Duration::from_secs(60), "it goes on: {}", sent.len());
        sent.extend(send_all(&a, "x").await);
        sent.extend(send_all(&b, "x").await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sent.sort();
    for (first, last) in sent.iter().zip(sent.iter().skip(10)) {
        assert!(*last - *first > WINDOW, "eleven in {:?}", *last - *first);
    }
}

#[tokio::test]
async fn a_redis_restarted_without_its_memory_opens_no_second_window() {
    if long_lane().is_none() {
        return;
    }
    let Some(redis) = settled().await else { return };
    never_two_windows_at_once(redis, async |redis| {
        redis.kill();
        redis.launch();
    })
    .await;
}

#[tokio::test]
async fn a_redis_restarted_with_old_memory_opens_no_second_window() {
    if long_lane().is_none() {
        return;
    }
    let Some(redis) = Redis::with(&["--save", "3600 1000000", "--appendonly", "no"]) else { return };
    // A dump from before anything was sent, which is what it has after the kill.
    let _ = redis.command(&["SAVE"]);
    never_two_windows_at_once(redis, async |redis| {
        redis.kill();
        redis.launch();
    })
    .await;
}

#[tokio::test]
async fn a_flushed_redis_opens_no_second_window() {
    let Some(redis) = settled().await else { return };
    never_two_windows_at_once(redis, async |redis| assert_eq!(redis.command(&["FLUSHALL"]), "+OK\r\n")).await;
}

#[tokio::test]
async fn a_redis_that_is_gone_admits_nothing_and_says_so() {
    let Some(mut redis) = settled().await else { return };
    let mut config = nightaudit_limit_redis::BudgetConfig {
        limits: limits(10),
        address: redis.url().replace("redis://", "redis://:secret@").parse().unwrap(),
        ca: None,
        timeout: Duration::from_secs(1),
        node: "a".into(),
        on_failure: nightaudit_limit_redis::OnFailure::Refuse,
    };
    // A password that nobody asked for.
    let error = Budget::new(config.clone()).unwrap().restore(History::default()).await.unwrap_err().to_string();
    assert!(error.contains("AUTH") && !error.contains("secret"), "{error}");
    config.address = redis.url().parse().unwrap();
    let budget = Budget::new(config).unwrap();
    budget.restore(History::default()).await.unwrap();
    let mut permit = admitted(&budget, "x").await;
    redis.kill();
    let error = loop {
        // A reply may have been on its way.
        if let Err(error) = budget.admit(&arrival("x")).await {
            break error.to_string();
        }
    };
    assert!(error.starts_with(&format!("the limits in {} can't be asked: ", redis.url())), "{error}");
    // What was admitted before may still be sent; what was held up for too long may not.
    permit.sent().await.unwrap();
    permit.unsent().await.unwrap();
    assert!(permit.sent().await.is_err());
    redis.launch();
    let since = Instant::now();
    while budget.admit(&arrival("x")).await.is_err() {
        assert!(since.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refusal = refused(&budget, "x").await;
    assert_eq!(refusal.used, 10, "nobody knows what was sent");
    open(&budget, "x").await;
}

#[tokio::test]
async fn a_failover_to_a_replica_opens_no_second_window() {
    if long_lane().is_none() {
        return;
    }
    let Some(redis) = Redis::start() else { return };
    let replica = redis.replica();
    let sentinel = redis.sentinel("main");
    let url = format!("{}/?sentinel=main", sentinel.url());
    replica.known_to(&sentinel, "main");
    let wrong = node(&url.replace("main", "other"), "c", limits(1)).restore(History::default()).await.unwrap_err();
    assert!(wrong.to_string().contains("knows no master `other`"), "{wrong}");
    never_two_windows_of(&url, redis, async |redis| {
        redis.kill();
        replica.promoted_by(&sentinel, "main");
    })
    .await;
}

#[tokio::test]
async fn a_failover_in_a_cluster_opens_no_second_window() {
    if long_lane().is_none() {
        return;
    }
    let Some(mut nodes) = Redis::cluster(3) else { return };
    let spare = nodes.pop().unwrap();
    let url = Redis::cluster_url(&nodes);
    let one = node(&nodes[0].url(), "c", limits(1)).restore(History::default()).await.unwrap_err().to_string();
    assert!(one.contains("add ?cluster=true"), "{one}");
    // Tokens on all masters have windows of their own, and are seen together.
    let c = node(&url, "c", limits(1000));
    let seen = async {
        // On a busy machine the first is no longer in its window when the last is sent.
        loop {
            for token in ["p", "q", "r", "s", "t"] {
                open(&c, token).await;
                admitted(&c, token).await.sent().await.unwrap();
            }
            if c.report().await.unwrap().iter().filter(|state| "pqrst".contains(&state.key)).count() == 5 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.expect("all five are seen at once");
    let nodes = std::cell::RefCell::new(nodes);
    never_two_windows_of(&url, spare, async |spare| {
        // The windows of this test's token are full.
        assert_eq!(spare.take_over(&mut nodes.borrow_mut()), 10);
    })
    .await;
}
