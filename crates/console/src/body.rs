//! Recorded bodies as files.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri, header};
use nightaudit_exchange::{Body, Exchange};

use crate::{Shared, error::ApiError, pairs, reading, take};

/// Formats that browsers show without running anything, by their first bytes. Whatever the recorded `Content-Type`
/// says, everything else is only bytes.
const SHOWN: [(&[u8], &str, &str); 5] = [
    (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (b"GIF8", "image/gif", "gif"),
    (b"%PDF-", "application/pdf", "pdf"),
    // Followed by four bytes of length and `WEBP`.
    (b"RIFF", "image/webp", "webp"),
];

/// `GET /api/v1/exchanges/{id}/body?of=request|response`: the bytes; with `decoded=true` without their content coding,
/// and with `message=I` those of a WebSocket message, counted from 0.
pub(crate) async fn body(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let mut pairs = pairs(&shared, &uri)?;
    let of = take(&mut pairs, "of");
    let decoded = match take(&mut pairs, "decoded").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(ApiError::bad_request(format!("invalid decoded `{other}`: use true or false"))),
    };
    let message = take(&mut pairs, "message")
        .map(|text| text.parse().map_err(|_| ApiError::bad_request(format!("invalid message `{text}`: not a number"))))
        .transpose()?;
    if let Some((name, _)) = pairs.first() {
        return Err(ApiError::bad_request(format!("unknown parameter `{name}`: use of, decoded and message")));
    }
    let which = match (of.as_deref(), message) {
        (None, Some(number)) => Which::Message(number),
        (Some(_), Some(_)) => return Err(ApiError::bad_request("use either `of` or `message`")),
        (Some("request"), None) => Which::Request,
        (Some("response"), None) => Which::Response,
        (Some(other), None) => {
            return Err(ApiError::bad_request(format!("invalid of `{other}`: use request or response")));
        }
        (None, None) => return Err(ApiError::bad_request("`of` is missing: use request or response")),
    };
    let permit = shared.bounds.page().await?;
    let (bytes, name) = reading(&shared, move |shared| {
        let _permit = permit;
        let exchange = shared.log.find(&id)?;
        let body = which.of(&exchange)?;
        let bytes = if decoded { body.decoded().0 } else { body.bytes.clone() };
        let name = file_name(&exchange, which, &bytes, decoded || body.content_encoding.is_none());
        Ok::<_, ApiError>((bytes, name))
    })
    .await??;
    let media_type = shown(&bytes).map_or("application/octet-stream", |(media_type, _)| media_type);
    let disposition = format!("attachment; filename=\"{name}\"");
    Ok(([(header::CONTENT_TYPE, media_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)], bytes)
        .into_response())
}

/// Which body of an exchange.
#[derive(Debug, Clone, Copy)]
enum Which {
    Request,
    Response,
    Message(usize),
}

impl Which {
    fn of(self, exchange: &Exchange) -> Result<&Body, ApiError> {
        let missing =
            |what: String| ApiError::new(StatusCode::NOT_FOUND, format!("exchange {} has {what}", exchange.id));
        let body = match self {
            Self::Request => &exchange.request.body,
            Self::Response => &exchange.response.as_ref().ok_or_else(|| missing("no response".to_owned()))?.body,
            Self::Message(number) => {
                let messages = exchange.web_socket.as_ref().map_or(&[][..], |part| &part.messages);
                let count = messages.len();
                let message = messages.get(number);
                &message.ok_or_else(|| missing(format!("no WebSocket message {number}: it has {count}")))?.body
            }
        };
        match body.withheld {
            Some(withheld) => {
                Err(missing(format!("no such body in the log: it was withheld, as {}", withheld.reason())))
            }
            None => Ok(body),
        }
    }
}

/// The media type and extension of a format that is shown.
fn shown(bytes: &Bytes) -> Option<(&'static str, &'static str)> {
    let is = |magic: &[u8]| bytes.starts_with(magic) && (magic != b"RIFF" || bytes.get(8..12) == Some(b"WEBP"));
    SHOWN.iter().find(|(magic, ..)| is(magic)).map(|(_, media_type, extension)| (*media_type, *extension))
}

/// `reservations-getAll-2023-06-06-000A1C.response.json`: letters, digits, hyphens and dots only.
fn file_name(exchange: &Exchange, which: Which, bytes: &Bytes, is_plain: bool) -> String {
    let operation = exchange.operation.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let mut words: Vec<&str> = operation.filter(|word| !word.is_empty()).collect();
    words.truncate(8);
    let mut name: String = words.join("-").chars().take(80).collect();
    let id = exchange.id.to_string();
    name = format!("{name}-{}", &id[id.len() - 6..]).trim_start_matches('-').to_owned();
    let part = match which {
        Which::Request => "request".to_owned(),
        Which::Response => "response".to_owned(),
        Which::Message(number) => format!("message-{number}"),
    };
    let extension = match (shown(bytes), is_plain) {
        (Some((_, extension)), _) => extension,
        (None, true) if nightaudit_text::json::is_json(&String::from_utf8_lossy(bytes)) => "json",
        (None, true) if str::from_utf8(bytes).is_ok() => "txt",
        _ => "bin",
    };
    format!("{name}.{part}.{extension}")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use nightaudit_exchange::{Direction, Message, WebSocket, Withheld};

    use super::*;
    use crate::tests::{EXCHANGE, Opened, ask, console};

    fn opened(change: impl FnOnce(&mut Exchange)) -> Opened {
        let opened = console();
        let mut exchange: Exchange = serde_json::from_str(EXCHANGE).unwrap();
        change(&mut exchange);
        opened.log.record(exchange);
        opened
    }

    async fn get(opened: &Opened, query: &str) -> (Vec<u8>, String, String) {
        let response = opened.get(&format!("/api/v1/exchanges/last/body{query}"), None).await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let text = |name| response.headers()[name].to_str().unwrap().to_owned();
        let (media_type, disposition) = (text(header::CONTENT_TYPE), text(header::CONTENT_DISPOSITION));
        (response.into_body().collect().await.unwrap().to_bytes().to_vec(), media_type, disposition)
    }

    #[tokio::test]
    async fn a_body_is_a_file_as_it_was_on_the_wire_or_decoded() {
        let opened = opened(|exchange| {
            let response = exchange.response.as_mut().unwrap();
            // `gzip` of `[1]`.
            let packed = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\x8b6\x8c\x05\0\xb82/L\x03\0\0\0".to_vec();
            response.body = Body::whole(packed.into());
            response.body.content_encoding = Some("gzip".into());
        });
        let (bytes, media_type, disposition) = get(&opened, "?of=request").await;
        assert_eq!((&bytes[..], &*media_type), (&b"{}"[..], "application/octet-stream"));
        assert_eq!(disposition, "attachment; filename=\"configuration-get-00000A.request.json\"");
        let (bytes, _, disposition) = get(&opened, "?of=response").await;
        assert!(bytes.starts_with(b"\x1f\x8b") && disposition.ends_with(".response.bin\""), "{disposition}");
        let (bytes, media_type, disposition) = get(&opened, "?of=response&decoded=true").await;
        assert!(disposition.ends_with(".response.json\""), "{disposition} {bytes:?}");
        assert_eq!((&bytes[..], &*media_type), (&b"[1]"[..], "application/octet-stream"));
    }

    #[tokio::test]
    async fn only_known_formats_have_a_type_whatever_was_declared() {
        for (bytes, expected, extension) in [
            (&b"\x89PNG\r\n\x1a\nx"[..], "image/png", "png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg", "jpg"),
            (b"GIF89a", "image/gif", "gif"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp", "webp"),
            (b"RIFF\0\0\0\0WAVE", "application/octet-stream", "txt"),
            (b"%PDF-1.7", "application/pdf", "pdf"),
            (b"<svg onload='alert(1)'/>", "application/octet-stream", "txt"),
            (b"<!doctype html><script>alert(1)</script>", "application/octet-stream", "txt"),
            (b"", "application/octet-stream", "txt"),
            (b"\xfe\xff", "application/octet-stream", "bin"),
        ] {
            let opened = opened(|exchange| {
                let response = exchange.response.as_mut().unwrap();
                response.headers =
                    vec![nightaudit_exchange::Header { name: "Content-Type".into(), value: "text/html".into() }];
                response.body = Body::whole(bytes.to_vec().into());
            });
            let (got, media_type, disposition) = get(&opened, "?of=response").await;
            assert_eq!((&got[..], &*media_type), (bytes, expected));
            assert!(disposition.ends_with(&format!(".response.{extension}\"")), "{disposition}");
        }
    }

    #[tokio::test]
    async fn a_hostile_operation_makes_a_plain_name() {
        let name = opened(|exchange| exchange.operation = "/../\"\r\nX: é/<b>/%2e%2e;a=b\\c".to_owned());
        let (_, _, disposition) = get(&name, "?of=request").await;
        assert_eq!(disposition, "attachment; filename=\"X-b-2e-2e-a-b-c-00000A.request.json\"");
        let name = opened(|exchange| exchange.operation = "é".repeat(5000));
        assert_eq!(get(&name, "?of=request").await.2, "attachment; filename=\"00000A.request.json\"");
        let name = opened(|exchange| exchange.operation = "a".repeat(5000));
        assert!(get(&name, "?of=request").await.2.len() < 150);
    }

    #[tokio::test]
    async fn a_message_of_a_web_socket_is_one_too() {
        let opened = opened(|exchange| {
            let message = |text: &'static [u8]| Message {
                time: exchange.started_at,
                direction: Direction::Send,
                opcode: 1,
                body: Body::whole(Bytes::from_static(text)),
            };
            let messages = vec![message(b"one"), message(b"two")];
            exchange.web_socket = Some(WebSocket {
                handshake: exchange.id,
                part: 1,
                messages,
                omitted: Default::default(),
                unreadable_bytes: 0,
                ended: false,
            });
        });
        let (bytes, _, disposition) = get(&opened, "?message=1").await;
        assert_eq!(bytes, b"two");
        assert!(disposition.ends_with(".message-1.txt\""), "{disposition}");
        let (status, body) = ask(&opened, "GET", "/api/v1/exchanges/last/body?message=2", true).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body.contains("no WebSocket message 2: it has 2"), "{body}");
    }

    #[tokio::test]
    async fn what_is_not_there_is_named() {
        let opened = opened(|exchange| {
            exchange.response = None;
            exchange.request.body = Body { withheld: Some(Withheld::Unreadable), length: 9, ..Body::empty() };
        });
        for (query, status, named) in [
            ("?of=response", StatusCode::NOT_FOUND, "no response"),
            ("?of=request", StatusCode::NOT_FOUND, "withheld"),
            ("", StatusCode::BAD_REQUEST, "of"),
            ("?of=both", StatusCode::BAD_REQUEST, "both"),
            ("?of=request&message=0", StatusCode::BAD_REQUEST, "either"),
            ("?message=-1", StatusCode::BAD_REQUEST, "message"),
            ("?of=request&decoded=1", StatusCode::BAD_REQUEST, "decoded"),
            ("?of=request&as=x", StatusCode::BAD_REQUEST, "`as`"),
        ] {
            let (code, body) = ask(&opened, "GET", &format!("/api/v1/exchanges/last/body{query}"), true).await;
            assert_eq!(code, status, "{query}: {body}");
            assert!(body.contains(named), "{query}: {body}");
        }
    }
}
