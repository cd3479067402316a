//! One module per command.

pub(crate) mod archive;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod export;
pub(crate) mod fault;
pub(crate) mod limits;
pub(crate) mod log;
mod log_import;
pub(crate) mod man;
pub(crate) mod mews;
pub(crate) mod open;
pub(crate) mod replay;
pub(crate) mod resend;
pub(crate) mod review;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod show;
pub(crate) mod simulate;
pub(crate) mod tail;
pub(crate) mod top;
pub(crate) mod tour;
pub(crate) mod verify;
