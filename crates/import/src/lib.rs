//! Files of exchanges, read as exchanges: nightaudit's own NDJSON export, HTTP Archives (HAR) by whatever tool, and the
//! flow files of mitmproxy.
//!
//! A [`Reader`] tells the [`Format`] by the first bytes and yields [`Incoming`](nightaudit_exchange::Incoming) exchanges
//! one by one, in bounded memory however large the file is. Damage is reported with its [`Place`] and the reason, or
//! skipped. What another tool recorded is somebody else's word: such an exchange names the tool
//! ([`Exchange::recorded_by`](nightaudit_exchange::Exchange::recorded_by)) for as long as it exists.
//!
//! This crate does no I/O of its own, and redacts nothing: whoever takes exchanges from it does so first.

mod error;
mod flows;
mod foreign;
mod format;
mod har;
mod input;
mod ndjson;
mod order;
mod parts;
mod reader;
mod url;

pub use error::{Error, Place};
pub use format::{Format, check_beginning};
pub use reader::{Options, Reader, Skipped, Summary, session_of_file};
