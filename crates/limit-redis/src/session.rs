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
use crate::tls;
use crate::wire::{Command, Connection, Fault};

/// How to reach Redis.
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A connection to a server that can hold the budget.
#[derive(Debug)]
pub(crate) struct Session {
    connections: Vec<Connection>,
    /// Which of a cluster's connections has which slot.
    slots: Option<Slots>,
    pub(crate) scripts: Scripts,
    /// The process and its history of replication: another one may lack what this one has acknowledged.
    pub(crate) incarnation: String,
}

/// The connection of each slot of a cluster.
#[derive(Debug)]
struct Slots(Vec<u16>);

const SLOTS: usize = 16_384;
const NOWHERE: u16 = u16::MAX;

impl Session {
    /// A session with a single server.
    pub(crate) fn single(connection: Connection, scripts: Scripts, incarnation: String) -> Self {
        Self { connections: vec![connection], slots: None, scripts, incarnation }
    }

    /// The connection to the server that has the keys with this tag.
    pub(crate) fn at(&self, tag: &str) -> &Connection {
        let index = self.slots.as_ref().map_or(0, |slots| usize::from(slots.0[slot(tag)]));
        &self.connections[index]
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.slots.is_some()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.connections.iter().any(Connection::is_closed)
    }

    /// Who answers now.
    pub(crate) async fn incarnation_now(&self) -> Result<String, Fault> {
        let mut all = Vec::new();
        for connection in &self.connections {
            all.push(Info::of(connection).await?.incarnation());
        }
        all.sort();
        Ok(all.join(", "))
    }
}

/// The slot of a tag: CRC-16/XMODEM, as the specification of Redis Cluster has it.
fn slot(tag: &str) -> usize {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    });
    usize::from(crc) % SLOTS
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
            Fault::Server(text) if text.starts_with("ERR AUTH") || text.starts_with("ERR Client sent AUTH") => {
                Self::Lasting(format!("{text} (leave the password out of `limit.store`)"))
            }
            Fault::Server(text) if text.starts_with("DENIED") => Self::Lasting(text.clone()),
            Fault::Tls(cause) => Self::Lasting(cause.clone()),
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
            AddressKind::Cluster => return self.open_cluster().await,
        };
        let connection = self.connect(&master).await?;
        self.sign_in(&connection).await?;
        if self.address.database > 0 {
            connection.call(Command::of(&["SELECT", &self.address.database.to_string()])).await?;
        }
        let info = Info::of(&connection).await?;
        info.check(false)?;
        let scripts = Scripts::load(&connection).await?;
        Ok(Session::single(connection, scripts, info.incarnation()))
    }

    /// Connects to all masters of a cluster. If one of them is gone, nothing can be asked until another has its slots.
    async fn open_cluster(&self) -> Result<Session, SessionError> {
        let mut last = SessionError::Passing("no node of the cluster".to_owned());
        for seed in &self.address.hosts {
            match timeout(CONNECT / 2, self.open_cluster_of(seed)).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(error)) => last = error,
                Err(_) => last = SessionError::Passing(format!("{seed} doesn't respond")),
            }
        }
        Err(last)
    }

    async fn open_cluster_of(&self, seed: &Host) -> Result<Session, SessionError> {
        let connection = self.connect(seed).await?;
        self.sign_in(&connection).await?;
        let reply = connection.call(Command::of(&["CLUSTER", "SLOTS"])).await?;
        let (mut masters, mut slots): (Vec<Host>, _) = (Vec::new(), vec![NOWHERE; SLOTS]);
        for range in reply.list().ok_or(Fault::Nonsense)? {
            let [first, last, master, ..] = range.list().ok_or(Fault::Nonsense)? else {
                return Err(Fault::Nonsense.into());
            };
            let [name, port, ..] = master.list().ok_or(Fault::Nonsense)? else { return Err(Fault::Nonsense.into()) };
            // Without a name it is the host that was asked.
            let name = name.text().filter(|name| !name.is_empty()).unwrap_or_else(|| seed.name.clone());
            let port = port.number().and_then(|port| u16::try_from(port).ok()).ok_or(Fault::Nonsense)?;
            let master = Host { name, port };
            let index = masters.iter().position(|known| *known == master).unwrap_or_else(|| {
                masters.push(master);
                masters.len() - 1
            });
            let place = |reply: &crate::wire::Reply| {
                reply
                    .length()
                    .and_then(|slot| usize::try_from(slot).ok())
                    .filter(|slot| *slot < SLOTS)
                    .ok_or(Fault::Nonsense)
            };
            let index = u16::try_from(index).map_err(|_| Fault::Nonsense)?;
            slots.get_mut(place(first)?..=place(last)?).ok_or(Fault::Nonsense)?.fill(index);
        }
        if slots.contains(&NOWHERE) {
            return Err(SessionError::Passing("some slots of the cluster have no master".to_owned()));
        }
        let (mut connections, mut incarnations, mut scripts) = (Vec::new(), Vec::new(), None);
        for master in &masters {
            let connection = self.connect(master).await?;
            self.sign_in(&connection).await?;
            let info = Info::of(&connection).await?;
            info.check(true)?;
            incarnations.push(info.incarnation());
            scripts = Some(Scripts::load(&connection).await?);
            connections.push(connection);
        }
        incarnations.sort();
        let scripts = scripts.ok_or(Fault::Nonsense)?;
        Ok(Session { connections, slots: Some(Slots(slots)), scripts, incarnation: incarnations.join(", ") })
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
        let Some(tls) = &self.tls else { return answered(host, Connection::over(stream), false).await };
        let name = ServerName::try_from(host.name.clone())
            .map_err(|_| SessionError::Lasting(format!("`{}` can't be the name in a certificate", host.name)))?;
        let failed = |error: std::io::Error| match tls::explained(&error) {
            Some(cause) => SessionError::Lasting(format!("{host}: {cause}")),
            None => failed(error),
        };
        let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        match timeout(CONNECT / 2, handshake).await {
            Ok(stream) => answered(host, Connection::over(stream.map_err(failed)?), true).await,
            // Without TLS, Redis may take the first message for a command that isn't complete yet.
            Err(_) => Err(SessionError::Passing(format!(
                "{host}: no TLS handshake within {:?}; is it the `tls-port` of Redis?",
                CONNECT / 2
            ))),
        }
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

/// A connection on which there is an answer, whatever it is: that of one who expects TLS, or a certificate, is the end.
async fn answered(host: &Host, connection: Connection, tls: bool) -> Result<Connection, SessionError> {
    match connection.call(Command::of(&["PING"])).await {
        Err(Fault::Closed) if !tls => Err(SessionError::Passing(format!(
            "{host} closes the connection without a reply; if that is its `tls-port`, begin with rediss://"
        ))),
        Err(fault @ (Fault::Closed | Fault::Tls(_))) => Err(fault.into()),
        _ => Ok(connection),
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
    fn check(&self, cluster: bool) -> Result<(), SessionError> {
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
        match self.get("redis_mode") == "cluster" {
            true if !cluster => {
                return Err(SessionError::Lasting("it is a node of a Redis Cluster: add ?cluster=true".to_owned()));
            }
            false if cluster => {
                return Err(SessionError::Lasting(
                    "it is no node of a Redis Cluster: leave out ?cluster=true".to_owned(),
                ));
            }
            _ => {}
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
        assert_eq!(info(&[]).check(false), Ok(()));
        assert_eq!(info(&[]).incarnation(), "abc def");
        assert_eq!(info(&[("maxmemory", "1000"), ("maxmemory_policy", "noeviction")]).check(false), Ok(()));
        for (changes, expected) in [
            (&[("maxmemory", "1000")][..], "maxmemory-policy is allkeys-lru"),
            (&[("role", "slave")], "it is a replica"),
            (&[("redis_version", "6.0.9")], "Redis 6.0.9 is too old"),
            (&[("redis_version", "")], "too old"),
            (&[("redis_mode", "cluster")], "Redis Cluster"),
        ] {
            let error = info(changes).check(false).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn slots_are_those_of_redis() {
        // CLUSTER KEYSLOT
        assert_eq!((slot("123456789"), slot("fleet"), slot("")), (12739, 14574, 0));
        assert_eq!(info(&[("redis_mode", "cluster")]).check(true), Ok(()));
        assert!(info(&[]).check(true).is_err());
    }
}
