//! Deleting what is old.

use nightaudit_exchange::Timestamp;

use crate::{
    address::Address,
    connection::{Connection, Param},
    error::Error,
};

/// What [`drop_older_than`] dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Partitions: weeks.
    pub partitions: u64,
    /// Exchanges in them.
    pub exchanges: u64,
    /// Their size with indexes, in bytes.
    pub bytes: u64,
    /// The instant before which nothing is left; `None` if nothing was dropped.
    pub before: Option<Timestamp>,
}

/// The partitions, oldest first, that end by `$1`.
const OLD: &str = "SELECT relname::text, ends, size FROM (\
     SELECT c.relname, pg_total_relation_size(c.oid) AS size, \
     substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \\(''?([0-9-]+)''?\\)')::bigint AS ends \
     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'nightaudit.exchanges'::regclass) p \
     WHERE ends <= $1 ORDER BY ends";

/// Drops the partitions that have only exchanges from before this instant, as the owner of the archive. A partition is a
/// week, so that the newest exchanges dropped are up to a week older.
///
/// # Errors
///
/// [`Error`]: among others the user doesn't own the archive.
pub async fn drop_older_than(address: &Address, instant: Timestamp) -> Result<Dropped, Error> {
    let mut connection = Connection::open(address).await?;
    let mut dropped = Dropped::default();
    let old = connection.rows(OLD, &[Box::new(instant.micros())]).await?;
    for partition in old {
        let (name, ends, size): (String, i64, i64) = (partition.get(0), partition.get(1), partition.get(2));
        let exchanges = drop_one(&mut connection, &name, ends).await?;
        dropped.partitions += 1;
        dropped.exchanges += exchanges;
        dropped.bytes += u64::try_from(size).unwrap_or(0);
        dropped.before = Some(Timestamp::from_micros(ends));
    }
    Ok(dropped)
}

/// Drops a partition, and notes in each chain what it lost by that. A failure closes the connection, and with it the
/// transaction.
async fn drop_one(connection: &mut Connection, name: &str, ends: i64) -> Result<u64, Error> {
    // The name is the schema's own: letters, digits and `_`.
    let quoted = format!("nightaudit.\"{}\"", name.replace('"', "\"\""));
    connection.batch("BEGIN").await?;
    connection.batch(&format!("LOCK TABLE {quoted} IN ACCESS EXCLUSIVE MODE")).await?;
    let rows = connection
        .rows(
            &format!(
                "WITH gone AS (SELECT session, count(*) AS exchanges, max(sequence) AS last, sum(size) AS bytes FROM {quoted} \
                 GROUP BY session), noted AS (UPDATE nightaudit.chains c SET exchanges = c.exchanges - gone.exchanges, \
                 bytes = c.bytes - gone.bytes, dropped = c.dropped + gone.exchanges, \
                 dropped_to = greatest(c.dropped_to, gone.last) FROM gone WHERE gone.session = c.session) \
                 SELECT coalesce(sum(exchanges), 0)::bigint FROM gone"
            ),
            &[],
        )
        .await?;
    let exchanges: i64 = rows.first().map_or(0, |row| row.get(0));
    connection.batch(&format!("DROP TABLE {quoted}")).await?;
    let params: [Param; 1] = [Box::new(ends)];
    connection.rows("DELETE FROM nightaudit.batches WHERE last_written < $1", &params).await?;
    connection.batch("UPDATE nightaudit.retention SET generation = generation + 1; COMMIT").await?;
    Ok(u64::try_from(exchanges).unwrap_or(0))
}
