//! What was said over a WebSocket, message by message.

use maud::{Markup, html};
use nightaudit_exchange::{Direction, Message, WebSocket};

use super::{
    body::show,
    figures::{clock, counted, size, time},
};

/// The most messages of a part that are shown.
const MESSAGES: usize = 200;

/// The part's messages, in at most `room` bytes together; says how many they took.
pub(super) fn messages(part: &WebSocket, room: usize) -> (Markup, usize) {
    let (mut shown, mut taken) = (Vec::new(), 0);
    for message in part.messages.iter().take(MESSAGES) {
        if taken >= room {
            break;
        }
        let (text, more) = show(&message.body, room - taken);
        taken += more;
        shown.push((message, text));
    }
    let left = (part.messages.len() - shown.len()) as u64;
    let markup = html! {
        p.line { "Part " (part.part) " of what was said over the WebSocket that exchange " code { (part.handshake) } " opened" @if part.ended { "; it ended with this" } "." }
        @for (message, text) in &shown {
            section.message {
                h3 { (way(message)) " " span.dim title=(time(message.time)) { (clock(message.time)) ", " (kind(message)) ", " (size(message.body.length)) } }
                @if message.body.length > 0 { (text) }
            }
        }
        @if shown.is_empty() && left == 0 { p.none { "Nothing was said." } }
        @if left > 0 { p.cut { (counted(left, "more message is", "more messages are")) " left out here; " code { "exchanges.ndjson" } " of the bundle has all that was recorded." } }
        @if !part.omitted.is_none() { p.cut { (counted(part.omitted.messages, "message", "messages")) " (" (size(part.omitted.bytes)) ") passed and were not kept." } }
        @if part.unreadable_bytes > 0 { p.cut { (size(part.unreadable_bytes)) " that passed are no messages." } }
    };
    (markup, taken)
}

fn way(message: &Message) -> &'static str {
    match message.direction {
        Direction::Send => "The integration to Mews",
        Direction::Receive => "Mews to the integration",
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
