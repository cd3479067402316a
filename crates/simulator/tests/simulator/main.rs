//! The simulator over real sockets.
#![allow(clippy::unwrap_used, reason = "tests panic when they can't continue")]

mod flows;
mod limit;
mod manners;
mod operations;
mod socket;
mod support;
