//! The permit of a request whose sender is known only from the rest of its body.

use std::sync::{Mutex, PoisonError};

use nightaudit_limit::{Permit, Unavailable};

/// The permit for the sender that the rest of a body named, once there is one. The first permit goes on counting, too.
pub(crate) struct LatePermit<P>(Mutex<Option<P>>);

impl<P> Default for LatePermit<P> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<P: Permit> LatePermit<P> {
    pub(crate) fn take(&self) -> Option<P> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn put(&self, permit: P) {
        // One for a sender in between counts as sent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(permit);
    }

    /// As [`Permit::sent`], if the request is sent again.
    pub(crate) async fn sent(&self) -> Result<(), Unavailable> {
        let Some(mut permit) = self.take() else { return Ok(()) };
        permit.sent().await?;
        self.put(permit);
        Ok(())
    }

    /// As [`Permit::unsent`].
    pub(crate) async fn unsent(&self) -> Result<(), Unavailable> {
        let Some(mut permit) = self.take() else { return Ok(()) };
        permit.unsent().await?;
        self.put(permit);
        Ok(())
    }
}
