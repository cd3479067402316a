//! Opening the page by a ticket.

use std::{sync::Arc, time::Instant};

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    error::ApiError,
    owner::is_another_user,
    shared::{Peer, Shared},
    tickets::LIFETIME,
};

/// The path that opens the page once.
///
/// # Errors
///
/// The system's random number generator failed.
pub(crate) fn ticket_path(shared: &Shared) -> Result<String, getrandom::Error> {
    Ok(format!("/open/{}", shared.tickets.issue(Instant::now())?))
}

/// `POST /api/v1/tickets`: a path that opens the page once.
pub(crate) async fn issue(State(shared): State<Arc<Shared>>) -> Result<(StatusCode, Json<Value>), ApiError> {
    let path = ticket_path(&shared).map_err(ApiError::internal)?;
    Ok((StatusCode::CREATED, Json(json!({ "path": path, "expiresInS": LIFETIME.as_secs() }))))
}

/// The exchange of a ticket for the page's address. It requires no token.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new().route("/open/{ticket}", get(exchange))
}

async fn exchange(
    State(shared): State<Arc<Shared>>,
    peer: Option<Extension<Peer>>,
    method: Method,
    Path(ticket): Path<String>,
) -> Response {
    // A browser, or what checks links for it, may look before it opens.
    if method != Method::GET {
        return StatusCode::NO_CONTENT.into_response();
    }
    let local = match peer {
        Some(Extension(Peer(peer))) => tokio::task::spawn_blocking(move || is_another_user(peer)).await,
        None => Ok(false),
    };
    if local.unwrap_or(true) {
        return told(StatusCode::FORBIDDEN, "This link belongs to another user of this machine.\n");
    }
    if !shared.tickets.take(&ticket, Instant::now()) {
        return told(
            StatusCode::GONE,
            "This link was used already, or is older than a minute.\nRun nightaudit open again, or open the address that \
             nightaudit serve prints.\n",
        );
    }
    (StatusCode::SEE_OTHER, [(header::LOCATION, shared.token.page_url(""))]).into_response()
}

/// Text for a person.
fn told(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{ask, console, send};

    #[tokio::test]
    async fn a_ticket_opens_the_page_once() {
        let opened = console();
        assert_eq!(ask(&opened, "POST", "/api/v1/tickets", false).await.0, StatusCode::UNAUTHORIZED);
        let (status, body) = send(&opened, "POST", "/api/v1/tickets", "").await;
        assert_eq!(status, StatusCode::CREATED);
        let issued: Value = serde_json::from_str(&body).unwrap();
        let path = issued["path"].as_str().unwrap();
        assert!(path.starts_with("/open/") && issued["expiresInS"] == 60);
        // Looking doesn't use it up.
        assert_eq!(ask(&opened, "HEAD", path, false).await.0, StatusCode::NO_CONTENT);
        let response = opened.get(path, None).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert!(response.headers()[header::LOCATION].to_str().unwrap().starts_with("/#token="));
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        for path in [path, "/open/x", "/open/%2e%2e"] {
            let (status, text) = ask(&opened, "GET", path, false).await;
            assert_eq!(status, StatusCode::GONE);
            assert!(text.contains("nightaudit open"), "{text}");
        }
        assert_eq!(ask(&opened, "GET", "/open/", false).await.0, StatusCode::UNAUTHORIZED);
    }
}
