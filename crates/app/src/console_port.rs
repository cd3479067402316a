//! The console's ports.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use nightaudit_console::Console;
use nightaudit_listen::Server;
use nightaudit_store::Log;
use rustls::ServerConfig;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    error::StartError,
    files,
    listening::{bind, scheme},
    wiring,
};

/// The console's bound port, and the one for local commands.
pub(crate) struct ConsolePort {
    listener: TcpListener,
    address: SocketAddr,
    tls: bool,
    /// The port for local commands, if they can't use the other one.
    commands: Option<TcpListener>,
}

impl ConsolePort {
    pub(crate) async fn bind(settings: &Settings) -> Result<Self, StartError> {
        let listener = bind(settings.console.address, "console").await?;
        let address = listener.local_addr().map_err(StartError::System)?;
        let tls = settings.console.tls;
        // A console with TLS, or one not reachable through loopback, is for other machines; local commands get a
        // clear-text port on loopback.
        let local = wiring::reachable(address).ip().is_loopback();
        let commands = match tls || !local {
            true => Some(bind(SocketAddr::from(([127, 0, 0, 1], 0)), "console").await?),
            false => None,
        };
        Ok(Self { listener, address, tls, commands })
    }

    /// The address it is bound to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, for this machine.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", scheme(self.tls), wiring::reachable(self.address))
    }

    /// Writes the address for local commands to the data folder's `console`, where they look for it.
    pub(crate) fn announce(&self, log: &Log, settings: &Settings) -> Result<(), StartError> {
        let for_commands =
            self.commands.as_ref().map_or(Ok(self.address), TcpListener::local_addr).map_err(StartError::System)?;
        log.set_console(&format!("http://{}", wiring::reachable(for_commands)))
            .map_err(|source| StartError::ConsoleFile { folder: settings.data.clone(), source })
    }

    /// Serves until `stop` is cancelled and followers have been told; the tasks end then.
    pub(crate) fn serve(
        self,
        console: &Arc<Console>,
        tls: Option<Arc<ServerConfig>>,
        stop: &CancellationToken,
    ) -> JoinSet<()> {
        let mut serving = JoinSet::new();
        let for_commands = self.commands.map(|port| (port, None));
        for (port, tls) in [(self.listener, tls.filter(|_| self.tls))].into_iter().chain(for_commands) {
            let stop = console.stop_signal(stop.clone().cancelled_owned());
            let server = Server::new(config(tls));
            let console = Arc::clone(console);
            serving.spawn(async move {
                server.serve(port, console, stop).await;
            });
        }
        serving
    }
}

fn config(tls: Option<Arc<ServerConfig>>) -> nightaudit_listen::ListenConfig {
    nightaudit_listen::ListenConfig {
        tls,
        max_connections: files::CONSOLE,
        // A user may page through an export.
        response_taken: Duration::from_secs(300),
        drain: Duration::from_secs(2),
        ..Default::default()
    }
}
