//! Configuration of the upstream side.

use std::path::PathBuf;

/// How to reach and trust upstream hosts.
#[derive(Debug, Clone, Default)]
pub struct UpstreamConfig {
    /// A PEM file with certificate authorities to trust in addition to the system's.
    pub ca: Option<PathBuf>,
    /// The corporate proxy.
    pub proxy: UpstreamProxy,
}

/// The corporate proxy between here and Mews.
#[derive(Debug, Clone, Default)]
pub enum UpstreamProxy {
    /// None, regardless of the environment.
    None,
    /// From `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` (in upper or lower case), and `http_proxy`, as in curl.
    #[default]
    Environment,
    /// This one, except for the hosts in `except`.
    Fixed {
        /// The address: `http://[user:password@]host:port`, or the same with `socks5` or `socks5h`.
        address: String,
        /// Names, domains and networks to reach directly, separated by commas, as in `NO_PROXY`.
        except: String,
    },
}

/// An invalid [`UpstreamConfig`].
#[derive(Debug, thiserror::Error)]
pub enum UpstreamConfigError {
    /// The file of certificate authorities can't be read.
    #[error("can't read certificate authorities from {}: {reason}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The proxy address is invalid.
    #[error(
        "{setting}: `{address}` is not a valid proxy address: {reason}; for example http://proxy.example:3128 or \
         socks5h://proxy.example:1080"
    )]
    Proxy {
        /// The configuration key or environment variable.
        setting: String,
        /// The address, without user and password.
        address: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// rustls rejects the configuration.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}
