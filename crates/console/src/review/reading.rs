//! Reading a session into its reviewer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nightaudit_exchange::{Exchange, Filter, Gaps, Missing, SessionId, Timestamp};
use nightaudit_log::{FollowFrom, Followed, Order, Position, Query, ReadError, Session};
use nightaudit_review::{Basis, Declaration, Review, Reviewer, SessionFacts};
use tokio_util::sync::CancellationToken;

use crate::{Shared, error::ApiError};

/// A session, and what its review depends on besides its exchanges.
#[derive(Debug)]
pub(super) struct Subject {
    /// The session as it was when the review was asked for.
    pub(super) session: Session,
    pub(super) basis: Arc<Basis>,
    /// The stored declaration's text.
    pub(super) text: Option<String>,
    pub(super) declaration: Declaration,
}

impl Subject {
    /// Whether both lead to the same review of the same exchanges.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.basis, &other.basis) && self.text == other.text
    }
}

/// The last exchange of a review.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct UpTo {
    /// Its sequence number; 0 before the first exchange.
    pub(crate) sequence: u64,
    /// When it started.
    pub(crate) at: Option<Timestamp>,
}

/// How far a session is read.
#[derive(Debug, Default)]
pub(super) struct Counter {
    read: AtomicU64,
    of: AtomicU64,
}

impl Counter {
    pub(super) fn start(&self, read: u64, of: u64) {
        self.read.store(read, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
    }

    /// Exchanges read, and how many there are.
    pub(super) fn get(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed))
    }
}

/// How long a follower may take for what is known to be recorded.
const FOLLOWING: Duration = Duration::from_secs(2);

/// Exchanges that were followed, and the position after them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    exchanges: Vec<Arc<Exchange>>,
    position: Option<Position>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }
}

/// A session's reviewer and its position.
#[derive(Debug)]
pub(super) struct Reading {
    reviewer: Reviewer,
    /// What can't be read, besides what the log knows to be missing.
    unreadable: Vec<(SessionId, u64, u64)>,
    /// Exchanges read, and those that can't be.
    pub(super) taken: u64,
    pub(super) up_to: UpTo,
    position: Option<Position>,
    /// The last sequence of each chain: what is followed in an archive may have been read before.
    reached: BTreeMap<SessionId, u64>,
    pub(super) subject: Arc<Subject>,
}

impl Reading {
    /// Nothing read yet.
    pub(super) fn new(subject: Arc<Subject>) -> Self {
        Self {
            reviewer: subject.basis.reviewer(subject.declaration.clone(), &SessionFacts::from(&subject.session)),
            unreadable: Vec::new(),
            taken: 0,
            up_to: UpTo::default(),
            position: None,
            reached: BTreeMap::new(),
            subject,
        }
    }

    /// Goes on for another subject, which is the same session; from the beginning if what was read depends on it.
    pub(super) fn turn_to(self, subject: Arc<Subject>) -> Self {
        let Self { mut reviewer, subject: before, .. } = self;
        if !Arc::ptr_eq(&before.basis, &subject.basis) || !reviewer.redeclare(&subject.declaration) {
            return Self::new(subject);
        }
        Self { reviewer, subject, ..self }
    }

    /// How many exchanges of those recorded when the review was asked for are still to be read.
    pub(super) fn behind(&self) -> u64 {
        self.subject.session.exchanges.saturating_sub(self.taken)
    }

    /// Reads what is recorded, on a blocking thread.
    pub(super) fn read(
        &mut self,
        shared: &Shared,
        counter: &Counter,
        stop: &CancellationToken,
    ) -> Result<(), ApiError> {
        let session = &self.subject.session;
        let of = session.exchanges;
        let query = Query { filter: filter(session), order: Order::Oldest, after: self.position, limit: None };
        let mut exchanges = shared.log.query(query)?;
        counter.start(self.taken, of);
        for exchange in exchanges.by_ref() {
            if shared.stopping.is_cancelled() {
                return Err(ApiError::shutting_down("the review is not finished"));
            }
            if stop.is_cancelled() {
                return Err(super::kept::given_up());
            }
            match exchange {
                Ok(exchange) => self.take(&exchange),
                Err(error) => self.skip(error)?,
            }
            counter.read.store(self.taken, Ordering::Relaxed);
        }
        self.position = exchanges.last_position().or(self.position);
        // What the log counts and doesn't find is not looked for again.
        self.taken = self.taken.max(of);
        Ok(())
    }

    /// What was recorded since, from memory where the log still has it there; the reviewer takes it with
    /// [`review`](Self::review).
    ///
    /// `None` if exchanges were deleted or can't be read: the session has to be read from the beginning.
    pub(super) async fn follow(&self, shared: &Arc<Shared>) -> Result<Option<Batch>, ApiError> {
        let target = &self.subject.session;
        let (filter, from) = (filter(target), FollowFrom::Position(self.position()));
        let opened = crate::blocking(shared, move |shared| shared.log.follow(filter, from));
        let mut follower = opened.await??;
        let mut batch = Batch { exchanges: Vec::new(), position: self.position };
        // Without a position there are exchanges in the follower that would be skipped.
        while self.taken + (batch.exchanges.len() as u64) < target.exchanges || follower.position().is_none() {
            match tokio::time::timeout(FOLLOWING, follower.next()).await {
                Ok(Some(Followed::Exchange(exchange))) => batch.exchanges.push(exchange),
                Ok(Some(Followed::Missed(_))) => return Ok(None),
                // The log was closed, or doesn't find what it counts.
                Ok(None | Some(_)) | Err(_) => break,
            }
        }
        batch.position = follower.position().or(batch.position);
        Ok(Some(batch))
    }

    /// Whether exchanges come in another order than they are read in, because nodes ship late.
    fn is_of_nodes(&self) -> bool {
        !self.subject.session.chains.is_empty()
    }

    /// Whether `batch` leaves something to be read that neither it has nor what comes after the position: then only
    /// reading from the beginning finds it.
    pub(super) fn lacks(&self, batch: &Batch) -> bool {
        let new = |exchange: &&Arc<Exchange>| self.reached.get(&exchange.session) < Some(&exchange.sequence);
        let new = batch.exchanges.iter().filter(new).count() as u64;
        self.is_of_nodes() && self.taken > 0 && self.taken + new < self.subject.session.exchanges
    }

    fn take(&mut self, exchange: &Exchange) {
        if self.is_of_nodes() {
            let reached = self.reached.entry(exchange.session).or_default();
            if exchange.sequence <= *reached {
                return;
            }
            *reached = exchange.sequence;
        }
        self.reviewer.push(exchange);
        self.taken += 1;
        self.up_to = UpTo { sequence: exchange.sequence, at: Some(exchange.started_at) };
    }

    fn skip(&mut self, error: ReadError) -> Result<(), ApiError> {
        let Some((chain, first, last)) = error.exchanges() else { return Err(error.into()) };
        tracing::debug!(%error, "the review skips exchanges that can't be read");
        self.unreadable.push((chain, first, last));
        self.taken += last - first + 1;
        Ok(())
    }

    /// The review of what was read, with `batch`.
    pub(super) fn review(&mut self, batch: Batch) -> Review {
        batch.exchanges.iter().for_each(|exchange| self.take(exchange));
        self.position = batch.position.or(self.position);
        let session = &self.subject.session;
        let mut facts = SessionFacts::from(session);
        facts.set_missing(&missing(session, &self.unreadable));
        self.reviewer.set_facts(&facts);
        self.reviewer.review()
    }

    /// Where to follow the session from.
    pub(super) fn position(&self) -> Position {
        self.position.unwrap_or(Position::START)
    }
}

fn filter(session: &Session) -> Filter {
    Filter { session: Some(session.filter_text()), ..Filter::default() }
}

/// What a session lacks: what its log knows to be missing, and what can't be read.
fn missing(session: &Session, unreadable: &[(SessionId, u64, u64)]) -> Vec<Missing> {
    let mut gaps = Gaps::new(session.all_missing());
    unreadable.iter().for_each(|(chain, first, last)| gaps.add(*chain, (*first, *last), || session.name.clone()));
    gaps.into_list()
}
