//! Redis over TLS.

use std::time::Duration;

use nightaudit_limit::{Admit as _, Config, History, Permit as _, Rule};
use nightaudit_limit_redis::{Budget, BudgetConfig, OnFailure};
use nightaudit_testkit::{Authority, Redis, long_lane};

use crate::{admitted, rule, settle};

fn budget(address: &str, ca: Option<&Authority>) -> Budget {
    // None leaves the window while the test runs.
    let rule = Rule { window: Duration::from_secs(600), ..rule(3) };
    let config = BudgetConfig {
        limits: Config { rules: vec![rule], ..Config::default() },
        address: address.parse().unwrap(),
        ca: ca.map(Authority::ca_file),
        timeout: Duration::from_secs(5),
        node: "a".into(),
        on_failure: OnFailure::Refuse,
    };
    Budget::new(config).unwrap()
}

/// Why a node can't begin.
async fn refusal(address: &str, ca: Option<&Authority>) -> String {
    budget(address, ca).restore(History::default()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_redis_with_a_certificate_of_a_named_authority_holds_the_budget() {
    let authority = Authority::new();
    let names = ["localhost", "127.0.0.1"];
    let Some((redis, port)) = Redis::with_tls(&authority, &names, &["--tls-auth-clients", "no"]) else { return };
    settle(&redis).await;
    for host in names {
        let budget = budget(&format!("rediss://{host}:{port}"), Some(&authority));
        budget.restore(History::default()).await.unwrap();
        admitted(&budget, "x").await.sent().await.unwrap();
        // It lists the key.
        assert_eq!(budget.report().await.unwrap().len(), 1);
    }
    // Over the other port it is the same one.
    let states = budget(&redis.url(), None).report().await.unwrap();
    assert_eq!(states.iter().map(|state| state.used).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn what_is_wrong_with_tls_is_said_with_what_helps() {
    let (authority, other) = (Authority::new(), Authority::new());
    let Some((redis, port)) = Redis::with_tls(&authority, &["localhost"], &["--tls-auth-clients", "no"]) else {
        return;
    };
    let address = format!("rediss://localhost:{port}");
    for ca in [None, Some(&other)] {
        let unknown = refusal(&address, ca).await;
        assert!(unknown.contains("invalid peer certificate") && unknown.contains("in `limit.store_ca`"), "{unknown}");
        assert!(unknown.contains(&format!("localhost:{port}")), "{unknown}");
    }
    let name = refusal(&format!("rediss://127.0.0.1:{port}"), Some(&authority)).await;
    assert!(name.contains("127.0.0.1") && name.contains("localhost") && name.contains("name Redis in"), "{name}");
    // These could get better by waiting.
    if long_lane().is_some() {
        let tls = refusal(&format!("redis://127.0.0.1:{port}"), None).await;
        assert!(tls.contains("begin with rediss://"), "{tls}");
        let plain = refusal(&redis.url().replace("redis://", "rediss://"), Some(&authority)).await;
        assert!(plain.contains("is it the `tls-port` of Redis?"), "{plain}");
    }
}

#[tokio::test]
async fn a_redis_that_wants_a_certificate_of_its_clients_is_told_apart() {
    let authority = Authority::new();
    let Some((_redis, port)) = Redis::with_tls(&authority, &["localhost"], &[]) else { return };
    let error = refusal(&format!("rediss://localhost:{port}"), Some(&authority)).await;
    assert!(error.contains("set `tls-auth-clients optional`"), "{error}");
}
