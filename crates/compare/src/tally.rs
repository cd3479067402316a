//! What is kept of an operation.

use std::{borrow::Cow, collections::BTreeMap};

use nightaudit_exchange::{Direction, Exchange, ExchangeId, Outcome, WebSocket};
use nightaudit_mews::Contracts;
use nightaudit_shape::{Room, Shape};
use serde::Deserialize;

use crate::{
    ending::Ending,
    findings::Findings,
    latency::Latencies,
    pages::{Cursors, Lists},
};

/// The most endings of an operation, statuses with a shape of their own, and messages.
const MOST_ENDINGS: usize = 64;
const MOST_SHAPES: usize = 16;
const MOST_MESSAGES: usize = 64;
/// The longest body of a failed response that is read for its message, and the longest message kept.
const LONGEST_ERROR: usize = 64 << 10;
const LONGEST_MESSAGE: usize = 300;

/// The opcode of a text message (RFC 6455, section 5.6).
const TEXT: u8 = 1;

/// An operation of one side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) first: Option<ExchangeId>,
    pub(crate) endings: BTreeMap<Ending, Counted>,
    /// By how the call ended, and the message without figures and ids.
    pub(crate) messages: BTreeMap<(Ending, Box<str>), Message>,
    pub(crate) latencies: Latencies,
    pub(crate) requests: Shape,
    pub(crate) responses: BTreeMap<u16, Shape>,
    pub(crate) received: Shape,
    pub(crate) sent: Shape,
    pub(crate) findings: Findings,
    pub(crate) lists: Lists,
    /// Calls with an ending, a status or a message beyond the bounds.
    pub(crate) unlisted: u64,
}

/// Calls, and the first of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) calls: u64,
    pub(crate) first: ExchangeId,
}

/// A message of failed calls.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) counted: Counted,
    /// As in the first of them.
    pub(crate) text: Box<str>,
}

/// What all operations of a side share.
pub(crate) struct Common<'c> {
    pub(crate) contracts: &'c Contracts,
    pub(crate) room: &'c mut Room,
    pub(crate) findings: &'c mut usize,
    pub(crate) cursors: &'c mut Cursors,
}

impl Tally {
    /// Notes a call; `number` is the operation's.
    pub(crate) fn note(&mut self, number: u32, exchange: &Exchange, common: &mut Common<'_>) {
        self.calls += 1;
        self.first.get_or_insert(exchange.id);
        let ending = Ending::of(exchange);
        self.end(ending, exchange.id);
        if Ending::is_delayed(exchange) {
            self.end(Ending::Delayed, exchange.id);
        }
        if ending.is_failure() {
            self.failed += 1;
        }
        if exchange.is_webhook() {
            // Mews sends the request; time and response are the integration's own.
            self.received.add(&exchange.request.body, exchange.id, common.room);
            return;
        }
        if ending.is_failure() {
            self.note_message(ending, exchange);
        }
        self.latencies.note(exchange);
        // A rejected request was never parsed.
        if exchange.outcome != Outcome::Rejected {
            self.requests.add(&exchange.request.body, exchange.id, common.room);
            self.findings.note(exchange, common.contracts, common.findings);
        }
        if let (Ending::Status(status), Some(response)) = (ending, &exchange.response) {
            if self.responses.len() < MOST_SHAPES || self.responses.contains_key(&status) {
                self.responses.entry(status).or_default().add(&response.body, exchange.id, common.room);
            } else {
                self.unlisted += 1;
            }
        }
        self.lists.note(number, exchange, common.cursors);
    }

    /// Notes messages of a WebSocket.
    pub(crate) fn note_messages(&mut self, part: &WebSocket, from: ExchangeId, room: &mut Room) {
        self.first.get_or_insert(from);
        for message in part.messages.iter().filter(|message| message.opcode == TEXT) {
            let shape = match message.direction {
                Direction::Receive => &mut self.received,
                Direction::Send => &mut self.sent,
            };
            shape.add(&message.body, from, room);
        }
    }

    fn end(&mut self, ending: Ending, id: ExchangeId) {
        if let Some(counted) = self.endings.get_mut(&ending) {
            counted.calls += 1;
        } else if self.endings.len() < MOST_ENDINGS {
            self.endings.insert(ending, Counted { calls: 1, first: id });
        } else {
            self.unlisted += 1;
        }
    }

    fn note_message(&mut self, ending: Ending, exchange: &Exchange) {
        let Ending::Status(_) = ending else { return };
        let Some(text) = message(exchange) else { return };
        let key = (ending, without_figures(&text));
        if let Some(own) = self.messages.get_mut(&key) {
            own.counted.calls += 1;
        } else if self.messages.len() < MOST_MESSAGES {
            let counted = Counted { calls: 1, first: exchange.id };
            self.messages.insert(key, Message { counted, text: text.into() });
        } else {
            self.unlisted += 1;
        }
    }

    /// How many calls ended this way.
    pub(crate) fn ended(&self, ending: Ending) -> u64 {
        self.endings.get(&ending).map_or(0, |counted| counted.calls)
    }

    /// All shapes.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = &Shape> {
        [&self.requests, &self.received, &self.sent].into_iter().chain(self.responses.values())
    }
}

/// Mews' message of a failed call; `None` if there is none.
fn message(exchange: &Exchange) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'b> {
        #[serde(borrow)]
        message: Option<Cow<'b, str>>,
    }

    let body = &exchange.response.as_ref()?.body;
    if body.bytes.len() > LONGEST_ERROR || body.withheld.is_some() {
        return None;
    }
    let (bytes, _) = body.decoded();
    let text = serde_json::from_slice::<Body<'_>>(&bytes).ok()?.message?;
    Some(text.chars().take(LONGEST_MESSAGE).collect())
}

/// A message without what differs from call to call: words with a digit in them, which are figures, times and ids.
fn without_figures(text: &str) -> Box<str> {
    let word =
        |word: &'_ str| if word.bytes().any(|byte| byte.is_ascii_digit()) { "#".to_owned() } else { word.to_owned() };
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_the_same_whatever_its_figures() {
        let one = without_figures("Reservation 3fa85f64-5717-4562-b3fc-2c963f66afa6 not found,  try in 3s.");
        assert_eq!(one, without_figures("Reservation 00000000-5717-4562-b3fc-2c963f66afa6 not found, try in 12s."));
        assert_ne!(one, without_figures("Customer 3fa85f64-5717-4562-b3fc-2c963f66afa6 not found, try in 3s."));
    }
}
