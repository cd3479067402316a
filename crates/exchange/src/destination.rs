//! Where a request was sent, and how the host was authenticated.

use std::{fmt, net::SocketAddr};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// The upstream connection of a request.
///
/// What the proxy connected to, not what the configuration or the request calls it.
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
    /// The peer address of the TCP connection: the host's, or the corporate proxy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// The TLS session; `None` for a plaintext connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The corporate proxy that the connection is tunnelled through, without credentials: `proxy.example:3128`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<CompactString>,
}

impl fmt::Display for Destination {
    /// For display: `https://api.mews-demo.com, TLS with api.mews-demo.com, certificate from a public authority`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)?;
        match &self.tls {
            Some(tls) => write!(f, ", TLS with {}, certificate from {}", tls.server_name, tls.authority)?,
            None => f.write_str(", in clear text")?,
        }
        self.proxy.iter().try_for_each(|proxy| write!(f, ", through the proxy {proxy}"))
    }
}

/// A TLS session with a host whose certificate was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The name that the certificate was verified against.
    pub server_name: CompactString,
    /// The authorities that vouch for the certificate.
    pub authority: Authority,
}

/// The certificate authorities that vouch for a host, most widely trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    /// Mozilla's list of public authorities, as of this program's build.
    Public,
    /// Only the machine's own trust store, which its administrator can extend.
    System,
    /// Only the file that the configuration names (`upstream_ca`).
    Configured,
    /// Not stated: another tool recorded the exchange, and its file doesn't say who vouched for the host, if anyone.
    Unknown,
}

impl Authority {
    /// The authority as written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::System => "system",
            Self::Configured => "configured",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public authority",
            Self::System => "an authority of the machine only",
            Self::Configured => "a configured authority only",
            Self::Unknown => "an authority that was not recorded",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_a_destination() {
        let tls = |authority| Some(Tls { server_name: "api.mews-demo.com".into(), authority });
        let https = |authority| Destination {
            address: "https://api.mews-demo.com".into(),
            remote: None,
            tls: tls(authority),
            proxy: None,
        };
        for authority in [Authority::Public, Authority::System, Authority::Configured, Authority::Unknown] {
            assert_eq!(serde_json::to_value(authority).unwrap(), authority.as_str());
        }
        assert_eq!(
            https(Authority::Public).to_string(),
            "https://api.mews-demo.com, TLS with api.mews-demo.com, certificate from a public authority"
        );
        let tunnelled = Destination { proxy: Some("proxy.example:3128".into()), ..https(Authority::Configured) };
        assert!(
            tunnelled
                .to_string()
                .ends_with("certificate from a configured authority only, through the proxy proxy.example:3128")
        );
        let clear = Destination { address: "http://127.0.0.1:8090".into(), tls: None, ..https(Authority::System) };
        assert_eq!(clear.to_string(), "http://127.0.0.1:8090, in clear text");
    }
}
