//! Requests that are refused by their head.

use nightaudit_exchange::Outcome;
use nightaudit_testkit::{Harness, Upstream, send};

#[tokio::test]
async fn regression_a_refused_head_request_got_a_body() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    for (start, has_body) in [
        ("HEAD /a", false),
        ("HEAD /a#b", false),
        ("\r\nHEAD /a", false),
        ("GET /a", true),
        ("head /a", true),
        ("HEADER /a", true),
    ] {
        let request = format!("{start} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
        let response = send(harness.address(), request.as_bytes()).await;
        assert_eq!((response.status, response.body.is_empty()), (400, !has_body), "{start:?}");
        let length: usize = response.header("content-length").unwrap().parse().unwrap();
        assert!(length > 2, "{start:?}");
        let exchange = harness.recorded().await;
        let recorded = exchange.response.unwrap().body;
        assert_eq!((exchange.outcome, recorded.length > 0), (Outcome::Rejected, has_body), "{start:?}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn regression_a_secret_that_was_cut_in_the_target_of_a_refused_request_was_recorded_in_clear() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let token = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";
    for cut in [5, 20, 31, 33, 60] {
        for prefix in ["", "/?b="] {
            let before = "/x".repeat(256);
            let target = format!("{prefix}{}/{token}{}", &before[prefix.len() + cut + 257..], "/c".repeat(300));
            assert!(target[..256].ends_with(&token[..cut]));
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
            assert_eq!(send(harness.address(), request.as_bytes()).await.status, 400);
            let recorded = serde_json::to_string(&harness.recorded().await).unwrap();
            assert!(!recorded.contains(&token[..5]), "{recorded}");
            assert!(recorded.contains("REDACTED:"), "{recorded}");
        }
    }
}
