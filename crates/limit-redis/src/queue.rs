//! Requests of this node that wait for a place, first come first served.
//!
//! As in crate `limit`, a request queues at one key at a time, that of the rule with the longest wait, so that one blocked by
//! one rule never holds up another that needs only another. Only the first in a queue asks Redis: when the place that it was
//! told of is due, and every second, since another node may have given one back. Among the nodes of a fleet chance decides.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nightaudit_limit::Unavailable;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::clock;
use crate::engine::{Answer, Engine, Refused, Wish};
use crate::plan::Keys;
use crate::settlements::Settlement;

/// The queues of this node, by rule and key.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: Mutex<HashMap<Name, VecDeque<Waiter>>>,
    next_ticket: AtomicU64,
}

type Name = (usize, String);

#[derive(Debug)]
struct Waiter {
    /// Smaller for earlier arrivals.
    ticket: u64,
    paginated: bool,
    /// Notified when it becomes first.
    wake: Arc<Notify>,
}

/// The longest that the first in a queue waits before it asks again.
const AGAIN: Duration = Duration::from_secs(1);

impl Queues {
    /// Waits until the request is admitted; refuses it if that would take longer than `max_delay`, or the queue is full.
    /// Returns how long it was delayed, zero if it wasn't.
    pub(crate) async fn wait(
        &self,
        engine: &Arc<Engine>,
        keys: &Arc<Keys>,
        max_delay: Duration,
        max_queued: usize,
    ) -> Result<(Answer, Duration), Unavailable> {
        let arrived = clock::now();
        let deadline = arrived.saturating_add(u64::try_from(max_delay.as_nanos()).unwrap_or(u64::MAX));
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        let mut turn = Turn { queues: self, engine, keys, ticket, wake: Arc::new(Notify::new()), at: None };
        loop {
            let (behind, ahead) = turn.ahead();
            let wish = if behind.is_none() { Wish::TRY } else { Wish { mode: "ask", ahead } };
            let answer = engine.ask(keys, wish).await?;
            let now = clock::now();
            let refused = match answer {
                Answer::Refused(refused) => refused,
                // There is room for those ahead, too: it comes right after them.
                Answer::Open => Refused { rule: behind.unwrap_or(0), used: 0, closed: false, wait: 0 },
                answer => {
                    let waited = turn.at.as_ref().map_or(Duration::ZERO, |_| Duration::from_nanos(now - arrived));
                    return Ok((answer, waited));
                }
            };
            let opens = now.saturating_add(refused.wait.saturating_mul(1000));
            if now >= deadline || opens > deadline || !turn.enqueue(refused.rule, max_queued) {
                turn.count("refused", &engine.counts.refused, refused.rule);
                return Ok((Answer::Refused(refused), Duration::ZERO));
            }
            let until = if turn.ahead().0.is_none() { opens.min(now + nanos(AGAIN)) } else { deadline };
            tokio::select! {
                () = turn.wake.notified() => {}
                () = sleep(Duration::from_nanos(until.saturating_sub(now))) => {}
            }
        }
    }
}

/// A request that waits. Dropping it leaves the queue.
struct Turn<'a> {
    queues: &'a Queues,
    engine: &'a Arc<Engine>,
    keys: &'a Arc<Keys>,
    ticket: u64,
    wake: Arc<Notify>,
    at: Option<Name>,
}

impl Turn<'_> {
    /// The queue in which it is behind others, and the requests and paginated requests ahead in the longest such queue.
    fn ahead(&self) -> (Option<usize>, (u64, u64)) {
        let queues = self.queues.queues.lock();
        let mut most = (None, (0, 0));
        if queues.is_empty() {
            return most;
        }
        for rule in 0..self.engine.node.plan.rules.len() {
            let Some(queue) = queues.get(&self.name(rule)) else { continue };
            let mut ahead = (0, 0);
            for waiter in queue.iter().take_while(|waiter| waiter.ticket < self.ticket) {
                if waiter.paginated { ahead.1 += 1 } else { ahead.0 += 1 }
            }
            if ahead != (0, 0) && (most.0.is_none() || ahead.0 + ahead.1 > most.1.0 + most.1.1) {
                most = (Some(rule), ahead);
            }
        }
        most
    }

    fn name(&self, rule: usize) -> Name {
        let kind = self.engine.node.plan.rules[rule].kind;
        (rule, format!("{} {}", self.keys.tag(), self.keys.digest(kind)))
    }

    /// Queues at a rule's key, in order of arrival; `false` if the queue is full.
    fn enqueue(&mut self, rule: usize, max_queued: usize) -> bool {
        let name = self.name(rule);
        if self.at.as_ref() == Some(&name) {
            return true;
        }
        {
            let mut queues = self.queues.queues.lock();
            let queue = queues.entry(name.clone()).or_default();
            if self.at.is_none() && queue.len() >= max_queued {
                return false;
            }
            let index = queue.partition_point(|other| other.ticket < self.ticket);
            let waiter = Waiter { ticket: self.ticket, paginated: self.keys.paginated, wake: Arc::clone(&self.wake) };
            queue.insert(index, waiter);
        }
        if self.at.is_none() {
            self.count("delayed", &self.engine.counts.delayed, rule);
        }
        let left = self.at.replace(name);
        self.leave(left);
        true
    }

    /// Leaves a queue and wakes its new first.
    fn leave(&self, name: Option<Name>) {
        let Some(name) = name else { return };
        let mut queues = self.queues.queues.lock();
        let Some(queue) = queues.get_mut(&name) else { return };
        queue.retain(|waiter| waiter.ticket != self.ticket);
        match queue.front() {
            Some(first) => first.wake.notify_one(),
            None => drop(queues.remove(&name)),
        }
    }

    /// Counts here, and for the fleet.
    fn count(&self, what: &str, counts: &[AtomicU64], rule: usize) {
        counts[rule].fetch_add(1, Ordering::Relaxed);
        self.engine.count(self.keys, what, rule);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let left = self.at.take();
        self.leave(left);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Engine {
    /// Counts for all nodes, in the background.
    fn count(self: &Arc<Self>, keys: &Keys, what: &str, rule: usize) {
        let link = self.link();
        let Some(generation) = link.generation() else { return };
        let rule = &self.node.plan.rules[rule];
        let key = self.node.statistics(keys, rule.kind, &generation);
        link.settlements.push(Settlement::Count(key, format!("{what} {}", rule.name), self.node.plan.lives(rule.kind)));
    }
}
