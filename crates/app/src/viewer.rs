//! The console over a log that nothing is recorded into.

use std::{io, sync::Arc};

use nightaudit_archive::{Address, Archive};
use nightaudit_console::{Console, Token, TokenError};
use nightaudit_log::{ReadError, ReadLog as _};
use nightaudit_store::{Log, OpenError, StoreConfig};
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    console_port::ConsolePort,
    error::StartError,
    service::{log_gauges, open_log, reading_gauges, unwind},
};

/// The console of a log that no `serve` has open, without a proxy: exchanges are read and exported, sessions and their
/// declarations can be changed unless the data folder can't be written, and nothing is recorded.
pub struct Viewer {
    settings: Settings,
    tls: Option<Arc<ServerConfig>>,
    log: Viewed,
    token: Token,
    console: Arc<Console>,
    port: ConsolePort,
}

/// What is shown.
enum Viewed {
    Log(Arc<Log>),
    Archive(Arc<Archive>),
}

impl Viewer {
    /// Opens the log, which must exist, or the archive, and the console's port.
    ///
    /// # Errors
    ///
    /// [`StartError`]: among others there is no log, or a `serve` has it open.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let tls = match &settings.tls {
            Some(files) if settings.console.tls => {
                Some(nightaudit_listen::server_config(&files.certificate, &files.key)?)
            }
            _ => None,
        };
        if let Some(address) = settings.read_from.clone() {
            return Self::start_on_archive(settings, tls, address).await;
        }
        Log::require(&settings.data)?;
        // Nothing is recorded, so no session is continued either.
        let config = StoreConfig { session: None, ..settings.store.clone() };
        let log = match open_log(config.clone()).await {
            Err(error) if error.is_unwritable() => Arc::new(open_to_read(config).await?),
            opened => Arc::new(opened?),
        };
        let port = ConsolePort::bind(&settings).await?;
        let mut gauges = log_gauges(&log, &settings);
        let token = match log.is_read_only() {
            true => {
                (gauges.evidence, gauges.import) = (None, None);
                Token::load_or_make(&settings.data)?
            }
            false => Token::load_or_create(&settings.data)?,
        };
        let names = settings.console.names.clone();
        let console = Arc::new(Console::new(log.clone(), token.clone(), port.address(), names, gauges));
        port.announce(&log, &settings)?;
        Ok(Self { settings, tls, log: Viewed::Log(log), token, console, port })
    }

    /// Connects to the archive. What it shows is only read; the data folder has the keys for exports, and need not exist.
    async fn start_on_archive(
        settings: Settings,
        tls: Option<Arc<ServerConfig>>,
        address: Address,
    ) -> Result<Self, StartError> {
        let opened = unwind(tokio::task::spawn_blocking(move || Archive::open(address)).await);
        let archive = Arc::new(opened?);
        let port = ConsolePort::bind(&settings).await?;
        let token = Token::load_or_make(&settings.data)?;
        let names = settings.console.names.clone();
        let gauges = reading_gauges(&settings);
        let console = Arc::new(Console::new(archive.clone(), token.clone(), port.address(), names, gauges));
        Ok(Self { settings, tls, log: Viewed::Archive(archive), token, console, port })
    }

    /// The console's URL, for this machine.
    #[must_use]
    pub fn console_url(&self) -> String {
        self.port.url()
    }

    /// The URL that opens the page, with the token.
    #[must_use]
    pub fn page_url(&self) -> String {
        self.token.page_url(&self.console_url())
    }

    /// A URL that opens the page once, within a minute, and doesn't have the token.
    ///
    /// # Errors
    ///
    /// The system's random number generator failed.
    pub fn ticket_url(&self) -> Result<String, TokenError> {
        Ok(self.console_url() + &self.console.ticket()?)
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Exchanges and sessions that it had when it was opened.
    ///
    /// # Errors
    ///
    /// The archive can't be read.
    pub fn contents(&self) -> Result<(u64, u64), ReadError> {
        match &self.log {
            Viewed::Log(log) => Ok((log.opened().exchanges, log.opened().sessions)),
            Viewed::Archive(archive) => archive.info().map(|info| (info.exchanges, info.sessions)),
        }
    }

    /// Serves until `stop` resolves, and closes the log.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let stopping = CancellationToken::new();
        let serving = self.port.serve(&self.console, self.tls, &stopping);
        stop.await;
        stopping.cancel();
        serving.join_all().await;
        if let Viewed::Log(log) = self.log {
            unwind(tokio::task::spawn_blocking(move || log.close()).await);
        }
    }
}

/// Opens a log in a folder that can't be written.
async fn open_to_read(config: StoreConfig) -> Result<Log, StartError> {
    let opened = tokio::task::spawn_blocking(move || Log::open_read_only(&config.dir, config.api));
    let log = unwind(opened.await)?;
    tracing::info!("the data folder can't be written: the log is only read");
    Ok(log)
}

impl StartError {
    /// Whether the data folder can't be written, as on a read-only file system.
    fn is_unwritable(&self) -> bool {
        let Self::Folder(OpenError::Io { source, .. }) = self else { return false };
        matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }

    /// The process that has the log open, and its console's address, if that is why it can't be opened here.
    #[must_use]
    pub fn holder(&self) -> Option<(Option<u32>, Option<&str>)> {
        match self {
            Self::Locked(OpenError::Locked { pid, console, .. }) => Some((*pid, console.as_deref())),
            _ => None,
        }
    }
}
