//! The limiter through its public API: decisions, queues, memory, reports.

#![allow(clippy::unwrap_used, reason = "clippy recognises only functions marked as tests")]

mod delay;
mod memory;
mod reference;
mod report;
mod support;
mod threads;
mod undo;
