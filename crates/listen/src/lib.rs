//! A strict HTTP/1.1 and HTTP/2 server.
//!
//! [`Server`] accepts with back-off, terminates TLS if it has a certificate, tells HTTP/1 from HTTP/2 (by ALPN, or by
//! the HTTP/2 preface in cleartext), passes each request to a [`Handler`] and drains on shutdown.
//!
//! HTTP/1 passes through a guard before hyper sees it. The guard keeps each head as it was on the wire, so that header
//! order and spelling can be recorded, and refuses whatever two implementations could parse differently: the whole
//! family of request smuggling. A refused request still reaches the handler, as a [`RequestContext`] with a
//! [`Refusal`], because it needs a response in pipeline order and a record like any other. The same rules apply to
//! HTTP/2; requests that the HTTP/2 library itself refuses are reported to [`Handler::refused`].
//!
//! ```
//! use std::{net::SocketAddr, sync::Arc};
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use hyper::{Request, Response, body::Incoming};
//! use nightaudit_listen::{RequestContext, ListenConfig, Handler, Server};
//!
//! struct Hello;
//!
//! impl Handler for Hello {
//!     type Body = Full<Bytes>;
//!
//!     async fn handle(&self, _: RequestContext, _: Request<Incoming>) -> Response<Full<Bytes>> {
//!         Response::new(Full::from("hello"))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let shutdown = async { /* a signal, say */ };
//! let drained = Server::new(ListenConfig::default()).serve(listener, Arc::new(Hello), shutdown).await;
//! assert_eq!(drained.aborted, 0);
//! # Ok(())
//! # }
//! ```

mod accept;
mod chunked;
mod guard;
mod head;
mod headers;
mod link;
mod refusal;
mod server;
mod slots;
mod streams;
mod tls;
mod watch;

pub use link::ClientProgress;
pub use refusal::{Refusal, RefusalKind};
pub use server::{Drained, HalfClose, Handler, ListenConfig, RequestContext, Reset, Server, Worker};
pub use tls::{TlsError, server_config, server_config_from};
