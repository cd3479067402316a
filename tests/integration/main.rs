//! Integration tests: real sockets, real TLS, real files, real processes.
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod admitting;
mod bad_requests;
mod bad_upstreams;
mod bounds;
mod browser;
mod certifying;
mod clients;
mod commands;
mod crashes;
mod documentation;
mod evidence;
mod exit_codes;
mod fidelity;
mod filtering;
mod frames;
mod http2_attacks;
mod http2_upstreams;
mod limits;
mod losses;
mod opening;
mod packaging;
mod page;
mod provenance;
mod proxying;
mod regressions;
mod reviewing;
mod secrets;
mod serving;
mod silent_console;
mod simulating;
mod streaming;
mod terminal;
mod unread;
mod upgrades;
mod web_sockets;
