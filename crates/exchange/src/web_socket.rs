//! WebSocket traffic, recorded in parts.

use serde::{Deserialize, Serialize};

use crate::{Body, ExchangeId, Timestamp};

/// WebSocket messages, in the order in which they passed.
///
/// A connection may last for days, so it is not one exchange. Its handshake is an exchange like any other, recorded
/// before the client has the response. The traffic that follows is recorded in parts, each a separate exchange that
/// refers to the handshake: a part is closed when it is large enough or a second old, and the last one when the
/// connection ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebSocket {
    /// The exchange of the handshake.
    pub handshake: ExchangeId,
    /// The part's number, from 1.
    pub part: u32,
    /// The messages completed in this part, control frames included.
    pub messages: Vec<Message>,
    /// What passed but was too large to keep.
    #[serde(default, skip_serializing_if = "Omitted::is_none")]
    pub omitted: Omitted,
    /// Bytes that are not WebSocket frames. After the first of them, that direction can no longer be parsed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable_bytes: u64,
    /// Whether the connection ended in this part. If no part says so, it is still open, or nightaudit was killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

impl WebSocket {
    /// The number of messages the client sent and received in this part.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let sent = self.messages.iter().filter(|message| message.direction == Direction::Send).count();
        (sent, self.messages.len() - sent)
    }
}

/// A WebSocket message, reassembled from its frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "crate::exchange::MessageJson")]
pub struct Message {
    /// When its last byte passed.
    pub time: Timestamp,
    /// Who sent it.
    #[serde(rename = "type")]
    pub direction: Direction,
    /// 1 for text, 2 for binary, 8 for close, 9 for ping, 10 for pong (RFC 6455, section 11.8).
    pub opcode: u8,
    /// Its payload, unmasked and decompressed. If it could not be decompressed it is as received, and `contentEncoding`
    /// names the extension.
    #[serde(flatten)]
    pub body: Body,
}

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client to Mews.
    Send,
    /// From Mews to the client.
    Receive,
}

/// What was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Omitted {
    /// Whole messages.
    pub messages: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
}

impl Omitted {
    /// Whether nothing was left out.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.messages == 0 && self.bytes == 0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "required by serde")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_bytes_left_out_of_no_message_were_lost_when_written_again() {
        let json =
            r#"{"handshake":"01KAS00000000000000000000A","part":1,"messages":[],"omitted":{"messages":0,"bytes":7}}"#;
        let said: WebSocket = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&said).unwrap(), json);
    }
}
