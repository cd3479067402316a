//! The request handler and its context.

use std::{future::Future, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body::Body;
use hyper::{Request, Response, body::Incoming};

use crate::{guard::Heads, link::ClientProgress, refusal::Refusal};

/// How a request was received.
#[derive(Debug)]
pub struct RequestContext {
    /// The client's address.
    pub peer: SocketAddr,
    /// The head of an HTTP/1 request as it was on the wire; `None` for HTTP/2.
    pub wire: Option<Bytes>,
    /// Why the request must be refused. With HTTP/1 the accompanying request is then a meaningless placeholder, and the
    /// connection closes after the response; with HTTP/2 it is the refused request.
    pub refusal: Option<Refusal>,
    /// Whether the request opens a WebSocket, the only supported upgrade (RFC 9110, section 7.8, allows ignoring
    /// others). Only such a request may get a 101.
    pub opens_web_socket: bool,
    /// Whether the client reads the response.
    pub progress: ClientProgress,
    /// Whether the request came over TLS.
    pub tls: bool,
    /// Tells whether the client has half-closed the connection, which it may do after a complete request (RFC 9112,
    /// section 9.6) and which looks the same as leaving. `None` for HTTP/2.
    pub half_close: Option<HalfClose>,
}

/// Tells whether a client has closed its side of an HTTP/1 connection.
#[derive(Debug, Clone)]
pub struct HalfClose(pub(super) Arc<Heads>);

impl HalfClose {
    /// Returns whether it has.
    #[must_use]
    pub fn has_happened(&self) -> bool {
        self.0.has_half_closed()
    }

    /// Waits until it has.
    pub async fn happened(&self) {
        self.0.half_close().await;
    }
}

/// An extension of a response that is not to be sent: the client's connection is reset instead, or its HTTP/2 stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset;

/// Makes hyper end the connection, or the stream.
#[derive(Debug, thiserror::Error)]
#[error("the handler asked for a reset")]
pub(super) struct WasReset;

/// Handles requests.
pub trait Handler: Send + Sync + 'static {
    /// The response body.
    type Body: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static;

    /// Responds to a request. The future is dropped if the client disconnects first.
    fn handle(
        &self,
        context: RequestContext,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Called when the HTTP/2 library has itself refused a request, whose head and response are then unknown, or has
    /// closed a connection because of what the client sent. Does nothing by default.
    fn refused(&self, _arrival: RequestContext) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Returns whether requests are waiting for capacity. Stalled clients then get less time.
    fn is_crowded(&self) -> bool {
        false
    }
}
