//! The archive's runtime, and a few connections that readers share.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64, mpsc},
};

use nightaudit_log::{ReadError, Unavailable};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::Row;

use crate::{
    address::Address,
    connection::{Connection, Param},
    error::Error,
};

/// Connections kept for later.
const MOST_IDLE: usize = 4;

/// Runs statements from any thread, asynchronous or not.
pub(crate) struct Pool {
    pub(crate) address: Address,
    /// Taken when it ends.
    runtime: Option<Runtime>,
    idle: Mutex<Vec<Connection>>,
    /// The last generation read.
    pub(crate) generation: AtomicU64,
}

impl Pool {
    pub(crate) fn new(address: Address) -> Result<Arc<Self>, Error> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("archive").enable_all().build();
        let runtime =
            runtime.map_err(|error| Error::Unreachable { address: address.to_string(), cause: error.to_string() })?;
        Ok(Arc::new(Self { address, runtime: Some(runtime), idle: Mutex::default(), generation: AtomicU64::new(0) }))
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("it is taken only when this is dropped").handle()
    }

    /// Waits for `work`, which runs on the archive's own runtime: the caller may be within another.
    pub(crate) fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, Error> {
        let (sender, result) = mpsc::sync_channel(1);
        self.handle().spawn(async move {
            let _ = sender.send(work.await);
        });
        result
            .recv()
            .map_err(|_| Error::Unreachable { address: self.address.to_string(), cause: "it was closed".to_owned() })
    }

    /// The rows of a statement that only reads.
    pub(crate) fn rows(self: &Arc<Self>, sql: String, params: Vec<Param>) -> Result<Vec<Row>, Error> {
        let pool = Arc::clone(self);
        self.wait(async move { pool.read(&sql, &params).await })?
    }

    /// As [`rows`](Self::rows), for asynchronous callers on the archive's runtime.
    pub(crate) async fn read(&self, sql: &str, params: &[Param]) -> Result<Vec<Row>, Error> {
        let mut is_fresh = false;
        loop {
            let mut connection = match self.take() {
                Some(connection) if !is_fresh => connection,
                _ => {
                    is_fresh = true;
                    Connection::open(&self.address).await?
                }
            };
            match connection.rows(sql, params).await {
                // The server was restarted since it was used last.
                Err(error) if error.is_connection() && !is_fresh => is_fresh = true,
                result => {
                    if result.is_ok() || !connection.is_closed() {
                        self.give_back(connection);
                    }
                    return result;
                }
            }
        }
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_closed());
        idle.pop()
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE && !connection.is_closed() {
            idle.push(connection);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.address).finish()
    }
}

/// An error of the archive to those who read.
pub(crate) fn unavailable(error: Error) -> ReadError {
    Unavailable::new(error).into()
}
