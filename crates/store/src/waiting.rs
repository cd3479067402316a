//! Waiting for a log that somebody has for a moment.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::OpenError;

/// How often to look whether it is free.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens a log with `open`, which is tried again for as long as `patience` says while another process has the log and has
/// no console: it is a command that reads, or a `serve` that is about to say where its console is. Blocks meanwhile.
///
/// # Errors
///
/// The last error of `open`; an owner that has a console, and any error but [`OpenError::Locked`], is not waited for.
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
