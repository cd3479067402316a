//! The simulator from the outside: over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod flows;
mod limit;
mod manners;
mod operations;
mod socket;
mod support;
