//! The recording proxy as a library: [`config`] loads [`Settings`](config::Settings) from a file and the environment, and
//! [`Service`] runs them; [`Viewer`] serves only the console, over a log that nothing is recorded into.
//!
//! Nothing here reads arguments or writes to the terminal. Messages go through `tracing`; [`logging`] has a subscriber.
//!
//! ```no_run
//! use nightaudit_app::{Service, config};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let loaded = config::load(None, [])?;
//! let service = Service::start(loaded.settings).await?;
//! println!("{}", service.proxy_address());
//! let closed = service.run(std::future::pending::<()>()).await?;
//! println!("{} exchanges", closed.recorded);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
mod console_port;
mod error;
mod files;
mod keys;
mod limit_history;
mod limits;
mod listening;
pub mod logging;
mod reachability;
mod recorder;
mod resend;
mod service;
mod viewer;
mod webhooks;
mod wiring;
mod workers;

pub use self::{
    error::{BindError, RunError, StartError},
    keys::{SigningKeyError, mask_key, signing_key},
    listening::bind,
    service::Service,
    viewer::Viewer,
};
