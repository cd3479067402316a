//! Signal handling for all commands. `serve` and `simulate` handle termination signals themselves.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::{Handle, Signals};
use tokio_util::sync::CancellationToken;

/// Ignores SIGXFSZ: writing beyond the file size limit then fails with an error, as on a full disk, instead of killing
/// the process.
pub(crate) fn survive_file_limits() {
    // Registering a handler is enough. If that fails, the default action stays.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Cancels `stop` on the first SIGINT or SIGTERM; the second one takes its default action and kills the process.
pub(crate) fn stop_on_signal(stop: CancellationToken) -> io::Result<()> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        for first in [true, false] {
            #[cfg(unix)]
            let terminated = terminate.recv();
            #[cfg(not(unix))]
            let terminated = std::future::pending::<Option<()>>();
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated => {}
            }
            if first {
                stop.cancel();
                tracing::info!("shutting down: requests in flight may finish; a second signal aborts them");
            }
        }
        std::process::exit(1);
    });
    Ok(())
}

/// An unfinished file that is removed if a signal terminates the program.
pub(crate) struct Unfinished(Handle);

impl Unfinished {
    /// Watches for signals until it is dropped.
    ///
    /// # Errors
    ///
    /// A handler can't be registered, or the thread that waits for signals can't be spawned.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        let handle = signals.handle();
        let path: PathBuf = path.to_owned();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                let _ = fs::remove_file(path);
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        })?;
        Ok(Self(handle))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.close();
    }
}
