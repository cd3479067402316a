//! Addresses that are listened on.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::error::BindError;

/// Listens on the address set by the configuration key `key`.
///
/// # Errors
///
/// The address is in use, or not this machine's.
pub async fn bind(address: SocketAddr, key: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, key, source })
}

pub(crate) fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}
