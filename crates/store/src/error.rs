//! What can go wrong, by who has to know.

use std::{fmt, io, path::PathBuf};

/// The log can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("the log in {} is in use by process {}{}", dir.display(), Pid(*pid), Console(console.as_deref()))]
    Locked {
        /// The data folder.
        dir: PathBuf,
        /// The owner's process id, where the lock file says it.
        pid: Option<u32>,
        /// The address of the owner's console, where it has one.
        console: Option<String>,
    },
    /// There is no log there, and it was only to be read.
    #[error("there is no log in {}: name another folder with --data, or record something first", .0.display())]
    Missing(PathBuf),
    /// The data folder can't be used.
    #[error("can't {what} {}: {source}", path.display())]
    Io {
        /// What was tried: `create`, `write` and the like.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Somebody else could have made the data folder what it is.
    #[error(transparent)]
    Untrusted(#[from] crate::UntrustedFile),
    /// A session of a later version of this program is to be continued.
    #[error("{} was written by a later version of this program: use that version", .0.display())]
    Newer(PathBuf),
    /// The index can't be made.
    #[error("can't make the index in {}: {reason}", path.display())]
    Index {
        /// The index's folder.
        path: PathBuf,
        /// What is wrong.
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
