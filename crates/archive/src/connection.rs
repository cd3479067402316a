//! Connections.

use std::{cmp::Ordering, collections::HashMap, time::Duration};

use futures_util::future::poll_fn;
use tokio::{sync::mpsc, time::timeout};
use tokio_postgres::{AsyncMessage, Client, Row, Statement, types::ToSql};

use crate::{
    address::{Address, TlsMode},
    error::Error,
    migrations::VERSION,
    tls::MakeTls,
};

/// A value for a statement.
pub(crate) type Param = Box<dyn ToSql + Sync + Send>;

/// Statements kept prepared, per connection.
const MOST_STATEMENTS: usize = 64;
/// How long TLS and the login may take, besides the time to connect: a server that hangs accepts connections, too.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a statement may take that reads or writes a page.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to an archive of a version that this program knows.
pub(crate) struct Connection {
    pub(crate) client: Client,
    address: Address,
    statements: HashMap<String, Statement>,
}

impl Connection {
    /// Connects, and checks the schema's version.
    pub(crate) async fn open(address: &Address) -> Result<Self, Error> {
        let (connection, _) = Self::open_listening(address).await?;
        Ok(connection)
    }

    /// As [`open`](Self::open), with what wakes whoever waits for notifications.
    pub(crate) async fn open_listening(address: &Address) -> Result<(Self, mpsc::Receiver<()>), Error> {
        let (connection, woken) = Self::connect(address).await?;
        // Filters differ from one query to the next: a plan for all of them would be for none.
        let session = "SET plan_cache_mode = force_custom_plan; SET jit = off; SET client_min_messages = warning; SET TimeZone = 'UTC'";
        connection.batch(session).await?;
        connection.check_version().await?;
        Ok((connection, woken))
    }

    /// Connects to whatever is there.
    pub(crate) async fn connect(address: &Address) -> Result<(Self, mpsc::Receiver<()>), Error> {
        let (wake, woken) = mpsc::channel(1);
        let client = match address.tls {
            TlsMode::Never => {
                let (client, connection) = logged_in(address, address.config.connect(tokio_postgres::NoTls)).await?;
                tokio::spawn(drive(connection, wake));
                client
            }
            _ => {
                let (client, connection) = logged_in(address, address.config.connect(MakeTls::new(address)?)).await?;
                tokio::spawn(drive(connection, wake));
                client
            }
        };
        Ok((Self { client, address: address.clone(), statements: HashMap::new() }, woken))
    }

    /// Whether the archive has the version that this program knows.
    async fn check_version(&self) -> Result<(), Error> {
        let row = self.client.query_one("SELECT coalesce(max(version), 0) FROM nightaudit.migrations", &[]).await;
        let found: i32 = row.map_err(|error| Error::of(&error, &self.address))?.get(0);
        let address = || self.address.to_string();
        match found.cmp(&VERSION) {
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(Error::Newer { address: address(), found, known: VERSION }),
            // Migrations are for whoever owns the archive.
            Ordering::Less => Err(Error::Missing(address())),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs statements without parameters.
    pub(crate) async fn batch(&self, sql: &str) -> Result<(), Error> {
        within(STATEMENT_TIMEOUT, self.client.batch_execute(sql)).await.map_err(|error| error.of(&self.address))
    }

    /// The rows of a statement.
    pub(crate) async fn rows(&mut self, sql: &str, params: &[Param]) -> Result<Vec<Row>, Error> {
        self.rows_within(STATEMENT_TIMEOUT, sql, params).await
    }

    /// As [`rows`](Self::rows), with a timeout for what takes longer.
    pub(crate) async fn rows_within(
        &mut self,
        timeout: Duration,
        sql: &str,
        params: &[Param],
    ) -> Result<Vec<Row>, Error> {
        let result = self.try_rows(timeout, sql, params).await;
        result.map_err(|error| error.of(&self.address))
    }

    async fn try_rows(&mut self, timeout: Duration, sql: &str, params: &[Param]) -> Result<Vec<Row>, Failed> {
        let statement = match self.statements.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = within(STATEMENT_TIMEOUT, self.client.prepare(sql)).await?;
                if self.statements.len() >= MOST_STATEMENTS {
                    self.statements.clear();
                }
                self.statements.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        let params: Vec<_> = params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
        within(timeout, self.client.query(&statement, &params)).await
    }
}

/// A failed statement.
enum Failed {
    Server(tokio_postgres::Error),
    Late(Duration),
}

impl Failed {
    fn of(self, address: &Address) -> Error {
        match self {
            Self::Server(error) => Error::of(&error, address),
            Self::Late(timeout) => Error::Unreachable {
                address: address.to_string(),
                cause: format!("no answer within {} s", timeout.as_secs()),
            },
        }
    }
}

async fn logged_in<T>(
    address: &Address,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    within(LOGIN_TIMEOUT, work).await.map_err(|error| error.of(address))
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failed> {
    match timeout(limit, work).await {
        Ok(result) => result.map_err(Failed::Server),
        Err(_) => Err(Failed::Late(limit)),
    }
}

/// Moves a connection's bytes until it ends; each notification wakes `wake`.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, wake: mpsc::Sender<()>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(_))) => {
                // One that waits already is enough.
                let _ = wake.try_send(());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!("a connection to the archive ended: {error}");
                return;
            }
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn regression_a_server_that_accepts_and_says_nothing_was_waited_for_without_end() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        for mode in ["disable", "require"] {
            let url = format!("postgres://anna:x@127.0.0.1:{port}/audit?connect_timeout=3600&sslmode={mode}");
            let Err(error) = Connection::open(&url.parse().unwrap()).await else { panic!("{mode}: it is connected") };
            let said = error.to_string();
            assert!(said.contains("no answer within 30 s") && !said.contains(":x@"), "{mode}: {said}");
        }
    }
}
