//! The proxy's worker threads.

use std::{
    io,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// More threads would only wait for the log's single writer.
const MOST: usize = 8;

/// Threads with a single-threaded runtime each: a request and everything it wakes stay on one thread, so that no core
/// waits for another. The console runs on its own runtime and can't delay them.
pub(crate) struct Workers {
    threads: Vec<(Handle, JoinHandle<()>)>,
    stop: CancellationToken,
}

impl Workers {
    /// Spawns a thread per core.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST));
        let mut workers = Self { threads: Vec::with_capacity(cores), stop: CancellationToken::new() };
        for _ in 0..cores {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let stop = workers.stop.clone();
            let thread = thread::Builder::new().name("worker".to_owned()).spawn(move || run(runtime, &stop))?;
            workers.threads.push((handle, thread));
        }
        Ok(workers)
    }

    pub(crate) fn runtimes(&self) -> impl Iterator<Item = Handle> {
        self.threads.iter().map(|(runtime, _)| runtime.clone())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        for (_, thread) in self.threads.drain(..) {
            // The panic has been logged.
            let _ = thread.join();
        }
    }
}

fn run(runtime: Runtime, stop: &CancellationToken) {
    runtime.block_on(stop.cancelled());
    // A pending DNS lookup must not delay the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
}
