//! Error types, by caller.

use std::{fmt, io, path::PathBuf};

/// The log can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process owns the log.
    #[error("the log in {} is in use by process {}{}", dir.display(), Pid(*pid), Console(console.as_deref()))]
    Locked {
        /// The data folder.
        dir: PathBuf,
        /// The owner's process id, if the lock file has it.
        pid: Option<u32>,
        /// The address of the owner's console, if it has one.
        console: Option<String>,
    },
    /// There is no log to read.
    #[error("there is no log in {}: name another folder with --data, or record something first", .0.display())]
    Missing(PathBuf),
    /// The data folder can't be used.
    #[error("can't {what} {}: {source}", path.display())]
    Io {
        /// The operation: `create`, `write` and the like.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Other users could have tampered with the data folder.
    #[error(transparent)]
    Untrusted(#[from] crate::UntrustedFile),
    /// The index can't be created.
    #[error("can't create the index in {}: {reason}", path.display())]
    Index {
        /// The folder of the index.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
}

struct Pid(Option<u32>);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => pid.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

struct Console<'a>(Option<&'a str>);

impl fmt::Display for Console<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(console) => write!(f, ", with its console on {console}"),
            None => Ok(()),
        }
    }
}
