//! Responses that the proxy makes itself, in the format of Mews.

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use nightaudit_exchange::{Api, Failure, FailureKind, Outcome};

use crate::headers::{ERROR, FAULT, LIMITED};

/// A response that the proxy makes instead of Mews.
#[derive(Debug)]
pub(crate) enum LocalResponse {
    /// A limit refused the request.
    Limited {
        environment: String,
        rule: String,
        used: u32,
        limit: u32,
        /// Mews has rejected requests with the same key, regardless of the window.
        closed: bool,
        retry_after_secs: u64,
    },
    /// A fault rule made up this response.
    Injected {
        status: StatusCode,
        retry_after_secs: Option<u64>,
        /// What was injected, for the header.
        fault: String,
    },
    /// The request failed or was invalid.
    Failed(Failure),
}

impl LocalResponse {
    pub(crate) fn failed(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::Failed(Failure { kind, message: message.into() })
    }

    /// Redacts what its message may quote of the request or the upstream's response.
    pub(crate) fn redacted(mut self, redact: impl FnOnce(&[u8]) -> Cow<'_, [u8]>) -> Self {
        if let Self::Failed(failure) = &mut self
            && let Cow::Owned(redacted) = redact(failure.message.as_bytes())
        {
            failure.message = String::from_utf8_lossy(&redacted).into_owned();
        }
        self
    }

    /// Returns the outcome to record.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Limited { .. } => Outcome::Refused,
            Self::Injected { .. } => Outcome::Faulted,
            Self::Failed(failure) => failure.kind.outcome(),
        }
    }

    /// Returns the status for the client. The only mapping of causes to statuses.
    pub(crate) fn status(&self) -> StatusCode {
        let failure = match self {
            Self::Limited { .. } => return StatusCode::TOO_MANY_REQUESTS,
            Self::Injected { status, .. } => return *status,
            Self::Failed(failure) => failure,
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

    /// Returns the response, in the form of this API's errors.
    pub(crate) fn response(&self, api: &'static Api) -> Response<Bytes> {
        let message = match self {
            Self::Limited { closed: true, retry_after_secs, .. } => {
                format!(
                    "Too many requests: {} has rejected recent requests with this token. Try again in {retry_after_secs} s.",
                    api.name
                )
            }
            Self::Limited { environment, rule, used, limit, retry_after_secs, .. } => format!(
                "Too many requests: {used} of the {limit} that the rule {environment}/{rule} allows. \
                 Try again in {retry_after_secs} s."
            ),
            Self::Injected { status, .. } => {
                let reason = status.canonical_reason().unwrap_or("Error");
                format!("{reason}. This response was made up by a fault rule of nightaudit.")
            }
            Self::Failed(failure) => failure.message.clone(),
        };
        let body = Bytes::from(api.error_body(&message));
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        let length = HeaderValue::from(response.body().len());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert(CONTENT_LENGTH, length);
        match self {
            Self::Limited { environment, rule, retry_after_secs, .. } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*retry_after_secs));
                if let Ok(limited) = HeaderValue::from_str(&format!("{environment}/{rule}")) {
                    headers.insert(LIMITED, limited);
                }
            }
            Self::Injected { retry_after_secs, fault, .. } => {
                if let Some(seconds) = retry_after_secs {
                    headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
                }
                if let Ok(fault) = HeaderValue::from_str(fault) {
                    headers.insert(FAULT, fault);
                }
            }
            Self::Failed(failure) => {
                headers.insert(ERROR, HeaderValue::from_static(failure.kind.as_str()));
                if failure.kind == FailureKind::Method {
                    headers.insert(ALLOW, HeaderValue::from_static("POST, GET, HEAD, OPTIONS"));
                } else if matches!(failure.kind, FailureKind::Store | FailureKind::LimitStore) {
                    // Writes to the log are retried every second, and the limiter is asked with every request.
                    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_mews::API;

    use super::*;

    #[test]
    fn a_refusal_says_when_to_retry_and_which_rule_refused() {
        let local_response = LocalResponse::Limited {
            environment: "demo".into(),
            rule: "published".into(),
            used: 200,
            limit: 200,
            closed: false,
            retry_after_secs: 7,
        };
        let response = local_response.response(&API);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "7");
        assert_eq!(response.headers()[LIMITED], "demo/published");
        assert!(response.body().starts_with(b"{\"Message\":"));
        assert_eq!(local_response.outcome(), Outcome::Refused);
    }

    #[test]
    fn a_failure_names_its_kind() {
        let local_response = LocalResponse::failed(FailureKind::Connect, "nobody listens");
        let response = local_response.response(&API);
        assert_eq!(
            (response.status().as_u16(), &response.headers()[ERROR]),
            (502, &HeaderValue::from_static("connect"))
        );
        assert_eq!(local_response.outcome(), Outcome::Failed);
        assert_eq!(LocalResponse::failed(FailureKind::RequestTimeout, "").outcome(), Outcome::Rejected);
    }
}
