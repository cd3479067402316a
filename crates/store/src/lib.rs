//! The log on disk: append, get, query, follow, sessions, integrity.
//!
//! A [`Log`] is a data folder owned by this process. Exchanges enter through a [`Recorder`]: a [`QueuePermit`] is
//! reserved before a request is forwarded, noted in a journal with [`QueuePermit::begin`], and turned into a
//! [`Receipt`] by [`QueuePermit::record`]. One thread redacts and encodes queued exchanges in batches; another chains,
//! compresses and writes each batch to its session's segment and resolves the receipts, through a [`Notifier`] per
//! runtime where there is one. Exchanges are read with [`Log::get`], [`Log::query`] and [`Log::follow`].
//!
//! The segments are authoritative; `FORMAT.md` specifies them byte by byte. The index is brought up to date with them
//! whenever the log is opened, and rebuilt if it doesn't match.
//!
//! ```
//! use nightaudit_exchange::Filter;
//! use nightaudit_store::{StoreConfig, Log, Order, Query};
//!
//! # let dir = tempfile::tempdir()?;
//! let log = Log::open(StoreConfig { session: Some("certification".into()), ..StoreConfig::new(dir.path(), &nightaudit_mews::API) })?;
//! let recorder = log.recorder();
//! # let _ = recorder;
//! // In the proxy: recorder.reserve().await?, permit.begin(&started)?, permit.record(capture).await
//! log.start_session("certification")?;
//! let filter = Filter { session: Some("certification".into()), ..Filter::default() };
//! assert_eq!(log.count(&filter)?, 0);
//! let newest = log.query(Query { filter, order: Order::Newest, limit: Some(10), ..Query::default() })?;
//! assert_eq!(newest.count(), 0);
//! assert_eq!(log.close().recorded, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod block;
mod config;
mod deletion;
pub mod disk;
mod encoder;
mod error;
mod fetcher;
mod find;
mod follow;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod interrupted;
mod journal;
mod ledger;
mod lock;
mod log;
mod lookup;
mod maintenance;
mod matches;
mod meta;
mod missing;
mod notifier;
mod open;
mod persist;
mod pipeline;
mod private;
mod query;
mod reader;
mod record;
mod recorder;
mod records;
mod recover;
mod redaction_key;
mod results;
mod ring;
mod row_filter;
mod segment;
mod sent;
mod session;
mod shared;
mod spare;
mod spill;
mod tallies;
mod waiting;
mod writer;

pub use config::{Durability, HasExchanges, InvalidChoice, Keeper, OnFailure, StoreConfig};
pub use error::OpenError;
pub use follow::Follower;
pub use log::{Closed, Log};
pub use maintenance::{DeleteError, DeleteTarget, ImportError};
pub use nightaudit_exchange::JournalEntry;
pub use nightaudit_log::{
    Damage, FindError, FollowFrom, Followed, InvalidPosition, MAX_DECLARATION, ManageSessions, Order, Position, Query,
    ReadError, ReadLog, Session, SessionError, Status, StoreFailure,
};
pub use notifier::Notifier;
pub use private::{UntrustedFile, create_private_folder, read_secret};
pub use query::Exchanges;
pub use recorder::{QueuePermit, Receipt, Recorder};
pub use redaction_key::redaction_key;
pub use results::{Check, Compacted, Deleted, Imported, Info, Opened, Progress};
pub use sent::{RecordedResponse, SentRequest};
pub use waiting::open_when_free;
