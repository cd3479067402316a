//! What the integration did after each event, in the order of sending.

use std::collections::{BTreeMap, VecDeque};

use nightaudit_exchange::{ExchangeId, Timestamp};
use smallvec::SmallVec;

use super::kinds::{KindNo, Kinds};
use crate::{
    body::Hashes,
    fact::Fact,
    findings::{Findings, counted_as},
    names::TokenNo,
    order::process_of,
};

/// How long a call may come after an event that it follows, in seconds: an hour, for integrations that gather.
const PATIENCE_S: u64 = 3600;

/// How long after an event its entity's calls count as for it, and an event after a change as its consequence, in
/// microseconds: 10 minutes. Webhooks lag by up to 5 ("Ways to communicate").
const TOGETHER: i64 = 600_000_000;

/// The time within which the same call is a repetition, in microseconds: a minute.
const AGAIN: i64 = 60_000_000;

/// The most events that wait for a call.
const MOST_WAITING: usize = 4096;

/// The most entities whose calls are followed, and calls of each.
const MOST_ENTITIES: usize = 256;
const MOST_CALLS: usize = 8;

/// The most resources whose changes are noted: more than Mews has.
const MOST_RESOURCES: usize = 256;

/// A message with events, as it passed.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(super) exchange: ExchangeId,
    pub(super) sequence: u64,
    /// When it arrived: microseconds on the corrected clock.
    pub(super) at: i64,
    pub(super) recorded: Timestamp,
    pub(super) is_webhook: bool,
    /// Equal for the same message sent again.
    pub(super) digest: u64,
    /// Whether the integration has it, as far as known.
    pub(super) is_accepted: bool,
    /// The type and the id of each event; 0 for no id.
    pub(super) events: Box<[(KindNo, u32)]>,
}

impl Message {
    /// The time and the sequence.
    pub(crate) fn key(&self) -> (i64, u64) {
        (self.at, self.sequence)
    }
}

/// Matches events with the calls after them.
#[derive(Debug, Clone, Default)]
pub(super) struct Handling {
    /// Events that no call has followed yet, in the order of their time.
    waiting: VecDeque<Waiting>,
    entities: VecDeque<Entity>,
    /// When the integration itself last changed something, by resource.
    changed: BTreeMap<u64, i64>,
    /// The processes that recorded the latest call and the latest webhook: their ids are made apart.
    processes: [Option<u64>; 2],
    /// Events beyond the bound.
    unfollowed: u64,
    /// Hours from one run to the next, if the declaration names a schedule.
    every_hours: Option<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    at: i64,
    kind: KindNo,
    resource: u64,
    id: u32,
    /// Whether the integration's own change may have caused it.
    is_own: bool,
    exchange: ExchangeId,
    recorded: Timestamp,
}

/// An entity that an event was about, and the calls that fetched it since.
#[derive(Debug, Clone)]
struct Entity {
    kind: KindNo,
    resource: u64,
    id: u32,
    /// The latest message about it.
    message: u64,
    is_accepted: bool,
    /// When that came, the last time.
    since: i64,
    calls: SmallVec<[Call; 2]>,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    question: u64,
    token: TokenNo,
    at: i64,
    /// Whether the message came again after it.
    is_answered_again: bool,
}

impl Handling {
    /// Sets the declared schedule, in hours from one run to the next.
    pub(super) fn set_every_hours(&mut self, every_hours: Option<u8>) {
        self.every_hours = every_hours;
    }

    /// How long a call may come after an event, in seconds. A scheduled run may be late by a tenth.
    pub(super) fn patience(&self) -> u64 {
        PATIENCE_S.max(self.every_hours.map_or(0, |hours| u64::from(hours) * 3960))
    }

    /// Takes the next message in the order of arrival.
    pub(super) fn message(&mut self, message: &Message, kinds: &mut Kinds) {
        self.restarted(message.exchange, usize::from(message.is_webhook));
        self.expire(message.at, kinds);
        for (kind, id) in &message.events {
            let Some(resource) = kinds.resource(*kind) else { continue };
            // Its own changes are announced to it, too, and need not be fetched.
            let is_own = self.changed.get(&resource).is_some_and(|changed| message.at - changed <= TOGETHER);
            if message.is_accepted {
                if self.waiting.len() < MOST_WAITING {
                    self.waiting.push_back(Waiting {
                        at: message.at,
                        kind: *kind,
                        resource,
                        id: *id,
                        is_own,
                        exchange: message.exchange,
                        recorded: message.recorded,
                    });
                } else {
                    self.unfollowed += 1;
                }
            }
            if *id != 0 {
                self.entity(message, *kind, resource, *id);
            }
        }
    }

    fn entity(&mut self, message: &Message, kind: KindNo, resource: u64, id: u32) {
        let is_it = |own: &Entity| own.id == id && own.resource == resource;
        if let Some(entity) = self.entities.iter_mut().find(|own| is_it(own)) {
            if entity.message == message.digest && entity.is_accepted {
                // The second event of one message about the same entity, too.
                let is_again = message.at > entity.since;
                entity.calls.iter_mut().for_each(|call| call.is_answered_again |= is_again);
            } else {
                entity.calls.clear();
            }
            (entity.message, entity.is_accepted, entity.since) = (message.digest, message.is_accepted, message.at);
            return;
        }
        if self.entities.len() >= MOST_ENTITIES {
            self.entities.pop_front();
        }
        self.entities.push_back(Entity {
            kind,
            resource,
            id,
            message: message.digest,
            is_accepted: message.is_accepted,
            since: message.at,
            calls: SmallVec::new(),
        });
    }

    /// Takes the next call in the order of sending.
    pub(super) fn follow(&mut self, fact: &Fact, kinds: &mut Kinds) {
        self.restarted(fact.id, 0);
        if !fact.family.is_read
            && fact.succeeded()
            && (self.changed.len() < MOST_RESOURCES || self.changed.contains_key(&fact.family.resource))
        {
            self.changed.insert(fact.family.resource, fact.at);
        }
        if self.waiting.is_empty() && self.entities.is_empty() {
            return;
        }
        self.expire(fact.at, kinds);
        let (resource, ids) = (fact.family.resource, &fact.intent.subject.ids);
        // Only the first ids are known.
        let names = |id: u32| id != 0 && (ids.contains(id) || ids.is_full());
        // An attempt will do: whether it succeeds is judged as any other call.
        self.waiting.retain(|event| {
            let is_followed =
                event.at <= fact.at && (fact.family.is_read && event.resource == resource || names(event.id));
            if is_followed && let Some(tally) = kinds.tally(event.kind) {
                tally.followed += 1;
            }
            !is_followed
        });
        if fact.succeeded() {
            self.fetched(fact, kinds);
        }
    }

    /// Finds entities that were fetched again, or changed.
    fn fetched(&mut self, fact: &Fact, kinds: &mut Kinds) {
        let (resource, ids) = (fact.family.resource, &fact.intent.subject.ids);
        self.entities.retain(|entity| fact.at - entity.since <= TOGETHER);
        for entity in &mut self.entities {
            let is_named = ids.contains(entity.id);
            if !fact.family.is_read {
                if is_named || entity.resource == resource {
                    entity.calls.clear();
                }
                continue;
            }
            if !is_named || entity.resource != resource {
                continue;
            }
            let question = fact.intent.question ^ fact.cursor.rotate_left(1);
            let is_it = |call: &&mut Call| call.question == question && call.token == fact.access_token;
            if let Some(call) = entity.calls.iter_mut().find(is_it) {
                if (call.is_answered_again || fact.at - call.at <= AGAIN)
                    && let Some(tally) = kinds.tally(entity.kind)
                {
                    tally.fetched_again.add(fact.id, fact.recorded_at());
                }
                (call.at, call.is_answered_again) = (fact.at, false);
            } else if entity.calls.len() < MOST_CALLS {
                let token = fact.access_token;
                entity.calls.push(Call { question, token, at: fact.at, is_answered_again: false });
            }
        }
    }

    /// Counts the events that have waited too long.
    fn expire(&mut self, now: i64, kinds: &mut Kinds) {
        let patience = i64::try_from(self.patience() * 1_000_000).unwrap_or(i64::MAX);
        while let Some(event) = self.waiting.front().copied().filter(|event| now - event.at > patience) {
            self.waiting.pop_front();
            if let Some(tally) = kinds.tally(event.kind).filter(|_| !event.is_own) {
                tally.not_followed.add(event.exchange, event.recorded);
            }
        }
    }

    /// Forgets what was waiting if nightaudit was started again: what the integration did in between is unknown.
    fn restarted(&mut self, id: ExchangeId, which: usize) {
        let process = process_of(id);
        if self.processes[which].replace(process).is_some_and(|before| before != process) {
            self.waiting.clear();
            self.entities.clear();
        }
    }

    pub(super) fn report(&self, findings: &mut Findings<'_>) {
        if self.unfollowed > 0 {
            let events = counted_as(self.unfollowed, "event was", "events were");
            findings.bounds.push(format!("whether {events} followed by a call was not checked"));
        }
    }
}

/// The id of an entity as the ids of calls are kept; 0 for none.
pub(super) fn id_of(id: Option<&str>) -> u32 {
    id.filter(|id| !id.is_empty()).map_or(0, |id| Hashes::key(crate::body::hash(id.as_bytes())))
}
