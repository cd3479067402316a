//! What the commands ask of a log, whoever has it: [`Source`] reads the log itself or asks the console of the `serve` that
//! has it, [`Follow`] goes on with what is recorded, across restarts, and [`change_session`] changes sessions.
//!
//! Everything that goes over the network has a time-out ([`Patience`]): a console that takes a connection and says nothing
//! holds nobody up for longer.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod client;
mod follow;
mod losses;
mod source;

pub use self::{
    client::{Client, Lines, Patience, Refused},
    follow::{Follow, News},
    losses::{Losses, Unreadable, missing_of},
    source::{Holder, SessionChange, Source, Stream, change_session},
};
