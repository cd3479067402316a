//! Nodes that go on with a share of their own.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nightaudit_limit::{Admission, Admit as _, Permit as _};
use nightaudit_limit_redis::{Budget, BudgetConfig, OnFailure};
use nightaudit_testkit::{Line, Redis, long_lane};
use tokio::time::sleep;

use crate::{WINDOW, arrival, limits};

const LIMIT: u32 = 10;
/// Until a node that is cut off begins, or one that is back counts: what the crate takes, and a little for a busy machine.
const CHANGE: Duration = Duration::from_secs(12);

type Sends = Arc<Mutex<Vec<Instant>>>;

/// A node that sends whatever it may.
fn hammer(url: &str, name: &str) -> (Sends, tokio::task::JoinHandle<()>) {
    let config = BudgetConfig {
        limits: limits(LIMIT),
        address: url.parse().unwrap(),
        ca: None,
        timeout: Duration::from_millis(200),
        node: name.into(),
        on_failure: OnFailure::Share { nodes: 2 },
    };
    let (budget, sends) = (Budget::new(config).unwrap(), Sends::default());
    let sent = Arc::clone(&sends);
    let task = tokio::spawn(async move {
        loop {
            if let Ok(Admission::Admitted { mut permit, .. }) = budget.admit(&arrival("x")).await
                && permit.sent().await.is_ok()
            {
                sent.lock().unwrap().push(Instant::now());
            }
            sleep(Duration::from_millis(3)).await;
        }
    });
    (sends, task)
}

fn since(sends: &Sends, instant: Instant) -> usize {
    sends.lock().unwrap().iter().filter(|sent| **sent > instant).count()
}

#[tokio::test]
async fn nodes_that_are_cut_off_go_on_with_their_share_and_all_are_never_over() {
    if long_lane().is_none() {
        return;
    }
    let Some(mut redis) = Redis::start() else { return };
    let line = Line::to(redis.address()).await;
    let (a, first) = hammer(&format!("redis://{}", line.address()), "a");
    let (b, second) = hammer(&redis.url(), "b");
    let both = |instant| since(&a, instant) + since(&b, instant);
    // Both are known, and have the whole limit.
    sleep(CHANGE).await;
    let begun = Instant::now();
    sleep(2 * WINDOW).await;
    assert!(both(begun) > LIMIT as usize, "{}", both(begun));
    // One is cut off: it goes on with its half, and the other with the rest.
    line.down(true);
    sleep(CHANGE).await;
    let begun = Instant::now();
    sleep(2 * WINDOW).await;
    for node in [&a, &b] {
        assert!((5..=15).contains(&since(node, begun)), "{}", since(node, begun));
    }
    line.down(false);
    sleep(CHANGE).await;
    let begun = Instant::now();
    sleep(2 * WINDOW).await;
    assert!(both(begun) > LIMIT as usize, "{}", both(begun));
    // Redis is gone for all.
    redis.kill();
    sleep(CHANGE).await;
    let begun = Instant::now();
    sleep(2 * WINDOW).await;
    for node in [&a, &b] {
        assert!((5..=15).contains(&since(node, begun)), "{}", since(node, begun));
    }
    redis.launch();
    sleep(2 * CHANGE).await;
    let begun = Instant::now();
    sleep(2 * WINDOW).await;
    assert!(both(begun) > LIMIT as usize, "{}", both(begun));
    first.abort();
    second.abort();
    let mut all = [a.lock().unwrap().clone(), b.lock().unwrap().clone()].concat();
    all.sort();
    for (first, last) in all.iter().zip(all.iter().skip(LIMIT as usize)) {
        assert!(*last - *first > WINDOW, "{} within {:?}", LIMIT + 1, *last - *first);
    }
}
