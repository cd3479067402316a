//! The answers that the proxy gives itself, in Mews' shape.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use nightaudit_exchange::{Failure, FailureKind, Outcome, redact_text};

use crate::headers::{ERROR, LIMITED};

/// Why Mews' answer is not what the integration gets.
#[derive(Debug)]
pub(crate) enum LocalResponse {
    /// A limit refused the request.
    Limited {
        environment: String,
        rule: String,
        used: u32,
        limit: u32,
        /// Mews has refused requests of the same key, whatever the window says.
        closed: bool,
        retry_after_secs: u64,
    },
    /// Something went wrong.
    Failed(Failure),
}

impl LocalResponse {
    pub(crate) fn failed(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::Failed(Failure { kind, message: message.into() })
    }

    /// What the record says of it.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Limited { .. } => Outcome::Refused,
            Self::Failed(failure) => match failure.kind {
                FailureKind::Malformed
                | FailureKind::Framing
                | FailureKind::HeadTooLarge
                | FailureKind::RequestTimeout
                | FailureKind::Misdirected
                | FailureKind::Method
                | FailureKind::Overloaded => Outcome::Rejected,
                FailureKind::ClientLeft | FailureKind::ClientStalled => Outcome::Aborted,
                _ => Outcome::Failed,
            },
        }
    }

    /// The status that the integration gets for it: the one place where causes become statuses.
    pub(crate) fn status(&self) -> StatusCode {
        let Self::Failed(failure) = self else {
            return StatusCode::TOO_MANY_REQUESTS;
        };
        match failure.kind {
            FailureKind::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            FailureKind::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            FailureKind::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            FailureKind::Method => StatusCode::METHOD_NOT_ALLOWED,
            FailureKind::ConnectTimeout | FailureKind::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::Store | FailureKind::LimitStore | FailureKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Malformed | FailureKind::Framing | FailureKind::ClientLeft => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// The answer.
    pub(crate) fn response(&self) -> Response<Bytes> {
        let message = match self {
            Self::Limited { closed: true, retry_after_secs, .. } => {
                format!(
                    "Too many requests: Mews has refused this token's last ones. Try again in {retry_after_secs} s."
                )
            }
            Self::Limited { environment, rule, used, limit, retry_after_secs, .. } => format!(
                "Too many requests: {used} of the {limit} that the rule {environment}/{rule} allows. \
                 Try again in {retry_after_secs} s."
            ),
            // What the request says may be quoted in it.
            Self::Failed(failure) => {
                String::from_utf8_lossy(&redact_text(failure.message.as_bytes(), &[])).into_owned()
            }
        };
        let body = Bytes::from(nightaudit_mews::error_body(&message, None));
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        let length = HeaderValue::from(response.body().len());
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        fields.insert(CONTENT_LENGTH, length);
        match self {
            Self::Limited { environment, rule, retry_after_secs, .. } => {
                fields.insert(RETRY_AFTER, HeaderValue::from(*retry_after_secs));
                if let Ok(limited) = HeaderValue::from_str(&format!("{environment}/{rule}")) {
                    fields.insert(LIMITED, limited);
                }
            }
            Self::Failed(failure) => {
                fields.insert(ERROR, HeaderValue::from_static(failure.kind.as_str()));
                if failure.kind == FailureKind::Method {
                    fields.insert(ALLOW, HeaderValue::from_static("POST, GET, HEAD, OPTIONS"));
                } else if matches!(failure.kind, FailureKind::Store | FailureKind::LimitStore) {
                    // The log is tried again every second, and the limits are asked with every request.
                    fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_when_to_come_back_and_who_refused() {
        let stop = LocalResponse::Limited {
            environment: "demo".into(),
            rule: "published".into(),
            used: 200,
            limit: 200,
            closed: false,
            retry_after_secs: 7,
        };
        let response = stop.response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "7");
        assert_eq!(response.headers()[LIMITED], "demo/published");
        assert!(response.body().starts_with(b"{\"Message\":"));
        assert_eq!(stop.outcome(), Outcome::Refused);
    }

    #[test]
    fn a_failure_names_its_kind() {
        let stop = LocalResponse::failed(FailureKind::Connect, "nobody listens");
        let response = stop.response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[ERROR]),
            (502, &HeaderValue::from_static("connect"))
        );
        assert_eq!(stop.outcome(), Outcome::Failed);
        assert_eq!(LocalResponse::failed(FailureKind::RequestTimeout, "").outcome(), Outcome::Rejected);
    }
}
