//! What the limiter decides.

use std::time::Duration;

use crate::permit::{Usage, WindowPermit};
use crate::refusal::Refusal;

/// The result of [`Limiter::check`](crate::Limiter::check).
#[derive(Debug)]
pub enum Verdict {
    /// The request may be sent.
    Admitted(WindowPermit),
    /// The request is over a limit.
    Refused(Refusal),
}

/// The result of [`Limiter::admit`](crate::Limiter::admit) under the configured [`Action`](crate::Action).
#[derive(Debug)]
pub enum Admission<P = WindowPermit> {
    /// The request may be sent.
    Admitted {
        /// Its permit.
        permit: P,
        /// Usage of the tightest window; `None` without rules.
        usage: Option<Usage>,
        /// How long it was delayed; zero if it was not.
        waited: Duration,
    },
    /// The request may be sent, though it is over a limit.
    Observed {
        /// Its permit.
        permit: P,
        /// The refusal it would have met.
        refusal: Refusal,
    },
    /// The request may not be sent.
    Refused(Refusal),
}
