//! Files of evidence: written on a thread of their own, and downloaded when they are done.

mod handlers;
mod job;
mod meter;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;

pub(crate) use self::handlers::{begin, download, key, list, one, remove};
use self::job::Job;
use crate::error::ApiError;

/// Files written at once. Each takes a processor, and the proxy needs one.
const MOST_RUNNING: usize = 2;
/// Files kept, running ones included; the oldest makes room.
const MOST: usize = 8;
/// How long a file can be downloaded.
const LIFETIME: Duration = Duration::from_secs(3600);

/// The jobs, oldest first.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// Where files are written; `None` if evidence isn't made here.
    folder: Option<PathBuf>,
    jobs: Mutex<Vec<Arc<Job>>>,
}

impl Jobs {
    /// Removes what an earlier process left in `data`.
    pub(crate) fn new(data: Option<&Path>) -> Self {
        let folder = data.map(|data| data.join("evidence"));
        if let Some(folder) = &folder
            && let Err(error) = remove_left(folder)
        {
            tracing::warn!("can't remove {}: {error}", folder.display());
        }
        Self { folder, jobs: Mutex::default() }
    }

    /// The private folder for the files, created if it isn't there.
    fn folder(&self) -> Result<&Path, ApiError> {
        use std::os::unix::fs::DirBuilderExt as _;

        let folder = self.folder.as_deref();
        let folder = folder.ok_or_else(|| ApiError::conflict("evidence isn't made here: use `nightaudit export`"))?;
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                let message = format!("can't create {}: {error}", folder.display());
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message))
            }
            _ => Ok(folder),
        }
    }

    fn add(&self, job: Arc<Job>) -> Result<(), ApiError> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.iter().filter(|job| job.is_running()).count() >= MOST_RUNNING {
            let message = format!("too many files are being written (at most {MOST_RUNNING} at once): try again later");
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        if jobs.len() >= MOST
            && let Some(oldest) = jobs.iter().position(|job| !job.is_running())
        {
            jobs.remove(oldest);
        }
        jobs.push(job);
        Ok(())
    }

    fn find(&self, id: &str) -> Result<Arc<Job>, ApiError> {
        let found = self.all().into_iter().find(|job| job.id == id);
        found.ok_or_else(|| {
            ApiError::new(StatusCode::NOT_FOUND, "there is no such file: it was removed, or `serve` was restarted")
        })
    }

    /// Removes a job with its file; one that is running ends.
    fn remove(&self, id: &str) -> Option<Arc<Job>> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let index = jobs.iter().position(|job| job.id == id)?;
        let job = jobs.remove(index);
        job.cancel();
        Some(job)
    }

    fn all(&self) -> Vec<Arc<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Removes the files in a folder, which are this program's own, and the folder.
fn remove_left(folder: &Path) -> io::Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(folder),
        Ok(_) => Err(io::Error::other("it is not a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
