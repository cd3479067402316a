//! The address of Redis.

use std::fmt;

use percent_encoding::percent_decode_str;

/// Where Redis is, and how to sign in. Its password is never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) tls: bool,
    pub(crate) hosts: Vec<Host>,
    pub(crate) kind: AddressKind,
    pub(crate) database: u32,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// What answers at the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddressKind {
    /// Redis itself.
    Single,
    /// Sentinels, which know the master of this name.
    Sentinel(String),
    /// Nodes of a Redis Cluster, any of them.
    Cluster,
}

/// Not an address of Redis. Messages have no part of the text, which may have a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Another scheme.
    #[error("must begin with redis:// or, over TLS, rediss://")]
    Scheme,
    /// No host, or a bad one.
    #[error("`{0}` is not a host with an optional port, such as redis.internal:6379")]
    Host(String),
    /// Several hosts without saying what they are.
    #[error("has several hosts: add ?sentinel=NAME with the name of the master that they watch, or ?cluster=true")]
    Several,
    /// A bad database.
    #[error("`{0}` is not the number of a database")]
    Database(String),
    /// An unknown parameter.
    #[error("`{0}` is not a parameter: there are ?sentinel=NAME and ?cluster=true")]
    Parameter(String),
    /// Both.
    #[error("has both ?sentinel= and ?cluster=: a cluster needs no Sentinel")]
    Both,
    /// A cluster has one database.
    #[error("names database {0}, and a cluster has only 0")]
    ClusterDatabase(u32),
    /// A user without a password, or bytes that are no text.
    #[error(
        "the user and password are not of the form redis://user:password@host: encode special characters (@ is %40)"
    )]
    Credentials,
}

impl std::str::FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (tls, rest) = match (text.strip_prefix("redis://"), text.strip_prefix("rediss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(InvalidAddress::Scheme),
        };
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (user, password) = credentials.map_or(Ok((None, None)), sign_in)?;
        let mut kind = AddressKind::Single;
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let is_second = kind != AddressKind::Single;
            match parameter.split_once('=') {
                Some(("sentinel" | "cluster", _)) if is_second => return Err(InvalidAddress::Both),
                Some(("cluster", "true")) => kind = AddressKind::Cluster,
                Some(("sentinel", name)) if !name.is_empty() => kind = AddressKind::Sentinel(decoded(name)?),
                _ => {
                    let name = parameter.split('=').next().unwrap_or_default();
                    return Err(InvalidAddress::Parameter(name.to_owned()));
                }
            }
        }
        let port = if matches!(kind, AddressKind::Sentinel(_)) { 26379 } else { 6379 };
        let hosts: Vec<Host> = hosts.split(',').map(|host| Host::parse(host, port)).collect::<Result<_, _>>()?;
        if hosts.len() > 1 && kind == AddressKind::Single {
            return Err(InvalidAddress::Several);
        }
        let database = match database {
            "" => 0,
            number => number.parse().map_err(|_| InvalidAddress::Database(number.to_owned()))?,
        };
        if kind == AddressKind::Cluster && database > 0 {
            return Err(InvalidAddress::ClusterDatabase(database));
        }
        Ok(Self { tls, hosts, kind, database, user, password })
    }
}

fn sign_in(text: &str) -> Result<(Option<String>, Option<String>), InvalidAddress> {
    let (user, password) = text.split_once(':').ok_or(InvalidAddress::Credentials)?;
    let user = decoded(user)?;
    Ok(((!user.is_empty()).then_some(user), Some(decoded(password)?)))
}

fn decoded(text: &str) -> Result<String, InvalidAddress> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| InvalidAddress::Credentials)
}

impl Host {
    fn parse(text: &str, default: u16) -> Result<Self, InvalidAddress> {
        let wrong = || InvalidAddress::Host(text.to_owned());
        let port = |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
        let (name, port) = if let Some(rest) = text.strip_prefix('[') {
            let (name, rest) = rest.split_once(']').ok_or_else(wrong)?;
            (name, if rest.is_empty() { default } else { port(rest.strip_prefix(':').ok_or_else(wrong)?)? })
        } else {
            match text.split_once(':') {
                Some((name, number)) => (name, port(number)?),
                None => (text, default),
            }
        };
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ':');
        if name.is_empty() || !name.chars().all(fits) {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// Without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "rediss://" } else { "redis://" })?;
        for (index, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if index > 0 { "," } else { "" })?;
        }
        if self.database > 0 {
            write!(f, "/{}", self.database)?;
        }
        match &self.kind {
            AddressKind::Single => Ok(()),
            AddressKind::Cluster => f.write_str("?cluster=true"),
            AddressKind::Sentinel(name) => write!(f, "?sentinel={name}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_without_its_password() {
        for (text, shown) in [
            ("redis://localhost", "redis://localhost:6379"),
            ("rediss://10.0.0.1:7000/3", "rediss://10.0.0.1:7000/3"),
            ("redis://:secret@[::1]:6380/", "redis://[::1]:6380"),
            ("redis://ann:s%40ret@host", "redis://host:6379"),
            ("redis://a,b:5/?cluster=true", "redis://a:6379,b:5?cluster=true"),
            ("redis://a,b:5/1?sentinel=main", "redis://a:26379,b:5/1?sentinel=main"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("Address({shown})"));
        }
        let address: Address = "redis://ann:s%40:ret@host".parse().unwrap();
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("ann"), Some("s@:ret")));
    }

    #[test]
    fn a_bad_address_is_refused_without_showing_a_password() {
        for (text, expected) in [
            ("http://host", "must begin with redis://"),
            ("localhost:6379", "must begin with redis://"),
            ("redis://", "`` is not a host"),
            ("redis://host:0", "`host:0` is not a host"),
            ("redis://host:99999", "`host:99999` is not a host"),
            ("redis://[::1", "`[::1` is not a host"),
            ("redis://ho st", "`ho st` is not a host"),
            ("redis://host/one", "`one` is not the number of a database"),
            ("redis://a,b", "add ?sentinel=NAME"),
            ("redis://a?sentinel=", "`sentinel` is not a parameter"),
            ("redis://a?cluster=yes", "`cluster` is not a parameter"),
            ("redis://a?cluster=true&sentinel=x", "a cluster needs no Sentinel"),
            ("redis://a/2?cluster=true", "names database 2"),
            ("redis://secret@host", "not of the form"),
            ("redis://x:%ffsecret@host", "not of the form"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
