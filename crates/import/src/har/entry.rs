//! An entry as it is written, as far as an exchange can be made of it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lax::{Number, Pairs, Text, messages};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(default)]
    pub(super) started_date_time: Text,
    /// Milliseconds.
    #[serde(default)]
    pub(super) time: Number,
    pub(super) request: Request,
    /// Absent in Proxyman's files where there was none.
    #[serde(default)]
    pub(super) response: Option<Response>,
    #[serde(default)]
    pub(super) timings: Option<Timings>,
    #[serde(default, rename = "serverIPAddress")]
    pub(super) server_address: Text,
    /// Safari's.
    #[serde(default, rename = "_serverPort")]
    pub(super) server_port: Number,
    #[serde(default, rename = "_error")]
    pub(super) error: Text,
    /// Chromium's; Playwright, mitmproxy, Proxyman and nightaudit write the same.
    #[serde(default, rename = "_webSocketMessages", deserialize_with = "messages")]
    pub(super) web_socket_messages: Option<Vec<Message>>,
    /// What nightaudit's own HAR has besides.
    #[serde(default, rename = "_nightaudit")]
    pub(super) nightaudit: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    #[serde(default)]
    pub(super) method: Text,
    #[serde(default)]
    pub(super) url: Text,
    #[serde(default)]
    pub(super) http_version: Text,
    #[serde(default)]
    pub(super) headers: Pairs,
    #[serde(default)]
    pub(super) post_data: Option<PostData>,
    #[serde(default)]
    pub(super) body_size: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PostData {
    #[serde(default)]
    pub(super) mime_type: Text,
    #[serde(default)]
    pub(super) text: Text,
    #[serde(default)]
    pub(super) params: Pairs,
    #[serde(default)]
    pub(super) encoding: Text,
    #[serde(default, rename = "_nightauditEncoding")]
    pub(super) nightaudit_encoding: Text,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    #[serde(default)]
    pub(super) status: Number,
    #[serde(default)]
    pub(super) status_text: Text,
    #[serde(default)]
    pub(super) http_version: Text,
    #[serde(default)]
    pub(super) headers: Pairs,
    #[serde(default)]
    pub(super) content: Option<Content>,
    #[serde(default)]
    pub(super) body_size: Number,
    #[serde(default, rename = "_error")]
    pub(super) error: Text,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) size: Number,
    #[serde(default)]
    pub(super) text: Text,
    #[serde(default)]
    pub(super) encoding: Text,
}

/// Milliseconds; negative if not applicable.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Timings {
    #[serde(default)]
    pub(super) blocked: Number,
    #[serde(default)]
    pub(super) dns: Number,
    /// The TLS handshake included.
    #[serde(default)]
    pub(super) connect: Number,
    #[serde(default)]
    pub(super) send: Number,
    #[serde(default)]
    pub(super) wait: Number,
    #[serde(default)]
    pub(super) receive: Number,
}

/// A message of a WebSocket.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    /// `send` or `receive`.
    #[serde(default, rename = "type")]
    pub(super) direction: Text,
    /// Seconds since 1970.
    #[serde(default)]
    pub(super) time: Number,
    #[serde(default)]
    pub(super) opcode: Number,
    #[serde(default)]
    pub(super) data: Text,
}
