//! A local Mews to test against, without internet access or an account.
//!
//! [`Simulator`] responds to every operation of the catalogue with consistent generated data, keeps additions and
//! changes, rejects what Mews rejects, and publishes changes over WebSockets and webhooks. [`Config`] sets its
//! behaviour: [`Limit`], [`Faults`], [`Latency`], and where webhooks go ([`WebhookUrl`]). [`self_signed`] makes a
//! certificate for it.
//!
//! The shapes of responses are data, in `data/*.toml` of this crate; its README describes the format.
//!
//! ```
//! use std::sync::Arc;
//!
//! use nightaudit_simulator::{Config, Simulator};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let simulator = Arc::new(Simulator::new(Config { latency: "80ms±40ms".parse()?, ..Config::default() }));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let stop = async { /* a signal, say */ };
//! simulator.serve(listener, nightaudit_listen::ListenConfig::default(), stop).await;
//! # Ok(())
//! # }
//! ```

mod certificate;
mod collection;
mod config;
mod definitions;
mod events;
mod execute;
mod generator;
mod kind;
mod limit;
mod name;
mod operation_spec;
mod option;
mod overrides;
mod property;
mod query;
mod response;
mod rules;
mod simulator;
mod socket;
mod webhook;

pub use certificate::{CertificateError, SelfSigned, self_signed};
pub use config::{Config, Faults, Latency};
pub use limit::{Anchor, Limit, Windows};
pub use option::InvalidOption;
pub use response::Body;
pub use simulator::Simulator;
pub use webhook::WebhookUrl;
