//! Asking the limits once more, for the sender that the rest of a body names.

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use nightaudit_exchange::Pseudonym;
use nightaudit_limit::{AdmissionRequest, Admit, Permit as _};
use nightaudit_mews::Envelope;

use super::{sender::key_without_token, shared::Shared};
use crate::{
    admission,
    body_watch::{Deciding, Recount},
    late_permit::LatePermit,
};

/// What the limits admitted a request for.
#[derive(Clone)]
pub(super) struct Counted {
    pub(super) access_key: Arc<str>,
    pub(super) client_key: Arc<str>,
    pub(super) operation: Arc<str>,
    pub(super) paginated: bool,
}

/// Asks for what a body names after the limits admitted it.
pub(super) struct Recounter<A: Admit> {
    pub(super) shared: Arc<Shared<A>>,
    pub(super) peer: SocketAddr,
    pub(super) counted: Counted,
    pub(super) permit: Arc<LatePermit<A::Permit>>,
}

impl<A: Admit> Recount for Recounter<A> {
    fn ask(&mut self, sender: &Envelope<'_>) -> Option<Deciding> {
        let limiter = &self.shared.limiter;
        let key = |token: &Option<Cow<'_, str>>| {
            token.as_ref().map_or_else(
                || key_without_token(self.peer),
                |token| Pseudonym::of(token.as_bytes()).to_string().into(),
            )
        };
        let counted = Counted {
            access_key: key(&sender.access_token),
            client_key: key(&sender.client_token),
            paginated: sender.paginated,
            ..self.counted.clone()
        };
        let parts = limiter.key();
        let other = parts.access_token && counted.access_key != self.counted.access_key
            || parts.client_token && counted.client_key != self.counted.client_key;
        // A paginated request takes less of a window than it was admitted for.
        let costs_more = limiter.counts_pages() && self.counted.paginated && !counted.paginated;
        if !other && !costs_more {
            return None;
        }
        self.counted = counted.clone();
        let (shared, permit) = (Arc::clone(&self.shared), Arc::clone(&self.permit));
        Some(Box::pin(async move {
            let wanted = AdmissionRequest {
                access_token: &counted.access_key,
                client_token: &counted.client_key,
                operation: &counted.operation,
                paginated: counted.paginated,
            };
            let (note, admitted) = admission::ask(&shared.limiter, &wanted, &shared.config.environment).await;
            let sent = match admitted {
                // From now on it may be sent at any time.
                Ok(mut admitted) => {
                    let sent = admitted.sent().await.map_err(admission::unavailable);
                    permit.put(admitted);
                    sent
                }
                Err(refused) => Err(refused),
            };
            (note, sent)
        }))
    }
}
