//! Sessions of several nodes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use nightaudit_exchange::{Digest, Filter, Import, Missing, SessionId, Timestamp};
use nightaudit_log::{Candidate, Chain, Session, SessionError, Unavailable, choose};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::{condition::Chains, error::Error, pages, pool::Pool};

/// Sessions of one name on different nodes are one session, unless one had been over for this long when the other began.
const APART: Duration = Duration::from_secs(24 * 3600);

/// A session as its node has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) environment: String,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) open: bool,
    #[serde(default)]
    pub(crate) note: Option<String>,
    #[serde(default)]
    pub(crate) declaration: Option<String>,
    #[serde(default)]
    pub(crate) unrecorded: u64,
    #[serde(default)]
    pub(crate) incomplete: bool,
    #[serde(default)]
    pub(crate) imported: Option<Import>,
    #[serde(default)]
    pub(crate) missing: u64,
    #[serde(default)]
    pub(crate) missing_ranges: Vec<(u64, u64)>,
}

impl State {
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            name: session.name.clone(),
            environment: session.environment.clone(),
            started: session.started,
            ended: session.ended,
            open: session.open,
            note: session.note.clone(),
            declaration: session.declaration.clone(),
            unrecorded: session.unrecorded,
            incomplete: session.incomplete,
            imported: session.imported,
            missing: session.missing,
            missing_ranges: session.missing_ranges.clone(),
        }
    }
}

/// A chain as the archive has it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: SessionId,
    pub(crate) node: String,
    pub(crate) state: State,
    pub(crate) last: u64,
    pub(crate) hash: Option<Digest>,
    pub(crate) exchanges: u64,
    pub(crate) bytes: u64,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last_started: Option<Timestamp>,
    /// Ranges that the node couldn't read, and those that it knows to be missing; sorted, apart.
    pub(crate) missing: Vec<(u64, u64)>,
    /// The highest number that retention dropped.
    pub(crate) dropped_to: u64,
}

impl Known {
    fn of(row: &Row, address: &dyn Fn() -> String) -> Result<Self, Error> {
        let failed = |what: &dyn std::fmt::Display| Error::Server {
            address: address(),
            cause: format!("a chain can't be read: {what}"),
        };
        let state: State = serde_json::from_str(row.get("state")).map_err(|error| failed(&error))?;
        let lost: Vec<(u64, u64)> = serde_json::from_str(row.get("lost")).map_err(|error| failed(&error))?;
        let number = |name| u64::try_from(row.get::<_, i64>(name)).unwrap_or(0);
        let time = |name| row.get::<_, Option<i64>>(name).map(Timestamp::from_micros);
        Ok(Self {
            id: pages::session(row),
            node: row.get("node"),
            last: number("last"),
            hash: row.get::<_, Option<&[u8]>>("hash").and_then(|hash| hash.try_into().ok()).map(Digest),
            exchanges: number("exchanges"),
            bytes: number("bytes"),
            first: time("first_started"),
            last_started: time("last_started"),
            missing: missing(lost, &state.missing_ranges, number("last")),
            dropped_to: number("dropped_to"),
            state,
        })
    }

    /// How many exchanges are missing.
    fn missing_count(&self) -> u64 {
        self.missing.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// What is missing of it, with its node.
    pub(crate) fn missing(&self) -> Option<Missing> {
        let count = self.missing_count();
        (count > 0).then(|| Missing {
            session: self.id,
            session_name: format!("{} on {}", self.state.name, self.node),
            count,
            ranges: self.missing.clone(),
            whole_session: false,
        })
    }

    /// Whether retention dropped all of it, and nothing more will come.
    fn is_gone(&self) -> bool {
        self.exchanges == 0 && self.dropped_to > 0 && !self.state.open
    }

    fn over(&self) -> Option<Timestamp> {
        if self.state.open { None } else { self.state.ended.max(self.last_started) }
    }
}

/// What the archive lacks: what the node couldn't read when its turn came, and, beyond the last that was shipped, what it
/// has lost since. What it lost after shipping it is here.
fn missing(lost: Vec<(u64, u64)>, of_node: &[(u64, u64)], last: u64) -> Vec<(u64, u64)> {
    let beyond = of_node.iter().map(|(first, end)| ((*first).max(last + 1), *end));
    union(lost.into_iter().chain(beyond).collect())
}

/// Ranges in order, with those that touch joined.
fn union(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.retain(|(first, last)| first <= last);
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// All chains, by session.
#[derive(Debug, Default)]
pub(crate) struct Grouped(Vec<Vec<Known>>);

const READ: &str = "SELECT session, node, state::text AS state, last, hash, exchanges, bytes, first_started, last_started, \
                    lost::text AS lost, dropped_to FROM nightaudit.chains";

impl Grouped {
    /// Reads the chains.
    pub(crate) fn read(pool: &Arc<Pool>) -> Result<Self, Error> {
        let own = Arc::clone(pool);
        pool.wait(async move { Self::fetch(&own).await })?
    }

    /// As [`read`](Self::read), on the archive's runtime.
    pub(crate) async fn fetch(pool: &Pool) -> Result<Self, Error> {
        let rows = pool.read(READ, &[]).await?;
        let address = || pool.address.to_string();
        let known: Result<Vec<_>, _> = rows.iter().map(|row| Known::of(row, &address)).collect();
        Ok(Self::of(known?))
    }

    fn of(mut known: Vec<Known>) -> Self {
        known.retain(|chain| !chain.is_gone());
        known.sort_by_key(|chain| (chain.state.started, chain.id));
        let mut groups: Vec<Vec<Known>> = Vec::new();
        let mut newest: BTreeMap<String, usize> = BTreeMap::new();
        for chain in known {
            let joins = newest.get(&chain.state.name).copied().filter(|group| {
                let group = &groups[*group];
                let over = group
                    .iter()
                    .map(Known::over)
                    .try_fold(None, |latest, over| over.map(|over| latest.max(Some(over))));
                let apart = over.flatten().is_some_and(|over| chain.state.started.since(over) > APART);
                !apart && group.iter().all(|other| other.node != chain.node)
            });
            match joins {
                Some(group) => groups[group].push(chain),
                None => {
                    newest.insert(chain.state.name.clone(), groups.len());
                    groups.push(vec![chain]);
                }
            }
        }
        groups.sort_by_key(|group| group[0].id);
        Self(groups)
    }

    /// All chains.
    pub(crate) fn chains(&self) -> impl Iterator<Item = &Known> {
        self.0.iter().flatten()
    }

    /// The sessions, oldest first.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        self.0.iter().map(|group| session(&group.iter().collect::<Vec<_>>())).collect()
    }

    /// The session that a chain belongs to.
    pub(crate) fn of_chain(&self, chain: SessionId) -> SessionId {
        self.0.iter().find(|group| group.iter().any(|known| known.id == chain)).map_or(chain, |group| group[0].id)
    }

    /// The session that is meant, or one node's part of it: `name@node`.
    pub(crate) fn find(&self, which: &str) -> Result<Session, SessionError> {
        Ok(session(&self.group(which)?))
    }

    fn group(&self, which: &str) -> Result<Vec<&Known>, SessionError> {
        let candidates =
            self.chains().map(|chain| Candidate { id: chain.id, name: &chain.state.name, open: chain.state.open });
        match (choose(which, candidates), which.rsplit_once('@')) {
            (Ok(id), _) => {
                Ok(self.0.iter().filter(|group| group.iter().any(|chain| chain.id == id)).flatten().collect())
            }
            (Err(SessionError::NotFound(_)), Some((name, node))) => {
                let missing = |_| SessionError::NotFound(which.to_owned());
                let mut chains = self.group(name).map_err(missing)?;
                chains.retain(|chain| chain.node == node);
                if chains.is_empty() { Err(SessionError::NotFound(which.to_owned())) } else { Ok(chains) }
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The chains of the sessions that a filter names.
    pub(crate) fn named_by(&self, filter: &Filter) -> Result<Chains, SessionError> {
        let ids = |which: &str| -> Result<Vec<SessionId>, SessionError> {
            Ok(self.group(which)?.iter().map(|chain| chain.id).collect())
        };
        Ok(Chains {
            only: filter.session.as_deref().map(ids).transpose()?,
            except: filter.except_session().map(ids).transpose()?.unwrap_or_default(),
        })
    }
}

/// Several chains as one session: it began with the first of them, and is over when all are.
fn session(group: &[&Known]) -> Session {
    let first = group[0];
    let mut all = Session::new(first.id, &first.state.name, &first.state.environment, first.state.started);
    let states = || group.iter().map(|chain| &chain.state);
    all.open = states().any(|state| state.open);
    all.ended = states().map(|state| state.ended).max().flatten().filter(|_| !all.open);
    all.exchanges = group.iter().map(|chain| chain.exchanges).sum();
    all.first = group.iter().filter_map(|chain| chain.first).min();
    all.last = group.iter().filter_map(|chain| chain.last_started).max();
    all.bytes = group.iter().map(|chain| chain.bytes).sum();
    all.note = states().find_map(|state| state.note.clone());
    all.declaration = states().find_map(|state| state.declaration.clone());
    all.unrecorded = states().map(|state| state.unrecorded).sum();
    all.missing = group.iter().map(|chain| chain.missing_count()).sum();
    all.incomplete = states().any(|state| state.incomplete) || all.missing > 0;
    all.imported = states().filter_map(|state| state.imported).reduce(Import::and);
    if let [only] = group {
        all.missing_ranges.clone_from(&only.missing);
    }
    all.chains = group
        .iter()
        .map(|chain| Chain {
            session: chain.id,
            node: chain.node.clone(),
            exchanges: chain.exchanges,
            last: chain.last,
            dropped_to: chain.dropped_to,
            unrecorded: chain.state.unrecorded,
            imported: chain.state.imported,
            missing: chain.missing_count(),
            missing_ranges: chain.missing.clone(),
        })
        .collect();
    all
}

/// An error of the archive to those who name a session.
pub(crate) fn session_error(error: Error) -> SessionError {
    Unavailable::new(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: u64, node: &str, name: &str, hours: (u64, Option<u64>)) -> Known {
        let at = |hours: u64| Timestamp::from_micros((hours * 3_600_000_000).cast_signed());
        Known {
            id: SessionId::from_parts(id, 0),
            node: node.to_owned(),
            state: State {
                name: name.to_owned(),
                environment: "demo".to_owned(),
                started: at(hours.0),
                ended: hours.1.map(at),
                open: hours.1.is_none(),
                note: None,
                declaration: None,
                unrecorded: 0,
                incomplete: false,
                imported: None,
                missing: 0,
                missing_ranges: Vec::new(),
            },
            last: 0,
            hash: None,
            exchanges: id,
            bytes: 0,
            first: Some(at(hours.0)),
            last_started: hours.1.map(at),
            missing: Vec::new(),
            dropped_to: 0,
        }
    }

    fn grouped(known: impl IntoIterator<Item = Known>) -> Vec<Vec<u64>> {
        let grouped = Grouped::of(known.into_iter().collect());
        grouped.0.iter().map(|group| group.iter().map(|chain| chain.id.milliseconds()).collect()).collect()
    }

    #[test]
    fn a_name_on_several_nodes_is_one_session() {
        let shards = (1..4).map(|id| known(id, &format!("n{id}"), "ci", (id, Some(id + 1))));
        assert_eq!(grouped(shards), [vec![1, 2, 3]]);
        // Another name, and the same name again on one node, are others.
        let all = [
            known(1, "a", "x", (1, Some(2))),
            known(2, "b", "y", (1, Some(2))),
            known(3, "a", "x", (3, None)),
            known(4, "b", "x", (4, None)),
        ];
        assert_eq!(grouped(all), [vec![1], vec![2], vec![3, 4]]);
    }

    #[test]
    fn a_name_used_again_days_later_is_another_session() {
        assert_eq!(grouped([known(1, "a", "x", (1, Some(2))), known(2, "b", "x", (26, None))]), [vec![1, 2]]);
        assert_eq!(grouped([known(1, "a", "x", (1, Some(2))), known(2, "b", "x", (27, None))]), [vec![1], vec![2]]);
        assert_eq!(grouped([known(1, "a", "x", (1, None)), known(2, "b", "x", (270, None))]), [vec![1, 2]]);
    }

    #[test]
    fn a_session_is_open_while_one_of_its_chains_is_and_has_all_their_exchanges() {
        let both = Grouped::of(vec![known(1, "a", "x", (1, Some(9))), known(2, "b", "x", (2, None))]);
        let [session] = &both.sessions()[..] else { panic!() };
        assert!(session.open && session.ended.is_none());
        assert_eq!((session.exchanges, session.id.milliseconds()), (3, 1));
        let nodes: Vec<_> = session.chains.iter().map(|chain| &*chain.node).collect();
        assert_eq!(nodes, ["a", "b"]);
        let second = both.chains().nth(1).unwrap().id.to_string();
        assert_eq!(both.find(&second).unwrap().id, session.id);
        let one = both.find("x@b").unwrap();
        assert_eq!((one.exchanges, one.chains.len(), one.open), (2, 1, true));
        for nothing in ["x@c", "y@a", "@a", "x@"] {
            assert!(matches!(both.find(nothing), Err(SessionError::NotFound(which)) if which == nothing), "{nothing}");
        }
    }

    #[test]
    fn ranges_are_joined() {
        assert_eq!(missing(vec![(4, 4)], &[(3, 5), (9, 12)], 10), [(4, 4), (11, 12)]);
        assert_eq!(union(vec![(5, 6), (1, 2), (3, 3), (6, 9), (20, 19)]), [(1, 3), (5, 9)]);
    }
}
