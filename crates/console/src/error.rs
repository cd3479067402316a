//! Errors of the API.

use axum::{
    Json,
    extract::rejection::PathRejection,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use nightaudit_exchange::InvalidFilter;
use nightaudit_log::{FindError, ReadError, SessionError};
use serde_json::json;

/// An error response with the body `{"error": …}`.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// What is wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether what was asked for isn't there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// `serve` is shutting down; `what` wasn't done.
    pub(crate) fn shutting_down(what: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("`serve` is shutting down: {what}"))
    }

    /// A panic in one of our threads. Logged too, since the client can do nothing about it.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error in the console");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; see the log of `nightaudit serve`")
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.message }))).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            // Permits may soon be free again, and the log is retried every second.
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<PathRejection> for ApiError {
    fn from(error: PathRejection) -> Self {
        Self::bad_request(error.body_text())
    }
}

impl From<InvalidFilter> for ApiError {
    fn from(error: InvalidFilter) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Session(error) => error.into(),
            ReadError::Unavailable(error) => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            error => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<FindError> for ApiError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::NotFound(_) | FindError::Empty | FindError::NoError => {
                Self::new(StatusCode::NOT_FOUND, error.to_string())
            }
            FindError::Ambiguous { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
            FindError::Read(error) => error.into(),
            error => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        let status = match error {
            SessionError::NotFound(_) => StatusCode::NOT_FOUND,
            SessionError::Gone { .. } => StatusCode::GONE,
            SessionError::Ambiguous { .. }
            | SessionError::Recording(_)
            | SessionError::Importing(_)
            | SessionError::Current { .. } => StatusCode::CONFLICT,
            SessionError::Name(_) | SessionError::Declaration(_) => StatusCode::BAD_REQUEST,
            // This console serves a read-only log.
            SessionError::ReadOnly => StatusCode::CONFLICT,
            SessionError::Store(_) | SessionError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}
