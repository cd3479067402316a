//! The messages of a WebSocket.

use maud::{Markup, html};
use nightaudit_exchange::{Direction, Message, WebSocket};
use nightaudit_mews::API;

use super::{
    body::show,
    figures::{by_number, clock, counted, size, time},
};

/// Maximum messages shown per part.
const MAX_MESSAGES: usize = 200;

/// Renders the part's messages with at most `room` bytes of bodies; returns how many bytes they took.
pub(super) fn messages(part: &WebSocket, room: usize) -> (Markup, usize) {
    let (mut shown, mut taken) = (Vec::new(), 0);
    for message in part.messages.iter().take(MAX_MESSAGES) {
        if taken >= room {
            break;
        }
        let (text, more) = show(&message.body, room - taken);
        taken += more;
        shown.push((message, text));
    }
    let left = (part.messages.len() - shown.len()) as u64;
    let markup = html! {
        p.line { "Part " (part.part) " of the WebSocket opened by exchange " code { (part.handshake) } @if part.ended { "; it closed in this part" } "." }
        @for (message, text) in &shown {
            section.message {
                h3 { (direction(message)) " " span.dim title=(time(message.time)) { (clock(message.time)) ", " (kind(message)) ", " (size(message.body.length)) } }
                @if message.body.length > 0 { (text) }
            }
        }
        @if shown.is_empty() && left == 0 { p.none { "No messages." } }
        @if left > 0 { p.omitted { (counted(left, "more message is", "more messages are")) " omitted here; " code { "exchanges.ndjson" } " of the bundle has all that was recorded." } }
        @if !part.omitted.is_none() { p.omitted { (counted(part.omitted.messages, "message", "messages")) " (" (size(part.omitted.bytes)) ") " (by_number(part.omitted.messages, "was", "were")) " forwarded but not recorded." } }
        @if part.unreadable_bytes > 0 { p.omitted { (size(part.unreadable_bytes)) " were not valid WebSocket frames." } }
    };
    (markup, taken)
}

fn direction(message: &Message) -> String {
    match message.direction {
        Direction::Send => format!("Client to {}", API.name),
        Direction::Receive => format!("{} to client", API.name),
    }
}

fn kind(message: &Message) -> String {
    match message.opcode {
        1 => "text".to_owned(),
        2 => "binary".to_owned(),
        8 => "close".to_owned(),
        9 => "ping".to_owned(),
        10 => "pong".to_owned(),
        other => format!("opcode {other}"),
    }
}
