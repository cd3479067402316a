//! How a failure ends the program.

use std::{io, process::ExitCode};

/// Something typed or configured that can't be meant: exit code 2 instead of 1.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct Usage(pub(crate) anyhow::Error);

impl Usage {
    /// A usage error with this message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(anyhow::Error::msg(message.into()))
    }
}

/// Tells a person and says how to exit. A reader that has closed our output has seen what it wanted.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    anstream::eprintln!("nightaudit: {error:#}");
    ExitCode::from(if error.downcast_ref::<Usage>().is_some() { 2 } else { 1 })
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn wrong_usage_is_told_apart() {
        assert_eq!(report(&Usage::new("no such flag").into()), ExitCode::from(2));
        assert_eq!(report(&anyhow::Error::msg("no room")), ExitCode::from(1));
        let wrapped = Err::<(), _>(Usage::new("x")).context("reading the flags").unwrap_err();
        assert_eq!(report(&wrapped), ExitCode::from(2));
    }

    #[test]
    fn a_closed_pipe_is_success() {
        let pipe = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing").unwrap_err();
        assert_eq!(report(&pipe), ExitCode::SUCCESS);
    }
}
