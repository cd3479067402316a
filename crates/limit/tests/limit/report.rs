//! Reports, and restoring state.

use std::time::Duration;

use nightaudit_limit::{Action, AdmissionRequest, LimitSignal, PastResponse, PastSend, Rule, Verdict};

use crate::support::{BY_OPERATION, admitted, arrival, limiter, refused, rule};

fn past(access_token: &str, seconds: u64) -> PastSend<&str> {
    PastSend {
        access_token,
        client_token: "integration",
        operation: "configuration/get",
        paginated: false,
        ago: Duration::from_secs(seconds),
    }
}

#[test]
fn shows_each_key_of_each_rule() {
    let by_operation = Rule { name: "operation".to_owned(), key: BY_OPERATION, ..rule(3, 60) };
    let (limiter, clock) = limiter(vec![rule(2, 30), by_operation], Action::Reject);
    admitted(limiter.check(&arrival("quiet"))).sent();
    for _ in 0..2 {
        admitted(limiter.check(&arrival("busy"))).sent();
    }
    refused(limiter.check(&arrival("busy")));
    clock.advance(Duration::from_secs(10));
    let shown: Vec<_> = limiter
        .state()
        .into_iter()
        .map(|key| {
            format!(
                "{} | {} | {}+{}/{} | {:?} | {}",
                key.rule, key.key, key.used, key.left, key.limit, key.next_free, key.refused
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "2/30s | busy | 2+0/2 | 20.000000001s | 1",
            "2/30s | quiet | 1+1/2 | 0ns | 0",
            "operation | busy configuration/get | 2+1/3 | 0ns | 0",
            "operation | quiet configuration/get | 1+2/3 | 0ns | 0",
        ]
    );
    let rules: Vec<_> = limiter.rules().into_iter().map(|rule| (rule.keys, rule.refused)).collect();
    assert_eq!(rules, [(2, 1), (2, 0)]);
}

#[test]
fn a_closed_key_shows_the_time_left() {
    let (limiter, clock) = limiter(vec![rule(200, 30)], Action::Reject);
    admitted(limiter.check(&arrival("a"))).sent().too_many_requests(None);
    clock.advance(Duration::from_millis(400));
    assert_eq!(limiter.state()[0].closed_for, Duration::from_millis(600));
}

#[test]
fn rejections_by_the_host_are_counted_apart() {
    let by_operation = Rule { name: "operation".to_owned(), key: BY_OPERATION, ..rule(3, 60) };
    let (limiter, clock) = limiter(vec![rule(2, 30), by_operation], Action::Reject);
    admitted(limiter.check(&arrival("a"))).sent().too_many_requests(Some(Duration::from_secs(5)));
    refused(limiter.check(&arrival("a")));
    let counted: Vec<_> = limiter.state().iter().map(|key| (key.refused_by_host, key.refused)).collect();
    assert_eq!(counted.iter().map(|(by_host, _)| by_host).collect::<Vec<_>>(), [&1, &1]);
    assert_eq!(counted.iter().map(|(_, ours)| ours).sum::<u64>(), 1);
    let totals = limiter.totals();
    // It passed two rules and was one request.
    assert_eq!((totals.refused, totals.refused_by_host), (1, 1));
    assert_eq!(totals.rules.iter().map(|rule| rule.refused_by_host).collect::<Vec<_>>(), [1, 1]);
    // Still listed once its window is empty, because there is something to say about it.
    clock.advance(Duration::from_secs(31));
    assert_eq!(limiter.state()[0].used, 0);
}

#[test]
fn a_peak_is_that_of_the_fullest_key_since_it_was_last_asked_for() {
    let (limiter, clock) = limiter(vec![rule(4, 1), rule(10, 60)], Action::Reject);
    for _ in 0..3 {
        admitted(limiter.check(&arrival("a"))).sent();
    }
    admitted(limiter.check(&arrival("b"))).sent();
    // The short window is empty again before anyone looks.
    clock.advance(Duration::from_secs(5));
    assert_eq!(limiter.totals().peaks, [3, 3]);
    assert_eq!(limiter.totals().peaks, [0, 3], "what still counts now is part of the next peak, too");
    clock.advance(Duration::from_secs(61));
    assert_eq!(limiter.totals().peaks, [0, 0]);
    drop(admitted(limiter.check(&arrival("a"))));
    assert_eq!(limiter.totals().peaks, [1, 1], "a permit counts while it is held");
}

#[test]
fn an_idle_key_is_not_shown() {
    let (limiter, clock) = limiter(vec![rule(2, 30)], Action::Reject);
    admitted(limiter.check(&arrival("a"))).sent();
    clock.advance(Duration::from_secs(31));
    assert_eq!(limiter.state(), []);
}

#[test]
fn observe_counts_everything_it_sends() {
    let (limiter, clock) = limiter(vec![rule(2, 30)], Action::Observe);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut observed = 0;
    for _ in 0..5 {
        match runtime.block_on(limiter.admit(&arrival("a"))) {
            nightaudit_limit::Admission::Admitted { permit, .. } => drop(permit.sent()),
            nightaudit_limit::Admission::Observed { permit, refusal } => {
                assert_eq!((&*refusal.rule, refusal.limit), ("2/30s", 2));
                observed += 1;
                permit.sent();
            }
            nightaudit_limit::Admission::Refused(refusal) => panic!("{refusal:?}"),
        }
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(observed, 3);
    // The last two of the five fill the window, the fourth until 33 s.
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::new(28, 1));
}

#[test]
fn a_restart_restores_windows() {
    let (limiter, clock) = limiter(vec![rule(3, 30)], Action::Reject);
    limiter.restore([past("a", 10), past("a", 31), past("a", 29), past("a", 0), past("b", 5)]);
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::new(1, 1));
    clock.advance(Duration::new(1, 1));
    admitted(limiter.check(&arrival("a"))).sent();
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::from_secs(19));
    assert_eq!(limiter.state().iter().map(|key| key.used).collect::<Vec<_>>(), [3, 1]);
}

fn response(token: &str, ago: u64, signal: LimitSignal) -> PastResponse<&str> {
    PastResponse { request: past(token, ago + 1), ago: Duration::from_secs(ago), signal }
}

#[test]
fn a_restart_restores_closed_keys() {
    let (limiter, clock) = limiter(vec![rule(30, 30)], Action::Reject);
    let closed = |seconds| LimitSignal::TooManyRequests(Some(Duration::from_secs(seconds)));
    limiter.restore_closures([
        response("a", 10, closed(60)),
        // Neither a shorter pause nor a success in between opens it.
        response("a", 5, closed(3)),
        response("a", 4, LimitSignal::Accepted),
        response("over", 100, closed(60)),
        // Twice without `Retry-After`: the second pause is double the first.
        response("b", 20, LimitSignal::TooManyRequests(None)),
        response("b", 1, LimitSignal::TooManyRequests(None)),
        // Capped at a day.
        response("c", 3600, closed(1_000_000)),
    ]);
    for (token, left) in [("a", Some(50)), ("over", None), ("b", Some(1)), ("c", Some(23 * 3600)), ("d", None)] {
        match (limiter.check(&arrival(token)), left) {
            (Verdict::Admitted(permit), None) => drop(permit),
            (Verdict::Refused(refusal), Some(left)) => {
                assert_eq!((refusal.closed, refusal.retry_after), (true, Duration::from_secs(left)), "{token}");
            }
            (verdict, left) => panic!("{token}: {verdict:?}, and not {left:?}"),
        }
    }
    clock.advance(Duration::from_secs(50));
    drop(admitted(limiter.check(&arrival("a"))));
}

#[test]
fn a_restart_restores_buckets() {
    let slow = Rule { burst: Some(1), ..rule(30, 30) };
    let (limiter, _) = limiter(vec![slow], Action::Reject);
    let half = PastSend { ago: Duration::from_millis(500), ..past("a", 0) };
    limiter.restore([half, past("a", 20)]);
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::from_millis(500));
}

#[test]
fn an_excess_is_restored_as_a_full_window() {
    let (limiter, _) = limiter(vec![rule(2, 30)], Action::Reject);
    limiter.restore((0..20).map(|seconds| past("a", seconds)));
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::new(29, 1));
}

#[test]
fn paginated_requests_take_their_share() {
    let (limiter, _) = limiter(vec![Rule { paginated_factor: 10, ..rule(2, 30) }], Action::Reject);
    let paginated = AdmissionRequest { paginated: true, ..arrival("a") };
    admitted(limiter.check(&arrival("a"))).sent();
    for _ in 0..10 {
        admitted(limiter.check(&paginated)).sent();
    }
    refused(limiter.check(&paginated));
    let state = &limiter.state()[0];
    assert_eq!((state.used, state.left, state.limit), (2, 0, 2));
}
