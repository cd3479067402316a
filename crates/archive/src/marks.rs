//! Where a node's chains end in the archive.

use std::time::Duration;

use nightaudit_exchange::{Digest, Exchange, ExchangeId, SessionId, chain};

use crate::{
    condition::bytes,
    connection::{Connection, Param, STATEMENT_TIMEOUT},
    error::Error,
    pages,
    record::Encoder,
    row::Columns,
    sessions::State,
};

/// Sessions asked for at a time.
const AT_A_TIME: usize = 1000;
/// The slowest line that is waited for, in bytes a second.
const SLOWEST: usize = 64 << 10;
/// How far the clock of a request may be ahead of the one that ships it, in microseconds: a day.
const AHEAD: i64 = 86_400_000_000;

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) last: u64,
    /// The place in time of the last exchange; never less than that of the one before.
    written: i64,
    pub(crate) last_id: Option<ExchangeId>,
    hash: Digest,
    /// Exchanges that are in the archive or known to be lost.
    pub(crate) accounted: u64,
    pub(crate) state: Option<State>,
}

impl Mark {
    /// That of a chain that isn't in the archive.
    pub(crate) fn none(session: SessionId) -> Self {
        Self { last: 0, written: 0, last_id: None, hash: chain::genesis(session), accounted: 0, state: None }
    }

    /// The marks of these sessions that the archive has; an error if one is another node's.
    pub(crate) async fn read(
        connection: &mut Connection,
        node: &str,
        sessions: &[SessionId],
    ) -> Result<Vec<(SessionId, Self)>, Error> {
        let sql = "SELECT session, node, state::text, last, written, last_id, hash, exchanges, lost::text \
                   FROM nightaudit.marks($1)";
        let mut marks = Vec::new();
        for some in sessions.chunks(AT_A_TIME) {
            for row in connection.rows(sql, &[Box::new(bytes(some))]).await? {
                let session = pages::session(&row);
                if row.get::<_, &str>("node") != node {
                    return Err(Error::Foreign { session: Some(session) });
                }
                let lost: Vec<(u64, u64)> = serde_json::from_str(row.get(8)).unwrap_or_default();
                let lost: u64 = lost.iter().map(|(first, last)| last - first + 1).sum();
                let none = Self::none(session);
                let hash = row.get::<_, Option<&[u8]>>("hash").and_then(|hash| hash.try_into().ok()).map(Digest);
                let id = row.get::<_, Option<&[u8]>>("last_id").and_then(|id| id.try_into().ok());
                let mark = Self {
                    last: row.get::<_, i64>("last").cast_unsigned(),
                    written: row.get("written"),
                    last_id: id.map(ExchangeId::from_bytes),
                    hash: hash.unwrap_or(none.hash),
                    accounted: row.get::<_, i64>("exchanges").cast_unsigned() + lost,
                    state: serde_json::from_str(row.get(2)).ok(),
                };
                marks.push((session, mark));
            }
        }
        Ok(marks)
    }
}

/// Exchanges of one chain on their way.
pub(crate) struct Pending {
    session: SessionId,
    /// Where the chain ends in the archive.
    after: u64,
    /// Where it will end.
    pub(crate) mark: Mark,
    lost: Vec<(u64, u64)>,
    pub(crate) columns: Columns,
}

impl Pending {
    pub(crate) fn new(session: SessionId, mark: Mark) -> Self {
        Self { session, after: mark.last, mark, lost: Vec::new(), columns: Columns::default() }
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// Adds an exchange, unless the archive has it.
    ///
    /// # Errors
    ///
    /// [`Error::Unshippable`] if it can't be encoded; nothing is added then.
    pub(crate) fn push(&mut self, exchange: &Exchange, now: i64, encoder: &mut Encoder) -> Result<(), Error> {
        let mark = &mut self.mark;
        if exchange.sequence <= mark.last {
            return Ok(());
        }
        let previous = exchange.previous_hash.unwrap_or(mark.hash);
        let unshippable = |cause| Error::Unshippable { id: exchange.id, cause };
        let record = encoder.encode(exchange, previous).map_err(unshippable)?;
        let hash = exchange.hash.unwrap_or_else(|| chain::hash(previous, exchange));
        // A number that was skipped in an unbroken chain was never recorded.
        if exchange.sequence > mark.last + 1 && previous != mark.hash {
            self.lost.push((mark.last + 1, exchange.sequence - 1));
            mark.accounted += exchange.sequence - 1 - mark.last;
        }
        let ended = exchange.started_at.plus(exchange.duration()).micros();
        mark.written = mark.written.max(ended.clamp(0, now.saturating_add(AHEAD)));
        (mark.last, mark.hash, mark.last_id) = (exchange.sequence, hash, Some(exchange.id));
        mark.accounted += 1;
        self.columns.push(exchange, record, mark.written, hash);
        Ok(())
    }

    /// Sends them, and returns where the chain ends now.
    pub(crate) async fn ship(self, connection: &mut Connection, node: &str) -> Result<Mark, Error> {
        let sql = "SELECT nightaudit.ship($1, $2, $3, $4::text::jsonb, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
                   $17, $18, $19, $20, $21, $22, $23, $24)";
        let id = self.mark.last_id.map(|id| id.to_bytes().to_vec());
        let mut params: Vec<Param> = vec![
            Box::new(node.to_owned()),
            Box::new(self.session.to_bytes().to_vec()),
            Box::new(self.after.cast_signed()),
            Box::new(serde_json::to_string(&self.lost).unwrap_or_default()),
            Box::new(id),
        ];
        // A body of hundreds of MiB takes its time over a slow line.
        let timeout = STATEMENT_TIMEOUT + Duration::from_secs((self.columns.bytes / SLOWEST) as u64);
        params.extend(self.columns.into_params());
        let rows = connection.rows_within(timeout, sql, &params).await.map_err(|error| error.about(self.session))?;
        match rows.first().map(|row| row.get::<_, i64>(0).cast_unsigned()) {
            Some(last) if last == self.mark.last => Ok(self.mark),
            _ => Err(Error::Diverged { session: Some(self.session) }),
        }
    }
}

/// JSON without U+0000, which PostgreSQL's can't have. A backslash that is escaped itself begins no escape.
fn without_nul(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        match rest.strip_prefix("\\u0000") {
            Some(after) => {
                text.push('\u{fffd}');
                rest = after;
            }
            None => {
                // An escape is a backslash and one letter at least.
                let end = rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end);
                text.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    text + rest
}

/// Says in the archive what has become of a session.
pub(crate) async fn describe(
    connection: &mut Connection,
    node: &str,
    session: SessionId,
    state: &State,
) -> Result<(), Error> {
    let params: [Param; 3] = [
        Box::new(node.to_owned()),
        Box::new(session.to_bytes().to_vec()),
        Box::new(without_nul(&serde_json::to_string(state).unwrap_or_default())),
    ];
    let sql = "SELECT nightaudit.describe($1, $2, $3::text::jsonb)";
    connection.rows(sql, &params).await.map_err(|error| error.about(session))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;

    #[test]
    fn regression_a_note_with_a_backslash_and_u0000_stopped_the_shipping() {
        for (note, kept) in
            [("a\0b", "a\u{fffd}b"), ("\\u0000", "\\u0000"), ("\\\0", "\\\u{fffd}"), ("\n\"é", "\n\"é"), ("", "")]
        {
            let json = without_nul(&serde_json::to_string(note).unwrap());
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), kept, "{json}");
        }
    }

    #[test]
    fn only_what_breaks_the_chain_is_lost() {
        let all: Vec<_> = nightaudit_log::testing::exchanges(1, "a", 9);
        let session = all[0].session;
        let mut pending = Pending::new(session, Mark::none(session));
        let mut before = chain::genesis(session);
        for exchange in &all {
            let mut exchange = exchange.clone();
            exchange.previous_hash = Some(before);
            exchange.hash = Some(chain::hash(before, &exchange));
            // Number 3 was never recorded, 5 and 6 are unreadable.
            if exchange.sequence == 3 {
                continue;
            }
            before = exchange.hash.unwrap();
            if ![5, 6].contains(&exchange.sequence) {
                pending.push(&exchange, i64::MAX, &mut Encoder::default()).unwrap();
            }
        }
        assert_eq!(pending.lost, [(5, 6)]);
        assert_eq!((pending.mark.last, pending.mark.accounted, pending.columns.len()), (9, 8, 6));
        // Again, and nothing changes.
        pending.push(&all[8], i64::MAX, &mut Encoder::default()).unwrap();
        assert_eq!(pending.columns.len(), 6);
    }

    #[test]
    fn what_cant_be_encoded_is_unshippable_and_nothing_of_it_is_added() {
        let all = nightaudit_log::testing::exchanges(1, "a", 2);
        let session = all[0].session;
        let mut pending = Pending::new(session, Mark::none(session));
        pending.push(&all[0], i64::MAX, &mut Encoder::default()).unwrap();
        let before = pending.mark.clone();
        let error = pending.push(&record::too_large(all[1].clone()), i64::MAX, &mut Encoder::default()).unwrap_err();
        let Error::Unshippable { id, cause } = &error else { panic!("{error}") };
        assert_eq!(*id, all[1].id);
        let said = format!("exchange {id} can't be shipped: {cause}");
        assert!(error.to_string() == said && cause.contains("bytes"), "{error}");
        assert_eq!((pending.columns.len(), pending.lost.len()), (1, 0));
        assert_eq!((pending.mark.last, pending.mark.hash, pending.mark.accounted), (before.last, before.hash, 1));
        // It isn't the connection's fault, which another one might cure.
        assert!(!error.is_connection());
    }

    #[test]
    fn times_never_go_back_and_a_wrong_clock_is_bounded() {
        let mut all = nightaudit_log::testing::exchanges(1, "a", 3);
        let session = all[0].session;
        all[1].started_at = nightaudit_exchange::Timestamp::from_micros(-5);
        all[2].started_at = nightaudit_exchange::Timestamp::from_micros(i64::MAX);
        let now = all[0].started_at.micros();
        let mut pending = Pending::new(session, Mark::none(session));
        all.iter().for_each(|exchange| pending.push(exchange, now, &mut Encoder::default()).unwrap());
        let times = &pending.columns.times;
        assert_eq!((times[0], times[1], times[2]), (now + 85_120, now + 85_120, now + AHEAD));
    }
}
