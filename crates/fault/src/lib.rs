//! Fault rules: which requests get trouble on purpose, and which trouble.
//!
//! A [`FaultRule`] is parsed from one line of text. [`Faults`] holds the active rules, can be changed while requests are
//! served, and decides for each request ([`Faults::plan`]) whether it is delayed, gets a made-up error, or has its response
//! reset, truncated or slowed down. It decides by a seeded sequence: the same requests in the same order get the same faults.
//!
//! Knows no HTTP and no clock: who asks says what the time is, and carries the [`Plan`] out.
//!
//! ```
//! use std::time::Instant;
//!
//! use nightaudit_fault::{Ending, Faults};
//!
//! let faults = Faults::new(1, || None);
//! faults.add("reservations/*: 429, count=2".parse()?, Instant::now())?;
//! let endings = ["rates/getAll", "reservations/getAll", "reservations/add", "reservations/getAll"].map(|operation| {
//!     faults.plan(operation, None, Instant::now()).and_then(|plan| plan.ending)
//! });
//! let status = |ending: &Option<Ending>| matches!(ending, Some(Ending::Status { status: 429, .. }));
//! assert_eq!(endings.each_ref().map(status), [false, true, true, false]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod faults;
mod item;
mod rule;

pub use self::{
    faults::{FaultState, Faults, FaultsError, MAX_RULES},
    rule::{FaultRule, InvalidFaultRule},
};

use std::time::Duration;

/// What is to be done to one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// How long the request is held back before it is sent or gets its made-up response.
    pub latency: Option<Duration>,
    /// What the client gets instead of Mews' response, or of the rest of it.
    pub ending: Option<Ending>,
    /// The most bytes of the response's body per second.
    pub rate: Option<u64>,
    /// The rules that take part, as written.
    pub rules: Vec<String>,
}

/// What a client gets instead of a response, or of the rest of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ending {
    /// A response with this status, instead of forwarding the request.
    Status {
        /// The status, from 400 to 599.
        status: u16,
        /// Seconds of `Retry-After`; `None` for a response without it.
        retry_after: Option<u64>,
    },
    /// Its connection is reset once Mews has responded.
    Reset,
    /// The response's body breaks off.
    Truncate {
        /// After this share of it, from 0 to 1.
        at: f64,
    },
}
