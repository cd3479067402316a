//! The log through its public interface.

// Clippy allows `unwrap` in test functions, and these files contain nothing but tests and their helpers.
#![allow(clippy::unwrap_used)]

mod basics;
mod damage;
mod disks;
mod failure;
mod following;
mod full;
mod losses;
mod maintenance;
mod matches;
mod reader;
mod reading;
mod support;
