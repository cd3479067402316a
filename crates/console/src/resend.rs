//! Sending recorded requests again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use axum::{
    Json,
    body::{Body, Bytes, to_bytes},
    extract::{Extension, Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use nightaudit_exchange::{ExchangeId, Pseudonym};
use nightaudit_replay::{Again, CantResend, Edits, Pointer};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Shared, blocking,
    error::ApiError,
    resending::{Resend, ResendEnvironment, Resending, Resent},
    shared::Peer,
};

/// Maximum request body in bytes: another body as large as those that are recorded by default, escaped.
const MAX_BODY: usize = 24 << 20;

/// What to send.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Wanted {
    body: Option<String>,
    set: BTreeMap<String, Value>,
    environment: Option<String>,
    access_token: Option<String>,
    client_token: Option<String>,
    confirm: bool,
}

/// `GET /api/v1/exchanges/{id}/resend`: what would be sent, and what is missing for it.
pub(crate) async fn draft(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path(id) = id?;
    let permit = shared.bounds.page().await?;
    blocking(&shared, move |shared| {
        let _permit = permit;
        let resending = resending(shared)?;
        let exchange = shared.log.find(&id)?;
        // A body that isn't complete in the log can be given.
        let (again, incomplete) = match Again::of(&exchange, &Edits::default()) {
            Ok(again) => (again, None),
            Err(error @ CantResend::Incomplete(..)) => {
                let empty = Edits { body: Some(String::new()), ..Edits::default() };
                (Again::of(&exchange, &empty)?, Some(error.to_string()))
            }
            Err(error) => return Err(error.into()),
        };
        let secrets = again.secrets();
        let known = (resending.reveal)(&secrets.keys().copied().collect());
        let missing: Vec<Value> = secrets
            .iter()
            .filter(|(pseudonym, _)| !known.contains_key(*pseudonym))
            .map(|(pseudonym, what)| json!({ "pseudonym": pseudonym.to_string(), "what": what }))
            .collect();
        let [access, client] = again.tokens();
        let needed = |token: Option<Pseudonym>| token.is_some_and(|token| secrets.contains_key(&token));
        Ok(Json(json!({
            "id": exchange.id,
            "body": str::from_utf8(&exchange_text(&exchange, &again)).ok(),
            "incomplete": incomplete,
            "environments": resending.environments,
            "missing": missing,
            "accessToken": needed(access),
            "clientToken": needed(client),
        })))
    })
    .await?
}

/// The body as text: without its content coding.
fn exchange_text(exchange: &nightaudit_exchange::Exchange, again: &Again) -> Bytes {
    if again.body().is_empty() { Bytes::new() } else { exchange.request.body.decoded().0 }
}

/// `POST /api/v1/exchanges/{id}/resend`: sends the request again, with changes.
pub(crate) async fn send(
    State(shared): State<Arc<Shared>>,
    peer: Option<Extension<Peer>>,
    id: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let wanted = read(body).await?;
    // Every connection has one; only tests call the router without.
    let peer = peer.map_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)), |Extension(Peer(peer))| peer);
    let permit = shared.bounds.resend()?;
    let (of, resend) = blocking(&shared, move |shared| prepare(shared, &id, wanted, peer)).await??;
    let sending = (resending(&shared)?.send)(resend);
    // Once sent, it is recorded with its response, whether or not somebody waits for it.
    let sent = tokio::spawn(async move {
        let _permit = permit;
        sending.await
    });
    let resent = sent.await.map_err(ApiError::internal)?;
    let Resent { id, status } = resent.map_err(|error| ApiError::new(StatusCode::BAD_GATEWAY, error))?;
    let told = json!({ "id": id, "of": of, "status": status.as_u16() });
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/api/v1/exchanges/{id}"))], Json(told)).into_response())
}

async fn read(body: Body) -> Result<Wanted, ApiError> {
    let too_large =
        |_| ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {MAX_BODY} bytes"));
    let body = to_bytes(body, MAX_BODY).await.map_err(too_large)?;
    if body.is_empty() {
        return Ok(Wanted::default());
    }
    serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(format!("the body is invalid: {error}")))
}

fn resending(shared: &Shared) -> Result<&Resending, ApiError> {
    let none = || ApiError::conflict("nothing can be sent from here: `nightaudit serve` has to run");
    shared.gauges.resend.as_ref().ok_or_else(none)
}

fn prepare(shared: &Shared, id: &str, wanted: Wanted, peer: SocketAddr) -> Result<(ExchangeId, Resend), ApiError> {
    let resending = resending(shared)?;
    let environment = environment(&resending.environments, wanted.environment.as_deref())?;
    if environment.production && !wanted.confirm {
        let message = format!("this is sent to production ({}): confirm that with `confirm`", environment.host);
        return Err(ApiError::conflict(message));
    }
    let mut set = Vec::with_capacity(wanted.set.len());
    for (pointer, value) in wanted.set {
        let pointer: Pointer = pointer.parse().map_err(|error| ApiError::bad_request(format!("`set`: {error}")))?;
        set.push((pointer, value));
    }
    let exchange = shared.log.find(id)?;
    let again = Again::of(&exchange, &Edits { body: wanted.body, set })?;
    let needed: BTreeSet<Pseudonym> = again.secrets().into_keys().collect();
    // Those that were seen are of the environment that is forwarded to, and never for production.
    let is_own = !environment.production && resending.environments.first() == Some(environment);
    let mut known = if is_own { (resending.reveal)(&needed) } else { BTreeMap::new() };
    let given = [wanted.access_token, wanted.client_token];
    for (pseudonym, token) in again.tokens().into_iter().zip(given) {
        if let (Some(pseudonym), Some(token)) = (pseudonym, token.filter(|token| !token.is_empty())) {
            known.insert(pseudonym, token);
        }
    }
    let of = exchange.id;
    let request = again.fill(&known)?;
    Ok((of, Resend { of, environment: environment.name.clone(), request, peer }))
}

fn environment<'e>(all: &'e [ResendEnvironment], wanted: Option<&str>) -> Result<&'e ResendEnvironment, ApiError> {
    let found = match wanted {
        None => all.first(),
        Some(name) => all.iter().find(|known| known.name == name),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|known| &*known.name).collect();
        let wanted = wanted.unwrap_or_default();
        ApiError::bad_request(format!("`{wanted}` is not an environment: use {}", names.join(", ")))
    })
}

impl From<CantResend> for ApiError {
    fn from(error: CantResend) -> Self {
        let status = match error {
            CantResend::Set { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::CONFLICT,
        };
        let remedy = match error {
            CantResend::Secrets { .. } => {
                " (give the tokens in NIGHTAUDIT_ACCESS_TOKEN and NIGHTAUDIT_CLIENT_TOKEN, and other values in the body)"
            }
            _ => "",
        };
        Self::new(status, format!("{error}{remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use nightaudit_exchange::Exchange;
    use nightaudit_log::testing::MemoryLog;

    use super::*;
    use crate::{
        Gauges,
        tests::{EXCHANGE, Opened, console, console_over, send},
    };

    /// What was sent: the environment and the body.
    type Sent = Arc<Mutex<Vec<(String, String)>>>;

    const TOKEN: &str = "a-token-of-this-run-0001";

    /// A console whose proxy takes everything, with an exchange that has a token and a name redacted.
    fn opened() -> (Opened, Sent) {
        let sent = Sent::default();
        let took = Arc::clone(&sent);
        let environment = |name: &str, production| ResendEnvironment {
            name: name.to_owned(),
            host: format!("https://{name}.example"),
            production,
        };
        let resend = Resending {
            environments: vec![
                environment("demo", false),
                environment("other", false),
                environment("production", true),
            ],
            reveal: Box::new(|wanted| {
                let own = Pseudonym::of(TOKEN.as_bytes());
                wanted.iter().filter(|name| **name == own).map(|name| (*name, TOKEN.to_owned())).collect()
            }),
            send: Box::new(move |resend| {
                let body = String::from_utf8(resend.request.body().to_vec()).unwrap();
                took.lock().unwrap().push((resend.environment, body));
                let id = ExchangeId::from_parts(7, 7);
                Box::pin(async move { Ok(Resent { id, status: StatusCode::OK }) })
            }),
        };
        let log = MemoryLog::default();
        let mut exchange: Exchange = serde_json::from_str(EXCHANGE).unwrap();
        let token = Pseudonym::of(TOKEN.as_bytes());
        exchange.envelope.access_token = Some(token);
        let body = format!(r#"{{"AccessToken":"{token}","Count":1}}"#);
        exchange.request.body = nightaudit_exchange::Body::whole(body.into());
        log.record(exchange);
        let gauges = Gauges { resend: Some(resend), ..Gauges::default() };
        (console_over(log.clone(), Arc::new(log), gauges), sent)
    }

    #[tokio::test]
    async fn a_request_is_sent_with_what_this_run_has_seen() {
        let (opened, sent) = opened();
        let (status, text) = send(&opened, "POST", "/api/v1/exchanges/last/resend", "").await;
        let told: Value = serde_json::from_str(&text).unwrap();
        let of = serde_json::from_str::<Exchange>(EXCHANGE).unwrap().id;
        let wanted = json!({ "id": ExchangeId::from_parts(7, 7), "of": of, "status": 200 });
        assert_eq!((status, told), (StatusCode::CREATED, wanted));
        let changed = r#"{"set": {"/Count": 2, "/Limitation/Count": 9}}"#;
        assert_eq!(send(&opened, "POST", "/api/v1/exchanges/last/resend", changed).await.0, StatusCode::CREATED);
        let given = r#"{"accessToken": "mine", "environment": "production", "confirm": true}"#;
        assert_eq!(send(&opened, "POST", "/api/v1/exchanges/last/resend", given).await.0, StatusCode::CREATED);
        let [first, second, third] = &sent.lock().unwrap()[..] else { panic!("three") };
        assert_eq!(first, &("demo".to_owned(), format!(r#"{{"AccessToken":"{TOKEN}","Count":1}}"#)));
        let set = format!(r#"{{"AccessToken":"{TOKEN}","Count":2,"Limitation":{{"Count":9}}}}"#);
        assert_eq!(second, &("demo".to_owned(), set));
        assert_eq!(third, &("production".to_owned(), r#"{"AccessToken":"mine","Count":1}"#.to_owned()));
    }

    #[tokio::test]
    async fn nothing_is_sent_that_was_not_meant() {
        let (opened, sent) = opened();
        for (body, status, named) in [
            (r#"{"environment": "production"}"#, StatusCode::CONFLICT, "https://production.example"),
            // The token was seen at the other host.
            (r#"{"environment": "production", "confirm": true}"#, StatusCode::CONFLICT, "the access token"),
            (r#"{"environment": "other"}"#, StatusCode::CONFLICT, "NIGHTAUDIT_ACCESS_TOKEN"),
            (
                r#"{"environment": "moon"}"#,
                StatusCode::BAD_REQUEST,
                "`moon` is not an environment: use demo, other, production",
            ),
            (r#"{"set": {"Count": 1}}"#, StatusCode::BAD_REQUEST, "`Count` is not a JSON pointer"),
            (r#"{"set": {"/Count/A": 1}}"#, StatusCode::BAD_REQUEST, "/Count/A leads into"),
            (r#"{"sets": {}}"#, StatusCode::BAD_REQUEST, "`sets`"),
            ("{", StatusCode::BAD_REQUEST, "invalid"),
        ] {
            let (got, text) = send(&opened, "POST", "/api/v1/exchanges/last/resend", body).await;
            assert!(got == status && text.contains(named), "{body}: {got} {text}");
        }
        let unknown = send(&opened, "POST", "/api/v1/exchanges/7ZZZ/resend", "").await.0;
        assert_eq!((unknown, sent.lock().unwrap().len()), (StatusCode::NOT_FOUND, 0));
        let viewer = console();
        viewer.record();
        let (status, text) = send(&viewer, "POST", "/api/v1/exchanges/last/resend", "").await;
        assert!(status == StatusCode::CONFLICT && text.contains("`nightaudit serve` has to run"), "{text}");
    }

    #[tokio::test]
    async fn the_draft_says_what_is_missing() {
        let (opened, _) = opened();
        let (status, text) = send(&opened, "GET", "/api/v1/exchanges/last/resend", "").await;
        let draft: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &draft["missing"], &draft["accessToken"]), (StatusCode::OK, &json!([]), &json!(true)));
        assert_eq!((&draft["clientToken"], &draft["environments"][2]["production"]), (&json!(false), &json!(true)));
        assert!(draft["body"].as_str().unwrap().contains(r#""Count":1"#) && !text.contains(TOKEN), "{text}");
    }
}
