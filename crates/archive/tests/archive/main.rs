//! The archive against a PostgreSQL of the test's own.

// Clippy allows it in test functions, and this file holds nothing but tests and what they share.
#![allow(clippy::unwrap_used)]

mod conforming;
mod reading;
mod roles;
mod shipping;
mod support;
