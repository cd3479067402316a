//! A recording, served as the host that it is of.
//!
//! [`Builder`] turns exchanges into [`Recordings`], which know what responds to a request: a recording of the very same
//! body, or one that differs only in what a [`Comparison`] ignores. [`Replayer`] serves them; [`Readers`] fetch a
//! response from wherever the exchanges are when it is asked for. A [`Summary`] says what was asked and not recorded,
//! and what was recorded and not asked.
//!
//! [`Again`] is the other way round: a recorded request, to be sent once more with changes.
//!
//! ```
//! use nightaudit_replay::{Builder, Comparison};
//!
//! let ignored = ["/UpdatedUtc", "/Limitation/Cursor"].map(|pointer| pointer.parse().unwrap());
//! let mut recordings = Builder::new(Comparison::new(ignored.to_vec(), &[]), 0);
//! # let exchanges: Vec<nightaudit_exchange::Exchange> = Vec::new();
//! for exchange in &exchanges {
//!     recordings.add(exchange);
//! }
//! assert_eq!(recordings.build().count(), 0);
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod again;
mod answer;
mod arrival;
mod body;
mod cache;
mod claims;
mod comparison;
mod difference;
mod forward;
mod key;
mod nearest;
mod pointer;
mod readers;
mod recordings;
mod redaction;
mod replayer;
mod socket;
mod splice;
mod summary;
#[cfg(test)]
mod testing;

pub use again::{Again, CantResend, Edits};
pub use body::ReplayBody;
pub use comparison::Comparison;
pub use difference::Difference;
pub use forward::{Check, Forward};
pub use pointer::{InvalidPointer, Pointer};
pub use readers::{OpenReader, Reader, Readers};
pub use recordings::{Builder, LeftOut, Recordings};
pub use replayer::{Config, Otherwise, Replayer, Timing};
pub use splice::{SetError, set};
pub use summary::{NotAsked, NotRecorded, Summary};
