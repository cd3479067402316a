//! What follows an upgrade: bytes both ways, for the WebSocket.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use nightaudit_exchange::{Failure, FailureKind, Outcome};
use tokio_util::sync::CancellationToken;

use crate::{draft::Draft, recorder::Place};

/// Carries bytes between the integration and Mews until either side ends or the proxy does, then records the exchange.
pub(crate) async fn carry<P: Place>(
    downstream: OnUpgrade,
    upstream: OnUpgrade,
    mut draft: Draft<P>,
    closing: CancellationToken,
) {
    let carried = closing.run_until_cancelled(copy(downstream, upstream)).await;
    let (outcome, error) = carried.unwrap_or_else(|| {
        let message = "nightaudit was stopped while the connection was open".to_owned();
        (Outcome::Answered, Some(Failure { kind: FailureKind::Interrupted, message }))
    });
    let now = draft.elapsed();
    draft.note(|capture| capture.response_end = Some(now));
    drop(draft.finish(outcome, error));
}

async fn copy(downstream: OnUpgrade, upstream: OnUpgrade) -> (Outcome, Option<Failure>) {
    match tokio::try_join!(downstream, upstream) {
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
    }
}
