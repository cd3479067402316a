//! The log as those who use it see it.

// Clippy allows it in test functions, and these files hold nothing but tests and what they share.
#![allow(clippy::unwrap_used)]

mod basics;
mod damage;
mod disks;
mod failure;
mod following;
mod full;
mod losses;
mod maintenance;
mod reader;
mod reading;
mod support;
