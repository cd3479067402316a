//! Webhooks and WebSocket events, and what the integration made of them.

use nightaudit_exchange::Pseudonym;
use serde::{Deserialize, Serialize};

/// Webhooks and WebSocket events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsReview {
    /// The webhooks that Mews sent.
    pub webhooks: WebhookReview,
    /// WebSockets by access token.
    pub sockets: Vec<SocketReview>,
    /// Events by type and channel, in the order of their names.
    pub kinds: Vec<EventReview>,
}

impl EventsReview {
    /// Whether there were neither webhooks nor WebSockets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Deliveries of webhooks: POST requests with a message of Mews. A message that was sent again counts again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookReview {
    /// All of them.
    pub received: u64,
    /// Those accepted within 5 seconds: with 2xx, or with 307 or 308.
    pub accepted: u64,
    /// Those without a response within 5 seconds.
    pub late: u64,
    /// Those with another status, or without a response from the integration.
    pub failed: u64,
    /// Messages among the late and failed ones that were accepted when they came again.
    pub accepted_later: u64,
    /// Requests to the webhooks' port that were no message of Mews, and are in no other figure.
    pub others: u64,
}

/// The WebSockets of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketReview {
    /// The access token.
    pub access_token: Option<Pseudonym>,
    /// Connections.
    pub connections: u64,
    /// Seconds with at least one open.
    pub open_s: u64,
    /// Seconds from the first connection on with none open, apart from those in which nightaudit was stopped.
    pub closed_s: u64,
    /// Times with none open for more than a minute.
    pub gaps: u64,
    /// The longest of them in seconds; 0 for none.
    pub longest_gap_s: u64,
}

/// Where an event came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventChannel {
    /// A webhook.
    Webhook,
    /// A message of a WebSocket.
    WebSocket,
}

/// Events of one type that came in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventReview {
    /// The type: `ServiceOrderUpdated`.
    pub event: String,
    /// Where they came from.
    pub channel: EventChannel,
    /// The operation that fetches their entities, without its version; `None` if there is nothing to fetch.
    pub fetched_by: Option<String>,
    /// How many came, with those that came again.
    pub received: u64,
    /// Those whose webhook was accepted in time; 0 for WebSockets.
    pub accepted: u64,
    /// Those whose webhook was late; 0 for WebSockets.
    pub late: u64,
    /// Those whose webhook failed; 0 for WebSockets.
    pub failed: u64,
    /// Those followed by a call for their entity within an hour, or within the declared schedule.
    pub followed: u64,
    /// Those not followed. What is in neither figure could not be judged.
    pub not_followed: u64,
    /// Calls that fetched an entity again for the same event.
    pub fetched_again: u64,
}
