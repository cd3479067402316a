//! One recorded request and response, as plain data.
//!
//! An exchange starts as a [`Capture`]: handles to the bytes that passed through the proxy, secrets included, gathered
//! without copying. The recorder turns it into an [`Exchange`] with [`Redactor::exchange`]: readable, free of secrets,
//! ready for the log. The exchanges of a session are linked by [`chain`] and selected by a [`Filter`], and have one
//! JSON form everywhere: in the NDJSON export, under `--json` and in the console's API.
//!
//! This crate does no I/O and is independent of tokio, hyper and the log.
//!
//! ```
//! use nightaudit_exchange::{Exchange, Outcome};
//!
//! let line = r#"{
//!   "id": "01KAS00000000000000000000A", "session": "01KAS000000000000000000000", "sessionName": "certification",
//!   "sequence": 1, "environment": "demo", "operation": "configuration/get",
//!   "startedAt": "2026-11-23T12:00:00.123456Z",
//!   "timesUs": {"forwarded": 210, "responseHead": 84312, "responseEnd": 85120}, "peer": "127.0.0.1:51234",
//!   "envelope": {"client": "Acme Kiosk 2.1.0", "clientToken": null, "accessToken": "REDACTED:b1946ac92492", "paginated": false},
//!   "request": {"method": "POST", "url": "https://api.mews-demo.com/api/connector/v1/configuration/get",
//!     "httpVersion": "HTTP/1.1", "headers": [], "body": "{}", "bodyEncoding": "utf-8", "bodyLength": 2,
//!     "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "truncated": false},
//!   "response": null, "limit": null, "outcome": "failed",
//!   "error": {"kind": "connect", "message": "connection refused"}
//! }"#;
//! let exchange: Exchange = serde_json::from_str(line)?;
//! assert_eq!(exchange.outcome, Outcome::Failed);
//! assert_eq!(&exchange.request.body.bytes[..], b"{}");
//! assert_eq!(exchange.duration().as_micros(), 85_120);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod alteration;
mod api;
mod body;
mod capture;
pub mod chain;
mod charset;
pub mod content;
mod destination;
mod digest;
mod exchange;
mod filter;
mod id;
mod import;
mod injected;
mod json_line;
mod memory;
mod metadata;
mod missing;
mod note;
mod packed;
mod redact;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;
mod time;
mod web_socket;

pub use alteration::Alteration;
pub use api::{Api, TokenForm};
pub use body::{Body, Withheld};
pub use capture::{
    Capture, CaptureMemory, CapturedBody, CapturedEnvelope, CapturedMessage, CapturedRequest, CapturedResponse,
    CapturedToken, CapturedWebSocket, Head,
};
pub use charset::{Utf8Stream, as_utf8};
pub use destination::{Authority, Destination, Tls};
pub use digest::{Digest, InvalidDigest, InvalidPseudonym, Pseudonym, PseudonymKey};
pub use exchange::{
    AdmissionRecord, CallDirection, Decision, Envelope, Exchange, Failure, FailureKind, Header, Outcome, Request,
    Response, TimesUs,
};
pub use filter::{Filter, Glob, InvalidFilter, OutcomeFilter, Statuses};
pub use id::{ExchangeId, InvalidId, SessionId};
pub use import::{Import, Incoming};
pub use injected::{FaultEnding, InjectedFault};
pub use json_line::{JsonContent, JsonLine};
pub use missing::{Gaps, Missing, Ranges};
pub use note::Note;
pub use packed::{PackedBytes, Spill, Spilled};
pub use redact::{JournalEntry, KnownTokens, Mask, Redactor, WEBHOOK, redact_text};
pub use time::{InvalidTimestamp, Timestamp};
pub use web_socket::{Direction, Message, Omitted, WebSocket};
