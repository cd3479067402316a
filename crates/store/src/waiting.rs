//! Waiting for a log that is locked for a moment.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::OpenError;

/// The polling interval.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens a log with `open`, retrying for up to `patience` while another process without a console owns it: a command
/// that reads, or a `serve` that has yet to publish its console. Blocks the thread.
///
/// # Errors
///
/// The last error of `open`. An owner with a console, and any error but [`OpenError::Locked`], fails at once.
pub fn open_when_free<T>(patience: Duration, mut open: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let end = Instant::now() + patience;
    loop {
        match open() {
            Err(OpenError::Locked { console: None, .. }) if Instant::now() < end => thread::sleep(PAUSE),
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn locked(console: Option<&str>) -> OpenError {
        OpenError::Locked { dir: PathBuf::new(), pid: None, console: console.map(str::to_owned) }
    }

    #[test]
    fn only_an_owner_without_a_console_is_waited_for() {
        let long = Duration::from_secs(60);
        let mut tries = 0;
        let opened = open_when_free(long, || {
            tries += 1;
            if tries < 3 { Err(locked(None)) } else { Ok(tries) }
        });
        assert_eq!(opened.unwrap(), 3);
        for mut error in [Some(locked(Some("http://127.0.0.1:1"))), Some(OpenError::Missing(PathBuf::new()))] {
            let expected = error.as_ref().unwrap().to_string();
            let failed = open_when_free::<()>(long, || Err(error.take().expect("it is tried once")));
            assert_eq!(failed.unwrap_err().to_string(), expected);
        }
        let mut tries = 0;
        let failed = open_when_free::<()>(Duration::ZERO, || {
            tries += 1;
            Err(locked(None))
        });
        assert!(failed.is_err() && tries == 1);
    }
}
