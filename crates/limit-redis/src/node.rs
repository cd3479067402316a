//! This node: its names, its keys, and what it tells the fleet of itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nightaudit_limit::{AdmissionRequest, Unavailable};
use parking_lot::Mutex;
use sha2::Digest as _;

use crate::clock::{self, Horizon};
use crate::place::Place;
use crate::plan::{Keys, LEASE, Part, Plan, letters, micros};
use crate::scripts::{self, run};
use crate::session::{Session, SessionError, Target};
use crate::share::{FRESH, SEAT, SILENCE, Share};
use crate::wire::Fault;

/// The tag of what all nodes share.
pub(crate) const FLEET: &str = "fleet";
/// The state of the fleet.
pub(crate) const STATE: &str = "nightaudit:{fleet}:state";
/// The keys in use, by when they were used last.
pub(crate) const LIST: &str = "nightaudit:{fleet}:keys";
/// The most keys that are listed.
const MOST_LISTED: u64 = 10_000;

/// This node.
pub(crate) struct Node {
    pub(crate) plan: Plan,
    pub(crate) target: Target,
    /// What this node may use by itself while Redis can't be reached, if anything.
    pub(crate) share: Option<Share>,
    name: String,
    /// Six letters for the name.
    id: String,
    /// Five letters for this run of it.
    run: String,
    next_member: AtomicU64,
    /// Keys used since they were listed last, with their entries of the list.
    used: Mutex<HashMap<Arc<Keys>, Vec<String>>>,
    outage: Mutex<Option<SessionError>>,
    /// Redis' clock and this node's at the last reply to a greeting, and from whom.
    heard: Mutex<Option<(String, u64, u64)>>,
    pub(crate) horizon: Mutex<Horizon>,
}

/// What the fleet knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Windows of an earlier generation were lost, or may have been.
    pub(crate) generation: Arc<str>,
    /// What was sent up to this instant of Redis' clock is unknown.
    pub(crate) unknown: u64,
    /// Nodes out of reach.
    pub(crate) missing: u64,
    /// When this was learned, at the latest, by this node's clock.
    pub(crate) since: u64,
}

impl Node {
    pub(crate) fn new(
        plan: Plan,
        target: Target,
        share: Option<Share>,
        name: String,
    ) -> Result<Self, getrandom::Error> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        let digest = sha2::Sha256::digest(name.as_bytes());
        let text = |letters: &[u8]| String::from_utf8_lossy(letters).into_owned();
        Ok(Self {
            plan,
            target,
            share,
            name,
            id: text(&letters::<6>(&digest)),
            run: text(&letters::<5>(&random)),
            next_member: AtomicU64::new(0),
            used: Mutex::default(),
            outage: Mutex::default(),
            heard: Mutex::default(),
            horizon: Mutex::default(),
        })
    }

    /// Six letters and a number, never used before.
    pub(crate) fn member(&self) -> String {
        format!("{}.{}{:x}", self.id, self.run, self.next_member.fetch_add(1, Ordering::Relaxed))
    }

    /// Redis has been reached.
    pub(crate) fn reached(&self) {
        if self.outage.lock().take().is_some() {
            tracing::info!("the limits in {} can be reached again", self.target.address);
        }
    }

    /// Redis has not been reached. Said once, and again when the cause changes.
    pub(crate) fn missed(&self, error: &SessionError) {
        let mut outage = self.outage.lock();
        if outage.as_ref() != Some(error) {
            tracing::warn!("the limits in {} can't be reached: {error}", self.target.address);
            *outage = Some(error.clone());
        }
    }

    /// Why Redis can't be reached, if it couldn't be when that was last tried.
    pub(crate) fn outage(&self) -> Option<String> {
        self.outage.lock().as_ref().map(ToString::to_string)
    }

    /// Introduces this node, and gives up a generation whose windows are lost.
    pub(crate) async fn greet(&self, session: &Session, lost: &str) -> Result<Standing, Fault> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| Fault::Nonsense)?;
        let fresh = String::from_utf8_lossy(&letters::<8>(&random)).into_owned();
        let begun = clock::now();
        // The earliest that Redis' clock can show now.
        let heard = self.heard.lock().clone();
        let is_first = heard.is_none();
        let said = heard
            .filter(|(incarnation, ..)| *incarnation == session.incarnation)
            .map_or(0, |(_, redis, own)| redis + begun.saturating_sub(own) / 1000);
        let returning = self.plan.longest + self.plan.grace + Share::returning();
        let command = run(&session.scripts.greet, 1, 13)
            .word(STATE.as_bytes())
            .word(session.incarnation.as_bytes())
            .word(lost.as_bytes())
            .word(fresh.as_bytes())
            .number(micros(if session.is_cluster() { LEASE + FRESH } else { LEASE }))
            .word(self.id.as_bytes())
            .word(self.name.as_bytes())
            .word(self.run.as_bytes())
            .number(is_first.into())
            .number(self.share.as_ref().map_or(0, |share| share.nodes.into()))
            .number(micros(SILENCE))
            .number(returning)
            .number(micros(SEAT))
            .number(said);
        if let Some(share) = &self.share {
            share.calling();
        }
        let reply = session.at(FLEET).call(command).await?;
        let [generation, unknown, now, missing, seat] = scripts::list(&reply)? else { return Err(Fault::Nonsense) };
        let now = now.length().ok_or(Fault::Nonsense)?;
        *self.heard.lock() = Some((session.incarnation.clone(), now, clock::now()));
        if let Some(share) = &self.share {
            share.answered(seat.number() == Some(1));
        }
        let generation: Arc<str> = generation.text().ok_or(Fault::Nonsense)?.into();
        let jump = self.horizon.lock().note(&generation, now, begun, clock::now());
        if jump.is_some() && lost.is_empty() {
            // Also if this node sends nothing: another one may have only just begun.
            return Box::pin(self.greet(session, &generation)).await;
        }
        Ok(Standing {
            generation,
            unknown: unknown.length().ok_or(Fault::Nonsense)?,
            missing: missing.length().ok_or(Fault::Nonsense)?,
            since: begun,
        })
    }

    /// The names of a place's keys, four for each kind.
    pub(crate) fn names(&self, place: &Place) -> impl Iterator<Item = [String; 4]> {
        (0..self.plan.kinds.len())
            .map(|kind| Part::ALL.map(|part| place.keys.name(kind, self.plan.letter(kind), part, &place.generation)))
    }

    /// The sets that a place is in.
    pub(crate) fn sets(&self, place: &Place) -> impl Iterator<Item = String> {
        let part = if place.keys.paginated { Part::Paginated } else { Part::Requests };
        (0..self.plan.kinds.len())
            .map(move |kind| place.keys.name(kind, self.plan.letter(kind), part, &place.generation))
    }

    /// What a place that is never sent gives back to buckets.
    pub(crate) fn refills(&self, place: &Place) -> impl Iterator<Item = (String, [String; 3])> {
        self.plan.rules.iter().filter_map(|rule| {
            let by = rule.refill(place.keys.paginated)?;
            let key = self.statistics(&place.keys, rule.kind, &place.generation);
            Some((key, ["refill".to_owned(), format!("-{by:.3}"), format!("bucket {}", rule.name)]))
        })
    }

    pub(crate) fn statistics(&self, keys: &Keys, kind: usize, generation: &str) -> String {
        keys.name(kind, self.plan.letter(kind), Part::Statistics, generation)
    }

    /// Notes keys for the list of those in use.
    pub(crate) fn note(&self, keys: &Arc<Keys>, arrival: &AdmissionRequest<'_>) {
        const MOST: usize = 10_000;
        let mut used = self.used.lock();
        if used.len() < MOST && !used.contains_key(keys) {
            let entries = (0..self.plan.kinds.len()).map(|kind| {
                let (letter, shown) = (self.plan.letter(kind), self.plan.shown(kind, arrival));
                format!("{}\t{letter}\t{}\t{shown}", keys.tag(), keys.digest(kind))
            });
            used.insert(Arc::clone(keys), entries.collect());
        }
    }

    /// Adds the keys used lately to the list that all nodes read.
    pub(crate) async fn list_keys(&self, session: &Session) {
        let used = std::mem::take(&mut *self.used.lock());
        if used.is_empty() {
            return;
        }
        let entries: Vec<&String> = used.values().flatten().collect();
        let command = run(&session.scripts.list, 1, 2 + entries.len()).word(LIST.as_bytes());
        let command = command.number(self.plan.longest + self.plan.grace).number(MOST_LISTED);
        let command = entries.iter().fold(command, |command, entry| command.word(entry.as_bytes()));
        // If it fails, the keys are listed when they are used again.
        let _ = session.at(FLEET).call(command).await;
    }

    /// What is said while Redis can't decide.
    pub(crate) fn unavailable(&self, cause: &str) -> Unavailable {
        let cause = format!(
            "the limits in {} can't be asked: {cause}; nothing is sent without them (`limit.store`)",
            self.target.address
        );
        Unavailable { cause }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.name).field("address", &self.target.address).finish_non_exhaustive()
    }
}
