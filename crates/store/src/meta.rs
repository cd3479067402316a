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

/// What is known of a session beside its exchanges.
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
    /// What was found when it was imported; none for what was recorded here. Nothing ever takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) imported: Option<Import>,
    /// The integration's declaration, as its file has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) declaration: Option<String>,
    /// Whether it was started without a name, and so ends with the process that started it.
    #[serde(default)]
    pub(crate) automatic: bool,
    /// Whether it is, or was when its owner ended, the session of exchanges that name none.
    #[serde(default)]
    pub(crate) current: bool,
    /// What it had when it ended or its owner closed the log: a second witness beside the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) head: Option<Head>,
    /// The import that it is a part of, until that is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) importing: Option<Importing>,
}

/// An import that is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Importing {
    /// The same for all sessions of one import, and another for every other import.
    pub(crate) import: u64,
    /// Whether all of this session is in the log. An import is finished once that holds for each of its sessions.
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

    /// The file of a session; what can be known without it, where it is missing or damaged.
    pub(crate) fn read(dir: &Path, session: SessionId) -> Self {
        let path = folder(dir, session).join("session.json");
        let read = fs::read(&path).ok().and_then(|json| serde_json::from_slice::<Self>(&json).ok());
        match read {
            Some(meta) if meta.id == session => meta,
            _ => {
                let micros = i64::try_from(session.milliseconds()).unwrap_or(0).saturating_mul(1000);
                let started = Timestamp::from_micros(micros);
                // Ended, so that nothing is added to what has lost its name.
                Self { id: session, ended: Some(started), ..Self::new(format!("recovered-{session}"), "", started) }
            }
        }
    }
}

/// A number that nobody can foresee: what the standard library seeds its hash maps with.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// `2026-11-23T12-00-00Z`: a name that is a file's name everywhere.
pub(crate) fn automatic_name(now: Timestamp) -> String {
    let text = now.to_string();
    format!("{}Z", text.split('.').next().unwrap_or(&text).replace(':', "-"))
}
