//! The log as those who use it see it.

mod basics;
mod care;
mod damage;
mod disks;
mod failure;
mod following;
mod support;
