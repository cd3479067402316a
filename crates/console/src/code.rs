//! A request as code that sends it again.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri, header};
use nightaudit_export::{Language, code};

use crate::{Shared, error::ApiError, pairs, reading, take};

/// `GET /api/v1/exchanges/{id}/code?as=…`: what `nightaudit show --as` prints.
pub(crate) async fn request(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let mut pairs = pairs(&shared, &uri)?;
    let language = take(&mut pairs, "as").ok_or_else(|| ApiError::bad_request("`as` is missing"))?;
    let language: Language = language.parse().map_err(|error| ApiError::bad_request(format!("`as`: {error}")))?;
    if let Some((name, _)) = pairs.first() {
        return Err(ApiError::bad_request(format!("unknown parameter `{name}`: use as")));
    }
    let permit = shared.bounds.page().await?;
    let code = reading(&shared, move |shared| {
        let _permit = permit;
        let exchange = shared.log.find(&id)?;
        let message = || format!("exchange {} has messages of a WebSocket, which are no request", exchange.id);
        code(&exchange, language).ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, message()))
    })
    .await??;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], code).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{ask, console};

    #[tokio::test]
    async fn each_language_is_what_show_prints() {
        let opened = console();
        opened.record();
        let exchange = nightaudit_log::ReadLog::find(&opened.log, "last").unwrap();
        for language in Language::ALL {
            let (status, text) = ask(&opened, "GET", &format!("/api/v1/exchanges/last/code?as={language}"), true).await;
            assert_eq!((status, Some(text)), (StatusCode::OK, code(&exchange, language)));
        }
        for (query, named) in [("", "missing"), ("?as=perl", "perl"), ("?as=curl&of=x", "`of`")] {
            let (status, body) = ask(&opened, "GET", &format!("/api/v1/exchanges/last/code{query}"), true).await;
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert!(body.contains(named), "{body}");
        }
        assert_eq!(ask(&opened, "GET", "/api/v1/exchanges/7ZZZ/code?as=curl", true).await.0, StatusCode::NOT_FOUND);
    }
}
