//! What follows an upgrade: bytes both ways, for the WebSocket.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use nightaudit_exchange::{Failure, FailureKind, Outcome};

use crate::{draft::Draft, recorder::Place};

/// Carries bytes between the integration and Mews until either side ends, then records the exchange.
pub(crate) async fn carry<P: Place>(downstream: OnUpgrade, upstream: OnUpgrade, mut draft: Draft<P>) {
    let (outcome, error) = match tokio::try_join!(downstream, upstream) {
        Ok((downstream, upstream)) => {
            let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
            match tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await {
                Ok(_) => (Outcome::Answered, None),
                Err(error) => {
                    let message = format!("the connection broke off: {error}");
                    (Outcome::Answered, Some(Failure { kind: FailureKind::Closed, message }))
                }
            }
        }
        Err(error) => {
            let message = format!("the connection could not be upgraded: {error}");
            (Outcome::Failed, Some(Failure { kind: FailureKind::Closed, message }))
        }
    };
    let now = draft.elapsed();
    draft.note(|capture| capture.response_end = Some(now));
    drop(draft.finish(outcome, error));
}
