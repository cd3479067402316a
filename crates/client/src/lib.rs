//! Access to a log for commands, whether or not a `serve` has it open: [`Source`] reads the log or queries the `serve`'s
//! console, [`Follow`] follows new exchanges across restarts, and [`change_session`] changes sessions.
//!
//! All network operations have [`Timeouts`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod client;
mod error;
mod fetch;
mod follow;
mod losses;
mod source;

pub use self::{
    client::{Client, Lines, Timeouts},
    error::{ConsoleError, Error, Unreadable},
    fetch::{Fetcher, Fetching},
    follow::{Follow, News},
    losses::Losses,
    source::{SessionChange, Source, Stream, change_session, log_exchanges},
};
