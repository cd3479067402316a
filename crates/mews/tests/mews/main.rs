//! The tests of `nightaudit-mews`, in one program: it is built and linked once, and they run side by side.
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod catalogue;
mod contracts;
mod docs;
mod envelope;
#[cfg(feature = "openapi")]
mod openapi;
mod prose;
mod samples;
