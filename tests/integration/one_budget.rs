//! Several machines with one budget in Redis, before a host that counts every arrival. Says that it skips without Redis.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use nightaudit_testkit::{Line, Redis, long_lane, post, send};
use tokio::time::sleep;

use crate::fleet::{BINARY, Fleet, SLACK, body};

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// Loads two or more nodes for some windows, and looks at who used what.
async fn never_over_and_nothing_wasted(nodes: usize, limit: usize, window: Duration, windows: u32) {
    let Some(redis) = Redis::start() else { return };
    let mut fleet = Fleet::new(limit, window).await;
    for _ in 0..nodes {
        fleet.add(&redis.url(), &[]);
    }
    fleet.open().await;
    let since = Instant::now();
    fleet.load_all();
    sleep((window + SLACK) * windows).await;
    fleet.end().await;
    assert!(fleet.sent().iter().all(|request| matches!(request.status, 200 | 429)), "only admitted or refused");
    let (arrived, wasted) = (fleet.arrived_since(since), fleet.wasted(since).expect("the load is more than the limit"));
    eprintln!("{arrived} in {windows} windows of {limit}, {wasted} free at most when one was refused");
    assert!(arrived > limit, "it goes on: {arrived}");
    assert!(wasted * 100 <= limit, "{wasted} of {limit} were free when a request was refused");
    // Which node used what. A command may take longer than a window on a busy machine.
    for attempt in 0.. {
        assert!(attempt < 20, "no node is named");
        for node in 0..2 {
            let number = u64::MAX / 2 + 2 * attempt + node as u64;
            send(fleet.proxy(node), &post("resources/getAll", &body(number))).await;
        }
        let output = fleet.nodes[0].as_ref().unwrap().run(BINARY, &["limits", "--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let state: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let Some(nodes) = state["nodes"].as_array() else { continue };
        let used: u64 = nodes.iter().map(|of| of["used"].as_u64().unwrap()).sum();
        assert_eq!(state["used"], used, "{text}");
        if nodes.iter().any(|of| of["node"] == "node-1") {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_never_over_and_wastes_nothing() {
    never_over_and_nothing_wasted(2, 40, Duration::from_secs(1), 2).await;
}

const LIMIT: usize = 100;
const WINDOW: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_large_fleet_is_never_over_and_wastes_nothing() {
    let Some(nodes) = long_lane() else { return };
    never_over_and_nothing_wasted(nodes, LIMIT, WINDOW, 5).await;
}

/// Loads a fleet while something happens, and long enough afterwards for the windows to open again.
async fn while_loaded(nodes: usize, store: &str, happens: impl AsyncFnOnce(&mut Fleet)) -> (Fleet, Instant) {
    let mut fleet = Fleet::new(LIMIT, WINDOW).await;
    for _ in 0..nodes {
        fleet.add(store, &[]);
    }
    fleet.open().await;
    fleet.load_all();
    sleep(WINDOW / 2).await;
    happens(&mut fleet).await;
    let after = Instant::now();
    sleep((WINDOW + SLACK) * 3).await;
    fleet.end().await;
    (fleet, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_never_over_when_redis_loses_its_memory() {
    let Some(nodes) = long_lane() else { return };
    let Some(mut redis) = Redis::start() else { return };
    let url = redis.url();
    let (fleet, after) = while_loaded(nodes, &url, async |_| {
        redis.kill();
        sleep(Duration::from_millis(300)).await;
        redis.launch();
    })
    .await;
    // Redis may be back before a request has waited for it in vain.
    let others = fleet.sent().iter().filter(|request| !matches!(request.status, 200 | 429));
    let others: Vec<_> = others.map(|request| (request.status, request.error.as_deref())).collect();
    assert!(others.iter().all(|other| *other == (503, Some("limit-store"))), "{others:?}");
    assert!(fleet.arrived_since(after) >= LIMIT, "it goes on: {}", fleet.arrived_since(after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_never_over_when_redis_comes_back_with_what_it_kept() {
    let Some(nodes) = long_lane() else { return };
    let Some(mut redis) = Redis::with(&["--appendonly", "yes", "--appendfsync", "everysec"]) else { return };
    let url = redis.url();
    let (fleet, after) = while_loaded(nodes, &url, async |_| {
        redis.kill();
        redis.launch();
    })
    .await;
    assert!(fleet.arrived_since(after) >= LIMIT, "it goes on: {}", fleet.arrived_since(after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_takes_nothing_but_its_own_requests_with_it() {
    let Some(nodes) = long_lane() else { return };
    let Some(redis) = Redis::start() else { return };
    let (fleet, after) = while_loaded(nodes, &redis.url(), async |fleet| {
        fleet.nodes[0].take().unwrap().kill();
    })
    .await;
    assert!(fleet.arrived_since(after) >= LIMIT, "the others go on: {}", fleet.arrived_since(after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_for_a_window_sends_nothing_late() {
    let Some(nodes) = long_lane() else { return };
    let Some(redis) = Redis::start() else { return };
    let (fleet, after) = while_loaded(nodes, &redis.url(), async |fleet| {
        let node = fleet.nodes[0].as_ref().unwrap().id();
        for pause in [WINDOW, WINDOW / 4, WINDOW + SLACK] {
            signal("-STOP", node);
            sleep(pause).await;
            signal("-CONT", node);
            sleep(WINDOW / 3).await;
        }
    })
    .await;
    assert!(fleet.arrived_since(after) >= LIMIT, "it goes on: {}", fleet.arrived_since(after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_bad_line_to_redis_is_never_over() {
    let Some(nodes) = long_lane() else { return };
    let Some(redis) = Redis::start() else { return };
    let line = Line::to(redis.address()).await;
    let mut fleet = Fleet::new(LIMIT, WINDOW).await;
    for _ in 1..nodes {
        fleet.add(&redis.url(), &[]);
    }
    fleet.add(&format!("redis://{}", line.address()), &[]);
    fleet.open().await;
    fleet.load_all();
    fleet.load(nodes - 1, 6, Duration::from_millis(10));
    for delay in [5, 500, 60, 0, 250, 120, 500, 20] {
        line.delay(Duration::from_millis(delay));
        sleep(WINDOW / 3).await;
        line.cut();
    }
    line.delay(Duration::ZERO);
    let after = Instant::now();
    sleep((WINDOW + SLACK) * 2).await;
    fleet.end().await;
    assert!(fleet.arrived_since(after) >= LIMIT, "it goes on: {}", fleet.arrived_since(after));
}
