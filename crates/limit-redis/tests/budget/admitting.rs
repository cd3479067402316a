//! What two nodes are admitted together.

use std::time::Duration;

use nightaudit_limit::{Action, Admission, Admit as _, Config, History, LimitSignal, Permit as _};

use crate::{WINDOW, admitted, arrival, delaying, limits, node, open, refused, settled};

#[tokio::test]
async fn two_nodes_have_one_budget() {
    let Some(redis) = settled().await else { return };
    let (a, b) = (node(&redis.url(), "a", limits(3)), node(&redis.url(), "b", limits(3)));
    let mut permits = vec![admitted(&a, "x").await, admitted(&b, "x").await, admitted(&a, "x").await];
    for permit in &mut permits {
        permit.sent().await.unwrap();
    }
    for node in [&a, &b] {
        let refusal = refused(node, "x").await;
        assert_eq!((&*refusal.rule, refusal.used, refusal.limit, refusal.closed), ("published", 3, 3, false));
        assert!(refusal.retry_after <= WINDOW + Duration::from_micros(1), "{refusal:?}");
        assert_eq!(refusal.retry_after_secs, refusal.retry_after.as_nanos().div_ceil(1_000_000_000) as u64);
    }
    // Another token has its own.
    drop(admitted(&b, "y").await);
    let states = a.report().await.unwrap();
    let state = states.iter().find(|state| state.key == "x").unwrap();
    let nodes: Vec<_> = state.nodes.iter().map(|of| (&*of.node, of.used)).collect();
    assert_eq!((state.used, state.left, state.refused), (3, 0, 2));
    assert_eq!(nodes, [("a", 2), ("b", 1)]);
    let totals = b.totals().await.unwrap();
    assert_eq!((totals.refused, totals.rules[0].refused, totals.peaks[0]), (1, 1, 3));
    // And a window later the budget is there again.
    open(&b, "x").await;
}

#[tokio::test]
async fn what_is_never_sent_is_given_back() {
    let Some(redis) = settled().await else { return };
    let (a, b) = (node(&redis.url(), "a", limits(1)), node(&redis.url(), "b", limits(1)));
    drop(admitted(&a, "x").await);
    open(&b, "x").await;
    let mut permit = admitted_soon(&a, "x").await;
    permit.sent().await.unwrap();
    permit.unsent().await.unwrap();
    // It is still the same request's.
    refused(&b, "x").await;
    permit.sent().await.unwrap();
    permit.unsent().await.unwrap();
    drop(permit);
    open(&b, "x").await;
}

/// Giving back takes a moment.
async fn admitted_soon(budget: &nightaudit_limit_redis::Budget, token: &str) -> nightaudit_limit_redis::BudgetPermit {
    loop {
        if let Admission::Admitted { permit, .. } = budget.admit(&arrival(token)).await.unwrap() {
            return permit;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_429_of_mews_closes_the_key_for_all_nodes() {
    let Some(redis) = settled().await else { return };
    let (a, b) = (node(&redis.url(), "a", limits(9)), node(&redis.url(), "b", limits(9)));
    let mut permit = admitted(&a, "x").await;
    permit.sent().await.unwrap();
    permit.responded(Some(LimitSignal::TooManyRequests(Some(Duration::from_secs(60))))).await;
    let refusal = loop {
        match b.admit(&arrival("x")).await.unwrap() {
            Admission::Refused(refusal) => break refusal,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert!(refusal.closed && refusal.retry_after > Duration::from_secs(50), "{refusal:?}");
    let state = a.report().await.unwrap().into_iter().find(|state| state.key == "x").unwrap();
    assert_eq!(state.refused_by_host, 1);
    assert!(state.closed_for > Duration::from_secs(50));
    // One without an explanation closes for a second, and a success is told.
    let mut permit = admitted(&a, "y").await;
    permit.sent().await.unwrap();
    permit.responded(Some(LimitSignal::TooManyRequests(None))).await;
    while !matches!(b.admit(&arrival("y")).await.unwrap(), Admission::Refused(_)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    open(&b, "y").await;
    let mut permit = admitted_soon(&a, "y").await;
    permit.sent().await.unwrap();
    permit.responded(Some(LimitSignal::Accepted)).await;
}

#[tokio::test]
async fn observing_sends_everything_and_says_what_was_over() {
    let Some(redis) = settled().await else { return };
    let observing = || Config { action: Action::Observe, ..limits(2) };
    let (a, b) = (node(&redis.url(), "a", observing()), node(&redis.url(), "b", observing()));
    for _ in 0..2 {
        admitted(&a, "x").await.sent().await.unwrap();
    }
    for _ in 0..100 {
        let Admission::Observed { mut permit, refusal } = b.admit(&arrival("x")).await.unwrap() else { panic!() };
        permit.sent().await.unwrap();
        assert!(refusal.used >= 2 && refusal.limit == 2);
    }
    let members = redis.command(&["EVAL", "return redis.call('ZCARD', redis.call('KEYS', '*:sent')[1])", "0"]);
    assert!(members.trim_start_matches(':').trim().parse::<u32>().unwrap() <= 3, "{members}");
}

#[tokio::test]
async fn delayed_requests_go_in_order_when_there_is_room() {
    let Some(redis) = settled().await else { return };
    let a = node(&redis.url(), "a", delaying(2, Duration::from_secs(30)));
    let mut order = Vec::new();
    let (done, mut finished) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..6 {
        let (node, done) = (a.clone(), done.clone());
        let asked = tokio::spawn(async move {
            let Admission::Admitted { mut permit, waited, .. } = node.admit(&arrival("x")).await.unwrap() else {
                panic!()
            };
            permit.sent().await.unwrap();
            done.send((number, waited)).unwrap();
        });
        // In order of arrival.
        while !asked.is_finished() && (number < 2 || a.totals().await.unwrap().rules[0].delayed + 1 < number) {
            tokio::task::yield_now().await;
        }
    }
    for _ in 0..6 {
        order.push(tokio::time::timeout(Duration::from_secs(60), finished.recv()).await.unwrap().unwrap());
    }
    assert_eq!(order[2..].iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert!(order[..2].iter().all(|(_, waited)| waited.is_zero()), "{order:?}");
    assert!(order[2].1 > WINDOW / 2, "{order:?}");
    // What couldn't go in time is refused at once.
    let b = node(&redis.url(), "b", delaying(2, Duration::from_millis(1)));
    let refusal = refused(&b, "x").await;
    assert!(refusal.retry_after > Duration::from_millis(1));
}

#[tokio::test]
async fn a_user_with_few_rights_is_enough_and_one_with_fewer_is_told() {
    let Some(redis) = settled().await else { return };
    let rights = ["~nightaudit:*", "+@read", "+@write", "+@scripting", "+info", "+time"];
    let set = [&["ACL", "SETUSER", "limits", "on", ">secret"][..], &rights].concat();
    assert_eq!(redis.command(&set), "+OK\r\n");
    let url = redis.url().replace("redis://", "redis://limits:secret@");
    let budget = node(&url, "a", limits(3));
    budget.restore(History::default()).await.unwrap();
    admitted(&budget, "x").await.sent().await.unwrap();
    assert_eq!(budget.report().await.unwrap()[0].used, 1);
    assert_eq!(redis.command(&["ACL", "SETUSER", "limits", "-info"]), "+OK\r\n");
    let error = node(&url, "b", limits(3)).restore(History::default()).await.unwrap_err().to_string();
    assert!(error.contains("the user needs") && error.contains("info") && !error.contains("secret"), "{error}");
    let wrong = url.replace("secret", "other");
    let error = node(&wrong, "b", limits(3)).restore(History::default()).await.unwrap_err().to_string();
    assert!(error.contains("check user and password") && !error.contains("other"), "{error}");
}
