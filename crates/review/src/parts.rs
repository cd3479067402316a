//! The parts of a review, each a fold over the exchanges.
//!
//! Those that count only look at each exchange as it comes; those for which order matters are given facts in the order
//! of sending. Each has a `report`, which raises its findings and gives its figures.

pub(crate) mod accuracy;
pub(crate) mod coverage;
pub(crate) mod errors;
pub(crate) mod habits;
pub(crate) mod identity;
pub(crate) mod limits;
pub(crate) mod operations;
pub(crate) mod origin;
pub(crate) mod personal_data;
pub(crate) mod retries;
pub(crate) mod run;
pub(crate) mod series;
