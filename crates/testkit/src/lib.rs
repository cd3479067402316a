//! Scripted upstreams, a proxy on a free port and a running nightaudit, for tests and benchmarks.
//!
//! - [`Upstream`]: a stand-in for Mews on loopback that answers as a test scripts it, byte for byte if need be.
//! - [`Authority`]: a certificate authority of the test's own, for real TLS.
//! - [`Harness`]: a [`Proxy`](nightaudit_proxy::Proxy) in the test's process that records in memory.
//! - [`ScriptedLimits`]: limits that answer late, or not at all.
//! - [`Process`]: the real binary with a data folder of its own.
//! - [`Terminal`]: a program in a pseudo-terminal, with the screen that a person would see.
//! - [`send`] and [`Answer`]: a client that sends bytes as they are given.
//!
//! Everything stays on loopback. Nothing here is for use outside tests: what can't go on panics.
//!
//! ```
//! use nightaudit_testkit::{Harness, Upstream, post, send};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mews = Upstream::answering(200, "{}").await;
//! let harness = Harness::start(&mews.url()).await;
//! let answer = send(harness.address(), &post("configuration/get", r#"{"AccessToken": "T"}"#)).await;
//! assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
//! assert_eq!(harness.recorded().await.operation, "configuration/get");
//! # }
//! ```
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that can't go on panics")]

mod authority;
mod client;
mod harness;
mod limits;
mod process;
pub mod sample;
mod terminal;
mod upstream;

pub use authority::Authority;
pub use client::{Answer, leave, open_web_socket, post, read_answer, send, send_and_half_close, send_slowly};
pub use harness::{Gate, Harness, Setup};
pub use limits::{LimitEvent, Reply, ScriptedLimits, ScriptedPermit, Treatment};
pub use process::{Process, Simulated};
pub use terminal::Terminal;
pub use upstream::{Seen, Upstream};
