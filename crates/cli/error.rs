//! Error reporting and exit codes.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use nightaudit_app::{
    StartError,
    config::{ContractsError, kept::UpdateError},
    logging::{Background, InvalidLevel},
};
use nightaudit_text::one_line;

/// How long flushing the last log lines may delay the exit.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

/// A mistake in the arguments or the configuration: exit code 2 instead of 1.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct Usage(pub(crate) anyhow::Error);

impl Usage {
    /// A usage error with this message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(anyhow::Error::msg(message.into()))
    }
}

/// Opens a file that the user named; it is a mistake of usage if that can't be read.
pub(crate) fn open_input(path: &Path) -> anyhow::Result<File> {
    let file = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    });
    Ok(file.with_context(|| format!("can't read {}", path.display())).map_err(Usage)?)
}

/// Prints the error and returns the exit code. A closed pipe is success: the reader has seen enough.
pub(crate) fn report(error: &anyhow::Error, background: Option<&Background>) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let line = format!("nightaudit: {}\n", one_line(error.as_ref()));
    match background {
        Some(background) => background.say(line.as_bytes()),
        // If standard error is closed, the exit code still reports the failure.
        None => drop(anstream::stderr().write_all(line.as_bytes())),
    }
    ExitCode::from(if is_usage(error) { 2 } else { 1 })
}

/// Whether the user has to change the arguments or the configuration.
fn is_usage(error: &anyhow::Error) -> bool {
    // `downcast_ref` sees through a context; the chain doesn't.
    error.downcast_ref::<Usage>().is_some()
        || error.downcast_ref::<ContractsError>().is_some()
        || error.downcast_ref::<UpdateError>().is_some()
        || error.downcast_ref::<InvalidLevel>().is_some()
        || error.downcast_ref().is_some_and(nightaudit_client::Error::is_argument)
        || error.downcast_ref().is_some_and(StartError::is_configuration)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        // Its source is the cause of the I/O error, not the I/O error itself.
        let json = || cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or_else(json) == Some(io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_errors_exit_with_2() {
        assert_eq!(report(&Usage::new("no such flag").into(), None), ExitCode::from(2));
        assert_eq!(report(&anyhow::Error::msg("no room"), None), ExitCode::from(1));
        let wrapped = Err::<(), _>(Usage::new("x")).context("reading the flags").unwrap_err();
        assert_eq!(report(&wrapped, None), ExitCode::from(2));
    }

    #[test]
    fn a_cause_is_printed_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("can't write x: {source}")]
        struct Unwritable {
            source: io::Error,
        }
        let source = io::Error::other("no room");
        let error = anyhow::Error::new(Unwritable { source }).context("the data folder can't be used");
        assert_eq!(one_line(error.as_ref()), "the data folder can't be used: can't write x: no room");
    }

    #[test]
    fn a_closed_pipe_is_success() {
        let pipe = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing").unwrap_err();
        assert_eq!(report(&pipe, None), ExitCode::SUCCESS);
    }

    #[test]
    fn regression_a_pipe_that_closed_while_json_was_written_was_an_error() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        let error = serde_json::to_writer(&mut writer, "x").unwrap_err();
        let error = Err::<(), _>(error).context("writing").unwrap_err();
        assert_eq!(report(&error, None), ExitCode::SUCCESS);
        let wrong = serde_json::from_str::<u8>("x").unwrap_err();
        assert_eq!(report(&wrong.into(), None), ExitCode::from(1));
    }
}
