//! Accepts connections and speaks HTTP/1.1 and HTTP/2 on them, strictly.
//!
//! [`Server`] accepts with back-off, does TLS where it is given a certificate, tells HTTP/1 from HTTP/2 (by ALPN, or by
//! HTTP/2's preface on a clear port), hands each request to a [`Handler`] and drains when it is asked to stop.
//!
//! HTTP/1 passes through a guard before hyper sees it. The guard keeps each head as it was on the wire, so that it can
//! be recorded spelling, order and all, and refuses what two implementations could read in two ways: the whole family of
//! request smuggling. A refused request still reaches the handler, as an [`RequestContext`] with a [`Refusal`], because it must
//! be answered in its turn and recorded like any other. HTTP/2 is held to the same rules; what its library refuses by
//! itself is told to [`Handler::refused`].
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
//! let stop = async { /* a signal, say */ };
//! let drained = Server::new(ListenConfig::default()).serve(listener, Arc::new(Hello), stop).await;
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
mod server;
mod slots;
mod streams;
mod tls;
mod watch;

pub use head::{Refusal, RefusalKind};
pub use link::ClientProgress;
pub use server::{Drained, HalfClose, Handler, ListenConfig, RequestContext, Server, Worker};
pub use tls::{TlsError, server_config, server_config_from};
