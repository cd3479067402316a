//! What is said about each rule, by group.

pub(crate) mod coverage;
pub(crate) mod data;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod habits;
pub(crate) mod identity;
pub(crate) mod limits;
pub(crate) mod record;
pub(crate) mod requests;
pub(crate) mod run;
