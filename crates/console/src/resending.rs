//! What sends requests again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    pin::Pin,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use nightaudit_exchange::{ExchangeId, Pseudonym};
use serde::Serialize;

/// Sends requests through the proxy, with its limits, and has them recorded.
pub struct Resending {
    /// Where requests can be sent; the environment that is forwarded to first.
    pub environments: Vec<ResendEnvironment>,
    /// The secrets that this run has seen, of those with these pseudonyms. May block.
    pub reveal: Box<Reveal>,
    /// Sends a request.
    pub send: Box<dyn Fn(Resend) -> Sending + Send + Sync>,
}

/// Finds secrets by their pseudonyms.
pub type Reveal = dyn Fn(&BTreeSet<Pseudonym>) -> BTreeMap<Pseudonym, String> + Send + Sync;

/// An environment to which requests can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResendEnvironment {
    /// Its name.
    pub name: String,
    /// The host, as `https://host`.
    pub host: String,
    /// Whether real properties are behind it. A request to it needs a confirmation and tokens of its own.
    pub production: bool,
}

/// A request to send.
#[derive(Debug)]
pub struct Resend {
    /// The exchange that it was recorded in.
    pub of: ExchangeId,
    /// The environment's name.
    pub environment: String,
    /// The request.
    pub request: Request<Bytes>,
    /// Who has it sent.
    pub peer: SocketAddr,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resent {
    /// The new exchange.
    pub id: ExchangeId,
    /// The status of its response.
    pub status: StatusCode,
}

/// A request under way; the error says why it could not be sent.
pub type Sending = Pin<Box<dyn Future<Output = Result<Resent, String>> + Send>>;
