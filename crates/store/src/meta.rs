//! A session's own file, `session.json`.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
};

use nightaudit_exchange::{Import, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    disk::{self, Disk},
    ledger::Head,
};

/// A session's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) id: SessionId,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) environment: String,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    #[serde(default)]
    pub(crate) note: Option<String>,
    #[serde(default)]
    pub(crate) unrecorded: u64,
    #[serde(default)]
    pub(crate) incomplete: bool,
    /// What the import found; `None` if it was recorded here. Never removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) imported: Option<Import>,
    /// The integration's declaration, as its file has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) declaration: Option<String>,
    /// Whether it was started without a name, and so ends with its process.
    #[serde(default)]
    pub(crate) automatic: bool,
    /// Whether it is, or was at the end of its owner, the session for exchanges that name none.
    #[serde(default)]
    pub(crate) current: bool,
    /// What it had recorded when it ended or the log was closed: a copy in case the ledger is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) head: Option<Head>,
    /// The unfinished import that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) importing: Option<Importing>,
}

/// An unfinished import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Importing {
    /// An id shared by all sessions of the import.
    pub(crate) import: u64,
    /// Whether this session is complete. An import is finished once all its sessions are.
    pub(crate) whole: bool,
}

/// The folder of a session.
pub(crate) fn folder(dir: &Path, session: SessionId) -> PathBuf {
    dir.join("sessions").join(session.to_string())
}

impl Meta {
    pub(crate) fn new(name: String, environment: &str, now: Timestamp) -> Self {
        let milliseconds = u64::try_from(now.micros() / 1000).unwrap_or(0);
        Self {
            id: SessionId::from_parts(milliseconds, u128::from(random()) << 64 | u128::from(random())),
            name,
            environment: environment.to_owned(),
            started: now,
            ended: None,
            note: None,
            unrecorded: 0,
            incomplete: false,
            imported: None,
            declaration: None,
            automatic: false,
            current: false,
            head: None,
            importing: None,
        }
    }

    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        disk::replace(disk, &folder(dir, self.id).join("session.json"), &json)
    }

    /// Reads a session's file; if it is missing or damaged, reconstructs what can be known without it.
    pub(crate) fn read(dir: &Path, session: SessionId) -> Self {
        let path = folder(dir, session).join("session.json");
        let read = fs::read(&path).ok().and_then(|json| serde_json::from_slice::<Self>(&json).ok());
        match read {
            Some(meta) if meta.id == session => meta,
            _ => {
                let micros = i64::try_from(session.milliseconds()).unwrap_or(0).saturating_mul(1000);
                let started = Timestamp::from_micros(micros);
                // Ended, so that nothing is added to a session that lost its name.
                Self { id: session, ended: Some(started), ..Self::new(format!("recovered-{session}"), "", started) }
            }
        }
    }
}

/// An unpredictable number: the standard library's hash seed.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// `2026-11-23T12-00-00Z`: a valid file name everywhere.
pub(crate) fn automatic_name(now: Timestamp) -> String {
    let text = now.to_string();
    format!("{}Z", text.split('.').next().unwrap_or(&text).replace(':', "-"))
}
