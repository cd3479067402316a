//! Flow files of mitmproxy, flow by flow.
//!
//! A file is a sequence of flows, each a dictionary as a typed netstring. The names of its keys changed from version to
//! version, which is why each is looked up by all the names that it has had: those of the versions 0.9 to 3.0, which are
//! tuples, and of the numbers 4 to 21.

mod convert;
mod tnetstring;

use std::{collections::VecDeque, io};

use nightaudit_exchange::{Digest, Exchange};

pub(crate) use self::convert::Read;
use self::{
    convert::Rejected,
    tnetstring::{Item, MAX_DIGITS, length},
};
use crate::{
    Place,
    error::{Damage, Failed},
    input::Input,
    parts::without_messages,
};

/// The longest flow, in bytes.
const MAX_FLOW: usize = 192 << 20;
/// How many bytes are searched in vain, in all, before the rest of a damaged file is given up.
const MAX_WASTED: u64 = 4 << 30;
/// The most handshakes, and bytes of memory, remembered for the messages that follow them, in files before version 12.
const HANDSHAKES: (usize, usize) = (256, 32 << 20);

/// The flows of a file.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    /// The number of the last flow, from 1.
    number: u64,
    ended: bool,
    /// The handshakes whose messages are flows of their own, by the ids of their flows.
    handshakes: VecDeque<(Digest, Exchange)>,
    /// How much memory they take.
    handshake_bytes: usize,
    left_out: VecDeque<Digest>,
    /// Bytes that were searched in vain for flows behind damaged ones.
    wasted: u64,
}

impl Flows {
    /// Remembers the exchange of a handshake, as far as its parts repeat it.
    pub(crate) fn note_handshake(&mut self, id: &str, exchange: &Exchange) {
        let exchange = without_messages(exchange);
        self.handshake_bytes += exchange.memory();
        self.handshakes.push_back((Digest::of(id.as_bytes()), exchange));
        while self.handshakes.len() > HANDSHAKES.0 || self.handshake_bytes > HANDSHAKES.1 {
            let Some((_, oldest)) = self.handshakes.pop_front() else { break };
            self.handshake_bytes -= oldest.memory();
        }
    }

    /// The exchange of a handshake, which has one set of messages.
    pub(crate) fn take_handshake(&mut self, id: &str) -> Option<Exchange> {
        let id = Digest::of(id.as_bytes());
        let at = self.handshakes.iter().position(|(known, _)| *known == id)?;
        let (_, exchange) = self.handshakes.remove(at)?;
        self.handshake_bytes -= exchange.memory();
        Some(exchange)
    }

    /// Remembers that a handshake was left out.
    pub(crate) fn leave_out(&mut self, id: &str) {
        if self.left_out.len() == HANDSHAKES.0 {
            self.left_out.pop_front();
        }
        self.left_out.push_back(Digest::of(id.as_bytes()));
    }

    /// Whether the handshake was left out.
    pub(crate) fn was_left_out(&self, id: &str) -> bool {
        self.left_out.contains(&Digest::of(id.as_bytes()))
    }

    /// The damage of the flow read last.
    pub(crate) fn damage(&self, offset: u64, reason: String) -> Failed {
        Failed::Damage(Damage { place: Place::Flow(self.number), offset, reason })
    }

    pub(crate) fn next(&mut self, input: &mut Input<'_>) -> Option<Result<Read, Failed>> {
        if self.ended {
            return None;
        }
        match self.read(input) {
            Ok(None) => {
                self.ended = true;
                None
            }
            Ok(Some(read)) => Some(Ok(read)),
            Err(failed) => Some(Err(failed)),
        }
    }

    fn read(&mut self, input: &mut Input<'_>) -> Result<Option<Read>, Failed> {
        if !input.require(1)? {
            return Ok(None);
        }
        self.number += 1;
        let offset = input.position();
        input.require(MAX_DIGITS + 1)?;
        let Some((length, begin)) = length(input.buffered()) else {
            self.ended = !self.find_flow(input)?;
            return Err(self.damage(offset, "it doesn't begin with its length".to_owned()));
        };
        if length > MAX_FLOW {
            self.ended = !self.find_flow(input)?;
            return Err(self.damage(offset, format!("it is longer than {MAX_FLOW} bytes, or its length is damaged")));
        }
        let whole = begin + length + 1;
        if !input.require(whole)? {
            self.ended = !self.find_flow(input)?;
            return Err(self.damage(offset, "the file ends within it, or its length is damaged".to_owned()));
        }
        let flow = Item::take(&input.buffered()[..whole]).map(|(flow, _)| flow);
        let Some(flow) = flow.filter(|flow| flow.is_dictionary()) else {
            self.ended = !self.find_flow(input)?;
            return Err(self.damage(offset, "it is no dictionary, or its length is damaged".to_owned()));
        };
        let read = convert::read(flow);
        input.advance(whole);
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Rejected::NotHttp) => Ok(Some(Read::NotHttp)),
            Err(Rejected::Damaged(reason)) => Err(self.damage(offset, reason)),
        }
    }

    /// Moves the position to the next flow behind a damaged one; `false` if there is none.
    ///
    /// A flow is told by its end: the byte as far behind its length as that says is a dictionary's, and its first key is one.
    fn find_flow(&mut self, input: &mut Input<'_>) -> io::Result<bool> {
        input.advance(1);
        loop {
            let Some(colon) = memchr::memchr(b':', input.buffered()) else {
                input.advance(input.buffered().len().saturating_sub(MAX_DIGITS));
                if !input.more()? {
                    return Ok(false);
                }
                continue;
            };
            let digits = input.buffered()[..colon]
                .iter()
                .rev()
                .take(MAX_DIGITS)
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            // The digits may follow those of what precedes; each shorter number might be the length.
            for digits in (1..=digits).rev() {
                if begins_flow(input, colon - digits, &mut self.wasted)? {
                    input.advance(colon - digits);
                    return Ok(true);
                }
            }
            input.advance(colon + 1);
            if self.wasted > MAX_WASTED {
                return Ok(false);
            }
        }
    }
}

/// Whether a flow begins so far behind the position.
fn begins_flow(input: &mut Input<'_>, at: usize, wasted: &mut u64) -> io::Result<bool> {
    /// The keys with which flows begin, and the shortest that one can be.
    const KEYS: [&[u8]; 16] = [
        b"version",
        b"type",
        b"id",
        b"error",
        b"client_conn",
        b"server_conn",
        b"intercepted",
        b"is_replay",
        b"marked",
        b"metadata",
        b"comment",
        b"timestamp_created",
        b"backup",
        b"request",
        b"response",
        b"mode",
    ];
    const SHORTEST: usize = 64;
    /// As far as the first key reaches.
    const REACH: usize = 64;
    input.require(at + REACH)?;
    let rest = &input.buffered()[at.min(input.buffered().len())..];
    let Some((length, begin)) = length(rest).filter(|(length, _)| (SHORTEST..=MAX_FLOW).contains(length)) else {
        return Ok(false);
    };
    let first = rest.get(begin..).and_then(Item::take).and_then(|(key, _)| key.bytes());
    if !first.is_some_and(|key| KEYS.contains(&key)) {
        return Ok(false);
    }
    *wasted += length as u64;
    if !input.require(at + begin + length + 1)? {
        return Ok(false);
    }
    let flow = Item::take(&input.buffered()[at..]).map(|(flow, _)| flow);
    // Requests and connections within a flow are dictionaries, too.
    Ok(flow.is_some_and(|flow| flow.is_dictionary() && flow.is_sound() && flow.get("type").is_some()))
}
