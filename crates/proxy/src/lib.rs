//! The recording reverse proxy: forwards each request within its limits, and records it as an exchange.
//!
//! [`Proxy`] is a [`Handler`](nightaudit_listen::Handler): it reserves a permit from a [`Recorder`], reads the
//! envelope, asks the limiter, forwards the request over a pooled connection to one of its environment's two hosts,
//! streams both bodies while keeping handles to their data, and finally passes a
//! [`Capture`](nightaudit_exchange::Capture) to the recorder. The last bytes of a response are sent after the
//! recorder's receipt.
//!
//! Requests are forwarded as received, except for hop-by-hop headers, `Host` and `X-Nightaudit-Session`. A request that
//! may have been processed is never retried.
//!
//! ```no_run
//! use std::{borrow::Cow, sync::Arc};
//!
//! use nightaudit_exchange::{Capture, redact_text};
//! use nightaudit_limit::Limiter;
//! use nightaudit_listen::Server;
//! use nightaudit_mews::API;
//! use nightaudit_proxy::{ProxyConfig, RecordPermit, Proxy, Recorder, Unrecordable, UpstreamConfig};
//!
//! /// Records nothing.
//! struct Nowhere;
//! struct NoPermit;
//!
//! impl Recorder for Nowhere {
//!     type Permit = NoPermit;
//!     async fn reserve(&self) -> Result<NoPermit, Unrecordable> {
//!         Ok(NoPermit)
//!     }
//! }
//!
//! impl RecordPermit for NoPermit {
//!     type Receipt = std::future::Ready<()>;
//!     fn begin(&mut self, _: &Capture) -> Result<(), Unrecordable> {
//!         Ok(())
//!     }
//!     fn redact<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
//!         redact_text(&API, text, tokens)
//!     }
//!     fn record(self, capture: Box<Capture>) -> Self::Receipt {
//!         println!("{}", capture.outcome as u8);
//!         std::future::ready(())
//!     }
//! }
//!
//! # async fn example(limiter: Limiter) -> Result<(), Box<dyn std::error::Error>> {
//! let config = ProxyConfig::new("demo", &API, "https://api.mews-demo.com".parse()?, "wss://ws.mews-demo.com".parse()?);
//! let proxy = Proxy::new(config, &UpstreamConfig::default(), limiter, Nowhere)?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! Server::new(Default::default()).serve(listener, Arc::new(proxy), std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

mod admission;
mod body_fault;
mod body_prefix;
mod body_reader;
mod body_recorder;
mod body_watch;
mod budget;
mod coded;
mod config;
mod cookies;
mod discard;
mod headers;
mod ids;
mod late_permit;
mod local_response;
mod origin;
mod pace;
mod pending;
mod prefix_sender;
mod proxy;
mod recorder;
mod request_body;
mod response_body;
mod response_head;
mod shares;
mod tunnel;
mod upstream;
mod web_socket;
mod webhook;

pub use config::{ProxyConfig, Timeouts};
pub use headers::parse_retry_after;
pub use origin::{InvalidOrigin, Origin};
pub use proxy::{Proxy, SentAgain, Unreachable};
pub use recorder::{RecordPermit, Recorder, Unrecordable};
pub use response_body::{BodyError, ProxyBody};
pub use upstream::{UpstreamConfig, UpstreamConfigError, UpstreamProxy};
pub use webhook::WebhookTarget;
