//! Where a request was sent, and who vouched for the host.

use std::net::SocketAddr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// The connection over which a request left.
///
/// It is what the proxy connected to, not what the configuration or the request calls it.
///
/// ```
/// use nightaudit_exchange::{Authority, Destination};
///
/// let json = r#"{"address":"https://api.mews-demo.com","remote":"192.0.2.7:443",
///     "tls":{"serverName":"api.mews-demo.com","authority":"public"}}"#;
/// let destination: Destination = serde_json::from_str(json)?;
/// assert_eq!(destination.tls.unwrap().authority, Authority::Public);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// Scheme and authority: `https://api.mews-demo.com`, `http://127.0.0.1:8090`.
    pub address: CompactString,
    /// The address of the TCP connection's other end: the host's, or the corporate proxy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// The TLS session; none for a connection in clear text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The corporate proxy that the connection was tunnelled through, without credentials: `proxy.example:3128`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<CompactString>,
}

/// A TLS session with a host whose certificate was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The name that the certificate was verified against.
    pub server_name: CompactString,
    /// Which authorities vouch for the certificate.
    pub authority: Authority,
}

/// The certificate authorities that vouch for a host, the widest circle first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    /// Mozilla's list of public authorities, as it was when this program was built.
    Public,
    /// Only the machine's own list, which its administrator can extend.
    System,
    /// Only the file that the configuration names (`upstream_ca`).
    Configured,
}
