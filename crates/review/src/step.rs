//! What is put in the order of time: calls as they were sent, messages with events as they arrived.

use crate::{
    fact::Fact,
    order::Timed,
    parts::events::{Message, Reconnect},
};

/// The next step of a session.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all are calls")]
pub(crate) enum Step {
    Call(Fact),
    Message(Message),
    Reconnect(Reconnect),
}

impl Timed for Step {
    fn key(&self) -> (i64, u64) {
        match self {
            Self::Call(fact) => fact.key(),
            Self::Message(message) => message.key(),
            Self::Reconnect(reconnect) => reconnect.key(),
        }
    }
}
