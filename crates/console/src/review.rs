//! The review of a session, kept up to date.
//!
//! [`Reviews`] keeps the reviewers of the sessions asked for last. A session is read from its beginning once, on a
//! blocking thread; after that an update costs what was recorded since. Nothing is read while nobody asks.

mod compare;
mod handlers;
mod kept;
mod reading;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use nightaudit_exchange::SessionId;
use nightaudit_log::Session;
use nightaudit_review::{Basis, Declaration};
use tokio::sync::{Semaphore, watch};

pub(crate) use self::{
    compare::compare,
    handlers::{current_run, run, session_review},
    kept::{Made, Progress},
};
use self::{kept::Kept, reading::Subject};
use crate::{Shared, blocking, error::ApiError};

/// Sessions whose reviewers are kept. One takes up to a few megabytes, by its operations, tokens and findings.
const KEPT: usize = 4;

/// Sessions read from their beginning at once.
const READERS: usize = 2;

/// The reviews of the sessions asked for last.
#[derive(Debug)]
pub(crate) struct Reviews {
    /// The one asked for last is last.
    kept: Mutex<Vec<Arc<Kept>>>,
    readers: Arc<Semaphore>,
    /// Changes with each change of a session.
    changed: watch::Sender<()>,
}

impl Default for Reviews {
    fn default() -> Self {
        Self { kept: Mutex::default(), readers: Arc::new(Semaphore::new(READERS)), changed: watch::Sender::new(()) }
    }
}

/// A session's review, or how far its first reading is.
#[derive(Debug)]
pub(crate) enum State {
    /// The review.
    Made(Arc<Made>),
    /// It is being read from its beginning.
    Building(Progress),
}

impl Reviews {
    /// Wakes requests that wait for news of a session.
    pub(crate) fn note_change(&self) {
        self.changed.send_replace(());
    }

    /// The reviewer of a session. Another one's makes room for it.
    fn of(&self, session: SessionId) -> Arc<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let own = match kept.iter().position(|own| own.session == session) {
            Some(index) => kept.remove(index),
            None => {
                if kept.len() >= KEPT {
                    kept.remove(0).give_up();
                }
                Arc::new(Kept::new(session))
            }
        };
        kept.push(Arc::clone(&own));
        own
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Forgets a session that is gone.
    fn forget(&self, session: SessionId) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|own| {
            let is_it = own.session == session;
            if is_it {
                own.give_up();
            }
            !is_it
        });
    }
}

/// The review of a session with everything recorded before the call, or, if that takes long, how far it is.
pub(crate) async fn up_to_date(shared: &Arc<Shared>, which: &str) -> Result<(Session, State), ApiError> {
    let (session, subject) = subject(shared, which).await?;
    let kept = shared.reviews.of(session.id);
    let state = kept.up_to_date(shared, Arc::new(subject)).await;
    if matches!(&state, Err(error) if error.is_not_found()) {
        shared.reviews.forget(session.id);
    }
    Ok((session, state?))
}

/// A session, and what its review depends on besides its exchanges.
async fn subject(shared: &Arc<Shared>, which: &str) -> Result<(Session, Subject), ApiError> {
    let which = which.to_owned();
    blocking(shared, move |shared| {
        let session = shared.log.session(&which)?;
        let basis = basis(shared)?;
        let text = session.declaration.clone();
        let declaration = read(text.as_deref().unwrap_or_default(), &basis, &session)?;
        let subject = Subject { session: session.clone(), basis, text, declaration };
        Ok::<_, ApiError>((session, subject))
    })
    .await?
}

/// What sessions are reviewed against.
pub(crate) fn basis(shared: &Shared) -> Result<Arc<Basis>, ApiError> {
    (shared.gauges.basis)().map_err(|error| ApiError::conflict(crate::error::chain(&*error)))
}

/// The declaration stored with a session. It may have become invalid since it was stored: Mews' documentation changes.
fn read(text: &str, basis: &Basis, session: &Session) -> Result<Declaration, ApiError> {
    Declaration::read(text, &basis.contracts).map_err(|error| {
        ApiError::conflict(format!("the declaration stored with session `{}` is invalid: {error}", session.name))
    })
}
