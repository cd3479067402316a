//! The Mews Connector API as data.
//!
//! - [`Environment`]: the hosts of Mews' demo and production environments, and their published request limit.
//! - [`envelope`]: the sender of a request, read from its body or from the cookies of a WebSocket.
//! - [`PUBLISHED_TOKENS`]: the public tokens for Mews Demo.
//! - [`operation_of`]: the operation of a path.
//! - [`Catalogue`]: the operations, their requests, and the use cases; [`operation`] looks one up, and [`suggest`] finds the
//!   closest match for an unknown one.
//! - [`check_request`]: checks a request against its operation.
//! - [`Contracts`]: the same for the built-in data, newer [documentation](docs), or an OpenAPI document on top of either.
//! - [`changes`]: the differences between two catalogues.
//! - `OpenApi`, with the feature `openapi`: an OpenAPI document.
//! - [`error_body`]: an error body in Mews' format.
//!
//! This crate does no I/O, has no HTTP types and makes no decisions; that is up to its callers.
//!
//! ```
//! use nightaudit_mews::{Environment, envelope, operation_of};
//!
//! let body = br#"{"ClientToken": "A", "AccessToken": "B", "Client": "Acme Kiosk 2.1.0", "Limitation": {"Count": 100}}"#;
//! let envelope = envelope::read(body);
//! assert_eq!(envelope.access_token.as_deref(), Some("B"));
//! assert_eq!(envelope.client.as_deref(), Some("Acme Kiosk 2.1.0"));
//! assert!(envelope.paginated);
//!
//! assert_eq!(operation_of("/api/connector/v1/resources/getAll"), Some("resources/getAll"));
//! assert_eq!(Environment::DEMO.api, "https://api.mews-demo.com");
//! ```

/// The revision of Mews' documentation that the built-in data reflects.
pub const REVISION: &str = "2026-08-07";

mod address;
mod anchor;
mod api;
mod catalogue;
mod check;
mod contracts;
mod describe;
mod diff;
pub mod docs;
pub mod envelope;
mod environment;
mod error;
#[cfg(feature = "openapi")]
mod openapi;
mod tokens;
mod webhook;

pub use address::{OPERATION_PREFIX, OtherApi, operation_of};
pub use api::API;
pub use catalogue::{
    Catalogue, Delay, DelayUnit, Deprecation, Enum, Field, Kind, Lifecycle, NearMiss, Need, Object, Operation, Pattern,
    Rule, Section, Suggestion, UseCase, operation, operations, suggest, use_cases,
};
pub use check::{Finding, FindingKind, check_request, check_sent};
pub use contracts::Contracts;
pub use diff::{Change, ChangeKind, changes};
pub use envelope::Envelope;
pub use environment::{Environment, PublishedLimit};
pub use error::error_body;
pub use jiff::civil::{Date, DateTime};
#[cfg(feature = "openapi")]
pub use openapi::{InvalidOpenApi, OpenApi};
pub use tokens::{PUBLISHED_TOKENS, PublishedTokens};
pub use webhook::WebhookEvents;
