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

/// Loads two or more nodes for some windows, and looks at who used what. Returns the most that was free when a request was
/// refused; on the average that is next to nothing.
async fn never_over_and_nothing_wasted(nodes: usize, limit: usize, window: Duration, windows: u32) -> usize {
    let Some(redis) = Redis::start() else { return 0 };
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
    let (most, mean) = fleet.wasted(since).expect("the load is more than the limit");
    let arrived = fleet.arrived_since(since);
    eprintln!(
        "{arrived} in {windows} windows of {limit}, {most} free at most when one was refused, {mean:.3} on the average"
    );
    assert!(arrived > limit, "it goes on: {arrived}");
    assert!(mean * 100.0 <= limit as f64, "{mean:.3} of {limit} were free on the average when a request was refused");
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
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_never_over_and_wastes_nothing() {
    // A process without a moment's time counts its requests for longer, so that the most says little on a busy machine.
    never_over_and_nothing_wasted(2, 40, Duration::from_secs(1), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_redis_is_gone_and_what_is_done_then_is_said() {
    let Some(mut redis) = Redis::start() else { return };
    let mut fleet = Fleet::new(10, Duration::from_secs(1)).await;
    fleet.add(&redis.url(), &[]);
    redis.kill();
    let node = fleet.nodes[0].as_ref().unwrap();
    let (host, token) = (node.console_host(), node.token());
    let request = format!(
        "GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let noticed = async {
        loop {
            let status = send(host.parse().unwrap(), request.as_bytes()).await.json();
            if status["limitStore"]["failing"].is_string() {
                return status;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(60), noticed).await.expect("it is noticed");
    let limits = node.run(BINARY, &["limits"]);
    let (code, limits) = (limits.status.code(), String::from_utf8(limits.stderr).unwrap());
    let store = &status["limitStore"];
    assert_eq!(
        (&store["address"], &store["shareOf"], &store["sharing"]),
        (&redis.url().into(), &().into(), &false.into())
    );
    assert!(store["failing"].as_str().unwrap().contains(&redis.address().to_string()), "{store}");
    assert_eq!(code, Some(1));
    let why = format!("the limits in {} can't be asked: ", redis.url());
    assert!(limits.contains(&why) && limits.contains("nothing is sent without them"), "{limits}");
}

const LIMIT: usize = 100;
const WINDOW: Duration = Duration::from_secs(2);
/// After a failure nothing is wasted any more once what was under way has left lease, stall and window (1 + 2 + 2.25 s), or
/// unknown windows have passed; and a moment to notice.
const RECOVERY: Duration = Duration::from_secs(7);
/// In a cluster another generation waits for what nodes go by.
const CLUSTER_RECOVERY: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_large_fleet_is_never_over_and_wastes_nothing() {
    let Some(nodes) = long_lane() else { return };
    let wasted = never_over_and_nothing_wasted(nodes, LIMIT, WINDOW, 5).await;
    assert!(wasted * 100 <= LIMIT, "{wasted} of {LIMIT} were free when a request was refused");
}

/// Loads a fleet while something happens, and for two windows after it must have recovered.
async fn while_loaded(stores: &[&str], recovery: Duration, happens: impl AsyncFnOnce(&mut Fleet)) -> Fleet {
    let mut fleet = Fleet::new(LIMIT, WINDOW).await;
    for store in stores {
        fleet.add(store, &[]);
    }
    fleet.open().await;
    fleet.load_all();
    sleep(WINDOW / 2).await;
    let begun = Instant::now();
    happens(&mut fleet).await;
    let after = Instant::now();
    sleep(recovery).await;
    let recovered = Instant::now();
    sleep((WINDOW + SLACK) * 2).await;
    fleet.end().await;
    let arrived = fleet.arrived_since(recovered);
    let (wasted, _) = fleet.wasted(recovered).expect("the load is more than the limit");
    eprintln!(
        "{} while it happened ({:?}), {} until it had recovered, {arrived} in the two windows of {LIMIT} afterwards, {wasted} free \
         at most when one was refused",
        fleet.arrived_since(begun) - fleet.arrived_since(after),
        after - begun,
        fleet.arrived_since(after) - arrived,
    );
    assert!(arrived >= LIMIT, "it goes on: {arrived}");
    assert!(wasted * 100 <= LIMIT, "{wasted} of {LIMIT} were free when a request was refused");
    fleet
}

/// While Redis can't be asked, a request has 503 with the reason and isn't sent.
fn refused_only(fleet: &Fleet) {
    // Redis may be back before a request has waited for it in vain.
    let others = fleet.sent().iter().filter(|request| !matches!(request.status, 200 | 429));
    let others: Vec<_> = others.map(|request| (request.status, request.error.as_deref())).collect();
    assert!(others.iter().all(|other| *other == (503, Some("limit-store"))), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_never_over_when_redis_loses_its_memory() {
    let Some(nodes) = long_lane() else { return };
    let Some(mut redis) = Redis::start() else { return };
    let url = redis.url();
    let fleet = while_loaded(&vec![&*url; nodes], RECOVERY, async |_| {
        redis.kill();
        sleep(Duration::from_millis(300)).await;
        redis.launch();
    })
    .await;
    refused_only(&fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_never_over_when_redis_comes_back_with_what_it_kept() {
    let Some(nodes) = long_lane() else { return };
    let Some(mut redis) = Redis::with(&["--appendonly", "yes", "--appendfsync", "everysec"]) else { return };
    let url = redis.url();
    let fleet = while_loaded(&vec![&*url; nodes], RECOVERY, async |_| {
        redis.kill();
        redis.launch();
    })
    .await;
    refused_only(&fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_never_over_when_redis_stands_still() {
    let Some(nodes) = long_lane() else { return };
    let Some(redis) = Redis::start() else { return };
    let url = redis.url();
    let fleet = while_loaded(&vec![&*url; nodes], RECOVERY, async |_| {
        // So that it answers what nobody waits for any more, and so that connections are given up.
        for pause in [WINDOW / 4, WINDOW, Duration::from_secs(7)] {
            signal("-STOP", redis.id());
            sleep(pause).await;
            signal("-CONT", redis.id());
            sleep(WINDOW / 2).await;
        }
    })
    .await;
    refused_only(&fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_goes_on_with_the_replica_that_a_sentinel_promotes() {
    let Some(nodes) = long_lane() else { return };
    let Some(mut redis) = Redis::start() else { return };
    let (replica, sentinel) = (redis.replica(), redis.sentinel("main"));
    replica.known_to(&sentinel, "main");
    let url = format!("{}/?sentinel=main", sentinel.url());
    let fleet = while_loaded(&vec![&*url; nodes], RECOVERY, async |_| {
        redis.kill();
        replica.promoted_by(&sentinel, "main");
    })
    .await;
    refused_only(&fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_goes_on_when_a_master_of_a_cluster_is_replaced() {
    let Some(nodes) = long_lane() else { return };
    let Some(mut masters) = Redis::cluster(3) else { return };
    let spare = masters.pop().unwrap();
    let url = Redis::cluster_url(&masters);
    let fleet = while_loaded(&vec![&*url; nodes], CLUSTER_RECOVERY, async |_| {
        assert!(spare.take_over(&mut masters) > 0, "the master of the token is replaced");
    })
    .await;
    refused_only(&fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_takes_nothing_but_its_own_requests_with_it() {
    let Some(nodes) = long_lane() else { return };
    let Some(redis) = Redis::start() else { return };
    let url = redis.url();
    while_loaded(&vec![&*url; nodes], RECOVERY, async |fleet| {
        // The one with the most clients; and it is started again.
        fleet.nodes[0].take().unwrap().kill();
        sleep(WINDOW).await;
        fleet.start(0, &url, &[]);
        fleet.load(0, 6, Duration::from_millis(15));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_for_a_window_sends_nothing_late() {
    let Some(nodes) = long_lane() else { return };
    let Some(redis) = Redis::start() else { return };
    let url = redis.url();
    while_loaded(&vec![&*url; nodes], RECOVERY, async |fleet| {
        let node = fleet.nodes[0].as_ref().unwrap().id();
        for pause in [WINDOW, WINDOW / 4, WINDOW + SLACK] {
            signal("-STOP", node);
            sleep(pause).await;
            signal("-CONT", node);
            sleep(WINDOW / 3).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_bad_line_to_redis_is_never_over() {
    let Some(nodes) = long_lane() else { return };
    let Some(redis) = Redis::start() else { return };
    let line = Line::to(redis.address()).await;
    let (url, bad) = (redis.url(), format!("redis://{}", line.address()));
    // The one with the most clients.
    let stores: Vec<&str> = (0..nodes).map(|node| if node == 0 { &*bad } else { &*url }).collect();
    while_loaded(&stores, RECOVERY, async |_| {
        for delay in [5, 500, 60, 0, 250, 120, 500, 20] {
            line.delay(Duration::from_millis(delay));
            sleep(WINDOW / 3).await;
            line.cut();
        }
        line.delay(Duration::ZERO);
    })
    .await;
}

/// Until a node that is cut off begins with its share, or one that is back counts as before: what the engine takes with these
/// windows (9.4 and 11.3 s), a new generation, and a moment.
const CHANGE: Duration = Duration::from_secs(16);

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_cut_off_go_on_with_their_share_and_the_fleet_is_never_over() {
    let Some(nodes) = long_lane() else { return };
    let Some(mut redis) = Redis::start() else { return };
    let line = Line::to(redis.address()).await;
    let mut fleet = Fleet::new(LIMIT, WINDOW).await;
    let number = nodes.to_string();
    let share = [("NIGHTAUDIT_LIMIT_ON_STORE_FAILURE", "share"), ("NIGHTAUDIT_LIMIT_NODES", &*number)];
    fleet.add(&format!("redis://{}", line.address()), &share);
    for _ in 1..nodes {
        fleet.add(&redis.url(), &share);
    }
    fleet.open().await;
    // Each can have more than its share.
    for node in 0..nodes {
        fleet.load(node, 2, Duration::from_millis(15));
    }
    let (windows, own) = (2, LIMIT / nodes);
    let span = (WINDOW + SLACK) * windows;
    // What a node sent in a span that began when a window was full, or not.
    let has_own = |sent: usize| (own..=own * (windows as usize + 1)).contains(&sent);
    sleep(CHANGE).await;
    // One is cut off: it goes on with its share, and the others with the rest.
    line.down(true);
    sleep(CHANGE).await;
    let begun = Instant::now();
    sleep(span).await;
    let (all, cut_off) = (fleet.arrived_since(begun), fleet.arrived_of(0, begun));
    eprintln!("one of {nodes} cut off: {cut_off} by it, {all} by all, in two windows of {LIMIT}");
    assert!(has_own(cut_off), "{cut_off} by the node that is cut off");
    assert!(all > LIMIT, "the others have the rest: {all}");
    // Redis is gone for all.
    redis.kill();
    sleep(CHANGE).await;
    let begun = Instant::now();
    sleep(span).await;
    let each: Vec<usize> = (0..nodes).map(|node| fleet.arrived_of(node, begun)).collect();
    let limits = fleet.nodes[1].as_ref().unwrap().run(BINARY, &["limits"]);
    let said = String::from_utf8(limits.stderr).unwrap();
    eprintln!("all cut off: {each:?}; {said}");
    let done =
        format!("this machine goes on with 1/{nodes} of every limit: the limits in {} can't be reached", redis.url());
    assert!(limits.status.success() && said.contains(&done), "{said}");
    assert!(each.iter().all(|sent| has_own(*sent)), "{each:?}");
    // And it is back for all.
    redis.launch();
    line.down(false);
    sleep(CHANGE).await;
    let begun = Instant::now();
    sleep(span).await;
    fleet.end().await;
    let (wasted, _) = fleet.wasted(begun).expect("the load is more than the limit");
    let all = fleet.arrived_since(begun);
    eprintln!("back: {all} in two windows of {LIMIT}, {wasted} free at most when one was refused");
    assert!(all > LIMIT, "it goes on: {all}");
    assert!(wasted * 100 <= LIMIT, "{wasted} of {LIMIT} were free when a request was refused");
}
