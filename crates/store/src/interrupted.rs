//! Requests in flight at a kill, from the journal, as interrupted exchanges.
//!
//! The owner records them when it opens the log; until then readers show them, with the same sessions, sequence numbers
//! and hashes.

use nightaudit_exchange::{Exchange, SessionId, chain};
use nightaudit_log::ReadError;

use crate::{
    index::{BlockAt, NewRow},
    journal,
    meta::{self, Meta},
    shared::{Entry, Shared},
};

/// The segment number of exchanges that are only in memory.
pub(crate) const SEGMENT: u32 = 0;

/// An interrupted exchange and its session.
pub(crate) struct Interrupted {
    pub(crate) exchange: Exchange,
    /// The session to start for it; `None` if it exists.
    pub(crate) started: Option<Meta>,
}

/// The journal's requests that are not in the log, as exchanges in the order of the journal.
///
/// A request belongs to the open session that it named, or to the current one. If there is none, one is started whose
/// id derives from the request, so that every reader gets the same.
pub(crate) fn from_journal(shared: &Shared, left: Vec<journal::Entry<'_>>) -> Result<Vec<Interrupted>, ReadError> {
    let current = {
        let sessions = shared.sessions();
        sessions.values().rev().find(|e| e.meta.current && e.meta.ended.is_none()).map(|e| e.meta.id)
    };
    let mut started: Vec<Meta> = Vec::new();
    let mut found = Vec::new();
    for entry in left {
        if shared.position_of(entry.id)?.is_some() {
            continue;
        }
        let named = entry.session.as_deref().filter(|name| nightaudit_log::is_session_name(name));
        let known = match named {
            Some(name) => {
                let sessions = shared.sessions();
                let open = |known: &Meta| known.name == name && known.ended.is_none();
                let there = sessions.values().rev().map(|known| &known.meta).find(|known| open(known));
                there.or_else(|| started.iter().find(|known| open(known))).map(|known| (known.id, known.name.clone()))
            }
            None => {
                let name = |id| shared.sessions().get(&id).map(|known| known.meta.name.clone()).unwrap_or_default();
                let made = || started.iter().find(|known| known.automatic).map(|known| (known.id, known.name.clone()));
                current.map(|id| (id, name(id))).or_else(made)
            }
        };
        let (session, name, new) = match known {
            Some((session, name)) => (session, name, None),
            None => {
                let at = entry.received;
                let name = named.map_or_else(|| meta::automatic_name(at), str::to_owned);
                let id = SessionId::from_bytes(entry.id.to_bytes());
                let meta = Meta { id, automatic: named.is_none(), ..Meta::new(name, entry.environment(), at) };
                started.push(meta.clone());
                (id, meta.name.clone(), Some(meta))
            }
        };
        found.push(Interrupted { exchange: entry.exchange(shared.api, session, &name), started: new });
    }
    Ok(found)
}

/// Adds the requests of a journal to the listings; returns their number.
pub(crate) fn add(shared: &mut Shared, left: Vec<journal::Entry<'_>>) -> Result<u64, ReadError> {
    let found = from_journal(shared, left)?;
    let count = found.len() as u64;
    let written = shared.stamp_after_last();
    for (number, Interrupted { mut exchange, started }) in (0..).zip(found) {
        let session = exchange.session;
        if let Some(meta) = started {
            shared.sessions().entry(session).or_insert_with(|| Entry::new(meta));
        }
        let reached = shared.interrupted.range((session, 0)..=(session, u64::MAX)).next_back();
        let reached = match reached.map(|(_, last)| (last.hash, last.sequence)) {
            Some((Some(hash), sequence)) => Some((hash, sequence)),
            _ => shared.reached(session).ok(),
        };
        // Nothing can be chained to an unreadable exchange: the owner ends such a session and starts another.
        let (previous, last) = reached.unwrap_or_else(|| (chain::genesis(session), exchange.sequence));
        exchange.sequence = last + 1;
        let hash = chain::hash(previous, &exchange);
        (exchange.previous_hash, exchange.hash) = (Some(previous), Some(hash));
        let at = BlockAt { segment: SEGMENT, offset: number };
        shared.index.listings().entry(session).or_default().push(&NewRow::of(&exchange, written), at);
        shared.interrupted.insert((session, exchange.sequence), exchange);
    }
    Ok(count)
}
