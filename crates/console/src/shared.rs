//! What all routes use.

use std::{net::SocketAddr, sync::Arc};

use http::{StatusCode, Uri};
use nightaudit_log::{ManageSessions, ReadLog, SessionError};
use tokio_util::sync::CancellationToken;

use crate::{
    bounds::Bounds,
    differences::Comparisons,
    error::ApiError,
    evidence::Jobs,
    gauges::{Gauges, LimitState},
    guard::Names,
    review::Reviews,
    tickets::Tickets,
    token::Token,
};

/// State shared by the routes.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) log: Arc<dyn ReadLog>,
    pub(crate) token: Token,
    pub(crate) names: Names,
    pub(crate) gauges: Gauges,
    pub(crate) stopping: CancellationToken,
    pub(crate) bounds: Arc<Bounds>,
    pub(crate) reviews: Reviews,
    pub(crate) comparisons: Comparisons,
    pub(crate) jobs: Jobs,
    pub(crate) tickets: Tickets,
}

impl Shared {
    /// What changes sessions.
    ///
    /// # Errors
    ///
    /// Nothing can be changed from here.
    pub(crate) fn manage(&self) -> Result<&dyn ManageSessions, ApiError> {
        self.log.manage().ok_or_else(|| self.unchangeable())
    }

    /// Why nothing can be changed from here.
    pub(crate) fn unchangeable(&self) -> ApiError {
        match self.gauges.read_only {
            Some(why) => ApiError::new(StatusCode::FORBIDDEN, why),
            None => SessionError::ReadOnly.into(),
        }
    }
}

/// The client's address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The limits' state.
pub(crate) async fn limits(shared: &Shared) -> Result<Vec<LimitState>, ApiError> {
    let unavailable = |error| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}"));
    (shared.gauges.limits)().await.map_err(unavailable)
}

/// Runs a read of the log on a blocking thread; few run at once.
pub(crate) async fn reading<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let reader = shared.bounds.reader().await?;
    let shared = Arc::clone(shared);
    let run = move || {
        let _reader = reader;
        work(&shared)
    };
    tokio::task::spawn_blocking(run).await.map_err(ApiError::internal)
}

/// Runs other blocking file access, or a change, on a blocking thread.
pub(crate) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let permit = shared.bounds.read().await?;
    let shared = Arc::clone(shared);
    let run = move || {
        let _permit = permit;
        work(&shared)
    };
    tokio::task::spawn_blocking(run).await.map_err(ApiError::internal)
}

/// The pairs of a query string, without the console's token.
pub(crate) fn pairs(shared: &Shared, uri: &Uri) -> Result<Vec<(String, String)>, ApiError> {
    let axum::extract::Query(mut pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| ApiError::bad_request(error.body_text()))?;
    // `token` is also a filter, but its values are pseudonyms and never the console's token.
    pairs.retain(|(name, value)| name != "token" || !shared.token.matches(value));
    Ok(pairs)
}

/// Removes and returns the pair of this name.
pub(crate) fn take(pairs: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let place = pairs.iter().position(|(given, _)| given == name)?;
    Some(pairs.swap_remove(place).1)
}

pub(crate) fn now() -> nightaudit_exchange::Timestamp {
    nightaudit_exchange::Timestamp::from_system(std::time::SystemTime::now())
}
