//! Durations, sizes, limits and counts as text, the same in flags, configuration, filters, reviews, reports and on screen.
//!
//! ```
//! use std::time::Duration;
//!
//! assert_eq!(nightaudit_units::parse_duration("1m 15s")?, Duration::from_secs(75));
//! assert_eq!(nightaudit_units::duration(Duration::from_micros(84_312)), "84.3 ms");
//! assert_eq!(nightaudit_units::size(2088), "2.0 KiB");
//! assert_eq!("200/30s".parse::<nightaudit_units::Rate>()?.requests, 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod figures;
mod parse;

pub use self::{
    figures::{by_number, count, counted, counted_as, duration, period, size, span},
    parse::{InvalidDuration, InvalidRate, InvalidSize, Rate, parse_duration, parse_size},
};
