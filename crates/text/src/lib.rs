//! Formatting for humans: sizes, durations and times, errors, untrusted text on a terminal, indented JSON, and an exchange on one
//! line ([`Row`]).
//!
//! ```
//! use std::time::Duration;
//!
//! assert_eq!(nightaudit_text::duration(Duration::from_micros(84_312)), "84.3 ms");
//! assert_eq!(nightaudit_text::size(2088), "2.0 KiB");
//! assert_eq!(nightaudit_text::plain("\u{1b}[2J"), "\u{fffd}[2J");
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
pub mod json;
mod line;
mod row;
pub mod terminal;

pub use self::{
    error::one_line,
    line::{cut, cut_before, cut_operation, local, pad, plain, plain_lines, status_style},
    row::{Column, Columns, Line, Mark, Row, findings},
};
pub use nightaudit_units::{by_number, counted, counted_as, duration, size, span};
