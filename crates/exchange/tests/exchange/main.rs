//! The tests of `nightaudit-exchange`, in one program: it is built and linked once, and they run side by side.
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod api;
mod captures;
mod redaction;
mod ways;
