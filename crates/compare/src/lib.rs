//! Compares two recordings of the same integration, before and after.
//!
//! A [`Recording`] takes the exchanges of one side, one by one and in their order, and keeps a summary of each operation:
//! calls and how they ended, latencies, the [shapes](nightaudit_shape) of requests and responses, what contradicts Mews'
//! documentation, what the limits did, and the pages of lists. [`Differences::of`] compares two of them.
//!
//! Pure: no I/O, no clock. Memory is bounded by operations, properties and lists, each with a bound that the result names
//! when it was reached; nothing grows with the number of exchanges.
//!
//! What differs by chance isn't a difference: latencies and shares are tested (the module `statistics` says how), and
//! [`Difference::certain`] says of counts and properties whether they prove anything.
//!
//! ```
//! use nightaudit_compare::{Differences, Ignore, Recording};
//! use nightaudit_mews::Contracts;
//!
//! # fn exchanges() -> Vec<nightaudit_exchange::Exchange> { Vec::new() }
//! let side = |exchanges: Vec<nightaudit_exchange::Exchange>| {
//!     let mut recording = Recording::new("certification", Contracts::built_in());
//!     exchanges.iter().for_each(|exchange| recording.push(exchange));
//!     recording
//! };
//! let (before, after) = (side(exchanges()), side(exchanges()));
//! assert!(Differences::of(&before, &after, &Ignore::default()).is_empty());
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod compare;
mod comparer;
mod difference;
mod differences;
mod ending;
mod findings;
mod ignore;
mod latency;
mod pages;
mod recording;
mod shapes;
mod statistics;
mod tally;

pub use self::{
    difference::{Change, Difference, DifferenceKind, Example, Figure, Place, Run},
    differences::{Counts, Differences, OperationFigures, RuleFigures, Side, SideFigures},
    ignore::{Ignore, UnknownKind},
    latency::Latency,
    recording::Recording,
};
