//! The limiter from outside: its decisions, queues, memory and reports.

mod delay;
mod memory;
mod reference;
mod report;
mod support;
mod threads;
