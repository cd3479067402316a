//! A session's declaration: read, checked, stored and downloaded.

mod edited;

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use nightaudit_exchange::Digest;
use nightaudit_log::Session;
use nightaudit_review::{Basis, Declaration, DeclarationError, guess, template};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Shared, blocking,
    error::ApiError,
    review::{self, State as ReviewState},
    sessions,
};

/// The largest body that stores a declaration, in bytes. The text itself may have 32 KiB, and JSON escapes some of it.
const MAX_BODY: usize = 256 << 10;

type Which = Result<Path<String>, PathRejection>;

/// A declaration to store, as the text of its file or as an object with the same keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    toml: Option<String>,
    declaration: Option<Value>,
}

/// `GET /api/v1/sessions/{session}/declaration`
pub(crate) async fn get(State(shared): State<Arc<Shared>>, which: Which) -> Result<Response, ApiError> {
    let Path(which) = which?;
    let session = blocking(&shared, move |shared| shared.log.session(&which)).await??;
    view(&shared, session).await
}

/// `PUT /api/v1/sessions/{session}/declaration` with `{"toml": …}` or `{"declaration": …}`; an empty text removes it. An
/// object is written into the stored text, whose comments stay. With `If-Match` only if the stored one is still the one that the client read.
pub(crate) async fn put(
    State(shared): State<Arc<Shared>>,
    which: Which,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let Path(which) = which?;
    let put: Put = sessions::read_up_to(MAX_BODY, body).await?;
    let expected = headers.get(header::IF_MATCH).cloned();
    let session = blocking(&shared, move |shared| {
        let manage = shared.manage()?;
        let session = shared.log.session(&which)?;
        if expected.is_some_and(|tag| tag.as_bytes() != b"*" && tag.as_bytes() != self::tag(&session).as_bytes()) {
            let message = "the declaration was changed elsewhere meanwhile: load it again";
            return Err(ApiError::new(StatusCode::PRECONDITION_FAILED, message));
        }
        let stored = session.declaration.as_deref().unwrap_or_default();
        let text = text(put, stored, &*review::basis(shared)?)?;
        Ok(manage.declare_session(&session.id.to_string(), &text)?)
    })
    .await??;
    shared.reviews.note_change();
    view(&shared, session).await
}

/// `GET /api/v1/sessions/{session}/declaration.toml`
pub(crate) async fn download(State(shared): State<Arc<Shared>>, which: Which) -> Result<Response, ApiError> {
    let Path(which) = which?;
    let session = blocking(&shared, move |shared| shared.log.session(&which)).await??;
    let Some(text) = session.declaration else {
        let message = format!("session `{}` has no declaration", session.name);
        return Err(ApiError::new(StatusCode::NOT_FOUND, message));
    };
    let headers = [
        (header::CONTENT_TYPE, "application/toml"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"certification.toml\""),
    ];
    Ok((headers, text).into_response())
}

/// The valid text of a declaration, in place of the one that is stored.
fn text(put: Put, stored: &str, basis: &Basis) -> Result<String, ApiError> {
    let invalid = |error: DeclarationError| ApiError::bad_request(error.to_string());
    match (put.toml, put.declaration) {
        (Some(toml), None) => {
            // Some editors write a byte order mark.
            let text = toml.strip_prefix('\u{feff}').unwrap_or(&toml);
            Declaration::read(text, &basis.contracts).map_err(invalid)?;
            Ok(text.to_owned())
        }
        // A struct would also be read from an array of its values.
        (None, Some(value)) if !value.is_object() => Err(ApiError::bad_request("`declaration`: not an object")),
        (None, Some(value)) => {
            let declaration: Declaration = serde_json::from_value(value)
                .map_err(|error| ApiError::bad_request(format!("`declaration`: {error}")))?;
            let text = toml::to_string(&declaration)
                .map_err(|error| ApiError::bad_request(format!("`declaration`: {error}")))?;
            // The lines are those of a text that the client hasn't seen.
            let invalid = |error: DeclarationError| ApiError::bad_request(error.message);
            Declaration::read(&text, &basis.contracts).map_err(invalid)?;
            Ok(edited::edited(stored, &text))
        }
        _ => Err(ApiError::bad_request("give either `toml` or `declaration`")),
    }
}

/// The declaration as stored and as an object, and a template and a guess from what the session called.
async fn view(shared: &Arc<Shared>, session: Session) -> Result<Response, ApiError> {
    let toml = session.declaration.clone().unwrap_or_default();
    let contracts = blocking(shared, review::basis).await??.contracts.clone();
    let (declaration, error) = match Declaration::read(&toml, &contracts) {
        Ok(declaration) => (Some(declaration).filter(|_| !toml.is_empty()), None),
        Err(error) => (None, Some(error)),
    };
    // An invalid declaration has no review.
    let state = match &error {
        None => Some(review::up_to_date(shared, &session.id.to_string()).await?.1),
        Some(_) => None,
    };
    let (mut guessed, mut text, mut building) = (None, None, None);
    match &state {
        Some(ReviewState::Made(made)) => {
            let own = guess(&made.review);
            text = Some(template(&made.review, declaration.as_ref().unwrap_or(&own)));
            guessed = Some(own);
        }
        Some(ReviewState::Building(progress)) => building = Some(progress),
        None => {}
    }
    let tag = tag(&session);
    let told = json!({
        "session": session.id,
        "toml": toml,
        "declaration": declaration,
        "error": error.as_ref().map(ToString::to_string),
        "line": error.as_ref().and_then(|error| error.line),
        "template": text,
        "guess": guessed,
        "building": building,
    });
    Ok(([(header::ETAG, tag)], Json(told)).into_response())
}

/// The entity tag of a session's declaration.
fn tag(session: &Session) -> String {
    format!("\"{}\"", Digest::of(session.declaration.as_deref().unwrap_or_default().as_bytes()))
}

#[cfg(test)]
mod tests {
    use nightaudit_log::{ReadLog as _, testing};

    use super::*;
    use crate::tests::{Opened, ask, console, send};

    const PATH: &str = "/api/v1/sessions/a/declaration";

    fn opened() -> Opened {
        let opened = console();
        testing::exchanges(1, "a", 3).into_iter().for_each(|exchange| opened.log.record(exchange));
        opened
    }

    async fn put_json(opened: &Opened, body: Value) -> (StatusCode, Value) {
        let (status, text) = send(opened, "PUT", PATH, &body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    async fn read(opened: &Opened, path: &str) -> Value {
        serde_json::from_str(&ask(opened, "GET", path, true).await.1).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_declaration_is_kept_with_the_session_and_reviewed_with() {
        let opened = opened();
        let empty = read(&opened, PATH).await;
        assert_eq!((&empty["toml"], &empty["declaration"], &empty["error"]), (&"".into(), &Value::Null, &Value::Null));
        assert_eq!(empty["guess"]["client"], "Kiosk");
        let template = empty["template"].as_str().unwrap();
        assert!(template.contains("client = \"Kiosk\"") && template.contains("\"configuration/get\" = "), "{template}");

        let toml = "# ours\nuse_case = 'kiosk'\n[operations]\n'configuration/get' = 'the time zone'\n";
        let (status, stored) = put_json(&opened, json!({ "toml": format!("\u{feff}{toml}") })).await;
        assert_eq!((status, &stored["toml"]), (StatusCode::OK, &toml.into()));
        assert_eq!(stored["declaration"]["operations"]["configuration/get"], "the time zone");
        assert_eq!(opened.log.session("a").unwrap().declaration.as_deref(), Some(toml));
        let review = read(&opened, "/api/v1/sessions/a/review").await;
        assert_eq!((&review["declared"]["useCase"], &review["coverage"]["declared"]), (&"kiosk".into(), &1.into()));
        let file = opened.get(&format!("{PATH}.toml"), None).await;
        assert_eq!(file.headers()[header::CONTENT_DISPOSITION], "attachment; filename=\"certification.toml\"");
        assert_eq!(ask(&opened, "GET", &format!("{PATH}.toml"), true).await.1, toml);

        // What an editor sends back is the same declaration, and its text keeps its comments.
        let (_, again) = put_json(&opened, json!({ "declaration": stored["declaration"] })).await;
        assert_eq!((&again["declaration"], &again["toml"]), (&stored["declaration"], &stored["toml"]));
        let mut changed = stored["declaration"].clone();
        changed["operations"]["configuration/get"] = "its zone".into();
        let (_, changed) = put_json(&opened, json!({ "declaration": changed })).await;
        assert_eq!(changed["toml"], toml.replace("'the time zone'", "\"its zone\""));
        let (status, none) = put_json(&opened, json!({ "toml": "" })).await;
        assert_eq!((status, &none["declaration"]), (StatusCode::OK, &Value::Null));
        assert_eq!(opened.log.session("a").unwrap().declaration, None);
        let (status, body) = ask(&opened, "GET", &format!("{PATH}.toml"), true).await;
        assert!(status == StatusCode::NOT_FOUND && body.contains("session `a` has no declaration"), "{body}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_invalid_declaration_is_refused_with_its_line_and_the_remedy() {
        let opened = opened();
        for (body, named) in [
            (
                json!({ "toml": "\npartnr = 'x'" }),
                "line 2: `partnr` is not a key of a declaration: did you mean `partner`?",
            ),
            (
                json!({ "toml": "[operations]\n'customers/getall' = 'x'" }),
                "line 2: Mews has no operation `customers/getall`: did you mean `customers/getAll`?",
            ),
            (json!({ "toml": "a = \u{0}" }), "line 1: "),
            (json!({ "toml": "[rules]\n'run/short' = { silence = true, reason = 'x' }" }), "can only be explained"),
            (json!({ "declaration": { "clent": "x" } }), "`declaration`: unknown field `clent`"),
            (
                json!({ "declaration": { "operations": { "customers/add": " " } } }),
                "say what `customers/add` is used for",
            ),
            (json!({ "declaration": [] }), "`declaration`: "),
            (json!({ "declaration": "partner = 'x'" }), "`declaration`: "),
            (json!({ "toml": "", "declaration": {} }), "give either `toml` or `declaration`"),
            (json!({}), "give either `toml` or `declaration`"),
            (json!({ "text": "" }), "unknown field `text`"),
            (json!({ "toml": format!("# {}", "x".repeat(33 << 10)) }), "the limit is 32768 bytes"),
        ] {
            let (status, told) = put_json(&opened, body.clone()).await;
            let error = told["error"].as_str().unwrap_or_else(|| panic!("{body:.80}: {status} {told}"));
            assert!(status == StatusCode::BAD_REQUEST && error.contains(named), "{body:.80}: {status} {error}");
            // A line of a text that was never sent says nothing.
            assert!(body.get("declaration").is_none() || !error.contains("line "), "{error}");
        }
        let large = format!(r#"{{"toml":"{}"}}"#, "x".repeat(MAX_BODY));
        assert_eq!(send(&opened, "PUT", PATH, &large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(send(&opened, "PUT", PATH, "").await.0, StatusCode::BAD_REQUEST);
        assert_eq!(opened.log.session("a").unwrap().declaration, None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_declaration_that_has_become_invalid_is_named_and_can_be_replaced() {
        let opened = opened();
        // Stored by the sessions' own path, which takes any text.
        let body = json!({ "declaration": "\n[operations]\n'nothing/ofTheKind' = 'x'" }).to_string();
        assert_eq!(send(&opened, "PATCH", "/api/v1/sessions/a", &body).await.0, StatusCode::OK);
        let view = read(&opened, PATH).await;
        assert_eq!((&view["line"], &view["declaration"]), (&3.into(), &Value::Null));
        assert_eq!(view["error"], "line 3: Mews has no operation `nothing/ofTheKind`");
        for path in ["review", "run"] {
            let (status, text) = ask(&opened, "GET", &format!("/api/v1/sessions/a/{path}"), true).await;
            assert_eq!(status, StatusCode::CONFLICT);
            let due = "the declaration stored with session `a` is invalid: line 3: Mews has no operation";
            assert!(text.contains(due), "{text}");
        }
        assert_eq!(put_json(&opened, json!({ "toml": "" })).await.0, StatusCode::OK);
        assert_eq!(ask(&opened, "GET", "/api/v1/sessions/a/run", true).await.0, StatusCode::OK);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_editors_dont_overwrite_each_other() {
        let opened = opened();
        let tag = opened.get(PATH, None).await.headers()[header::ETAG].to_str().unwrap().to_owned();
        let put = async |toml: &str, tag: &str| {
            let body = json!({ "toml": toml }).to_string();
            crate::tests::send_with(&opened, "PUT", PATH, &body, &[(header::IF_MATCH, tag)]).await.0
        };
        assert_eq!(put("pilot = 'A'", &tag).await, StatusCode::OK);
        assert_eq!(put("pilot = 'B'", &tag).await, StatusCode::PRECONDITION_FAILED);
        assert_eq!(put("pilot = 'B'", "*").await, StatusCode::OK);
        assert_eq!(read(&opened, PATH).await["declaration"]["pilot"], "B");
    }
}
