//! The limiter from outside: its decisions, queues, memory and reports.

#![allow(clippy::unwrap_used, reason = "these are tests; clippy sees that in functions marked as such only")]

mod delay;
mod memory;
mod reference;
mod report;
mod support;
mod threads;
mod undo;
