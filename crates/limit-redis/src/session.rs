//! Signing in to Redis, and which process answers.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::address::{Address, AddressKind, Host};
use crate::scripts::Scripts;
use crate::wire::{Command, Connection, Fault};

/// How to reach Redis.
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A connection to a server that can hold the budget.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) scripts: Scripts,
    /// The process and its history of replication: another one may lack what this one has acknowledged.
    pub(crate) incarnation: String,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    /// It may get better.
    #[error("{0}")]
    Passing(String),
    /// It has to be changed by somebody.
    #[error("{0}")]
    Lasting(String),
}

impl From<Fault> for SessionError {
    fn from(fault: Fault) -> Self {
        match &fault {
            Fault::Server(text) if text.starts_with("NOPERM") || text.starts_with("ERR unknown command") => {
                Self::Lasting(format!("{text} (the user needs ~nightaudit:* +@read +@write +@scripting +info +time)"))
            }
            Fault::Server(text) if text.starts_with("WRONGPASS") || text.starts_with("NOAUTH") => {
                Self::Lasting(format!("{text} (check user and password in `limit.store`)"))
            }
            _ => Self::Passing(fault.to_string()),
        }
    }
}

/// The longest that opening a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

impl Target {
    /// Opens a connection and checks who answers.
    pub(crate) async fn session(&self) -> Result<Session, SessionError> {
        match timeout(CONNECT, self.open()).await {
            Ok(session) => session,
            Err(_) => Err(SessionError::Passing(format!("no connection within {CONNECT:?}"))),
        }
    }

    async fn open(&self) -> Result<Session, SessionError> {
        let master = match &self.address.kind {
            AddressKind::Single => self.address.hosts[0].clone(),
            AddressKind::Sentinel(name) => self.ask_sentinels(name).await?,
        };
        let connection = self.connect(&master).await?;
        self.sign_in(&connection).await?;
        if self.address.database > 0 {
            connection.call(Command::of(&["SELECT", &self.address.database.to_string()])).await?;
        }
        let info = Info::of(&connection).await?;
        info.check()?;
        let scripts = Scripts::load(&connection).await?;
        Ok(Session { connection, scripts, incarnation: info.incarnation() })
    }

    async fn sign_in(&self, connection: &Connection) -> Result<(), SessionError> {
        if let Some(password) = &self.address.password {
            let auth = match &self.address.user {
                Some(user) => Command::of(&["AUTH", user, password]),
                None => Command::of(&["AUTH", password]),
            };
            connection.call(auth).await?;
        }
        Ok(())
    }

    async fn connect(&self, host: &Host) -> Result<Connection, SessionError> {
        let failed = |error: std::io::Error| SessionError::Passing(format!("{host}: {error}"));
        let stream = TcpStream::connect((host.name.as_str(), host.port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let Some(tls) = &self.tls else { return Ok(Connection::over(stream)) };
        let name = ServerName::try_from(host.name.clone())
            .map_err(|_| SessionError::Lasting(format!("`{}` can't be the name in a certificate", host.name)))?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(failed)?;
        Ok(Connection::over(stream))
    }

    /// The master's address by the first Sentinel that knows it.
    async fn ask_sentinels(&self, name: &str) -> Result<Host, SessionError> {
        let mut last = SessionError::Passing("no Sentinel".to_owned());
        for sentinel in &self.address.hosts {
            match timeout(CONNECT / 4, self.ask_sentinel(sentinel, name)).await {
                Ok(Ok(master)) => return Ok(master),
                Ok(Err(error)) => last = error,
                Err(_) => last = SessionError::Passing(format!("the Sentinel {sentinel} doesn't respond")),
            }
        }
        Err(last)
    }

    async fn ask_sentinel(&self, sentinel: &Host, name: &str) -> Result<Host, SessionError> {
        let connection = self.connect(sentinel).await?;
        let ask = || connection.call(Command::of(&["SENTINEL", "get-master-addr-by-name", name]));
        let reply = match ask().await {
            // Sentinels often have no password of their own.
            Err(Fault::Server(text)) if text.starts_with("NOAUTH") => {
                self.sign_in(&connection).await?;
                ask().await?
            }
            reply => reply?,
        };
        let unknown = || SessionError::Passing(format!("the Sentinel {sentinel} knows no master `{name}`"));
        let [host, port] = reply.list().ok_or_else(unknown)? else { return Err(unknown()) };
        let port = port.text().and_then(|port| port.parse().ok());
        let (Some(name), Some(port)) = (host.text(), port) else { return Err(unknown()) };
        Ok(Host { name, port })
    }
}

/// What a server says of itself.
#[derive(Debug)]
pub(crate) struct Info(String);

impl Info {
    pub(crate) async fn of(connection: &Connection) -> Result<Self, Fault> {
        let sections =
            ["server", "replication", "memory"].map(|section| connection.call(Command::of(&["INFO", section])));
        let mut text = String::new();
        for section in sections {
            text += &section.await?.text().ok_or(Fault::Nonsense)?;
        }
        Ok(Self(text))
    }

    fn get(&self, name: &str) -> &str {
        self.0.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
    }

    pub(crate) fn incarnation(&self) -> String {
        format!("{} {}", self.get("run_id"), self.get("master_replid"))
    }

    /// Whether it can hold the budget.
    fn check(&self) -> Result<(), SessionError> {
        let version: Vec<u32> = self.get("redis_version").split('.').map_while(|part| part.parse().ok()).collect();
        if version < vec![6, 2] {
            let version = self.get("redis_version");
            return Err(SessionError::Lasting(format!(
                "Redis {version} is too old: 6.2 or newer, or Valkey, is required"
            )));
        }
        if self.get("role") != "master" {
            return Err(SessionError::Passing(
                "it is a replica: name the master, or the Sentinels that know it".to_owned(),
            ));
        }
        if self.get("redis_mode") == "cluster" {
            return Err(SessionError::Lasting("it is a node of a Redis Cluster, which is not supported".to_owned()));
        }
        let policy = self.get("maxmemory_policy");
        if self.get("maxmemory") != "0" && policy != "noeviction" {
            let message = format!(
                "its maxmemory-policy is {policy}, by which it may forget what was sent: set it to noeviction (a Redis of its \
                 own is best)"
            );
            return Err(SessionError::Lasting(message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(changes: &[(&str, &str)]) -> Info {
        let fields = [
            ("redis_version", "7.0.15"),
            ("redis_mode", "standalone"),
            ("run_id", "abc"),
            ("role", "master"),
            ("master_replid", "def"),
            ("maxmemory", "0"),
            ("maxmemory_policy", "allkeys-lru"),
        ];
        let value = |name: &str, value: &str| {
            changes
                .iter()
                .find(|(changed, _)| *changed == name)
                .map_or(value.to_owned(), |(_, value)| (*value).to_owned())
        };
        Info(fields.iter().map(|(name, text)| format!("{name}:{}\r\n", value(name, text))).collect())
    }

    #[test]
    fn a_server_that_could_forget_is_refused() {
        assert_eq!(info(&[]).check(), Ok(()));
        assert_eq!(info(&[]).incarnation(), "abc def");
        assert_eq!(info(&[("maxmemory", "1000"), ("maxmemory_policy", "noeviction")]).check(), Ok(()));
        for (changes, expected) in [
            (&[("maxmemory", "1000")][..], "maxmemory-policy is allkeys-lru"),
            (&[("role", "slave")], "it is a replica"),
            (&[("redis_version", "6.0.9")], "Redis 6.0.9 is too old"),
            (&[("redis_version", "")], "too old"),
            (&[("redis_mode", "cluster")], "Redis Cluster"),
        ] {
            let error = info(changes).check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
