//! Reading exchanges one by one, for as long as a command runs.

use std::{path::PathBuf, sync::Arc};

use nightaudit_exchange::{Exchange, ExchangeId};
use nightaudit_log::{FindError, ReadLog};

use crate::{
    client::Client,
    error::{ConsoleError, Error},
    source::Source,
};

/// Makes a [`Fetcher`] on each thread that needs one.
#[derive(Debug, Clone)]
pub struct Fetching {
    data: PathBuf,
    log: Option<Arc<dyn ReadLog>>,
}

/// Reads exchanges one by one, from the log or from the console of the `serve` that has it. When that `serve` has ended, it reads on
/// where the log is then.
pub struct Fetcher {
    data: PathBuf,
    from: Backing,
}

enum Backing {
    Log(Box<dyn nightaudit_log::Fetcher>),
    Console(Client),
}

impl Fetching {
    /// From where `source`, which is that of the data folder `data`, reads.
    #[must_use]
    pub fn of(source: Source, data: PathBuf) -> Self {
        let log = match source {
            Source::Log(log) => Some(Arc::from(log)),
            Source::Console(_) => None,
        };
        Self { data, log }
    }

    /// A fetcher for this thread.
    ///
    /// # Errors
    ///
    /// The log can't be opened any more.
    pub fn open(&self) -> Result<Fetcher, Error> {
        let from = match &self.log {
            Some(log) => Backing::Log(log.fetcher()),
            None => Backing::open(&self.data)?,
        };
        Ok(Fetcher { data: self.data.clone(), from })
    }
}

impl Backing {
    fn open(data: &std::path::Path) -> Result<Self, Error> {
        Ok(match Source::open(data)? {
            Source::Log(log) => Self::Log(log.fetcher()),
            Source::Console(client) => Self::Console(client),
        })
    }

    fn fetch(&mut self, id: ExchangeId) -> Result<Option<Exchange>, Error> {
        match self {
            Self::Log(log) => Ok(log.fetch(id)?),
            Self::Console(client) => match client.get(&format!("/api/v1/exchanges/{id}"), &[]) {
                Ok(exchange) => Ok(Some(exchange)),
                Err(ConsoleError::Argument(_)) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }
}

impl Fetcher {
    /// The exchange with this id.
    ///
    /// # Errors
    ///
    /// It isn't in the log, or can't be read.
    pub fn fetch(&mut self, id: ExchangeId) -> Result<Exchange, Error> {
        let found = match (self.from.fetch(id), &self.from) {
            (Err(Error::Console(ConsoleError::Unreachable { .. })), Backing::Console(_)) => {
                self.from = Backing::open(&self.data)?;
                self.from.fetch(id)?
            }
            (found, _) => found?,
        };
        found.ok_or_else(|| FindError::NotFound(id.to_string()).into())
    }
}
