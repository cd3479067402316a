//! Access to a log for commands, whether or not a `serve` has it open: [`Source`] reads the log or queries the `serve`'s
//! console, [`Follow`] follows new exchanges across restarts, [`change_session`] changes sessions, and [`Client::import`] imports files.
//!
//! All network operations have [`Timeouts`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod arriving;
mod client;
mod error;
mod fetch;
mod follow;
mod import;
mod losses;
mod nodes;
mod place;
mod source;
mod upload;

pub use self::{
    client::{Client, Lines, Timeouts},
    error::{ConsoleError, Error, Unreadable},
    fetch::{Fetcher, Fetching},
    follow::{Follow, News},
    import::{FileContents, ImportOptions, ImportedFile},
    losses::Losses,
    nodes::{NodeNames, session_of},
    place::Place,
    source::{SessionChange, Source, Stream, change_session, log_exchanges},
};
