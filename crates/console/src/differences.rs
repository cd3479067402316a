//! `GET /api/v1/differences`: how two sessions differ.
//!
//! Both are read on a blocking thread of their own, while requests get 202 with how far that is; the results asked for last
//! are kept until something is recorded in one of the sessions.

mod kept;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri, header};
use nightaudit_compare::{Differences, Ignore, Recording};
use nightaudit_exchange::Filter;
use nightaudit_export::comparison_page;
use nightaudit_log::{Order, Query, Session};
use serde_json::json;

pub(crate) use self::kept::Comparisons;
use self::kept::{Key, Pair};
use crate::{Shared, blocking, error::ApiError, pairs, review, take};

/// How long a request waits before it is told how far the reading is.
const PATIENCE: Duration = Duration::from_secs(1);

/// `GET /api/v1/differences?a=…&b=…`: what `nightaudit compare` finds, `ignore` and `format=html` included; 202 with
/// `building` while the sessions are read.
pub(crate) async fn differences(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, ApiError> {
    let mut pairs = pairs(&shared, &uri)?;
    let mut named = |name: &str| {
        take(&mut pairs, name).ok_or_else(|| ApiError::bad_request(format!("`{name}` is missing: name a session")))
    };
    let which = [named("a")?, named("b")?];
    let ignored = take(&mut pairs, "ignore").unwrap_or_default();
    let as_page = match take(&mut pairs, "format").as_deref() {
        None | Some("json") => false,
        Some("html") => true,
        Some(_) => return Err(ApiError::bad_request("`format` is json or html")),
    };
    if let Some((other, _)) = pairs.first() {
        let known = "only `a`, `b`, `ignore` and `format` are known here";
        return Err(ApiError::bad_request(format!("unknown parameter `{other}`: {known}")));
    }
    let ignore = match &*ignored {
        "" => Ignore::default(),
        text => {
            text.parse().map_err(|error: nightaudit_compare::UnknownKind| ApiError::bad_request(error.to_string()))?
        }
    };
    let ([a, b], basis) = blocking(&shared, move |shared| {
        let [a, b] = which;
        Ok::<_, ApiError>(([shared.log.session(&a)?, shared.log.session(&b)?], review::basis(shared)?))
    })
    .await??;
    let key = Key { sessions: [&a, &b].map(|session| (session.id, session.exchanges)), ignore: ignored };
    let (pair, is_new) = shared.comparisons.of(key, &basis);
    if is_new {
        let (shared, own, sessions) = (Arc::clone(&shared), Arc::clone(&pair), [a.clone(), b.clone()]);
        tokio::spawn(async move { own.make(&shared, sessions, ignore).await });
    }
    let mut result = pair.result.subscribe();
    let made = tokio::time::timeout(PATIENCE, result.wait_for(Option::is_some)).await;
    let Ok(Ok(made)) = made else {
        let of = a.exchanges + b.exchanges;
        let building = json!({ "read": pair.read.load(Ordering::Relaxed).min(of), "of": of });
        let told = Json(json!({ "session": a.id, "name": a.name, "building": building }));
        return Ok((StatusCode::ACCEPTED, [(header::RETRY_AFTER, "1")], told).into_response());
    };
    let differences = made.clone().unwrap_or_else(|| Err(given_up()))?;
    if as_page {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            // It is a file to keep, and no document of this origin.
            (header::CONTENT_DISPOSITION, "attachment; filename=\"nightaudit-differences.html\""),
        ];
        return Ok((headers, comparison_page(&differences)).into_response());
    }
    Ok(Json(json!({ "a": a, "b": b, "differences": &*differences })).into_response())
}

impl Pair {
    async fn make(self: Arc<Self>, shared: &Arc<Shared>, sessions: [Session; 2], ignore: Ignore) {
        let permit = self.stop.run_until_cancelled(Arc::clone(&shared.comparisons.readers).acquire_owned()).await;
        let Some(Ok(permit)) = permit else {
            self.result.send_replace(Some(Err(given_up())));
            return;
        };
        let (shared, own) = (Arc::clone(shared), Arc::clone(&self));
        let work = move || {
            let _permit = permit;
            let [a, b] = &sessions;
            Ok(Differences::of(&own.recording(&shared, a)?, &own.recording(&shared, b)?, &ignore))
        };
        let made = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal).flatten();
        self.result.send_replace(Some(made.map(Arc::new)));
    }

    /// Reads a session.
    fn recording(&self, shared: &Shared, session: &Session) -> Result<Recording, ApiError> {
        let mut recording = Recording::new(&session.name, self.basis.contracts.clone());
        let filter = Filter { session: Some(session.id.to_string()), ..Filter::default() };
        for exchange in shared.log.query(Query { filter, order: Order::Oldest, after: None, limit: None })? {
            if shared.stopping.is_cancelled() {
                return Err(ApiError::shutting_down("the comparison is not finished"));
            }
            if self.stop.is_cancelled() {
                return Err(given_up());
            }
            match exchange {
                Ok(exchange) => recording.push(&exchange),
                Err(error) if error.exchanges().is_some() => {
                    tracing::debug!(%error, "a comparison skips exchanges that can't be read");
                }
                Err(error) => return Err(error.into()),
            }
            self.read.fetch_add(1, Ordering::Relaxed);
        }
        Ok(recording)
    }
}

/// The answer to those who wait for a comparison that makes room for another one.
fn given_up() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "this comparison made room for another: ask again")
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::Value;

    use crate::tests::{ask, console};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_session_has_no_difference_to_itself() {
        let opened = console();
        opened.record();
        let path = "/api/v1/differences?a=last&b=last";
        let (status, body) = ask(&opened, "GET", path, true).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let found: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(found["differences"]["differences"], Value::Array(Vec::new()), "{body}");
        assert_eq!(found["a"]["id"], found["b"]["id"]);
        let (status, page) = ask(&opened, "GET", &format!("{path}&format=html"), true).await;
        assert!(status == StatusCode::OK && page.contains("No difference"), "{page}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_wrong_with_the_question_is_named() {
        let opened = console();
        opened.record();
        for (query, named) in [
            ("a=last", "`b` is missing"),
            ("a=last&b=last&c=1", "unknown parameter `c`"),
            ("a=last&b=last&ignore=speed", "`speed` is nothing to ignore"),
            ("a=last&b=last&format=xml", "`format` is json or html"),
        ] {
            let (status, body) = ask(&opened, "GET", &format!("/api/v1/differences?{query}"), true).await;
            assert!(status == StatusCode::BAD_REQUEST && body.contains(named), "{query}: {status} {body}");
        }
        let (status, body) = ask(&opened, "GET", "/api/v1/differences?a=last&b=none", true).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    }
}
