//! The budget against a real Redis. Says that it skips if none is installed.
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod admitting;
mod encrypted;
mod losing;
mod sharing;

use std::time::Duration;

use nightaudit_limit::{Action, Admission, AdmissionRequest, Admit as _, Config, History, KeyParts, Refusal, Rule};
use nightaudit_limit_redis::{Budget, BudgetConfig, BudgetPermit, OnFailure};
use nightaudit_testkit::Redis;

pub(crate) const ACCESS: KeyParts = KeyParts { access_token: true, client_token: false, operation: false };
pub(crate) const WINDOW: Duration = Duration::from_secs(1);

pub(crate) fn rule(requests: u32) -> Rule {
    Rule { name: "published".into(), key: ACCESS, requests, window: WINDOW, burst: None, paginated_factor: 1 }
}

pub(crate) fn limits(requests: u32) -> Config {
    Config { rules: vec![rule(requests)], ..Config::default() }
}

/// A node of this name. The wait for Redis is long, since the machine may be busy.
pub(crate) fn node(url: &str, name: &str, limits: Config) -> Budget {
    let timeout = Duration::from_secs(5);
    let config = BudgetConfig {
        limits,
        address: url.parse().unwrap(),
        ca: None,
        timeout,
        node: name.into(),
        on_failure: OnFailure::Refuse,
    };
    Budget::new(config).unwrap()
}

pub(crate) fn arrival(token: &str) -> AdmissionRequest<'_> {
    AdmissionRequest { access_token: token, client_token: "kiosk", operation: "rates/getAll", paginated: false }
}

/// A Redis whose first quarantine is over, as far as it knows.
pub(crate) async fn settled() -> Option<Redis> {
    let redis = Redis::start()?;
    settle(&redis).await;
    Some(redis)
}

/// Ends the first quarantine of a Redis, for nodes that connect from now on.
pub(crate) async fn settle(redis: &Redis) {
    node(&redis.url(), "first", limits(1)).restore(History::default()).await.unwrap();
    assert_eq!(redis.command(&["HSET", "nightaudit:{fleet}:state", "unknown", "1"]), ":0\r\n");
}

/// Waits until a request of this token is admitted, and gives it back.
pub(crate) async fn open(budget: &Budget, token: &str) {
    let opened = async {
        while let Admission::Refused(refusal) = budget.admit(&arrival(token)).await.unwrap() {
            tokio::time::sleep(refusal.retry_after.min(Duration::from_millis(200))).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), opened).await.expect("the windows open");
}

pub(crate) async fn admitted(budget: &Budget, token: &str) -> BudgetPermit {
    match budget.admit(&arrival(token)).await.unwrap() {
        Admission::Admitted { permit, .. } => permit,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn refused(budget: &Budget, token: &str) -> Refusal {
    match budget.admit(&arrival(token)).await.unwrap() {
        Admission::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn delaying(requests: u32, max_delay: Duration) -> Config {
    Config { action: Action::Delay { max_delay, max_queued: 10 }, ..limits(requests) }
}
