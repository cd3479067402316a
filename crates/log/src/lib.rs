//! The log as its readers see it, independent of the storage engine.
//!
//! [`ReadLog`] is the interface between the storage engine and the console and commands, which read any log through it.
//! `nightaudit-store` implements it on the local disk. An engine whose sessions can be changed also offers
//! [`ManageSessions`]. The types that cross the interface are defined here.
//!
//! The feature `testing` adds an in-memory log (`testing::MemoryLog`) and the tests that every engine must pass
//! (`testing::conformance`).
//!
//! ```
//! use nightaudit_exchange::Filter;
//! use nightaudit_log::{Order, Query, ReadError, ReadLog};
//!
//! /// The ids of the newest exchanges of a session.
//! fn newest(log: &dyn ReadLog, session: &str, limit: usize) -> Result<Vec<String>, ReadError> {
//!     let filter = Filter { session: Some(session.into()), ..Filter::default() };
//!     let query = Query { filter, order: Order::Newest, limit: Some(limit), ..Query::default() };
//!     log.query(query)?.map(|exchange| Ok(exchange?.id.to_string())).collect()
//! }
//! # let log = nightaudit_log::testing::MemoryLog::default();
//! # assert!(newest(&log, "", 1).is_err());
//! ```

pub mod by_reading;
mod choose;
mod contents;
mod error;
mod facets;
mod follow;
mod histogram;
mod holes;
mod list;
mod query;
mod reader;
mod session;
#[cfg(feature = "testing")]
pub mod testing;

pub use choose::{Candidate, choose};
pub use contents::{Check, Info, Progress};
pub use error::{Damage, FindError, ReadError, SessionError, StoreFailure, Unavailable};
pub use facets::{Facet, FacetCounts, Facets};
pub use follow::{BoxFuture, Follow, FollowFrom, Followed};
pub use histogram::{Bucket, Ending, Histogram, MAX_BUCKETS, Timeline};
pub use holes::Holes;
pub use list::{Place, Start};
pub use query::{Exchanges, InvalidPosition, Order, Position, Query};
pub use reader::{Fetcher, ManageSessions, ReadLog, Status};
pub use session::{Chain, MAX_DECLARATION, Session, is_session_name};
