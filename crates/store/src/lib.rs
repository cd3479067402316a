//! The log on disk: append, get, query, follow, sessions, integrity.

mod care;
mod config;
pub mod disk;
mod error;
mod follow;
mod log;
mod query;
mod recorder;
mod session;

pub use care::{Check, Compacted, Deleted, ImportError, Imported, Info, Progress};
pub use config::{Config, Durability, InvalidChoice, OnFailure};
pub use error::{Damage, FindError, OpenError, ReadError, SessionError, StoreFailure};
pub use follow::{Followed, Follower, From};
pub use log::{Closed, Log, Opened, Sent, Status};
pub use query::{Exchanges, InvalidResume, Order, Query, Resume};
pub use recorder::{Place, Receipt, Recorder, Started};
pub use session::Session;
