//! The schema: its versions, and how it comes to a database.

use crate::{
    address::Address,
    connection::{Connection, Param},
    error::Error,
    migrations::{MIGRATIONS, ROLES, VERSION},
};

/// Only one program migrates at a time.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7308613720163641440)";

/// What [`setup`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The version before; 0 if there was no archive.
    pub from: i32,
    /// The version now.
    pub to: i32,
}

/// Makes the archive and its roles, or brings them up to date. The address's user must own the database or the archive,
/// and may create roles.
///
/// # Errors
///
/// [`Error`]: among others the rights are missing, or the schema is newer.
pub async fn setup(address: &Address) -> Result<Done, Error> {
    let (mut connection, _) = Connection::connect(address).await?;
    connection.batch("SET client_min_messages = warning").await?;
    let encoding: String = connection.rows("SHOW server_encoding", &[]).await?[0].get(0);
    if encoding != "UTF8" {
        let cause = format!("its encoding is {encoding}: make the database with ENCODING 'UTF8'");
        return Err(Error::Server { address: address.to_string(), cause });
    }
    // A failure closes the connection, and with it the transaction.
    connection.batch("BEGIN").await?;
    connection.batch(LOCK).await?;
    connection.batch(ROLES).await?;
    let from = version(&mut connection).await?;
    if from > VERSION {
        return Err(Error::Newer { address: address.to_string(), found: from, known: VERSION });
    }
    for (migration, number) in MIGRATIONS.iter().zip(1i32..).skip(usize::try_from(from).unwrap_or(0)) {
        connection.batch(migration).await?;
        let params: [Param; 1] = [Box::new(number)];
        connection.rows("INSERT INTO nightaudit.migrations (version) VALUES ($1)", &params).await?;
    }
    connection.batch("COMMIT").await?;
    Ok(Done { from, to: VERSION })
}

async fn version(connection: &mut Connection) -> Result<i32, Error> {
    let rows = connection.rows("SELECT coalesce(max(version), 0) FROM nightaudit.migrations", &[]).await?;
    Ok(rows[0].get(0))
}
