//! What Mews tells the integration by itself, in webhooks and over WebSockets, and what the integration makes of it.

mod delivery;
mod handling;
mod kinds;
mod sockets;

use nightaudit_exchange::{Digest, Direction, Exchange, Timestamp};
use nightaudit_mews::WebhookEvents;

use crate::{
    fact::Fact,
    findings::Findings,
    order::on_clock,
    review::{EventChannel, EventsReview, Run, WebhookReview},
};
use delivery::{Deliveries, Delivery};
pub(crate) use handling::Message;
use handling::{Handling, id_of};
use kinds::{KindNo, Kinds};
pub(crate) use sockets::Reconnect;
use sockets::{CatchUps, Sockets};

/// Follows webhooks, WebSockets and the calls after them.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventsPart {
    webhooks: WebhookReview,
    deliveries: Deliveries,
    kinds: Kinds,
    sockets: Sockets,
    handling: Handling,
    catch_ups: CatchUps,
    /// Hours from one run to the next, if the declaration names a schedule.
    every_hours: Option<u8>,
}

impl EventsPart {
    /// Sets the declared schedule, in hours from one run to the next.
    pub(crate) fn set_every_hours(&mut self, every_hours: Option<u8>) {
        self.every_hours = every_hours;
        self.handling.set_every_hours(every_hours);
    }

    /// Takes a webhook, and returns its message to be put in order.
    pub(crate) fn webhook(&mut self, exchange: &Exchange, offset: i64) -> Option<Message> {
        let body = exchange.request.body.decoded().0;
        let events = WebhookEvents::read(&body);
        // Anybody can send something to the port.
        if exchange.request.method != "POST" || events.iter().next().is_none() {
            self.webhooks.others += 1;
            return None;
        }
        let delivery = Delivery::of(exchange);
        self.deliveries.note(exchange, &delivery);
        let [accepted, late, failed] = match delivery {
            Delivery::Accepted => [1, 0, 0],
            Delivery::AcceptedLate | Delivery::Late => [0, 1, 0],
            Delivery::Failed(_) => [0, 0, 1],
            Delivery::Unknown => [0, 0, 0],
        };
        self.webhooks.received += 1;
        self.webhooks.accepted += accepted;
        self.webhooks.late += late;
        self.webhooks.failed += failed;
        let events = self.number(&events, EventChannel::Webhook);
        for (kind, _) in &events {
            if let Some(tally) = self.kinds.tally(*kind) {
                tally.accepted += accepted;
                tally.late += late;
                tally.failed += failed;
            }
        }
        Some(Message {
            exchange: exchange.id,
            sequence: exchange.sequence,
            at: on_clock(exchange.started_at.micros(), offset),
            recorded: exchange.started_at,
            is_webhook: true,
            digest: short(exchange.request.body.sha256),
            is_accepted: delivery.is_accepted(),
            events,
        })
    }

    /// Takes the messages of a WebSocket, and returns those with events to be put in order.
    pub(crate) fn socket_messages(&mut self, exchange: &Exchange, offset: i64) -> Vec<Message> {
        let Some(part) = &exchange.web_socket else { return Vec::new() };
        let received = part.messages.iter().filter(|message| message.direction == Direction::Receive);
        let messages = received.filter_map(|message| {
            let events = WebhookEvents::read(&message.body.decoded().0);
            let events = self.number(&events, EventChannel::WebSocket);
            let time: Timestamp = message.time;
            (!events.is_empty()).then(|| Message {
                exchange: exchange.id,
                sequence: exchange.sequence,
                at: on_clock(time.micros(), offset),
                recorded: time,
                is_webhook: false,
                digest: short(message.body.sha256),
                is_accepted: true,
                events,
            })
        });
        messages.collect()
    }

    /// Takes the next request of the integration, or part of a WebSocket, in the order of the record, and returns a
    /// reconnect to be put in order.
    pub(crate) fn note(&mut self, exchange: &Exchange, offset: i64) -> Option<Reconnect> {
        self.sockets.note(exchange, offset)
    }

    /// Takes the next message in the order of arrival.
    pub(crate) fn follow_message(&mut self, message: &Message) {
        self.handling.message(message, &mut self.kinds);
    }

    /// Takes the next reconnect, likewise.
    pub(crate) fn follow_reconnect(&mut self, reconnect: &Reconnect) {
        self.catch_ups.reconnect(reconnect);
    }

    /// Takes the next call in the order of sending.
    pub(crate) fn follow(&mut self, fact: &Fact) {
        self.handling.follow(fact, &mut self.kinds);
        self.catch_ups.follow(fact);
    }

    /// Counts events, and returns the type and the id of each.
    fn number(&mut self, events: &WebhookEvents, channel: EventChannel) -> Box<[(KindNo, u32)]> {
        let numbered = events.iter().map(|(event, id)| {
            let kind = self.kinds.number(event, channel);
            if let Some(tally) = self.kinds.tally(kind) {
                tally.received += 1;
            }
            (kind, id_of(id))
        });
        numbered.collect()
    }

    /// Raises what was found; what a call could disprove only if no call is missing or filtered out.
    pub(crate) fn report(self, run: &Run, findings: &mut Findings<'_>) -> EventsReview {
        // Without any, the calls may be in another session: webhooks come to the one that is recorded by default.
        let is_complete = run.missing == 0 && !run.filtered && run.exchanges > 0;
        self.deliveries.report(findings);
        let kinds = self.kinds.report(is_complete.then(|| self.handling.patience()), findings);
        self.handling.report(findings);
        // What runs on a schedule needn't be connected in between.
        let sockets = self.sockets.report(is_complete && self.every_hours.is_none(), findings);
        self.catch_ups.report(is_complete, findings);
        let webhooks = WebhookReview { accepted_later: self.deliveries.accepted_later, ..self.webhooks };
        EventsReview { webhooks, sockets, kinds }
    }
}

/// Enough of a digest to know a message again.
fn short(digest: Digest) -> u64 {
    digest.0.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte))
}
