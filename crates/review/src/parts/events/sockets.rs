//! WebSockets: when they were open, and what was fetched after a reconnect.

use std::collections::{BTreeMap, VecDeque};

use nightaudit_exchange::{Exchange, ExchangeId, FailureKind, Pseudonym, Timestamp};
use nightaudit_mews::Environment;

use crate::{
    body::hash,
    fact::Fact,
    findings::{Findings, by_number, count_of, counted_as, span},
    order::{on_clock, process_of},
    review::{Evidence, SocketReview},
    rule::Rule,
};

/// How long a WebSocket may be closed, in microseconds: a minute.
const GAP: i64 = 60_000_000;

/// How long after a reconnect there must be a call, in microseconds: 10 minutes.
const CATCH_UP: i64 = 600_000_000;

/// The resources of WebSocket events.
const RESOURCES: [&str; 4] = ["commands", "reservations", "resources", "rates"];

/// The most access tokens whose WebSockets are followed.
const MOST: usize = 100;

/// The most reconnects that wait for a call.
const MOST_RECONNECTS: usize = 1024;

/// Follows the WebSockets in the order of the record.
#[derive(Debug, Clone, Default)]
pub(super) struct Sockets {
    sockets: BTreeMap<Option<Pseudonym>, Socket>,
    process: Option<u64>,
    /// The end of the latest exchange, on the corrected clock.
    latest: i64,
    /// WebSockets beyond the bound.
    unfollowed: u64,
}

/// The WebSockets of a token.
#[derive(Debug, Clone, Default)]
struct Socket {
    connections: u64,
    /// How many are open, and since when at least one.
    open: u32,
    since: i64,
    /// When the last one ended, and its exchange.
    ended: Option<(i64, ExchangeId, Timestamp)>,
    open_us: i64,
    closed_us: i64,
    gaps: Evidence,
    longest: i64,
}

/// A WebSocket that was opened after an earlier one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reconnect {
    exchange: ExchangeId,
    sequence: u64,
    at: i64,
    recorded: Timestamp,
}

impl Reconnect {
    /// The time and the sequence.
    pub(crate) fn key(&self) -> (i64, u64) {
        (self.at, self.sequence)
    }
}

impl Sockets {
    /// Takes the next request of the integration, or part of a WebSocket.
    pub(super) fn note(&mut self, exchange: &Exchange, offset: i64) -> Option<Reconnect> {
        let process = process_of(exchange.id);
        if self.process.replace(process).is_some_and(|before| before != process) {
            // nightaudit was started again. Whatever was open has ended with it.
            let latest = self.latest;
            self.sockets.values_mut().for_each(|socket| socket.settle(latest));
        }
        let end = on_clock(exchange.started_at.plus(exchange.duration()).micros(), offset);
        self.latest = self.latest.max(end);
        let has_ended = exchange.web_socket.as_ref().is_some_and(|part| part.ended);
        let is_opened = exchange.web_socket.is_none()
            && exchange.operation == Environment::EVENTS_PATH
            && exchange.status() == Some(101);
        if !has_ended && !is_opened {
            return None;
        }
        let token = exchange.envelope.access_token;
        if self.sockets.len() >= MOST && !self.sockets.contains_key(&token) {
            self.unfollowed += u64::from(is_opened);
            return None;
        }
        if has_ended {
            self.sockets.get_mut(&token)?.close(exchange, end);
            return None;
        }
        self.sockets.entry(token).or_default().open(exchange, end).then_some(Reconnect {
            exchange: exchange.id,
            sequence: exchange.sequence,
            at: end,
            recorded: exchange.started_at,
        })
    }

    pub(super) fn report(mut self, is_complete: bool, findings: &mut Findings<'_>) -> Vec<SocketReview> {
        let (mut gaps, mut longest) = (Evidence::default(), 0);
        let mut reviews = Vec::new();
        for (token, socket) in &mut self.sockets {
            socket.settle(self.latest);
            gaps.merge(&socket.gaps);
            longest = longest.max(socket.longest);
            reviews.push(SocketReview {
                access_token: *token,
                connections: socket.connections,
                open_s: seconds(socket.open_us),
                closed_s: seconds(socket.closed_us),
                gaps: socket.gaps.count,
                longest_gap_s: seconds(socket.longest),
            });
        }
        if gaps.count > 0 && is_complete {
            let message = format!(
                "No WebSocket was open {}, for up to {}.",
                count_of(gaps.count, "time"),
                span(seconds(longest))
            );
            findings.raise(Rule::EventsSocketGap, None, message, &gaps);
        }
        if self.unfollowed > 0 {
            let sockets = count_of(self.unfollowed, "WebSocket");
            let were = by_number(self.unfollowed, "was", "were");
            findings.bounds.push(format!("{sockets} of tokens beyond the first {MOST} {were} not followed"));
        }
        reviews
    }
}

impl Socket {
    /// Notes a connection, and returns whether it is a reconnect.
    fn open(&mut self, exchange: &Exchange, at: i64) -> bool {
        let is_reconnect = self.open == 0 && self.connections > 0;
        if self.open == 0 {
            if let Some((ended, ..)) = self.ended.take() {
                self.closed(at - ended, exchange.id, exchange.started_at);
            }
            self.since = at;
        }
        self.open += 1;
        self.connections += 1;
        is_reconnect
    }

    fn close(&mut self, exchange: &Exchange, at: i64) {
        if self.open == 0 {
            return;
        }
        self.open -= 1;
        if self.open == 0 {
            self.open_us += (at - self.since).max(0);
            // nightaudit itself ends them when it is stopped.
            let is_own = exchange.error.as_ref().is_some_and(|failure| failure.kind == FailureKind::Interrupted);
            self.ended = (!is_own).then_some((at, exchange.id, exchange.started_at));
        }
    }

    fn closed(&mut self, for_us: i64, exchange: ExchangeId, at: Timestamp) {
        self.closed_us += for_us.max(0);
        if for_us > GAP {
            self.gaps.add(exchange, at);
            self.longest = self.longest.max(for_us);
        }
    }

    /// Ends what is open, or closed, at this time.
    fn settle(&mut self, at: i64) {
        if self.open > 0 {
            self.open_us += (at - self.since).max(0);
        } else if let Some((ended, exchange, recorded)) = self.ended {
            self.closed(at - ended, exchange, recorded);
        }
        (self.open, self.ended) = (0, None);
    }
}

fn seconds(micros: i64) -> u64 {
    u64::try_from(micros / 1_000_000).unwrap_or(0)
}

/// Follows what is fetched after reconnects, in the order of sending.
#[derive(Debug, Clone, Default)]
pub(super) struct CatchUps {
    waiting: VecDeque<Reconnect>,
    process: Option<u64>,
    missed: Evidence,
    unfollowed: u64,
}

impl CatchUps {
    pub(super) fn reconnect(&mut self, reconnect: &Reconnect) {
        self.time(reconnect.exchange, reconnect.at);
        if self.waiting.len() < MOST_RECONNECTS {
            self.waiting.push_back(*reconnect);
        } else {
            self.unfollowed += 1;
        }
    }

    pub(super) fn follow(&mut self, fact: &Fact) {
        self.time(fact.id, fact.at);
        let is_it = || RESOURCES.iter().any(|own| fact.family.resource == hash(own.as_bytes()));
        if !self.waiting.is_empty() && fact.family.is_read && is_it() {
            self.waiting.retain(|reconnect| reconnect.at > fact.at);
        }
    }

    fn time(&mut self, id: ExchangeId, now: i64) {
        let process = process_of(id);
        if self.process.replace(process).is_some_and(|before| before != process) {
            self.waiting.clear();
        }
        while let Some(reconnect) = self.waiting.front().copied().filter(|own| now - own.at > CATCH_UP) {
            self.waiting.pop_front();
            self.missed.add(reconnect.exchange, reconnect.recorded);
        }
    }

    pub(super) fn report(&self, is_complete: bool, findings: &mut Findings<'_>) {
        if self.missed.count > 0 && is_complete {
            let message =
                format!("{} followed by no call within 10 minutes.", count_of(self.missed.count, "reconnect"));
            findings.raise(Rule::EventsSocketNoCatchUp, None, message, &self.missed);
        }
        if self.unfollowed > 0 {
            let reconnects = counted_as(self.unfollowed, "reconnect was", "reconnects were");
            findings.bounds.push(format!("whether {reconnects} followed by a call was not checked"));
        }
    }
}
