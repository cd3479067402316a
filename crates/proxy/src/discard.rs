//! What follows the response of a request that is still being sent.

use std::task::Context;

use bytes::Bytes;
use http_body::Frame;

use crate::pace::BodyPace;

/// Passes over what the client still sends after its exchange was recorded, which happens if the response, or what is made
/// of it, came first. Forwarding it would send what no record has. But a client that writes its whole request before it
/// reads would lose the response if its connection were closed, so it is read to its end, within the time it has for it.
pub(crate) fn discard(frame: &Frame<Bytes>, pace: &mut BodyPace, cx: &Context<'_>) {
    pace.received(frame.data_ref().map_or(0, Bytes::len));
    // One frame at a time, as others on the connection's thread have their turn.
    cx.waker().wake_by_ref();
}
