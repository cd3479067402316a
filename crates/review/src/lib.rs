//! Reviews a recorded session as Mews' reviewers would.
//!
//! - [`Reviewer`]: takes exchanges one by one, and produces a review at any time.
//! - [`Basis`]: what sessions are reviewed against; makes the reviewer of a session.
//! - [`Review`]: a verdict, [`Finding`]s with the exchanges that show them, and all figures.
//! - [`Declaration`]: what the integration declares about itself, in `certification.toml`.
//! - [`Comparison`]: the changes from one review to another.
//! - [`Rule`]: the table of rules with ids, severities, reasons and advice.
//!
//! Pure: no I/O, no clock. Memory is bounded by the number of operations, tokens and findings, not of exchanges.
//!
//! ```
//! use nightaudit_exchange::Exchange;
//! use nightaudit_review::{Declaration, Reviewer, Rule, Verdict};
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
//!
//! let mut reviewer = Reviewer::new(Declaration::default());
//! reviewer.push(&exchange);
//! let review = reviewer.review();
//! assert_eq!(review.verdict, Verdict::NotReady);
//! assert!(review.findings.iter().any(|finding| finding.rule == Rule::RunShort));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod basis;
mod body;
mod checklist;
mod comparison;
mod declaration;
mod fact;
mod facts;
mod findings;
mod form;
mod intent;
mod names;
mod order;
mod page;
mod parts;
mod review;
mod reviewer;
mod rule;
mod step;
mod verdict;

pub use basis::Basis;
pub use comparison::{Comparison, RemainingFinding};
pub use declaration::{Declaration, DeclarationError, IntegrationKind, RuleChange, guess, template};
pub use facts::{NodeFacts, SessionFacts};
pub use form::form;
pub use parts::{limits::RequestLimit, origin::OriginTracker};
pub use review::{
    Accuracy, Attempt, BusiestWindow, Check, CheckState, ClientReview, ClockStep, Counts, Coverage, CoverageReview,
    DataKind, DateReview, Declared, EXAMPLES, ErrorReview, Errors, EventChannel, EventReview, EventsReview, FailedCall,
    FaultReview, Finding, Gap, HabitReview, HostReview, Hour, Identity, LatencyMs, LeftOut, LifecycleReview,
    LifecycleState, LimitPoint, LimitReview, LimitSeries, LimitSource, NodeRun, OperationReview, OriginStatus,
    OutcomeCounts, PersonalDataReview, PropertyReview, Provenance, Resolution, RetryCause, RetryChain, RetryOrigin,
    RetryReview, Review, RuleOverride, Run, Sizes, SocketReview, TokenReview, UseCaseReview, UseCaseSection,
    UseCaseStep, Verdict, WebhookReview,
};
pub use reviewer::Reviewer;
pub use rule::{Rule, Severity, UnknownRule};
