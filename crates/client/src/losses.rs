//! What can't be had of a log any more, while the rest of it is read.

use nightaudit_exchange::{Gaps, Missing, SessionId};
use nightaudit_store::Session;

/// The most errors that are told one by one.
const MOST_TOLD: u64 = 10;

/// Exchanges that can't be read, in the place of the first of them. What comes after them can be read.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Unreadable {
    /// The session they are of.
    pub session: SessionId,
    /// The sequence number of the first.
    pub first: u64,
    /// The sequence number of the last.
    pub last: u64,
    /// Why not, in a sentence.
    pub message: String,
}

/// Gathers what is missing or can't be read.
#[derive(Debug, Default)]
pub struct Losses {
    gaps: Gaps,
    names: Vec<(SessionId, String)>,
    unreadable: u64,
}

impl Losses {
    /// Begins with what is known to be missing of these sessions.
    pub fn new(sessions: &[Session]) -> Self {
        let missing = sessions.iter().filter(|session| session.missing > 0).map(missing_of);
        let names = sessions.iter().map(|session| (session.id, session.name.clone())).collect();
        Self { gaps: Gaps::new(missing), names, unreadable: 0 }
    }

    /// Takes an error of a stream of exchanges, and warns of it.
    ///
    /// # Errors
    ///
    /// The error itself, where nothing can be read after it.
    pub fn note(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        let Unreadable { session, first, last, message } = error.downcast()?;
        self.unreadable += 1;
        match self.unreadable {
            ..=MOST_TOLD => tracing::warn!("{message}"),
            number if number == MOST_TOLD + 1 => tracing::warn!("more exchanges can't be read"),
            _ => {}
        }
        let name =
            || self.names.iter().find(|(id, _)| *id == session).map_or_else(String::new, |(_, name)| name.clone());
        self.gaps.add(session, (first, last), name);
        Ok(())
    }

    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }

    /// What is missing, session by session, which is told on standard error with what to do about it.
    pub fn tell(self) -> Vec<Missing> {
        let missing = self.gaps.into_list();
        for missing in &missing {
            tracing::warn!("{missing}");
        }
        if !missing.is_empty() {
            tracing::warn!("`nightaudit log check` says where the log is damaged; put those files back from a copy");
        }
        missing
    }
}

/// What is missing of a session.
pub fn missing_of(session: &Session) -> Missing {
    Missing {
        session: session.id,
        session_name: session.name.clone(),
        count: session.missing,
        ranges: session.missing_ranges.clone(),
        whole_session: session.exchanges == 0 && !session.open && session.bytes == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_t_be_read_is_gathered_and_any_other_error_ends_it() {
        let session = SessionId::from_parts(1, 1);
        let mut losses = Losses::default();
        for (first, last) in [(3, 3), (4, 4), (9, 11)] {
            losses.note(Unreadable { session, first, last, message: "damaged".to_owned() }.into()).unwrap();
        }
        assert!(losses.note(anyhow::anyhow!("the console's answer broke off")).is_err());
        let missing = losses.tell();
        assert_eq!((missing[0].count, &missing[0].ranges[..]), (5, &[(3, 4), (9, 11)][..]));
    }
}
