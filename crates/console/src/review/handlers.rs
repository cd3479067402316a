//! `GET /api/v1/sessions/{session}/review` and `…/run`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{Path, State as Extracted, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use nightaudit_exchange::Filter;
use nightaudit_log::{FollowFrom, ManageSessions, Session};
use nightaudit_review::{IntegrationKind, Verdict};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{Made, State, reading::UpTo, up_to_date};
use crate::{Shared, blocking, error::ApiError, pairs, take};

/// The longest a request with `wait` is held.
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// How long exchanges are gathered after the first new one.
const GATHER: Duration = Duration::from_millis(500);

type Which = Result<Path<String>, PathRejection>;

/// `GET /api/v1/sessions/{session}/review`: the review with `upTo` and `current`; 202 with `building` while the session is
/// first read. `wait=N` holds the request until there is a review that ends elsewhere than at sequence number N.
pub(crate) async fn session_review(
    Extracted(shared): Extracted<Arc<Shared>>,
    which: Which,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Path(which) = which?;
    respond(&shared, which, &uri, &headers, |_, made, current| {
        // The review's own bytes, with two more properties.
        let mut body = made.json.strip_suffix(b"}").unwrap_or_default().to_vec();
        body.extend_from_slice(format!(r#","upTo":{},"current":{current}}}"#, json!(made.up_to)).as_bytes());
        body
    })
    .await
}

/// `GET /api/v1/sessions/{session}/run`: the review in a few figures.
pub(crate) async fn run(
    Extracted(shared): Extracted<Arc<Shared>>,
    which: Which,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Path(which) = which?;
    respond(&shared, which, &uri, &headers, |session, made, current| {
        serde_json::to_vec(&Run::of(session, made, current)).unwrap_or_default()
    })
    .await
}

/// `GET /api/v1/sessions/current/run`: the same of the session being recorded.
pub(crate) async fn current_run(
    shared: Extracted<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let current = blocking(&shared, |shared| shared.log.manage().and_then(ManageSessions::current_session)).await?;
    let current = current.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "no session is being recorded"))?;
    run(shared, Ok(Path(current.id.to_string())), uri, headers).await
}

/// A run in a few figures.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    session: String,
    name: &'a str,
    verdict: Verdict,
    headline: &'a str,
    /// From the first request to the last response; tenths, rounded down.
    hours: f64,
    /// `None` for a private integration, of which no duration is required.
    hours_needed: Option<u64>,
    errors: u64,
    warnings: u64,
    notes: u64,
    silenced: u64,
    /// Declared operations, and those of them that were called, and that succeeded.
    declared: u64,
    called: u64,
    succeeded: u64,
    exchanges: u64,
    up_to: UpTo,
    current: bool,
}

impl<'a> Run<'a> {
    fn of(session: &'a Session, made: &'a Made, current: bool) -> Self {
        let review = &made.review;
        let (run, counts, coverage) = (&review.run, &review.counts, &review.coverage);
        let is_private = review.declared.as_ref().is_some_and(|declared| declared.kind == IntegrationKind::Private);
        Self {
            session: session.id.to_string(),
            name: &session.name,
            verdict: review.verdict,
            headline: &review.headline,
            hours: (run.duration_s / 360) as f64 / 10.0,
            hours_needed: (!is_private).then_some(run.asked_s / 3600),
            errors: counts.errors,
            warnings: counts.warnings,
            notes: counts.notes,
            silenced: counts.silenced,
            declared: coverage.declared,
            called: coverage.declared - coverage.not_called.min(coverage.declared),
            succeeded: coverage.succeeded,
            exchanges: run.exchanges,
            up_to: made.up_to,
            current,
        }
    }
}

/// Responds with what `render` makes of the review, or 202 while there is none, or 304.
async fn respond(
    shared: &Arc<Shared>,
    which: String,
    uri: &Uri,
    headers: &HeaderMap,
    render: impl Fn(&Session, &Made, bool) -> Vec<u8>,
) -> Result<Response, ApiError> {
    let mut pairs = pairs(shared, uri)?;
    let wait = take(&mut pairs, "wait");
    let wait = wait
        .map(|text| {
            text.parse::<u64>().map_err(|_| ApiError::bad_request(format!("invalid wait `{text}`: not a number")))
        })
        .transpose()?;
    if let Some((name, _)) = pairs.first() {
        return Err(ApiError::bad_request(format!("unknown parameter `{name}`: only `wait` is known here")));
    }
    let known = headers.get(header::IF_NONE_MATCH);
    let (session, state) = match wait {
        Some(sequence) => changed(shared, &which, sequence, known).await?,
        None => up_to_date(shared, &which).await?,
    };
    let made = match state {
        State::Made(made) => made,
        State::Building(building) => {
            let told = json!({ "session": session.id, "name": session.name, "building": building });
            return Ok((StatusCode::ACCEPTED, [(header::RETRY_AFTER, "1")], Json(told)).into_response());
        }
    };
    let tag = tag(&made);
    if known.is_some_and(|known| lists(known, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let body = render(&session, &made, made.is_current(&session));
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::ETAG, tag)];
    Ok((headers, Body::from(body)).into_response())
}

/// The review once it ends elsewhere than at `sequence`, or is judged otherwise than when this was called, or isn't the one
/// of the client's tag; the same one if that takes longer than [`LONGEST_WAIT`].
async fn changed(
    shared: &Arc<Shared>,
    which: &str,
    sequence: u64,
    known: Option<&HeaderValue>,
) -> Result<(Session, State), ApiError> {
    let _permit = shared.bounds.poll()?;
    let deadline = Instant::now() + LONGEST_WAIT;
    let mut changed = shared.reviews.changed.subscribe();
    let mut first: Option<Arc<Made>> = None;
    let mut which = which.to_owned();
    loop {
        let (session, state) = up_to_date(shared, &which).await?;
        let State::Made(made) = &state else { return Ok((session, state)) };
        let is_other = made.up_to.sequence != sequence
            || known.is_some_and(|known| !lists(known, &tag(made)))
            || first.as_ref().is_some_and(|first| first.digest != made.digest || !first.is_judged_as(made));
        if is_other || shared.stopping.is_cancelled() || Instant::now() >= deadline {
            return Ok((session, state));
        }
        // The session may be renamed meanwhile.
        which = session.id.to_string();
        let (filter, from) =
            (Filter { session: Some(which.clone()), ..Filter::default() }, FollowFrom::Position(made.position));
        let mut follower = blocking(shared, move |shared| shared.log.follow(filter, from)).await??;
        let news = async {
            tokio::select! {
                _ = follower.next() => tokio::time::sleep(GATHER).await,
                _ = changed.changed() => {}
                () = shared.stopping.cancelled() => {}
            }
        };
        let _ = timeout_at(deadline, news).await;
        first.get_or_insert_with(|| Arc::clone(made));
    }
}

/// The entity tag of a review.
fn tag(made: &Made) -> String {
    format!("\"{}\"", made.digest)
}

/// Whether `If-None-Match` lists this tag (RFC 9110, section 13.1.2).
fn lists(known: &HeaderValue, tag: &str) -> bool {
    let Ok(known) = known.to_str() else { return false };
    known.trim() == "*" || known.split(',').any(|own| own.trim().trim_start_matches("W/") == tag)
}
