//! Asking Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nightaudit_limit::{Action, Refusal, Unavailable};
use tokio::time::timeout;

use crate::clock;
use crate::link::{Link, Links, Up};
use crate::node::{Node, STATE};
use crate::place::Place;
use crate::plan::{Keys, LEASE, micros};
use crate::scripts::{self, run};
use crate::settle;
use crate::settlements::Settlement;
use crate::share::FRESH;
use crate::wire::{Command, Fault, Reply};

/// What all of a budget's parts share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) node: Arc<Node>,
    pub(crate) action: Action,
    within: Duration,
    links: Links,
    pub(crate) counts: Counts,
}

/// What this node counted, by rule.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) refused: Vec<AtomicU64>,
    pub(crate) delayed: Vec<AtomicU64>,
    pub(crate) rejected: AtomicU64,
    /// The most units seen in use since the last look.
    pub(crate) peaks: Vec<AtomicU64>,
}

/// How to ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) mode: &'static str,
    /// Requests that wait ahead, and paginated ones.
    pub(crate) ahead: (u64, u64),
}

impl Wish {
    pub(crate) const TRY: Self = Self { mode: "try", ahead: (0, 0) };
}

/// What Redis decided.
#[derive(Debug)]
pub(crate) enum Answer {
    Admitted {
        granted: Granted,
        rule: Option<usize>,
        used: u64,
    },
    Observed {
        granted: Granted,
        refused: Refused,
    },
    /// Also what only asked would be.
    Refused(Refused),
    /// It only asked, and would be admitted.
    Open,
}

/// What was granted, until it is sent or given back.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) place: Place,
    pub(crate) link: Arc<Link>,
    /// When admission was asked for, by this node's clock.
    pub(crate) begun: u64,
    /// When it was given, by Redis' clock.
    pub(crate) at: u64,
    /// Whether an accepted request is worth telling: the host's last rejection came without an explanation.
    pub(crate) tell_success: bool,
    is_settled: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    pub(crate) rule: usize,
    pub(crate) used: u64,
    pub(crate) closed: bool,
    /// Microseconds.
    pub(crate) wait: u64,
}

impl Granted {
    /// Until when it may be sent without asking again.
    pub(crate) fn expires(&self) -> u64 {
        self.begun + u64::try_from(LEASE.as_nanos()).unwrap_or(u64::MAX)
    }

    /// It was handed to its connection now.
    pub(crate) fn sent(&mut self) {
        self.is_settled = true;
        self.link.settlements.push(Settlement::Sent(self.place.clone(), clock::now()));
    }

    /// It was not: whoever drops it gives it back.
    pub(crate) fn not_sent(&mut self) {
        self.is_settled = false;
    }

    /// Another place takes over.
    pub(crate) fn replaced(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        if !self.is_settled {
            self.link.settlements.push(Settlement::Unsent(self.place.clone()));
        }
    }
}

impl Engine {
    pub(crate) fn new(node: Node, action: Action, within: Duration) -> Self {
        let each = || node.plan.rules.iter().map(|_| AtomicU64::new(0)).collect();
        let counts = Counts { refused: each(), delayed: each(), rejected: AtomicU64::new(0), peaks: each() };
        Self { node: Arc::new(node), action, within, links: Links::default(), counts }
    }

    /// This thread's connection.
    pub(crate) fn link(&self) -> Arc<Link> {
        let (link, is_new) = self.links.here();
        if is_new {
            tokio::spawn(settle::run(Arc::downgrade(&self.node), Arc::downgrade(&link)));
        }
        link
    }

    /// Asks for admission.
    pub(crate) async fn ask(self: &Arc<Self>, keys: &Arc<Keys>, wish: Wish) -> Result<Answer, Unavailable> {
        let link = self.link();
        match timeout(self.within, self.ask_over(&link, keys, wish)).await {
            Ok(answer) => answer,
            Err(_) => {
                let cause = link
                    .failure()
                    .map_or_else(|| format!("no reply within {:?}", self.within), |error| error.to_string());
                Err(self.node.unavailable(&cause))
            }
        }
    }

    async fn ask_over(self: &Arc<Self>, link: &Arc<Link>, keys: &Arc<Keys>, wish: Wish) -> Result<Answer, Unavailable> {
        loop {
            let up = link.up(&self.node).await;
            self.check_fresh(&up)?;
            let place = Place {
                keys: Arc::clone(keys),
                generation: Arc::clone(&up.standing.generation),
                member: self.node.member(),
            };
            let command = self.admission(&up, &place, wish);
            let begun = clock::now();
            // From here on a place may be taken. Whoever gives up gives it back: behind the request, on the same connection.
            let mut granted =
                Granted { place, link: Arc::clone(link), begun, at: 0, tell_success: false, is_settled: false };
            let reply = up.session.at(keys.tag()).call(command).await;
            let numbers = match &reply {
                Ok(reply) => numbers(reply),
                Err(fault) => Err(fault.clone()),
            };
            let numbers = match numbers {
                Ok(numbers) => numbers,
                Err(fault) => {
                    link.close(&up.session);
                    match &fault {
                        Fault::Server(text) if text.starts_with("NOSCRIPT") => continue,
                        _ => return Err(self.node.unavailable(&fault.to_string())),
                    }
                }
            };
            let decided = match numbers[..] {
                // Somebody has found that windows were lost.
                [-1, ..] => {
                    granted.is_settled = true;
                    link.close(&up.session);
                    continue;
                }
                [decided, now, ..] if numbers.len() >= 7 && now > 0 => {
                    granted.at = now.unsigned_abs();
                    decided
                }
                _ => return Err(self.node.unavailable(&Fault::Nonsense.to_string())),
            };
            self.check_clock(link, &up, granted.at, begun).await?;
            let length = |index: usize| numbers.get(index).and_then(|number| u64::try_from(*number).ok()).unwrap_or(0);
            let (rule, used) = (numbers[2], length(3));
            let rule = usize::try_from(rule - 1).ok().filter(|rule| *rule < self.node.plan.rules.len());
            let refused = || Refused {
                rule: rule.unwrap_or(0),
                used,
                closed: numbers[5] == 1,
                wait: length(4).saturating_sub(granted.at),
            };
            for (peak, used) in self.counts.peaks.iter().zip(numbers.iter().skip(7)) {
                peak.fetch_max(used.unsigned_abs(), Ordering::Relaxed);
            }
            granted.tell_success = numbers[6] == 1;
            return Ok(match decided {
                1 if wish.mode == "ask" => {
                    granted.is_settled = true;
                    Answer::Open
                }
                1 => Answer::Admitted { rule, used, granted },
                2 => Answer::Observed { refused: refused(), granted },
                _ => {
                    granted.is_settled = true;
                    Answer::Refused(refused())
                }
            });
        }
    }

    pub(crate) fn admission(&self, up: &Up, place: &Place, wish: Wish) -> Command {
        let kinds = self.node.plan.kinds.len();
        let command = run(&up.session.scripts.admit, 1 + 4 * kinds, 8 + self.node.plan.tail_words());
        let command = command.word(state_of(up, place).as_bytes());
        let command = self.node.names(place).flatten().fold(command, |command, name| command.word(name.as_bytes()));
        let command = command
            .word(checked(up, place).as_bytes())
            .number(up.standing.unknown)
            .number(up.standing.missing)
            .word(place.member.as_bytes())
            .word(wish.mode.as_bytes())
            .number(wish.ahead.0)
            .number(wish.ahead.1)
            .number(place.keys.paginated.into());
        self.node.plan.tail(command)
    }

    /// Nodes that have a share of their own are told of each other in time; and those of a cluster, whose scripts can't see the
    /// state of the fleet in another slot, of another generation.
    fn check_fresh(&self, up: &Up) -> Result<(), Unavailable> {
        let fresh = u64::try_from(FRESH.as_nanos()).unwrap_or(u64::MAX);
        let matters = self.node.share.is_some() || up.session.is_cluster();
        if matters && clock::now().saturating_sub(up.standing.since) > fresh {
            return Err(self.node.unavailable("nothing was heard of the other nodes for seconds"));
        }
        Ok(())
    }

    /// Nothing is sent on the word of a clock that jumped: ahead, windows would seem to have passed.
    async fn check_clock(&self, link: &Link, up: &Up, redis: u64, begun: u64) -> Result<(), Unavailable> {
        let jump = self.node.horizon.lock().note(&up.standing.generation, redis, begun, clock::now());
        let Some(jump) = jump else { return Ok(()) };
        tracing::warn!("the clock of Redis jumped by {jump} µs: everything counts as sent for one window");
        let greeted = self.node.greet(&up.session, &up.standing.generation).await;
        link.close(&up.session);
        greeted.map_err(|fault| self.node.unavailable(&fault.to_string()))?;
        Err(self.node.unavailable("its clock has just jumped"))
    }

    /// Replaces a place by one that may be sent for another while; `None` if it no longer counts.
    pub(crate) async fn renew(self: &Arc<Self>, granted: &Granted) -> Result<Option<Granted>, Unavailable> {
        let link = self.link();
        let renewed = async {
            let up = link.up(&self.node).await;
            let place = Place { member: self.node.member(), ..granted.place.clone() };
            let sets: Vec<String> = self.node.sets(&place).collect();
            let lives = (self.node.plan.longest + self.node.plan.grace).div_ceil(1000) + 1000;
            let command = run(&up.session.scripts.renew, 1 + sets.len(), 5);
            let command = command.word(state_of(&up, &place).as_bytes());
            let command = sets.iter().fold(command, |command, set| command.word(set.as_bytes()));
            let command = command
                .word(checked(&up, &place).as_bytes())
                .word(granted.place.member.as_bytes())
                .word(place.member.as_bytes())
                .number(self.node.plan.grace)
                .number(lives);
            let begun = clock::now();
            let mut renewed = Granted {
                place,
                link: Arc::clone(&link),
                begun,
                at: granted.at,
                tell_success: granted.tell_success,
                is_settled: false,
            };
            let reply = up.session.at(renewed.place.keys.tag()).call(command).await.and_then(|reply| numbers(&reply));
            match reply {
                Ok(numbers) if numbers.first() == Some(&1) => {
                    let at = numbers.get(1).map_or(0, |now| now.unsigned_abs());
                    self.check_clock(&link, &up, at, begun).await?;
                    Ok(Some(renewed))
                }
                Ok(_) => {
                    renewed.is_settled = true;
                    Ok(None)
                }
                Err(fault) => {
                    link.close(&up.session);
                    Err(self.node.unavailable(&fault.to_string()))
                }
            }
        };
        match timeout(self.within, renewed).await {
            Ok(renewed) => renewed,
            Err(_) => Err(self.node.unavailable(&format!("no reply within {:?}", self.within))),
        }
    }

    /// Tells what a response revealed about the host's limits, in the background.
    pub(crate) fn signal(self: &Arc<Self>, granted: &Granted, status: &'static str, pause: Duration) {
        let (engine, link, place, at) =
            (Arc::clone(self), Arc::clone(&granted.link), granted.place.clone(), granted.at);
        tokio::spawn(async move {
            let mut attempts = 0..5;
            while attempts.next().is_some() {
                let Ok(up) = timeout(Duration::from_secs(5), link.up(&engine.node)).await else { continue };
                let command = engine.signal_command(&up, &place, at, status, pause);
                match timeout(Duration::from_secs(5), up.session.at(place.keys.tag()).call(command)).await {
                    Ok(Ok(_)) => return,
                    _ => link.close(&up.session),
                }
            }
        });
    }

    /// The pauses are those of crate `limit`.
    pub(crate) fn signal_command(&self, up: &Up, place: &Place, at: u64, status: &str, pause: Duration) -> Command {
        const LONGEST: u64 = 24 * 60 * 60 * 1_000_000;
        const BACK_OFFS: [u64; 3] = [1_000_000, 60_000_000, 600_000_000];
        let kinds = self.node.plan.kinds.len();
        let lives = (0..kinds).map(|kind| self.node.plan.lives(kind)).max().unwrap_or(0);
        let command = run(&up.session.scripts.signal, 2 * kinds, 8);
        let names = self.node.names(place).flat_map(|[_, _, closure, statistics]| [closure, statistics]);
        let command = names.fold(command, |command, name| command.word(name.as_bytes()));
        let command = command.number(at).word(status.as_bytes()).number(micros(pause)).number(lives).number(LONGEST);
        BACK_OFFS.iter().fold(command, |command, length| command.number(*length))
    }

    /// The refusal as the proxy tells it.
    pub(crate) fn refusal(&self, refused: Refused) -> Refusal {
        let rule = &self.node.plan.rules[refused.rule];
        Refusal {
            rule: Arc::clone(&rule.name),
            used: rule.in_requests(refused.used),
            limit: rule.requests,
            closed: refused.closed,
            retry_after: Duration::from_micros(refused.wait),
            retry_after_secs: refused.wait.div_ceil(1_000_000).max(1),
        }
    }
}

/// The fleet's state as far as a script can see it: in a cluster nothing is there.
fn state_of(up: &Up, place: &Place) -> String {
    if up.session.is_cluster() { format!("nightaudit:{{{}}}:state", place.keys.tag()) } else { STATE.to_owned() }
}

/// The generation that a script is to check.
fn checked<'a>(up: &Up, place: &'a Place) -> &'a str {
    if up.session.is_cluster() { "" } else { &place.generation }
}

/// The numbers of a script's reply.
fn numbers(reply: &Reply) -> Result<Vec<i64>, Fault> {
    scripts::list(reply)?.iter().map(|item| item.number().ok_or(Fault::Nonsense)).collect()
}
