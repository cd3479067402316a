//! Queueing.

use std::time::Duration;

use nightaudit_limit::{Action, Admission, AdmissionRequest, Clock, FakeClock, Limiter, Refusal, Rule, Usage};
use proptest::prelude::*;

use crate::support::{BY_OPERATION, Tasks, admitted, arrival, fullest_window, limiter, refused, rule};

const SECOND: u64 = 1_000_000_000;

fn delay(seconds: u64, max_queued: usize) -> Action {
    Action::Delay { max_delay: Duration::from_secs(seconds), max_queued }
}

/// When it was sent and how long it waited, or why it was not sent.
type Outcome = Result<(u64, Duration), Refusal>;

async fn send(limiter: &Limiter, arrival: AdmissionRequest<'_>) -> Outcome {
    match limiter.admit(&arrival).await {
        Admission::Admitted { permit, waited, .. } => Ok((permit.sent().at(), waited)),
        Admission::Refused(refusal) => Err(refusal),
        Admission::Observed { refusal, .. } => panic!("observed: {refusal:?}"),
    }
}

/// The second at which each was sent, in order of completion.
fn seconds(completed: &[(usize, Outcome)]) -> Vec<(usize, u64)> {
    completed.iter().map(|(task, outcome)| (*task, outcome.as_ref().unwrap().0 / SECOND)).collect()
}

#[test]
fn a_thousand_at_once_finish_in_the_theoretical_time_and_in_order() {
    let (limiter, clock) = limiter(vec![rule(200, 30)], delay(600, 1000));
    let mut tasks = Tasks::new();
    for _ in 0..1000 {
        tasks.add(send(&limiter, arrival("a")));
    }
    let completed = tasks.run_to_end(&clock);
    let order: Vec<_> = completed.iter().map(|(task, _)| *task).collect();
    assert_eq!(order, (0..1000).collect::<Vec<_>>());
    // Five windows' worth: the last begins four windows after the first.
    assert!(clock.now() < 4 * 30 * SECOND * 105 / 100, "{clock:?}");
    let sends: Vec<_> = completed.iter().map(|(_, outcome)| (outcome.as_ref().unwrap().0, 1)).collect();
    assert_eq!(fullest_window(&sends, Duration::from_secs(30)), 200);
    let last = completed.last().unwrap().1.as_ref().unwrap();
    assert_eq!(last.1, Duration::from_nanos(last.0));
    assert_eq!(limiter.rules()[0].delayed, 800);
}

#[test]
fn requests_that_would_wait_too_long_are_refused_at_once() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], delay(60, 100));
    let mut tasks = Tasks::new();
    for _ in 0..5 {
        tasks.add(send(&limiter, arrival("a")));
    }
    let now: Vec<_> = tasks.run();
    // The second is sent at 30 s. The third would be at 60 s and two nanoseconds, which is too late; so would the rest,
    // whose first free slot is the same.
    assert_eq!(now.len(), 4);
    for (task, outcome) in &now[1..] {
        let refusal = outcome.as_ref().unwrap_err();
        assert_eq!(refusal.retry_after, Duration::new(60, 2), "{task}");
        assert_eq!(refusal.retry_after_secs, 61);
    }
    assert_eq!(seconds(&tasks.run_to_end(&clock)), [(1, 30)]);
}

#[test]
fn a_full_queue_refuses_with_the_time_of_the_next_turn() {
    let (limiter, clock) = limiter(vec![rule(2, 30)], delay(600, 3));
    let mut tasks = Tasks::new();
    for _ in 0..6 {
        tasks.add(send(&limiter, arrival("a")));
    }
    let now = tasks.run();
    let refusal = now[2].1.as_ref().unwrap_err();
    // Two go at 30 s and one at 60 s, with room for one more then.
    assert_eq!((now[2].0, refusal.retry_after), (5, Duration::new(60, 2)));
    assert_eq!(limiter.state()[0].waiting, 3);
    assert_eq!(seconds(&tasks.run_to_end(&clock)), [(2, 30), (3, 30), (4, 60)]);
}

#[test]
fn a_dropped_waiter_leaves_the_queue() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], delay(600, 100));
    let mut tasks = Tasks::new();
    for _ in 0..5 {
        tasks.add(send(&limiter, arrival("a")));
    }
    tasks.run();
    tasks.drop_task(1);
    tasks.drop_task(3);
    assert_eq!(seconds(&tasks.run_to_end(&clock)), [(2, 30), (4, 60)]);
    assert_eq!(limiter.state()[0].waiting, 0);
}

#[test]
fn a_released_permit_goes_to_the_first_waiter_at_once() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], delay(600, 100));
    let permit = admitted(limiter.check(&arrival("a")));
    let mut tasks = Tasks::new();
    tasks.add(send(&limiter, arrival("a")));
    tasks.add(send(&limiter, arrival("a")));
    assert!(tasks.run().is_empty());
    clock.advance(Duration::from_secs(5));
    assert!(tasks.run().is_empty());
    drop(permit);
    assert_eq!(seconds(&tasks.run()), [(0, 5)]);
    assert_eq!(seconds(&tasks.run_to_end(&clock)), [(1, 35)]);
}

#[test]
fn new_arrivals_do_not_overtake_waiters() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], delay(600, 100));
    let mut tasks = Tasks::new();
    for _ in 0..2 {
        tasks.add(send(&limiter, arrival("a")));
    }
    tasks.run();
    clock.advance(Duration::from_secs(31));
    // The permit is free, but its waiter has not been polled yet.
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::new(30, 1));
    tasks.add(send(&limiter, arrival("a")));
    assert_eq!(seconds(&tasks.run_to_end(&clock)), [(1, 31), (2, 61)]);
}

#[test]
fn a_waiter_for_one_operation_does_not_hold_up_another() {
    let rules = vec![rule(10, 30), Rule { key: BY_OPERATION, ..rule(1, 60) }];
    let (limiter, clock) = limiter(rules, delay(600, 100));
    let other = AdmissionRequest { operation: "other", ..arrival("a") };
    let mut tasks = Tasks::new();
    for arrival in [arrival("a"), arrival("a"), other, other] {
        tasks.add(send(&limiter, arrival));
    }
    assert_eq!(seconds(&tasks.run()), [(0, 0), (2, 0)]);
    assert_eq!(seconds(&tasks.run_to_end(&clock)), [(1, 60), (3, 60)]);
}

#[test]
fn a_waiter_that_changes_queues_keeps_its_order_of_arrival() {
    let rules = vec![rule(1, 40), Rule { key: BY_OPERATION, ..rule(1, 50) }];
    let (limiter, clock) = limiter(rules, delay(600, 100));
    let other = AdmissionRequest { operation: "other", ..arrival("a") };
    let third = AdmissionRequest { operation: "third", ..arrival("a") };
    let mut tasks = Tasks::new();
    // The second waits for its operation until 50 s; the third for the token, until 40 s. The fourth waits for the
    // token too. When the second returns to the token's queue at 50 s it is ahead of the fourth.
    for arrival in [arrival("a"), arrival("a"), other, third] {
        tasks.add(send(&limiter, arrival));
    }
    assert_eq!(seconds(&tasks.run_to_end(&clock)), [(0, 0), (2, 40), (1, 80), (3, 120)]);
}

#[test]
fn a_429_from_the_host_holds_up_waiters() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], delay(100, 100));
    let sent = admitted(limiter.check(&arrival("a"))).sent();
    let mut tasks = Tasks::new();
    tasks.add(send(&limiter, arrival("a")));
    tasks.add(send(&limiter, arrival("a")));
    tasks.run();
    sent.too_many_requests(Some(Duration::from_secs(80)));
    // The other's turn has moved past its deadline: it is refused at once.
    let told = tasks.run();
    let [(1, Err(refusal))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(refusal.retry_after, Duration::new(110, 1));
    assert_eq!(seconds(&tasks.run_to_end(&clock)), [(0, 80)]);
}

#[test]
fn waiters_put_off_past_their_deadline_are_refused_at_once_with_retry_after() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], delay(100, 100));
    let sent = admitted(limiter.check(&arrival("a"))).sent();
    let mut tasks = Tasks::new();
    for _ in 0..4 {
        tasks.add(send(&limiter, arrival("a")));
    }
    // They wait 30, 60 and 90 seconds; the fourth would go at 120.
    assert_eq!(tasks.run().len(), 1);
    clock.advance(Duration::from_secs(10));
    sent.too_many_requests(Some(Duration::from_secs(70)));
    let told = tasks.run();
    let refusals: Vec<_> = told.iter().map(|(task, outcome)| (*task, outcome.as_ref().unwrap_err())).collect();
    // The first goes at 80 s; the next slot after it is at 110 s, 100 from now.
    let [(1, second), (2, third)] = refusals[..] else { panic!("{refusals:?}") };
    assert_eq!([second.retry_after, third.retry_after], [Duration::new(100, 1); 2]);
    assert!(second.closed && limiter.state()[0].waiting == 1);
    assert_eq!(seconds(&tasks.run_to_end(&clock)), [(0, 80)]);
}

#[test]
fn a_429_that_delays_within_the_deadlines_refuses_no_waiter() {
    let (limiter, clock) = limiter(vec![rule(2, 30)], delay(100, 100));
    let sent = admitted(limiter.check(&arrival("a"))).sent();
    let _other = admitted(limiter.check(&arrival("a"))).sent();
    let mut tasks = Tasks::new();
    for _ in 0..4 {
        tasks.add(send(&limiter, arrival("a")));
    }
    assert!(tasks.run().is_empty());
    sent.too_many_requests(Some(Duration::from_secs(50)));
    assert_eq!(seconds(&tasks.run_to_end(&clock)), [(0, 50), (1, 50), (2, 80), (3, 80)]);
}

#[tokio::test(start_paused = true)]
async fn the_monotonic_clock_admits_when_the_window_opens() {
    let config = nightaudit_limit::Config {
        rules: vec![rule(1, 30)],
        slack: Duration::from_millis(250),
        action: delay(100, 10),
    };
    let limiter = Limiter::new(config).unwrap();
    let start = tokio::time::Instant::now();
    send(&limiter, arrival("a")).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let (_, waited) = send(&limiter, arrival("a")).await.unwrap();
    // The timer's resolution is a millisecond.
    let due = Duration::from_millis(30_250);
    assert!(waited == start.elapsed() && (due..due + Duration::from_millis(2)).contains(&waited), "{waited:?}");
}

#[test]
fn usage_shows_how_full_the_window_was() {
    let (limiter, clock) = limiter(vec![rule(2, 30)], delay(100, 100));
    let mut tasks = Tasks::new();
    for _ in 0..3 {
        tasks.add(async {
            match limiter.admit(&arrival("a")).await {
                Admission::Admitted { permit, usage: Some(Usage { used, limit, .. }), waited } => {
                    permit.sent();
                    (used, limit, waited.as_secs())
                }
                other => panic!("{other:?}"),
            }
        });
    }
    let notes: Vec<_> = tasks.run_to_end(&clock).into_iter().map(|(_, note)| note).collect();
    assert_eq!(notes, [(1, 2, 0), (2, 2, 0), (1, 2, 30)]);
}

#[test]
fn waits_inside_a_tokio_runtime() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], delay(100, 100));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        send(&limiter, arrival("a")).await.unwrap();
        let waiting = send(&limiter, arrival("a"));
        let passing = async {
            // Polled after the other, which is asleep by then.
            clock.advance(clock.next_wake().unwrap());
        };
        let (sent, ()) = tokio::join!(biased; waiting, passing);
        assert_eq!(sent.unwrap().1, Duration::new(30, 1));
    });
}

#[derive(Debug, Clone)]
enum Step {
    Advance(u64),
    Arrive { who: usize, paginated: bool },
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..15 * SECOND).prop_map(Step::Advance),
        6 => (0..4_usize, any::<bool>()).prop_map(|(who, paginated)| Step::Arrive { who, paginated }),
        1 => (0..60_usize).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 10..60)
}

/// Advances the clock, never past an instant that a waiter sleeps for.
fn pass<T>(tasks: &mut Tasks<'_, T>, clock: &FakeClock, by: u64) -> Vec<(usize, T)> {
    let end = clock.now() + by;
    let mut completed = tasks.run();
    while clock.now() < end {
        let left = Duration::from_nanos(end - clock.now());
        clock.advance(clock.next_wake().map_or(left, |next| next.min(left)));
        completed.extend(tasks.run());
    }
    completed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn limit_and_order_hold_under_any_schedule(
        requests in 1..5_u32,
        burst in prop::option::of(1..3_u32),
        factor in 1..3_u32,
        max_queued in 1..20_usize,
        steps in steps(),
    ) {
        let window = Rule { burst: burst.map(|burst| burst.min(requests)), paginated_factor: factor, ..rule(requests, 20) };
        let (limiter, clock) = limiter(vec![window, Rule { key: BY_OPERATION, ..rule(3, 60) }], delay(90, max_queued));
        let mut tasks = Tasks::new();
        let mut arrivals = Vec::new();
        let mut completed = Vec::new();
        for step in steps {
            match step {
                Step::Advance(by) => completed.extend(pass(&mut tasks, &clock, by)),
                Step::Leave(nth) if nth < arrivals.len() => tasks.drop_task(nth),
                Step::Leave(_) => {}
                Step::Arrive { who, paginated } => {
                    let arrival =
                        AdmissionRequest { operation: ["get", "add"][who >> 1], paginated, ..arrival(["a", "b"][who & 1]) };
                    let limiter = &limiter;
                    arrivals.push((who, paginated, clock.now()));
                    tasks.add(async move { send(limiter, arrival).await });
                    completed.extend(tasks.run());
                }
            }
        }
        completed.extend(tasks.run_to_end(&clock));
        let (arrivals, completed) = (&arrivals, &completed);
        for who in 0..4 {
            let of = |mask: usize| {
                completed.iter().filter(move |(task, _)| arrivals[*task].0 & mask == who & mask).filter_map(|(task, outcome)| {
                    let (at, _) = outcome.as_ref().ok()?;
                    Some((*at, *task))
                })
            };
            let units: Vec<_> = of(1).map(|(at, task)| (at, if arrivals[task].1 { 1 } else { factor })).collect();
            prop_assert!(fullest_window(&units, Duration::from_secs(20)) <= requests * factor);
            let units: Vec<_> = of(3).map(|(at, _)| (at, 1)).collect();
            prop_assert!(fullest_window(&units, Duration::from_secs(60)) <= 3);
            // Requests with equal keys go in order of arrival.
            for paginated in [true, false] {
                let order: Vec<_> = of(3).map(|(_, task)| task).filter(|task| arrivals[*task].1 == paginated).collect();
                prop_assert!(order.is_sorted(), "{order:?}");
            }
        }
        for (task, outcome) in completed {
            let waited = match outcome {
                Ok((at, waited)) => {
                    prop_assert_eq!(*at, arrivals[*task].2 + u64::try_from(waited.as_nanos()).unwrap());
                    *waited
                }
                Err(refusal) => {
                    prop_assert!(refusal.retry_after_secs >= 1);
                    Duration::ZERO
                }
            };
            prop_assert!(waited <= Duration::from_secs(90));
        }
        prop_assert!(limiter.state().iter().all(|key| key.waiting == 0));
    }
}
