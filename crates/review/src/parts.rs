//! The parts of a review, each a fold over the exchanges.
//!
//! Parts that only count take each exchange as it arrives (`note`); parts that depend on order take facts in the order of
//! sending (`follow`). Each has a `report` that raises its findings and returns its figures.

pub(crate) mod accuracy;
pub(crate) mod coverage;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod habits;
pub(crate) mod identity;
pub(crate) mod limits;
pub(crate) mod operations;
pub(crate) mod origin;
pub(crate) mod personal_data;
pub(crate) mod records;
pub(crate) mod retries;
pub(crate) mod run;
pub(crate) mod series;
