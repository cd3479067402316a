//! What answers requests, and what it is told of each.

use std::{future::Future, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body::Body;
use hyper::{Request, Response, body::Incoming};

use crate::{guard::Heads, head::Refusal, link::ClientProgress};

/// How a request came in.
#[derive(Debug)]
pub struct RequestContext {
    /// The client's address.
    pub peer: SocketAddr,
    /// An HTTP/1 request's head as it was on the wire; none for HTTP/2.
    pub wire: Option<Bytes>,
    /// Why the request must be refused. The request beside it is, of HTTP/1, then a stand-in and means nothing, and the
    /// connection is closed after the answer; of HTTP/2 it is the request that is refused.
    pub refusal: Option<Refusal>,
    /// Whether the request opens a WebSocket: the only upgrade that is let through (RFC 9110, section 7.8, allows to
    /// ignore the others). To any other request a 101 can't be given.
    pub opens_web_socket: bool,
    /// How the client takes the response.
    pub progress: ClientProgress,
    /// Whether the request came over TLS.
    pub tls: bool,
    /// Tells whether the client has closed its side of the connection, which it may do as soon as its request is whole
    /// (RFC 9112, section 9.6). Nobody can tell such a client from one that has left. None for HTTP/2.
    pub half_close: Option<HalfClose>,
}

/// Whether a client has closed its side of an HTTP/1 connection.
#[derive(Debug, Clone)]
pub struct HalfClose(pub(super) Arc<Heads>);

impl HalfClose {
    /// Whether it has by now.
    #[must_use]
    pub fn has_happened(&self) -> bool {
        self.0.has_half_closed()
    }

    /// Waits until it has.
    pub async fn happened(&self) {
        self.0.half_close().await;
    }
}

/// What answers the requests.
pub trait Handler: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static;

    /// Answers one request. The future is dropped when the client leaves before it is done.
    fn handle(
        &self,
        context: RequestContext,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Notes a request that the HTTP/2 library has refused by itself, so that neither its head nor a response to it is
    /// known; or that it has closed a connection for what the client sent. By default nothing.
    fn refused(&self, _arrival: RequestContext) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Whether requests wait for room that others hold. Clients that don't take their responses have less time then.
    fn is_crowded(&self) -> bool {
        false
    }
}
