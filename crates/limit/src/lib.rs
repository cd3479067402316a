//! Request limits that are never exceeded, and never stricter than they must be.
//!
//! A [`Limiter`] enforces [`Rule`]s: at most so many requests per key in any window of a given length. Each arrival
//! must pass two checks under every rule. A token bucket (governor's) shapes the traffic: `burst` requests at once,
//! then more at the rule's rate. A sliding window over the instants of recent sends enforces the limit exactly; a
//! bucket alone would admit 399 requests where 200 are allowed. With the default burst the bucket never refuses what
//! the window admits.
//!
//! What counts is the instant at which a request is sent. An admitted request gets a [`WindowPermit`], which occupies
//! the window at once; [`WindowPermit::sent`] records the send, and with it the time of release: a send at `t` occupies
//! its window during `[t, t + window + slack]`, both ends included. A permit dropped unused is released as if it had
//! never been taken.
//!
//! # The bucket and the window
//!
//! The two checks share the work like this:
//!
//! | | bucket | window |
//! |---|---|---|
//! | answers | may these units go now, and if not, when? | do fewer sends than the limit fall into the window? |
//! | enforces | `burst` and the rule's rate | the limit itself, to the nanosecond |
//! | state per key | one instant: when it will be full again | the instants of the sends that still count |
//! | computed by | governor, by its generic cell rate algorithm | this crate |
//!
//! governor's quota and its decision are used as they are. Its state is not: governor takes what it grants, and grants for
//! the present instant only, while a permit here may be released unsent, a send is taken when it happens rather than when
//! it is admitted, and a waiting request needs to know when it may go if those ahead of it go first. So a bucket's instant
//! is kept with its key, and governor is asked about it through a store that hands it over for the length of one question
//! and keeps nothing. What is taken and given back is arithmetic on that instant, with governor's interval.
//!
//! Without a `burst` of its own a rule would be enforced by its window alone; the bucket then refuses nothing that the
//! window admits.
//!
//! Keys are strings; this crate knows nothing of HTTP. Time comes from a monotonic [`Clock`], so changing the wall
//! clock has no effect.
//!
//! ```
//! use std::time::Duration;
//! use nightaudit_limit::{AdmissionRequest, Config, FakeClock, KeyParts, Limiter, Rule, Verdict};
//!
//! let (requests, window) = (2, Duration::from_secs(30));
//! let key = KeyParts { access_token: true, ..KeyParts::default() };
//! let rule = Rule { name: "published".into(), key, requests, window, burst: None, paginated_factor: 1 };
//! let clock = FakeClock::default();
//! let limiter = Limiter::with_clock(Config { rules: vec![rule], ..Config::default() }, clock.clone())?;
//!
//! let arrival =
//!     AdmissionRequest { access_token: "hotel", client_token: "kiosk", operation: "configuration/get", paginated: false };
//! for _ in 0..2 {
//!     let Verdict::Admitted(permit) = limiter.check(&arrival) else { panic!("a permit is free") };
//!     let _sent = permit.sent();
//!     clock.advance(Duration::from_secs(5));
//! }
//! let Verdict::Refused(refusal) = limiter.check(&arrival) else { panic!("the window is full") };
//! assert_eq!((&*refusal.rule, refusal.used, refusal.limit), ("published", 2, 2));
//! assert_eq!(refusal.retry_after, Duration::new(20, 1));
//!
//! clock.advance(refusal.retry_after);
//! assert!(matches!(limiter.check(&arrival), Verdict::Admitted(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admit;
mod bucket;
mod clock;
mod config;
mod delay;
mod forecast;
mod gate;
mod key;
mod limiter;
mod permit;
mod refusal;
mod report;
mod shared;
mod table;
mod verdict;
mod window;

pub use admit::{Admit, History, LocalPermit, Permit, Unavailable};
pub use clock::{Clock, FakeClock, MonotonicClock, Sleep};
pub use config::{
    Action, Config, ConfigError, KeyParts, MAX_DELAY, MAX_PAGINATED_FACTOR, MAX_QUEUED, MAX_REQUESTS, MAX_RULES,
    MAX_SLACK, MAX_WINDOW, MIN_WINDOW, Rule,
};
pub use key::AdmissionRequest;
pub use limiter::Limiter;
pub use permit::{Sent, Usage, WindowPermit};
pub use refusal::Refusal;
pub use report::{KeyState, LimitSignal, MAX_LISTED, NodeUsage, PastResponse, PastSend, RuleState, Totals};
pub use verdict::{Admission, Verdict};
