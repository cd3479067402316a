//! What sessions are reviewed against, as configured.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use nightaudit_exchange::Digest;
use nightaudit_limit::Rule;
use nightaudit_review::{Basis, RequestLimit};

use super::{Settings, contracts, kept, kept::ContractsError};

impl Settings {
    /// What every session is reviewed against, by any command and on the page: the contracts stored by `nightaudit mews
    /// update`, else the built-in ones; on top of them the document that `openapi` names; and the configured limits.
    ///
    /// # Errors
    ///
    /// [`ContractsError`] if the contracts can't be read or used.
    pub fn basis(&self) -> Result<Basis, ContractsError> {
        self.basis_source().read()
    }

    /// All documentation at hand besides the built-in one: stored by `nightaudit mews update`, named by `openapi`, and both.
    ///
    /// # Errors
    ///
    /// [`ContractsError`] if some of it can't be read or used.
    pub fn documentation(&self) -> Result<Vec<Basis>, ContractsError> {
        let source = self.basis_source();
        let stored = kept::stored(&self.data)?;
        let stored = stored.map(|(contracts, digest)| Basis { contracts, updated: Some(digest), ..Basis::default() });
        let mut all = vec![source.over(stored.clone().unwrap_or_default())?, source.over(Basis::default())?];
        all.extend(stored);
        Ok(all)
    }

    /// The source of [`basis`](Self::basis), for a process that outlives changes to its files.
    #[must_use]
    pub fn basis_source(&self) -> BasisSource {
        BasisSource {
            data: self.data.clone(),
            openapi: self.openapi.clone(),
            limits: request_limits(&self.limit.rules),
            last: Mutex::default(),
        }
    }
}

/// Reads the review's basis, and reads it again once one of its files has changed.
#[derive(Debug)]
pub struct BasisSource {
    data: PathBuf,
    openapi: Option<PathBuf>,
    limits: Vec<RequestLimit>,
    last: Mutex<Option<(Stamps, Arc<Basis>)>>,
}

/// Times of change and lengths of the files; `None` for those that aren't there.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl BasisSource {
    /// The current basis; the same one as last time if its files are unchanged.
    ///
    /// # Errors
    ///
    /// [`ContractsError`] if the contracts can't be read or used.
    pub fn current(&self) -> Result<Arc<Basis>, ContractsError> {
        let stamps = [Some(&*kept::file(&self.data)), self.openapi.as_deref()].map(|path| path.and_then(stamp));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, basis)) = &*last
            && *known == stamps
        {
            return Ok(Arc::clone(basis));
        }
        let basis = Arc::new(self.read()?);
        *last = Some((stamps, Arc::clone(&basis)));
        Ok(basis)
    }

    fn read(&self) -> Result<Basis, ContractsError> {
        let stored = kept::stored(&self.data)?;
        let stored = stored.map(|(contracts, digest)| Basis { contracts, updated: Some(digest), ..Basis::default() });
        self.over(Basis { limits: self.limits.clone(), ..stored.unwrap_or_default() })
    }

    /// The basis with the document that `openapi` names on top, if any.
    fn over(&self, basis: Basis) -> Result<Basis, ContractsError> {
        let Some(path) = &self.openapi else { return Ok(basis) };
        let document = contracts::read(path)?;
        let read = basis.contracts.with_openapi(&document);
        let contracts = read.map_err(|source| ContractsError::OpenApi { path: path.clone(), source })?;
        Ok(Basis { contracts, openapi: Some(Digest::of(&document)), ..basis })
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

/// The configured limits that can be evaluated over a window.
fn request_limits(rules: &[Rule]) -> Vec<RequestLimit> {
    let rules = rules.iter().filter(|rule| rule.paginated_factor == 1);
    rules
        .map(|rule| RequestLimit {
            name: rule.name.clone(),
            requests: rule.requests,
            window: rule.window,
            access_token: rule.key.access_token,
            client_token: rule.key.client_token,
            operation: rule.key.operation,
        })
        .collect()
}
