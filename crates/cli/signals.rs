//! What signals do to every command. `serve` and those like it take the ones that end them for themselves.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::{Handle, Signals};
use tokio_util::sync::CancellationToken;

/// From here on a file that grows beyond what the system allows is an error of its writing, as a full disk is, and does
/// not end the program.
pub(crate) fn survive_file_limits() {
    // Taking the signal is enough. Where it can't be taken, things stay as they were.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Cancels `stop` at the first SIGINT or SIGTERM; a second one ends the process, as if nobody listened.
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
                tracing::info!("stopping: requests under way may finish; a second signal ends them");
            }
        }
        std::process::exit(1);
    });
    Ok(())
}

/// An unfinished file, which a signal that ends the program removes first.
pub(crate) struct Unfinished(Handle);

impl Unfinished {
    /// Watches for signals until it is dropped.
    ///
    /// # Errors
    ///
    /// The signals can't be taken, or the thread that waits for them can't be started.
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
