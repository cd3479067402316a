//! The tests of `nightaudit-export`, in one program: it is built and linked once, and they run side by side.
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod bundles;
mod code;
mod evidence;
mod formats;
mod har12;
mod hostile;
mod nodes;
mod observed;
mod samples;
mod tampering;
