//! Responses as Mews sends them.

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::SystemTime;

use base64::Engine as _;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use serde_json::{Value, json};

/// Smaller bodies are not worth compressing.
const MIN_COMPRESSED: usize = 1024;

/// Compressing more would block other requests on the same thread.
const MAX_INLINE_COMPRESSION: usize = 256 << 10;

/// The header by which Mews' support finds a request.
const REQUEST_ID: &str = "request-id";

/// A Mews error: status, message and details.
#[derive(Debug)]
pub(crate) struct Rejection {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) details: Option<Vec<String>>,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Rejection {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), details: None, retry_after: None }
    }

    pub(crate) fn with_details(self, details: Vec<String>) -> Self {
        Self { details: Some(details), ..self }
    }

    pub(crate) fn response(self, id: &str) -> Response<Body> {
        let details = self.details.map_or(Value::Null, |details| details.join("\n").into());
        let body = json!({ "Message": self.message, "RequestId": id, "Details": details });
        let mut response = json_response(self.status, id, Body::from(body.to_string()));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

/// A complete JSON response, compressed if the client accepts gzip.
pub(crate) async fn ok(body: Vec<u8>, size: Option<u64>, id: &str, request: &HeaderMap) -> Response<Body> {
    if let Some(size) = size {
        return json_response(StatusCode::OK, id, Body::padded(body, size));
    }
    if body.len() < MIN_COMPRESSED || !accepts_gzip(request) {
        return json_response(StatusCode::OK, id, Body::from(body));
    }
    let compressed = if body.len() > MAX_INLINE_COMPRESSION {
        tokio::task::spawn_blocking(move || gzip(&body)).await.unwrap_or_default()
    } else {
        gzip(&body)
    };
    let mut response = json_response(StatusCode::OK, id, Body::from(compressed));
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// A response without a body.
pub(crate) fn no_content(id: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    identify(&mut response, id);
    response
}

fn json_response(status: StatusCode, id: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    identify(&mut response, id);
    response
}

/// Adds the request id and the date, as on every response.
pub(crate) fn identify(response: &mut Response<Body>, id: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(header::DATE, date);
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to a vector can't fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        ["gzip", "*"].contains(&name.trim()) && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// A response body: bytes, with padding between them if a size was requested.
#[derive(Debug)]
pub struct Body {
    head: Bytes,
    padding: u64,
    tail: Bytes,
}

/// Padding that compresses poorly, like files in real responses.
static PADDING: LazyLock<Bytes> = LazyLock::new(|| {
    let mut rng = fastrand::Rng::with_seed(0);
    let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(48 << 10).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
});

impl Body {
    pub(crate) fn empty() -> Self {
        Self::from(Vec::new())
    }

    /// Adds a property `Padding` to a JSON object, bringing it to `size` bytes unless it is larger already.
    fn padded(mut object: Vec<u8>, size: u64) -> Self {
        if object.pop() != Some(b'}') {
            return Self::from(object);
        }
        if object.len() > 1 {
            object.push(b',');
        }
        object.extend_from_slice(br#""Padding":""#);
        let tail = Bytes::from_static(br#""}"#);
        let padding = size.saturating_sub((object.len() + tail.len()) as u64);
        Self { head: object.into(), padding, tail }
    }

    fn left(&self) -> u64 {
        self.head.len() as u64 + self.padding + self.tail.len() as u64
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(whole: T) -> Self {
        Self { head: whole.into(), padding: 0, tail: Bytes::new() }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = if !self.head.is_empty() {
            std::mem::take(&mut self.head)
        } else if self.padding > 0 {
            let chunk = PADDING.slice(..usize::try_from(self.padding).unwrap_or(usize::MAX).min(PADDING.len()));
            self.padding -= chunk.len() as u64;
            chunk
        } else {
            std::mem::take(&mut self.tail)
        };
        Poll::Ready((!chunk.is_empty()).then(|| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn gzip_is_negotiated() {
        for (value, takes) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("*", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; q=x", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(accepts_gzip(&headers), takes, "{value}");
        }
    }

    #[tokio::test]
    async fn padding_reaches_the_size_and_stays_json() {
        for (object, size) in [("{}", 100_000), (r#"{"Resources":[1]}"#, 200_001), (r#"{"A":1}"#, 3)] {
            let body = Body::padded(object.as_bytes().to_vec(), size);
            let hint = http_body::Body::size_hint(&body).exact();
            let bytes = body.collect().await.unwrap().to_bytes();
            assert_eq!(hint, Some(bytes.len() as u64));
            assert_eq!(bytes.len() as u64, size.max((object.len() + if object == "{}" { 12 } else { 13 }) as u64));
            assert!(serde_json::from_slice::<Value>(&bytes).unwrap()["Padding"].is_string());
        }
    }
}
