//! What people see, and what is restored.

use std::time::Duration;

use nightaudit_limit::{Action, Arrival, PastSend, Rule};

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
fn a_closed_key_shows_for_how_long() {
    let (limiter, clock) = limiter(vec![rule(200, 30)], Action::Reject);
    admitted(limiter.check(&arrival("a"))).sent().too_many_requests(None);
    clock.advance(Duration::from_millis(400));
    assert_eq!(limiter.state()[0].closed_for, Duration::from_millis(600));
}

#[test]
fn an_idle_key_is_not_shown() {
    let (limiter, clock) = limiter(vec![rule(2, 30)], Action::Reject);
    admitted(limiter.check(&arrival("a"))).sent();
    clock.advance(Duration::from_secs(31));
    assert_eq!(limiter.state(), []);
}

#[test]
fn observe_counts_what_it_lets_pass_and_the_window_is_full_until_it_is_over() {
    let (limiter, clock) = limiter(vec![rule(2, 30)], Action::Observe);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut observed = 0;
    for _ in 0..5 {
        match runtime.block_on(limiter.admit(&arrival("a"))) {
            nightaudit_limit::Admission::Admitted { place, .. } => drop(place.sent()),
            nightaudit_limit::Admission::Observed { place, refusal } => {
                assert_eq!((&*refusal.rule, refusal.limit), ("2/30s", 2));
                observed += 1;
                place.sent();
            }
            nightaudit_limit::Admission::Refused(refusal) => panic!("{refusal:?}"),
        }
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(observed, 3);
    // The last two of the five hold the window, the fourth until 33 s.
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::new(28, 1));
}

#[test]
fn a_restart_fills_no_window() {
    let (limiter, clock) = limiter(vec![rule(3, 30)], Action::Reject);
    limiter.restore([past("a", 10), past("a", 31), past("a", 29), past("a", 0), past("b", 5)]);
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::new(1, 1));
    clock.advance(Duration::new(1, 1));
    admitted(limiter.check(&arrival("a"))).sent();
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::from_secs(19));
    assert_eq!(limiter.state().iter().map(|key| key.used).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn a_restart_fills_no_bucket() {
    let slow = Rule { burst: Some(1), ..rule(30, 30) };
    let (limiter, _) = limiter(vec![slow], Action::Reject);
    let half = PastSend { ago: Duration::from_millis(500), ..past("a", 0) };
    limiter.restore([half, past("a", 20)]);
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::from_millis(500));
}

#[test]
fn more_than_the_limit_is_restored_as_a_full_window() {
    let (limiter, _) = limiter(vec![rule(2, 30)], Action::Reject);
    limiter.restore((0..20).map(|seconds| past("a", seconds)));
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::new(29, 1));
}

#[test]
fn requests_with_pagination_take_their_share() {
    let (limiter, _) = limiter(vec![Rule { paginated_factor: 10, ..rule(2, 30) }], Action::Reject);
    let paginated = Arrival { paginated: true, ..arrival("a") };
    admitted(limiter.check(&arrival("a"))).sent();
    for _ in 0..10 {
        admitted(limiter.check(&paginated)).sent();
    }
    refused(limiter.check(&paginated));
    let state = &limiter.state()[0];
    assert_eq!((state.used, state.left, state.limit), (2, 0, 2));
}
