//! The tests of `nightaudit-review`, in one program: it is built and linked once, and they run side by side.
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod chains;
mod common;
mod events;
mod extremes;
mod faults;
mod figures;
mod filtered;
mod golden;
mod left_out;
mod never_read;
mod order;
mod provenance;
mod realistic;
mod redeclared;
mod rules;
mod run;
mod web_sockets;
