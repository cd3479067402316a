//! Whether a difference is more than chance.
//!
//! Three statistics, none of which assumes a distribution:
//!
//! - [`rank_sum`], the test of Mann and Whitney (1947, "On a test of whether one of two random variables is
//!   stochastically larger than the other"), for latencies;
//! - [`exact`], Fisher's exact test (1922, "On the interpretation of χ² from contingency tables"), for shares;
//! - [`Family`], the step-down correction of Holm (1979, "A simple sequentially rejective multiple test procedure"):
//!   where many things are compared, some differ by chance.
//!
//! They assume that calls are independent. The calls of a session aren't quite, as a slow minute of the network slows
//! many; that is why a latency must differ by a share as well, too.

mod exact;
mod family;
mod rank_sum;

pub(crate) use self::{exact::exact, family::Family, rank_sum::rank_sum};
