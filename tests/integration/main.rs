//! The whole, from the outside: real sockets, real TLS, real files, real processes.

mod bad_requests;
mod bad_upstreams;
mod crashes;
mod limits;
mod packaging;
mod proxying;
mod serving;
