//! The tests of `nightaudit-import`, in one program: it is built and linked once, and they run side by side.
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod damage;
mod flows;
mod memory;
mod own;
mod tools;
