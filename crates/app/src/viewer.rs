//! The console over a log that nothing is recorded into.

use std::{io, sync::Arc};

use nightaudit_archive::{Address, Archive};
use nightaudit_console::{Console, Gauges, Token, TokenError};
use nightaudit_log::{ReadError, ReadLog as _};
use nightaudit_store::{Log, OpenError, StoreConfig};
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    console_port::ConsolePort,
    error::StartError,
    keys::evidence_tools,
    service::{log_gauges, open_log, reading_gauges, unwind},
};

/// Why nothing in an archive can be changed from its page.
const ONLY_READ: &str = "an archive is only read from here: change a session and its declaration, or import a file, on the \
                         machine that records the session, with `nightaudit sessions`, `nightaudit log import` or its page";

/// The console of a log that no `serve` has open, without a proxy: exchanges are read and exported, sessions and their
/// declarations can be changed unless the data folder can't be written, and nothing is recorded.
pub struct Viewer {
    settings: Settings,
    tls: Option<Arc<ServerConfig>>,
    log: Viewed,
    token: Token,
    console: Arc<Console>,
    port: ConsolePort,
    /// Where evidence is written, if not in the data folder.
    _scratch: Option<TempDir>,
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
        let config = StoreConfig { session: None, records: false, ..settings.store.clone() };
        let log = match open_log(config.clone()).await {
            Err(error) if error.is_unwritable() => Arc::new(open_to_read(config).await?),
            opened => Arc::new(opened?),
        };
        let port = ConsolePort::bind(&settings).await?;
        let mut gauges = log_gauges(&log, &settings);
        let mut scratch = None;
        let token = match log.is_read_only() {
            true => {
                scratch = temporary();
                gauges.evidence = scratch.as_ref().map(|folder| evidence_tools(&settings, folder.path()));
                gauges.import = None;
                Token::load_or_make(&settings.data)?
            }
            false => Token::load_or_create(&settings.data)?,
        };
        let names = settings.console.names.clone();
        let console = Arc::new(Console::new(log.clone(), token.clone(), port.address(), names, gauges));
        port.announce(&log, &settings)?;
        Ok(Self { settings, tls, log: Viewed::Log(log), token, console, port, _scratch: scratch })
    }

    /// Connects to the archive. What it shows is only read; the data folder has the keys for exports and the token, and need
    /// not exist.
    async fn start_on_archive(
        settings: Settings,
        tls: Option<Arc<ServerConfig>>,
        address: Address,
    ) -> Result<Self, StartError> {
        let opened = unwind(tokio::task::spawn_blocking(move || Archive::open(address)).await);
        let archive = Arc::new(opened?);
        let port = ConsolePort::bind(&settings).await?;
        // Kept if there is a data folder, so that the page's address stays the same.
        let token = Token::load_or_create(&settings.data).or_else(|_| Token::load_or_make(&settings.data))?;
        let names = settings.console.names.clone();
        // Not the data folder, which may be that of a running `serve`.
        let scratch = temporary();
        let gauges = Gauges {
            evidence: scratch.as_ref().map(|folder| evidence_tools(&settings, folder.path())),
            read_only: Some(ONLY_READ),
            ..reading_gauges(&settings)
        };
        let console = Arc::new(Console::new(archive.clone(), token.clone(), port.address(), names, gauges));
        Ok(Self { settings, tls, log: Viewed::Archive(archive), token, console, port, _scratch: scratch })
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

/// A private folder among the temporary files, removed with the value; `None`, with a warning, if there can't be one.
fn temporary() -> Option<TempDir> {
    let folder = tempfile::Builder::new().prefix("nightaudit-").tempdir();
    folder
        .inspect_err(|error| tracing::warn!("the page can't export evidence, for lack of a temporary folder: {error}"))
        .ok()
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
