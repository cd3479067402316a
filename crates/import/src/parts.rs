//! The messages of a WebSocket as exchanges.

use std::{iter::Peekable, vec};

use nightaudit_exchange::{Body, Exchange, Message, Omitted, Outcome, Request, TimesUs, WebSocket};

use crate::foreign::{Maker, Messages};

/// The most messages, and bytes of them, in one exchange.
const PART: (usize, usize) = (1_000, 1 << 20);

/// The parts of a WebSocket, made one by one: each repeats the URL, which may be long.
#[derive(Debug)]
pub(crate) struct Parts {
    handshake: Exchange,
    list: Peekable<vec::IntoIter<Message>>,
    ended: bool,
    made: u32,
}

impl Parts {
    /// Those of a handshake's connection.
    pub(crate) fn new(handshake: &Exchange, messages: Messages) -> Self {
        let Messages { list, ended } = messages;
        Self { handshake: without_messages(handshake), list: list.into_iter().peekable(), ended, made: 0 }
    }

    /// The next one.
    pub(crate) fn next(&mut self, maker: &mut Maker) -> Option<Exchange> {
        if self.list.peek().is_none() && (self.made > 0 || !self.ended) {
            return None;
        }
        let mut held = Vec::new();
        let mut bytes = 0;
        while let Some(message) = self.list.next_if(|_| held.len() < PART.0 && bytes < PART.1) {
            bytes += message.body.bytes.len();
            held.push(message);
        }
        let handshake = &self.handshake;
        let started = held.first().map_or(handshake.started_at, |message| message.time);
        let end = held.last().map_or(started, |message| message.time).since(started);
        let response_end = Some(u64::try_from(end.as_micros()).unwrap_or(u64::MAX));
        self.made = self.made.saturating_add(1);
        Some(Exchange {
            id: maker.id_at(started),
            started_at: started,
            times_us: TimesUs { forwarded: None, response_head: None, response_end },
            web_socket: Some(WebSocket {
                handshake: handshake.id,
                part: self.made,
                messages: held,
                omitted: Omitted::default(),
                unreadable_bytes: 0,
                ended: self.ended && self.list.peek().is_none(),
            }),
            ..handshake.clone()
        })
    }

    /// How much memory those take that aren't made yet.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        let bytes: usize = self.list.clone().map(|message| message.body.bytes.len()).sum();
        self.handshake.memory() + self.list.len() * size_of::<Message>() + bytes
    }
}

/// What the parts repeat of their handshake.
pub(crate) fn without_messages(handshake: &Exchange) -> Exchange {
    let Request { method, url, http_version, .. } = &handshake.request;
    let (method, url, http_version) = (method.clone(), url.clone(), http_version.clone());
    Exchange {
        operation: handshake.operation.clone(),
        session_name: handshake.session_name.clone(),
        environment: handshake.environment.clone(),
        envelope: handshake.envelope.clone(),
        request: Request { method, url, http_version, headers: Vec::new(), body: Body::empty() },
        response: None,
        limit: handshake.limit.clone(),
        outcome: Outcome::Answered,
        error: None,
        web_socket: None,
        destination: handshake.destination.clone(),
        fault: handshake.fault.clone(),
        recorded_by: handshake.recorded_by.clone(),
        notes: Vec::new(),
        ..*handshake
    }
}
