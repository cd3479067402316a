//! The log on disk: append, get, query, follow, sessions, integrity.

mod block;
mod care;
mod config;
pub mod disk;
mod error;
mod follow;
mod index;
mod journal;
mod lock;
mod log;
mod lookup;
mod meta;
mod query;
mod record;
mod recorder;
mod recover;
mod ring;
mod segment;
mod session;
mod shared;
mod writer;

pub use care::{Check, Compacted, Deleted, ImportError, Imported, Info, Progress};
pub use config::{Config, Durability, InvalidChoice, OnFailure};
pub use error::{Damage, FindError, OpenError, ReadError, SessionError, StoreFailure};
pub use follow::{Followed, Follower, From};
pub use log::{Closed, Log, Opened, Sent, Status};
pub use query::{Exchanges, InvalidResume, Order, Query, Resume};
pub use recorder::{Place, Receipt, Recorder, Started};
pub use session::Session;
