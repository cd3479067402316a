//! Secrets replaced by pseudonyms.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    Body, Capture, CapturedBody, Digest, Envelope, Exchange, Header, Pseudonym, Request, Response, SessionId, TimesUs,
};

mod head;

/// Turns captures into exchanges free of secrets.
#[derive(Debug, Default)]
pub struct Redactor {}

impl Redactor {
    /// A redactor that also replaces the values of these JSON fields, wherever they stand in a body.
    #[must_use]
    pub fn new(_fields: &[String]) -> Self {
        Self {}
    }

    /// Makes an exchange of a capture, as number `sequence` of the session; its hashes are left open.
    #[must_use]
    pub fn exchange(&mut self, capture: Capture, session: SessionId, session_name: &str, sequence: u64) -> Exchange {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut secrets: Vec<String> = Vec::new();
        secrets.extend(capture.envelope.access_token.iter().map(|t| t.to_string()));
        secrets.extend(capture.envelope.client_token.iter().map(|t| t.to_string()));
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).filter(|s| !s.is_empty()).collect();
        let target = clean(&secrets, &latin(&capture.request.target));
        let headers = |head: &crate::Head| {
            let mut list = Vec::new();
            head::fields(head, |name, value| {
                list.push(Header { name: latin(name), value: clean(&secrets, &latin(value)) });
            });
            list
        };
        let request = Request {
            method: capture.request.method.to_string(),
            url: if target.starts_with('/') { format!("{}{target}", capture.request.origin) } else { target.clone() },
            http_version: format!("{:?}", capture.request.version),
            headers: headers(&capture.request.head),
            body: body(&secrets, capture.request.body),
        };
        let response = capture.response.map(|response| {
            let headers = headers(&response.head);
            Response {
                status: response.status.as_u16(),
                http_version: format!("{:?}", response.version),
                request_id: headers
                    .iter()
                    .find(|header| header.name.eq_ignore_ascii_case("request-id"))
                    .map(|header| header.value.clone()),
                headers,
                body: body(&secrets, response.body),
            }
        });
        Exchange {
            id: capture.id,
            session,
            session_name: session_name.to_owned(),
            sequence,
            environment: capture.environment.to_string(),
            operation: operation(&target).to_owned(),
            started_at: capture.received,
            times_us: TimesUs {
                forwarded: capture.forwarded.map(micros),
                response_head: capture.response_head.map(micros),
                response_end: capture.response_end.map(micros),
            },
            peer: Some(capture.peer),
            envelope: Envelope {
                client: capture.envelope.client.map(String::from),
                client_token: capture.envelope.client_token.map(|token| Pseudonym::of(token.as_bytes())),
                access_token: capture.envelope.access_token.map(|token| Pseudonym::of(token.as_bytes())),
                paginated: capture.envelope.paginated,
            },
            request,
            response,
            limit: capture.limit,
            outcome: capture.outcome,
            error: capture.error,
            previous_hash: None,
            hash: None,
        }
    }
}

fn latin(bytes: &[u8]) -> String {
    str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|&byte| char::from(byte)).collect(), str::to_owned)
}

fn clean(secrets: &[&str], text: &str) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        text = text.replace(secret, &Pseudonym::of(secret.as_bytes()).to_string());
    }
    text
}

fn operation(target: &str) -> &str {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    path.strip_prefix("/api/connector/v1/").filter(|operation| !operation.is_empty()).unwrap_or(path)
}

fn body(secrets: &[&str], body: CapturedBody) -> Body {
    let bytes = Bytes::from(body.kept.concat());
    let truncated = body.length > bytes.len() as u64;
    let sha256 = body.sha256.unwrap_or_else(|| Digest::of(&bytes));
    let clean = str::from_utf8(&bytes).map_or_else(|_| bytes.clone(), |text| Bytes::from(clean(secrets, text)));
    Body {
        stored_sha256: (truncated || clean != bytes).then(|| Digest::of(&clean)),
        bytes: clean,
        length: body.length,
        sha256,
        content_encoding: None,
        truncated,
        masked: false,
    }
}
