//! One budget of requests for many machines, in Redis or Valkey: the second engine behind [`Admit`](nightaudit_limit::Admit).
//!
//! A [`Budget`] enforces the rules of crate `limit` over all nodes that name the same Redis: the same sliding windows, keys,
//! actions and `Retry-After`, the same pause after a 429 from the host. A request costs one round trip. Scripts decide,
//! atomically and by Redis' clock; the nodes' clocks are never compared.
//!
//! # Never over
//!
//! What counts is the send, and the window slides: of no window's length may more requests be sent than the limit. So each
//! request counts in Redis from its admission until a window after the latest instant at which it can have been sent.
//!
//! - **Admission** counts a request as sent a *lease* (1 s) plus a *stall* (the shortest window, at most 30 s) from then. The
//!   node measures the lease by its own clock, from before it asked; it hands the request to a connection within the lease,
//!   or asks for another one first. What it never sends it gives back.
//! - **Settlement.** A few milliseconds after the send, in the background and in batches, the node tells Redis how long ago it
//!   was, by the difference of two readings of its own clock; Redis subtracts that from its time. Delays on the way only make
//!   the request count for longer. The node settles on the send's own thread, once that has run everything that was ready, so
//!   that the instant at which it settles bounds that of the write, too. If both are further apart than half the slack the
//!   process was held up (`SIGSTOP`, a machine without CPU), and the later one counts.
//! - A node that dies, hangs or is cut off leaves requests unsettled. They count for lease, stall and window, and expire.
//!   Nothing else is wasted. A process that stands still between check and write for longer than the stall may be late by the
//!   requests that it was just writing; no lease of any system can exclude that.
//! - **Lost memory.** A node learns with every connection which process of Redis answers, and with what history of
//!   replication (`run_id`, `master_replid`), and keeps watching. The windows belong to a *generation*, which any node ends
//!   that finds another incarnation, none (`FLUSHALL`), or that Redis' clock has jumped; scripts refuse those who still ask
//!   by the old one. In a new generation all windows count as full until a lease and a window have passed, whatever Redis had
//!   kept: a second full window can't open, at the price of one without requests after each restart and failover, and when
//!   a Redis is used for the first time. A Redis that may evict keys is refused.
//! - **Failover** is safe as long as an old master that others have given up takes no more writes: with Sentinel set
//!   `min-replicas-to-write` and a `min-replicas-max-lag` below `down-after-milliseconds`. In a cluster, where a script can't see
//!   the generation in another slot, nodes ask by what they learned within three seconds, and a new generation waits for that.
//!   Any change of a master is a new incarnation of the whole; while one is missing nothing is admitted.
//! - Redis **out of reach** for longer than [`BudgetConfig::timeout`] admits nothing; or, with [`OnFailure::Share`], each of
//!   `n` nodes goes on with an `n`-th of every rule, once whatever was admitted before has left the windows, and Redis holds
//!   back the shares of those it doesn't hear of.
//!
//! # Keys
//!
//! A sorted set for each kind of key (the parts of a request that rules count by) and key, shared by all rules of the kind:
//! members are requests, scores the latest instants of sending in microseconds. Names have a tag in braces of what all rules
//! count by, so that the keys of one request are in one slot; rules that have no part in common share one slot altogether.
//! Tokens are there only as the pseudonyms that the caller passes, and hashed again.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod budget;
mod clock;
#[cfg(test)]
mod conformance;
mod engine;
mod link;
mod node;
mod permit;
mod place;
mod plan;
mod queue;
mod report;
mod scripts;
mod session;
mod settle;
mod settlements;
mod share;
mod tls;
mod wire;

pub use address::{Address, InvalidAddress};
pub use budget::{Budget, BudgetConfig, BudgetError, OnFailure, Reach};
pub use permit::BudgetPermit;
