//! Every decision against a naive reference: lists of send times, scanned from end to end.

use std::collections::HashMap;
use std::time::Duration;

use nightaudit_limit::{
    Action, AdmissionRequest, Clock, Config, FakeClock, KeyParts, Limiter, Rule, Sent, Verdict, WindowPermit,
};
use proptest::prelude::*;

use crate::support::{admitted, arrival, fullest_window, limiter, refused, rule};

const SECOND: u64 = 1_000_000_000;

/// One rule, one key.
#[derive(Default)]
struct Ledger {
    /// Every send: instant and units.
    sends: Vec<(u64, u32)>,
    pending: u32,
    closed_until: u64,
    closed_since: u64,
    back_off: u64,
}

/// A rule reduced to numbers.
struct Model<'a> {
    rule: &'a Rule,
    /// Window plus slack.
    length: u64,
}

impl Model<'_> {
    fn units(&self, paginated: bool) -> u32 {
        if paginated { 1 } else { self.rule.paginated_factor }
    }

    fn capacity(&self) -> u32 {
        self.rule.requests * self.rule.paginated_factor
    }

    /// Whether the request may pass at `now`, counting pending requests as sent at `pending_at`, if given.
    fn admits(&self, ledger: &Ledger, units: u32, now: u64, pending_at: Option<u64>) -> bool {
        let mut sends = ledger.sends.clone();
        let mut pending = ledger.pending;
        if let Some(at) = pending_at {
            sends.push((at, std::mem::take(&mut pending)));
        }
        let used: u32 = sends.iter().filter(|(at, _)| at + self.length >= now).map(|(_, units)| units).sum();
        now >= ledger.closed_until
            && used + pending + units <= self.capacity()
            && self.bucket_has(&sends, pending + units, now)
    }

    /// A bucket replayed send by send. With `burst = requests` the reference has none: the window alone decides.
    fn bucket_has(&self, sends: &[(u64, u32)], units: u32, now: u64) -> bool {
        let Some(burst) = self.rule.burst.filter(|burst| *burst < self.rule.requests) else { return true };
        let window = u64::try_from(self.rule.window.as_nanos()).unwrap();
        let interval = window / u64::from(self.capacity());
        let (mut debt, mut last) = (0_u64, 0);
        for (at, units) in sends {
            debt = debt.saturating_sub(at - last) + interval * u64::from(*units);
            last = *at;
        }
        let debt = debt.saturating_sub(now - last);
        debt + interval * u64::from(units) <= interval * u64::from(burst * self.rule.paginated_factor)
    }

    /// The first instant at which the request may pass, among all instants at which anything changes.
    fn opens_at(&self, ledger: &Ledger, units: u32, now: u64) -> u64 {
        let mut changes: Vec<u64> = ledger.sends.iter().map(|(at, _)| at + self.length + 1).collect();
        changes.extend([now, now + self.length + 1, ledger.closed_until]);
        changes.retain(|at| *at >= now);
        changes.sort_unstable();
        let admits = |at: u64| self.admits(ledger, units, at, Some(now));
        let first = changes.iter().copied().find(|at| admits(*at));
        // A bucket opens somewhere in between and stays open: bisect for that instant.
        let mut late = first.unwrap_or(now + 100 * self.length + ledger.closed_until);
        let mut early = changes.iter().copied().filter(|at| *at < late).max().unwrap_or(now);
        if !admits(late) || admits(early) {
            return early;
        }
        while late - early > 1 {
            let middle = early + (late - early) / 2;
            if admits(middle) { late = middle } else { early = middle }
        }
        late
    }
}

/// All rules and keys.
struct Reference<'a> {
    models: Vec<Model<'a>>,
    ledgers: HashMap<(usize, Vec<String>), Ledger>,
}

impl<'a> Reference<'a> {
    fn new(config: &'a Config) -> Self {
        let length = |rule: &Rule| u64::try_from((rule.window + config.slack).as_nanos()).unwrap();
        let models = config.rules.iter().map(|rule| Model { rule, length: length(rule) }).collect();
        Self { models, ledgers: HashMap::new() }
    }

    fn each(&mut self, arrival: &AdmissionRequest<'_>, mut f: impl FnMut(&Model<'_>, &mut Ledger, u32)) {
        for (index, model) in self.models.iter().enumerate() {
            let key = model.rule.key;
            let parts = [
                (key.access_token, arrival.access_token),
                (key.client_token, arrival.client_token),
                (key.operation, arrival.operation),
            ];
            let parts = parts.into_iter().filter(|(wanted, _)| *wanted).map(|(_, part)| part.to_owned()).collect();
            f(model, self.ledgers.entry((index, parts)).or_default(), model.units(arrival.paginated));
        }
    }

    /// `None` if admitted; otherwise the time until it would be.
    fn decide(&mut self, arrival: &AdmissionRequest<'_>, now: u64) -> Option<u64> {
        let (mut admitted, mut opens_at) = (true, now);
        self.each(arrival, |model, ledger, units| {
            if !model.admits(ledger, units, now, None) {
                admitted = false;
                opens_at = opens_at.max(model.opens_at(ledger, units, now));
            }
        });
        (!admitted).then_some(opens_at - now)
    }

    fn too_many_requests(&mut self, arrival: &AdmissionRequest<'_>, sent_at: u64, now: u64, retry_after: Option<u64>) {
        self.each(arrival, |_, ledger, _| {
            let pause = match retry_after {
                Some(pause) => pause,
                None if sent_at < ledger.closed_since => return,
                None => {
                    let is_repeat = ledger.closed_until + 600 * SECOND > now;
                    ledger.back_off = if is_repeat && ledger.back_off > 0 { ledger.back_off * 2 } else { 1 }.min(60);
                    ledger.back_off * SECOND
                }
            };
            ledger.closed_since = now;
            ledger.closed_until = ledger.closed_until.max(now + pause);
        });
    }
}

#[derive(Debug, Clone)]
enum Step {
    Advance(u64),
    /// To the instant named by the last refusal, or a nanosecond before it.
    ToRetry {
        early: bool,
    },
    Arrive {
        who: usize,
        then: Then,
    },
    /// Settles the n-th pending request.
    Settle {
        nth: usize,
        sent: bool,
    },
    /// The host's response to the n-th sent request: 429 with or without a pause in seconds, or success.
    Answer {
        nth: usize,
        answer: Result<(), Option<u64>>,
    },
}

#[derive(Debug, Clone, Copy)]
enum Then {
    Send,
    Fail,
    Linger,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let advance = prop_oneof![
        4 => 0..50_u64,
        8 => 0..SECOND,
        4 => 0..20 * SECOND,
        1 => 0..3600 * SECOND,
    ];
    let then = prop_oneof![6 => Just(Then::Send), 1 => Just(Then::Fail), 2 => Just(Then::Linger)];
    let answer = prop_oneof![Just(Ok(())), Just(Err(None)), (1..40_u64).prop_map(|seconds| Err(Some(seconds)))];
    let step = prop_oneof![
        6 => advance.prop_map(Step::Advance),
        2 => any::<bool>().prop_map(|early| Step::ToRetry { early }),
        16 => (0..16_usize, then).prop_map(|(who, then)| Step::Arrive { who, then }),
        3 => (0..8_usize, any::<bool>()).prop_map(|(nth, sent)| Step::Settle { nth, sent }),
        1 => (0..8_usize, answer).prop_map(|(nth, answer)| Step::Answer { nth, answer }),
    ];
    prop::collection::vec(step, 20..120)
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let key = (1..8_u8).prop_map(|bits| KeyParts {
        access_token: bits & 1 != 0,
        client_token: bits & 2 != 0,
        operation: bits & 4 != 0,
    });
    let window = prop_oneof![Just(SECOND), SECOND..20 * SECOND, SECOND..900 * SECOND];
    let factor = prop_oneof![3 => Just(1_u32), 1 => 2..5_u32];
    let rule = (key, 1..8_u32, window, prop::option::weighted(0.4, 1..8_u32), factor);
    prop::collection::vec(rule, 1..4).prop_map(|rules| {
        let name =
            |(index, (key, requests, window, burst, paginated_factor)): (usize, (_, u32, _, Option<u32>, _))| Rule {
                name: index.to_string(),
                key,
                requests,
                window: Duration::from_nanos(window),
                burst: burst.map(|burst| burst.min(requests)),
                paginated_factor,
            };
        rules.into_iter().enumerate().map(name).collect()
    })
}

fn config() -> impl Strategy<Value = Config> {
    let slack = prop_oneof![Just(0), Just(1), 0..2 * SECOND];
    (rules(), slack).prop_map(|(rules, slack)| Config {
        rules,
        slack: Duration::from_nanos(slack),
        action: Action::Reject,
    })
}

/// One of sixteen requests that share tokens and operations.
fn request(who: usize) -> AdmissionRequest<'static> {
    AdmissionRequest {
        access_token: ["hotel", "hostel"][who & 1],
        client_token: ["kiosk", "door"][who >> 1 & 1],
        operation: ["get", "add"][who >> 2 & 1],
        paginated: who >> 3 & 1 == 1,
    }
}

/// Runs a schedule against both and compares every decision.
fn compare(config: &Config, steps: &[Step]) -> Result<(), TestCaseError> {
    let clock = FakeClock::default();
    let limiter = Limiter::with_clock(config.clone(), clock.clone()).unwrap();
    let mut reference = Reference::new(config);
    let mut pending: Vec<(usize, WindowPermit)> = Vec::new();
    let mut sent: Vec<(usize, Sent)> = Vec::new();
    let mut retry_at = 0_u64;
    for step in steps {
        let now = clock.now();
        match *step {
            Step::Advance(by) => clock.advance(Duration::from_nanos(by)),
            Step::ToRetry { early } => {
                clock.advance(Duration::from_nanos(retry_at.saturating_sub(now + u64::from(early))));
            }
            Step::Arrive { who, then } => {
                let arrival = request(who);
                match (limiter.check(&arrival), reference.decide(&arrival, now)) {
                    (Verdict::Admitted(permit), None) => {
                        reference.each(&arrival, |_, ledger, units| ledger.pending += units);
                        pending.push((who, permit));
                        match then {
                            Then::Send => settle(&mut reference, &mut pending, &mut sent, usize::MAX, true, now),
                            Then::Fail => settle(&mut reference, &mut pending, &mut sent, usize::MAX, false, now),
                            Then::Linger => {}
                        }
                    }
                    (Verdict::Refused(refusal), Some(wait)) => {
                        prop_assert_eq!(refusal.retry_after, Duration::from_nanos(wait));
                        prop_assert_eq!(refusal.retry_after_secs, wait.div_ceil(SECOND).max(1));
                        retry_at = now + wait;
                    }
                    (verdict, reference) => {
                        prop_assert!(false, "at {now}: {verdict:?}, but the reference says {reference:?}");
                    }
                }
            }
            Step::Settle { nth, sent: was_sent } => {
                settle(&mut reference, &mut pending, &mut sent, nth, was_sent, now);
            }
            Step::Answer { nth, answer } => {
                let Some((who, sent)) = sent.iter().rev().nth(nth) else { continue };
                let arrival = request(*who);
                match answer {
                    Ok(()) => {
                        sent.succeeded();
                        reference.each(&arrival, |_, ledger, _| {
                            if sent.at() >= ledger.closed_since {
                                ledger.back_off = 0;
                            }
                        });
                    }
                    Err(seconds) => {
                        sent.too_many_requests(seconds.map(Duration::from_secs));
                        reference.too_many_requests(&arrival, sent.at(), now, seconds.map(|seconds| seconds * SECOND));
                    }
                }
            }
        }
    }
    for ((index, key), ledger) in &reference.ledgers {
        let model = &reference.models[*index];
        let fullest = fullest_window(&ledger.sends, model.rule.window + config.slack);
        prop_assert!(fullest <= model.capacity(), "{fullest} of {} for {key:?}", model.capacity());
    }
    Ok(())
}

/// The n-th pending request is sent, or dropped.
fn settle(
    reference: &mut Reference<'_>,
    pending: &mut Vec<(usize, WindowPermit)>,
    sent: &mut Vec<(usize, Sent)>,
    nth: usize,
    was_sent: bool,
    now: u64,
) {
    if pending.is_empty() {
        return;
    }
    let (who, permit) = pending.remove(nth.min(pending.len() - 1));
    reference.each(&request(who), |_, ledger, units| {
        ledger.pending -= units;
        if was_sent {
            ledger.sends.push((now, units));
        }
    });
    if was_sent {
        sent.push((who, permit.sent()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn decides_as_the_reference_does(config in config(), steps in steps()) {
        compare(&config, &steps)?;
    }
}

#[test]
fn two_hundred_pass_at_once_and_the_next_after_exactly_the_window() {
    let (limiter, clock) = limiter(vec![rule(200, 30)], Action::Reject);
    for _ in 0..200 {
        admitted(limiter.check(&arrival("a"))).sent();
    }
    clock.advance(Duration::from_millis(1));
    let refusal = refused(limiter.check(&arrival("a")));
    assert_eq!((refusal.used, refusal.limit, refusal.retry_after_secs), (200, 200, 30));
    assert_eq!(refusal.retry_after, Duration::from_millis(29_999) + Duration::from_nanos(1));
    clock.advance(refusal.retry_after - Duration::from_nanos(1));
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::from_nanos(1));
    clock.advance(Duration::from_nanos(1));
    for _ in 0..200 {
        admitted(limiter.check(&arrival("a"))).sent();
    }
    refused(limiter.check(&arrival("a")));
}

#[test]
fn the_send_counts_not_the_arrival() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], Action::Reject);
    let permit = admitted(limiter.check(&arrival("a")));
    clock.advance(Duration::from_secs(100));
    refused(limiter.check(&arrival("a")));
    permit.sent();
    clock.advance(Duration::from_secs(29));
    assert_eq!(refused(limiter.check(&arrival("a"))).retry_after, Duration::new(1, 1));
}

#[test]
fn a_refusal_by_one_rule_takes_nothing_from_another() {
    let wide = Rule { name: "wide".to_owned(), ..rule(2, 60) };
    let narrow = Rule { name: "narrow".to_owned(), key: crate::support::BY_OPERATION, ..rule(1, 30) };
    let (limiter, _) = limiter(vec![wide, narrow], Action::Reject);
    admitted(limiter.check(&arrival("a"))).sent();
    for _ in 0..10 {
        assert_eq!(&*refused(limiter.check(&arrival("a"))).rule, "narrow");
    }
    admitted(limiter.check(&AdmissionRequest { operation: "other", ..arrival("a") })).sent();
}

#[test]
fn the_rule_with_the_longest_wait_is_named() {
    let (limiter, clock) = limiter(vec![rule(1, 10), rule(2, 60), rule(3, 20)], Action::Reject);
    admitted(limiter.check(&arrival("a"))).sent();
    assert_eq!(&*refused(limiter.check(&arrival("a"))).rule, "1/10s");
    clock.advance(Duration::from_secs(11));
    admitted(limiter.check(&arrival("a"))).sent();
    let refusal = refused(limiter.check(&arrival("a")));
    assert_eq!((&*refusal.rule, refusal.retry_after_secs), ("2/60s", 50));
}

#[test]
fn usage_is_of_the_rule_with_the_least_left() {
    let (limiter, _) = limiter(vec![rule(200, 30), rule(5, 10), rule(500, 900)], Action::Reject);
    admitted(limiter.check(&arrival("a"))).sent();
    let usage = admitted(limiter.check(&arrival("a"))).usage().unwrap();
    assert_eq!((&*usage.rule, usage.used, usage.limit), ("5/10s", 2, 5));
}

#[test]
fn without_rules_everything_passes() {
    let (limiter, _) = limiter(Vec::new(), Action::Reject);
    for _ in 0..1000 {
        let permit = admitted(limiter.check(&arrival("a")));
        assert_eq!(permit.usage(), None);
        permit.sent().too_many_requests(Some(Duration::from_secs(60)));
    }
}

#[test]
fn a_closed_key_is_reported_as_closed() {
    let (limiter, clock) = limiter(vec![rule(200, 30)], Action::Reject);
    let sent = admitted(limiter.check(&arrival("a"))).sent();
    sent.too_many_requests(Some(Duration::from_secs(7)));
    let refusal = refused(limiter.check(&arrival("a")));
    assert!(refusal.closed);
    assert_eq!((refusal.retry_after, refusal.used), (Duration::from_secs(7), 1));
    admitted(limiter.check(&arrival("b"))).sent();
    clock.advance(Duration::from_secs(7));
    admitted(limiter.check(&arrival("a"))).sent();
}
