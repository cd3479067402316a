//! Scripted upstreams, a proxy on a free port and a running nightaudit, for tests and benchmarks.
//!
//! - [`Upstream`]: a scripted Mews on loopback, byte for byte if need be.
//! - [`Authority`]: a certificate authority for a test, for real TLS.
//! - [`Harness`]: a [`Proxy`](nightaudit_proxy::Proxy) within the test's process that records in memory.
//! - [`Line`]: a TCP proxy that delays and cuts.
//! - [`ScriptedLimits`]: limits that respond late, or not at all.
//! - [`Redis`]: a `redis-server` of the test's own, if it is installed.
//! - [`Process`]: the real binary with its own data folder.
//! - [`Postgres`]: a PostgreSQL of the test's own, where it is installed.
//! - [`Terminal`]: a program in a pseudo-terminal, with its screen.
//! - [`skip`] and [`long_lane`]: what a test leaves out, and says so.
//! - [`send`] and [`RawResponse`]: a client that sends bytes exactly as given.
//!
//! Everything stays on loopback. For tests only: failures panic.
//!
//! ```
//! use nightaudit_testkit::{Harness, Upstream, post, send};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mews = Upstream::responding(200, "{}").await;
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
mod lanes;
mod limits;
mod line;
mod nobody;
mod postgres;
mod process;
mod redis;
pub mod sample;
mod terminal;
mod upstream;

pub use authority::Authority;
pub use client::{
    RawResponse, leave, open_web_socket, post, read_response, send, send_and_half_close, send_slowly, try_send,
};
pub use harness::{Gate, Harness, Setup};
pub use lanes::{long_lane, skip};
pub use limits::{LimitEvent, Reply, ScriptedLimits, ScriptedPermit, Treatment};
pub use line::Line;
pub use nobody::Nobody;
pub use postgres::Postgres;
pub use process::{Process, Replayed, Simulated};
pub use redis::Redis;
pub use terminal::Terminal;
pub use upstream::{Seen, Upstream};
