//! The reviewer of one session, and its newest review.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use nightaudit_exchange::{Digest, SessionId};
use nightaudit_log::Position;
use nightaudit_review::{Review, SessionFacts};
use serde::Serialize;
use tokio::{
    sync::{Mutex, OwnedMutexGuard, watch},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    State,
    reading::{Batch, Counter, Reading, Subject, UpTo},
};
use crate::{Shared, error::ApiError};

/// How long a request waits for a review before it is told how far the reading is.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many exchanges an update takes from memory; more are read from disk, on a thread of their own.
const FOLLOWED: u64 = 512;

/// A session's reviewer.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) session: SessionId,
    /// Locked during an update; `None` before the first.
    reading: Arc<Mutex<Option<Reading>>>,
    newest: watch::Sender<Newest>,
    counter: Arc<Counter>,
    stop: CancellationToken,
}

/// The result of the last update.
#[derive(Debug, Clone, Default)]
enum Newest {
    #[default]
    None,
    Made(Arc<Made>),
    Failed(ApiError),
}

/// How far the first reading of a session is.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Progress {
    /// Exchanges read.
    pub(crate) read: u64,
    /// Exchanges in the session.
    pub(crate) of: u64,
}

/// A review.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) review: Review,
    /// The review as JSON.
    pub(crate) json: Bytes,
    /// The SHA-256 of the review and its position.
    pub(crate) digest: Digest,
    pub(crate) up_to: UpTo,
    /// Where to follow the session from.
    pub(crate) position: Position,
    taken: u64,
    subject: Arc<Subject>,
}

impl Made {
    /// Whether another one is about the same declaration, checked against the same documentation and limits.
    pub(super) fn is_judged_as(&self, other: &Self) -> bool {
        self.subject.is_as(&other.subject)
    }

    /// Whether it has everything that this subject has.
    fn covers(&self, subject: &Subject) -> bool {
        self.subject.is_as(subject)
            && self.taken >= subject.session.exchanges
            && SessionFacts::from(&self.subject.session) == SessionFacts::from(&subject.session)
    }

    /// Whether the review has everything that the session has, which was looked at before.
    pub(crate) fn is_current(&self, session: &nightaudit_log::Session) -> bool {
        self.taken >= session.exchanges
    }
}

impl Kept {
    pub(super) fn new(session: SessionId) -> Self {
        Self {
            session,
            reading: Arc::default(),
            newest: watch::Sender::default(),
            counter: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Ends a reading under way.
    pub(super) fn give_up(&self) {
        self.stop.cancel();
    }

    /// The review with everything that `subject` has; an older one, or how far the reading is, if that takes long.
    ///
    /// An update that was begun is finished, whether or not anyone waits for it.
    pub(super) async fn up_to_date(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        subject: Arc<Subject>,
    ) -> Result<State, ApiError> {
        let deadline = Instant::now() + PATIENCE;
        let mut newest = self.newest.subscribe();
        loop {
            let made = match &*newest.borrow_and_update() {
                Newest::Made(made) if made.covers(&subject) => return Ok(State::Made(Arc::clone(made))),
                Newest::Made(made) => Some(Arc::clone(made)),
                Newest::None | Newest::Failed(_) => None,
            };
            // If it is locked, an update is under way, and its result comes after the lock is released.
            if let Ok(reading) = Arc::clone(&self.reading).try_lock_owned() {
                let (own, shared, subject) = (Arc::clone(self), Arc::clone(shared), Arc::clone(&subject));
                tokio::spawn(async move { own.update(&shared, subject, reading).await });
            }
            match timeout_at(deadline, newest.changed()).await {
                Ok(_) => {
                    if let Newest::Failed(error) = &*newest.borrow() {
                        return Err(error.clone());
                    }
                }
                Err(_) => {
                    let older = made.filter(|made| made.subject.is_as(&subject));
                    let (read, of) = self.counter.get();
                    let of = of.max(subject.session.exchanges);
                    return Ok(older.map_or(State::Building(Progress { read, of }), State::Made));
                }
            }
        }
    }

    async fn update(&self, shared: &Arc<Shared>, subject: Arc<Subject>, mut reading: OwnedMutexGuard<Option<Reading>>) {
        let started = match reading.take() {
            Some(reading) => reading.turn_to(subject),
            None => Reading::new(subject),
        };
        let result = self.make(shared, started).await.map(|(read, made)| {
            *reading = Some(read);
            made
        });
        drop(reading);
        self.newest.send_replace(match result {
            Ok(made) => Newest::Made(Arc::new(made)),
            Err(error) => Newest::Failed(error),
        });
    }

    async fn make(&self, shared: &Arc<Shared>, mut reading: Reading) -> Result<(Reading, Made), ApiError> {
        let mut batch = Batch::default();
        if reading.behind() > 0 && reading.taken > 0 && reading.behind() <= FOLLOWED {
            match reading.follow(shared).await? {
                Some(followed) => batch = followed,
                None => reading = Reading::new(reading.subject),
            }
        }
        if reading.lacks(&batch) {
            (reading, batch) = (Reading::new(reading.subject), Batch::default());
        }
        // Few or none are left; reading from disk is then a look at the index.
        let is_behind = batch.is_empty() && reading.behind() > 0;
        let permit = match is_behind {
            true => {
                self.counter.start(reading.taken, reading.subject.session.exchanges);
                let readers = Arc::clone(&shared.reviews.readers);
                let permit = self.stop.run_until_cancelled(readers.acquire_owned()).await;
                Some(permit.and_then(Result::ok).ok_or_else(given_up)?)
            }
            false => None,
        };
        let (shared, counter, stop) = (Arc::clone(shared), Arc::clone(&self.counter), self.stop.clone());
        let work = move || {
            let _permit = permit;
            if is_behind {
                reading.read(&shared, &counter, &stop)?;
            }
            let review = reading.review(batch);
            let json = serde_json::to_vec(&review).map_err(ApiError::internal)?;
            let digest = Digest::of(&[&json, &reading.up_to.sequence.to_be_bytes()[..]].concat());
            let made = Made {
                review,
                json: json.into(),
                digest,
                up_to: reading.up_to,
                position: reading.position(),
                taken: reading.taken,
                subject: Arc::clone(&reading.subject),
            };
            Ok((reading, made))
        };
        tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
    }
}

/// The answer to those who wait for a session that makes room for another one, or is deleted.
pub(super) fn given_up() -> ApiError {
    ApiError::new(http::StatusCode::SERVICE_UNAVAILABLE, "the review of this session made room for another: ask again")
}
