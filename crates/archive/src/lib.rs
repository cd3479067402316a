//! One log for many machines, in PostgreSQL.
//!
//! Each machine (a node) records into its own log, and a [`Shipper`] sends what is there on to the archive, in the
//! background: each exchange once, in its order, with its hash. [`Archive`] reads what all nodes have shipped, as any
//! other log: it is a [`ReadLog`](nightaudit_log::ReadLog).
//!
//! A session's record on one node is a chain. Sessions of one name on several nodes are one session, with a chain per
//! node.
//!
//! [`setup()`] makes the schema, which `src/migrations` has, and two roles: that of nodes may append to their chains and do
//! nothing else, and that of readers may only read.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod archive;
mod check;
mod condition;
mod connection;
mod error;
mod find;
mod follow;
mod marks;
mod migrations;
mod pages;
mod password;
mod pool;
mod record;
mod retention;
mod row;
mod schema;
mod sessions;
mod shipper;
mod status;
mod tls;

pub use self::{
    address::{Address, InvalidAddress},
    archive::Archive,
    error::Error,
    retention::{Dropped, drop_older_than},
    schema::{Done, setup},
    shipper::{Shipper, ShipperConfig},
    status::{ShippingState, ShippingStatus},
};
