//! TLS for servers that stand in for Mews.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use nightaudit_app::config::Settings;
use nightaudit_simulator::self_signed;

/// The default file name of the CA certificate, in the data folder.
const AUTHORITY: &str = "simulator-ca.pem";

#[derive(Debug, Args)]
pub(crate) struct SelfSignedTls {
    /// Serve TLS with a self-signed CA
    #[arg(long)]
    tls: bool,
    /// Where to write the CA certificate [default: simulator-ca.pem in the data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls")]
    tls_ca: Option<PathBuf>,
}

/// How an address is served.
pub(crate) struct Served {
    /// The server's configuration; `None` for clear text.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// The file with the CA's certificate.
    pub(crate) authority: Option<PathBuf>,
    /// The URL for clients.
    pub(crate) url: String,
}

impl SelfSignedTls {
    /// With `--tls`, makes a server certificate and writes its CA's certificate to a file.
    pub(crate) fn serve(&self, settings: &Settings, address: SocketAddr) -> anyhow::Result<Served> {
        if !self.tls {
            return Ok(Served { tls: None, authority: None, url: format!("http://{address}") });
        }
        let made = self_signed(address.ip())?;
        let file = match &self.tls_ca {
            Some(file) => file.clone(),
            None => {
                nightaudit_store::create_private_folder(&settings.data)
                    .with_context(|| format!("can't make the data folder {}", settings.data.display()))?;
                settings.data.join(AUTHORITY)
            }
        };
        fs::write(&file, made.authority)
            .with_context(|| format!("can't write {}: name another file with --tls-ca", file.display()))?;
        Ok(Served { tls: Some(made.tls), authority: Some(file), url: format!("https://{address}") })
    }
}
