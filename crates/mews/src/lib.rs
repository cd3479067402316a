//! What is known of the Mews Connector API, as data.
//!
//! - [`Environment`]: the hosts of Mews' demo and production and the request limit that Mews publishes for them.
//! - [`envelope`]: who sends a request, read from its body or from the cookies of a WebSocket.
//! - [`PUBLISHED_TOKENS`]: those that Mews prints for everybody to try its demo with.
//! - [`operation_of`]: which operation an address names.
//! - [`Catalogue`]: the operations, what their requests take, and the use cases they belong to; [`operation`] finds one
//!   and [`suggest`] tells what was meant where there is none.
//! - [`check_request`]: what in a request doesn't fit its operation.
//! - [`Contracts`]: the same, of what is built in, of a newer [documentation](docs), or with an OpenAPI document over it.
//! - [`changes`]: what differs between two catalogues.
//! - `OpenApi`, with the feature `openapi`: such a document.
//! - [`error_body`]: an error as Mews words it.
//!
//! Nothing here does I/O or knows of HTTP types, and nothing here decides: callers hold requests against what this
//! crate knows.
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

/// The revision of Mews' documentation that the built-in data holds.
pub const REVISION: &str = "2026-08-07";

mod address;
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

pub use address::{OPERATION_PREFIX, OtherApi, operation_of};
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
