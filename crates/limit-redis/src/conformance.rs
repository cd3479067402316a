//! The scripts against the reference: crate `limit`, on the same clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use nightaudit_limit::{
    Action, Admission, AdmissionRequest, Config, FakeClock, KeyParts, Limiter, Refusal, Rule, Sent, Verdict,
    WindowPermit,
};
use nightaudit_testkit::Redis;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use tokio::net::TcpStream;

use crate::engine::{Engine, Wish};
use crate::link::Up;
use crate::node::{Node, Standing};
use crate::place::Place;
use crate::plan::Plan;
use crate::scripts::{Scripts, run};
use crate::session::{Session, Target};
use crate::wire::{Command, Connection, Reply};

/// What happens.
#[derive(Debug, Clone)]
enum Step {
    Ask(Arrival, Then),
    /// The oldest held request is sent, and that is told so much later.
    SendHeld(Duration),
    DropHeld,
    /// The host's response to the request sent last: 429 with or without an explanation, or success.
    Signal(Option<Option<Duration>>),
    Advance(Duration),
}

#[derive(Debug, Clone)]
struct Arrival {
    access: &'static str,
    client: &'static str,
    operation: &'static str,
    paginated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Send,
    Hold,
    Drop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let arrival =
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(a, c, o, paginated)| Arrival {
            access: if a { "hotel" } else { "inn" },
            client: if c { "kiosk" } else { "door" },
            operation: if o { "rates/getAll" } else { "bills/getAll" },
            paginated,
        });
    let then = prop_oneof![6 => Just(Then::Send), 1 => Just(Then::Hold), 1 => Just(Then::Drop)];
    let millis = |most: u64| (0..most).prop_map(Duration::from_millis);
    let step = prop_oneof![
        12 => (arrival, then).prop_map(|(arrival, then)| Step::Ask(arrival, then)),
        1 => millis(100).prop_map(Step::SendHeld),
        1 => Just(Step::DropHeld),
        1 => prop::option::of(prop::option::of(millis(3000))).prop_map(Step::Signal),
        4 => millis(700).prop_map(Step::Advance),
        1 => millis(5000).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..60)
}

fn config() -> impl Strategy<Value = Config> {
    let key = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(access_token, client_token, operation)| {
        let access_token = access_token || !(client_token || operation);
        KeyParts { access_token, client_token, operation }
    });
    let rule = (key, 1..6_u32, 1..4_u64, prop::option::of(1..6_u32), 1..4_u32);
    let rules = prop::collection::vec(rule, 1..4).prop_map(|rules| {
        let rule = |(index, (key, requests, seconds, burst, paginated_factor)): (
            usize,
            (KeyParts, u32, u64, Option<u32>, u32),
        )| {
            Rule {
                name: format!("rule {index}"),
                key,
                requests,
                window: Duration::from_secs(seconds),
                burst: burst.map(|burst| burst.min(requests)),
                paginated_factor,
            }
        };
        rules.into_iter().enumerate().map(rule).collect()
    });
    (rules, prop_oneof![Just(0_u64), Just(250)], any::<bool>()).prop_map(|(rules, slack, observe)| Config {
        rules,
        slack: Duration::from_millis(slack),
        action: if observe { Action::Observe } else { Action::Reject },
    })
}

/// Both, side by side.
struct Pair {
    reference: Limiter,
    clock: FakeClock,
    engine: Engine,
    up: Up,
    /// Microseconds since the beginning.
    elapsed: u64,
    /// A burst is counted when it is sent by one, and when it is admitted by the other.
    holds: bool,
    /// Of what is observed in excess, the bucket of one owes what was sent, and that of the other what was admitted.
    drops: bool,
    held: VecDeque<(WindowPermit, Place)>,
    last: Option<(Sent, Place, u64)>,
}

/// Redis' clock at the beginning.
const BEGINNING: u64 = 1_700_000_000_000_000;

impl Pair {
    async fn new(redis: &Redis, config: &Config) -> Self {
        let clock = FakeClock::default();
        let reference = Limiter::with_clock(config.clone(), clock.clone()).unwrap();
        let target = Target { address: redis.url().parse().unwrap(), tls: None };
        let node = Node::new(Plan::new(config, 0), target, None, "node".to_owned()).unwrap();
        let engine = Engine::new(node, config.action, Duration::from_secs(10));
        let connection = Connection::over(TcpStream::connect(redis.address()).await.unwrap());
        connection.call(Command::of(&["FLUSHALL"])).await.unwrap();
        let scripts = Scripts::load_at(&connection, "{0, redis.call('GET', 'now')}").await.unwrap();
        let standing = Standing { generation: "".into(), unknown: 0, missing: 0, since: 0 };
        let up = Up { session: Arc::new(Session::single(connection, scripts, String::new())), standing };
        let bursts = config.rules.iter().any(|rule| rule.burst.is_some_and(|burst| burst < rule.requests));
        let observes = config.action == Action::Observe;
        let (holds, drops) = (!observes && !bursts, !observes || !bursts);
        Self { reference, clock, engine, up, elapsed: 0, holds, drops, held: VecDeque::new(), last: None }
    }

    async fn call(&self, command: Command) -> Reply {
        self.up.session.at("").call(command).await.unwrap()
    }

    async fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.elapsed += u64::try_from(by.as_micros()).unwrap();
        let now = (BEGINNING + self.elapsed).to_string();
        self.call(Command::of(&["SET", "now", &now])).await;
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Advance(by) => {
                // A held request whose lease has expired is not the same to both.
                if *by > Duration::from_millis(100) {
                    while let Some((permit, place)) = self.held.pop_front() {
                        drop(permit);
                        self.settle(&place, "unsent", 0).await;
                    }
                }
                self.advance(*by).await;
            }
            Step::Ask(arrival, then) => self.ask(arrival, *then).await,
            Step::SendHeld(late) => {
                if let Some((permit, place)) = self.held.pop_front() {
                    drop(permit.sent());
                    self.advance(*late).await;
                    self.settle(&place, "sent", u64::try_from(late.as_micros()).unwrap()).await;
                }
            }
            Step::DropHeld => {
                if let Some((permit, place)) = self.held.pop_front() {
                    drop(permit);
                    self.settle(&place, "unsent", 0).await;
                }
            }
            Step::Signal(signal) => {
                let Some((sent, place, at)) = &self.last else { return };
                let (status, pause) = match signal {
                    Some(pause) => {
                        sent.too_many_requests(*pause);
                        ("429", pause.unwrap_or_default())
                    }
                    None => {
                        sent.succeeded();
                        ("200", Duration::ZERO)
                    }
                };
                self.call(self.engine.signal_command(&self.up, place, *at, status, pause)).await;
            }
        }
    }

    async fn settle(&self, place: &Place, what: &str, ago: u64) {
        let mut entries: Vec<(String, [String; 3])> = self
            .engine
            .node
            .sets(place)
            .map(|set| (set, [what.to_owned(), ago.to_string(), place.member.clone()]))
            .collect();
        if what == "unsent" {
            entries.extend(self.engine.node.refills(place));
        }
        let command = run(&self.up.session.scripts.settle, entries.len(), 3 * entries.len());
        let command = entries.iter().fold(command, |command, (key, _)| command.word(key.as_bytes()));
        let words = entries.iter().flat_map(|(_, words)| words);
        self.call(words.fold(command, |command, word| command.word(word.as_bytes()))).await;
    }

    async fn ask(&mut self, arrival: &Arrival, then: Then) {
        let Arrival { access, client, operation, paginated } = *arrival;
        let arrival = AdmissionRequest { access_token: access, client_token: client, operation, paginated };
        let observes = self.engine.action == Action::Observe;
        let expected = if observes {
            self.reference.admit(&arrival).await
        } else {
            match self.reference.check(&arrival) {
                Verdict::Admitted(permit) => {
                    Admission::Admitted { usage: permit.usage(), permit, waited: Duration::ZERO }
                }
                Verdict::Refused(refusal) => Admission::Refused(refusal),
            }
        };
        let keys = Arc::new(self.engine.node.plan.keys(&arrival));
        let place = Place { keys, generation: "".into(), member: self.engine.node.member() };
        let wish = Wish { mode: if observes { "force" } else { "count" }, ahead: (0, 0) };
        let reply = self.call(self.engine.admission(&self.up, &place, wish)).await;
        let found: Vec<u64> = reply.list().unwrap().iter().map(|number| number.length().unwrap()).collect();
        assert_eq!(found[1], BEGINNING + self.elapsed);
        let permit = match expected {
            Admission::Admitted { permit, usage, .. } => {
                assert_eq!(found[0], 1, "admitted by the reference only");
                let usage = usage.unwrap();
                let rule = &self.engine.node.plan.rules[usize::try_from(found[2]).unwrap() - 1];
                assert_eq!((&rule.name, rule.in_requests(found[3])), (&usage.rule, usage.used));
                permit
            }
            Admission::Observed { permit, refusal } => {
                assert_eq!(found[0], 2, "over the limit by the reference only");
                self.compare(&refusal, &found, true);
                permit
            }
            Admission::Refused(refusal) => {
                assert_eq!(found[0], 0, "refused by the reference only: {refusal:?}");
                self.compare(&refusal, &found, false);
                return;
            }
        };
        match then {
            Then::Hold if self.holds => self.held.push_back((permit, place)),
            Then::Drop if self.drops => {
                drop(permit);
                self.settle(&place, "unsent", 0).await;
            }
            _ => {
                let sent = permit.sent();
                self.settle(&place, "sent", 0).await;
                self.last = Some((sent, place, BEGINNING + self.elapsed));
            }
        }
    }

    fn compare(&self, expected: &Refusal, found: &[u64], observed: bool) {
        let rule = &self.engine.node.plan.rules[usize::try_from(found[2]).unwrap() - 1];
        let wait = Duration::from_micros(found[4] - found[1]);
        // One counts nanoseconds, the other microseconds.
        let apart = wait.abs_diff(expected.retry_after);
        assert!(apart <= Duration::from_micros(2), "{wait:?} instead of {:?} for {}", expected.retry_after, rule.name);
        // If two rules open at the same time, but for that, either may be named.
        if rule.name == expected.rule {
            assert_eq!(found[5] == 1, expected.closed);
            // Observed requests in excess are forgotten at once by one, and by the other only if no rule needs them.
            if !observed {
                assert_eq!(rule.in_requests(found[3]), expected.used, "{}", rule.name);
            }
        }
    }
}

#[test]
fn the_scripts_decide_as_the_reference_does() {
    let Some(redis) = Redis::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Cases { cases: 500, failure_persistence: None, ..Cases::default() });
    let outcome = runner.run(&(config(), steps()), |(config, steps)| {
        runtime.block_on(async {
            let mut pair = Pair::new(&redis, &config).await;
            pair.advance(Duration::ZERO).await;
            for step in &steps {
                pair.step(step).await;
            }
        });
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
