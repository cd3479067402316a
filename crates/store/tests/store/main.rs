//! The log as those who use it see it.

mod basics;
mod support;
