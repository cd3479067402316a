//! Opens WebSockets.

use std::sync::Arc;

use http::HeaderMap;
use hyper::upgrade::OnUpgrade;
use nightaudit_exchange::{CapturedBody, Outcome};
use nightaudit_limit::Admit;

use super::Proxy;
use crate::{
    pending::PendingExchange,
    recorder::{Recorder, recorded},
    tunnel::{Handshake, Tunnel},
    web_socket::Transcript,
};

impl<R: Recorder, A: Admit> Proxy<R, A> {
    /// Records a handshake and starts the tunnel; returns false if it could not be recorded in time.
    pub(super) async fn open_tunnel(
        &self,
        mut pending: PendingExchange<R::Permit>,
        response_headers: &HeaderMap,
        downstream: OnUpgrade,
        upstream: OnUpgrade,
    ) -> bool {
        let transcript = Transcript::new(response_headers, self.shared.config.keep_body);
        let handshake = pending.capture().map(Handshake::of);
        if let Some(receipt) = pending.finish_with_body(CapturedBody::default(), Outcome::Answered, None)
            && !recorded(receipt, self.shared.config.timeouts.record).await
        {
            return false;
        }
        if let Some(handshake) = handshake {
            let tunnel = Tunnel {
                recorder: Arc::clone(&self.recorder),
                ids: Arc::clone(&self.shared.ids),
                handshake,
                transcript,
                closing: self.shared.closing.clone(),
                parts: 0,
            };
            self.shared.tunnels.spawn(tunnel.run(downstream, upstream));
        }
        true
    }
}
