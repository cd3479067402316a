//! Where an archive is.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Config, Host, SslMode};

use crate::password;

/// The address of an archive: `postgres://user@host/database`, with the parameters of PostgreSQL's own programs.
///
/// Its text forms never have the password.
///
/// ```
/// let address: nightaudit_archive::Address = "postgres://kiosk:secret@db.example.com/audit".parse()?;
/// assert_eq!(address.to_string(), "postgres://kiosk@db.example.com/audit");
/// # Ok::<(), nightaudit_archive::InvalidAddress>(())
/// ```
#[derive(Clone)]
pub struct Address {
    pub(crate) config: Config,
    pub(crate) tls: TlsMode,
    /// Authorities to trust instead of the system's; a PEM file.
    pub(crate) roots: Option<PathBuf>,
}

/// How much TLS there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsMode {
    /// None.
    Never,
    /// If the server has it; whoever answers is believed.
    Offered,
    /// Always; whoever answers is believed.
    Unverified,
    /// Always, with a certificate for the host.
    Verified,
}

/// Not the address of an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the address of an archive: {0}; write it like postgres://user@host/database")]
pub struct InvalidAddress(String);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection whose other end doesn't answer for this long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(20);

impl Address {
    /// Whether this text is meant as the address of an archive.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("postgres:") || text.starts_with("postgresql:")
    }

    /// The user, for messages.
    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or("the system's user")
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidAddress("it doesn't begin with postgres://".to_owned()));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut others, mut mode, mut roots, mut file) = (Vec::new(), None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "sslmode" => mode = Some(value),
                "sslrootcert" => roots = Some(PathBuf::from(value)).filter(|path| path.as_os_str() != "system"),
                "passfile" => file = Some(PathBuf::from(value)),
                _ => others.push(pair),
            }
        }
        let plain = match others.is_empty() {
            true => base.to_owned(),
            false => format!("{base}?{}", others.join("&")),
        };
        // Its own message names the parameter at fault, never a value.
        let mut config: Config = plain.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            InvalidAddress(cause)
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        let tls = match mode.as_deref() {
            None if is_near(&config) => TlsMode::Offered,
            None => TlsMode::Verified,
            Some("disable") => TlsMode::Never,
            Some("allow" | "prefer") => TlsMode::Offered,
            Some("require") if roots.is_none() => TlsMode::Unverified,
            Some("require" | "verify-ca" | "verify-full") => TlsMode::Verified,
            Some(_) => {
                let known = "`sslmode` must be disable, prefer, require, verify-ca or verify-full";
                return Err(InvalidAddress(known.to_owned()));
            }
        };
        config.ssl_mode(match tls {
            TlsMode::Never => SslMode::Disable,
            TlsMode::Offered => SslMode::Prefer,
            TlsMode::Unverified | TlsMode::Verified => SslMode::Require,
        });
        if config.get_application_name().is_none() {
            config.application_name("nightaudit");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.tcp_user_timeout(DEAD_AFTER);
        config.keepalives_idle(DEAD_AFTER);
        if config.get_password().is_none()
            && let Some(password) = password::find(&config, file.as_deref())
        {
            config.password(password);
        }
        Ok(Self { config, tls, roots })
    }
}

/// Whether all its hosts are this machine.
fn is_near(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    }) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let ports = self.config.get_ports();
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) if name.contains(':') => write!(f, "{comma}[{name}]")?,
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            if let Some(port) = ports.get(index).or(ports.first()).filter(|port| **port != 5432) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        (&self.config, self.tls, &self.roots) == (&other.config, other.tls, &other.roots)
    }
}

impl Eq for Address {}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn the_password_is_in_no_text() {
        for text in [
            "postgres://a:s3cret@h/d",
            "postgresql://a:s3cret@h:5433/d?sslmode=require",
            "postgres://a@h/d?password=s3cret",
            "postgres://a:s3cret@h,i:6000/d",
        ] {
            let address = address(text);
            assert_eq!(address.config.get_password(), Some(&b"s3cret"[..]), "{text}");
            assert!(!format!("{address} {address:?}").contains("s3cret"), "{text}");
        }
        for text in [
            "postgres://a:s3cret@h:port/d",
            "postgres://a:s3cret@h/d?sslmode=s3cret",
            "postgres://a:s3cret@h/d?s3cret=1&x=s3cret",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("a:s3cret") && !error.contains("=s3cret"), "{error}");
        }
    }

    #[test]
    fn other_machines_are_verified_unless_told() {
        for (text, tls) in [
            ("postgres://h/d", TlsMode::Verified),
            ("postgres://localhost/d", TlsMode::Offered),
            ("postgres://127.0.0.1/d", TlsMode::Offered),
            ("postgres://[::1]/d", TlsMode::Offered),
            ("postgres:///d?host=/run/postgresql", TlsMode::Offered),
            ("postgres:///d", TlsMode::Offered),
            ("postgres://127.0.0.1,h/d", TlsMode::Verified),
            ("postgres://h/d?sslmode=disable", TlsMode::Never),
            ("postgres://h/d?sslmode=require", TlsMode::Unverified),
            ("postgres://h/d?sslmode=require&sslrootcert=/ca.pem", TlsMode::Verified),
            ("postgres://localhost/d?sslmode=verify-full", TlsMode::Verified),
        ] {
            assert_eq!(address(text).tls, tls, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "info",
            "postgres:",
            "postgres:/h/d",
            "redis://h",
            "postgres://h:x/d",
            "postgres://h/d?sslmode=maybe",
            "postgres://h/d?unknown=1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
