//! The exchange itself and its parts.

use std::{fmt, net::SocketAddr, time::Duration};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::{
    Alteration, Destination, Digest, Direction, ExchangeId, Message, Note, Pseudonym, SessionId, Timestamp, WebSocket,
    body::{Body, BodyJson},
};

/// One request and what became of it, free of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// The exchange's own id.
    pub id: ExchangeId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The session's name when the exchange was recorded.
    pub session_name: CompactString,
    /// Its place in the session: 1 for the first.
    pub sequence: u64,
    /// The environment's name: `demo`, `production` or one of the configuration's own.
    pub environment: CompactString,
    /// The address after `/api/connector/v1/`; for any other address the whole path, beginning with `/`.
    pub operation: String,
    /// When the request's head had arrived.
    pub started_at: Timestamp,
    /// Microseconds from then to the later events.
    pub times_us: TimesUs,
    /// The integration's address; none where the exchange was imported without it.
    pub peer: Option<SocketAddr>,
    /// What the request says of its sender.
    pub envelope: Envelope,
    /// The request.
    pub request: Request,
    /// The answer that the integration got, from Mews or from the proxy itself; none where it got none.
    pub response: Option<Response>,
    /// What the limiter said; none where the request did not get as far.
    pub limit: Option<AdmissionRecord>,
    /// What became of the request.
    pub outcome: Outcome,
    /// Why there is no answer from Mews.
    pub error: Option<Failure>,
    /// What was said over a WebSocket, where this is a part of that; see [`WebSocket`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_socket: Option<WebSocket>,
    /// The connection that the request left by; none where it was not sent, and in exchanges of versions that did not
    /// record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// How it differs from what was recorded, for an exchange that was imported; none where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alteration: Option<Alteration>,
    /// What is to be known beside the messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// The hash of the exchange before it in the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_hash: Option<Digest>,
    /// The exchange's own hash; see [`chain`](crate::chain).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Digest>,
}

impl Exchange {
    /// The time from the request's head to the last thing that happened.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let times = &self.times_us;
        let last = times.response_end.or(times.response_head).or(times.forwarded).unwrap_or(0);
        Duration::from_micros(last)
    }

    /// When the request was handed to the connection to Mews; none where it never was.
    #[must_use]
    pub fn forwarded_at(&self) -> Option<Timestamp> {
        Some(self.started_at.plus(Duration::from_micros(self.times_us.forwarded?)))
    }

    /// All that is a body: the request's, the answer's, and the payloads of a WebSocket's messages.
    pub fn bodies(&self) -> impl Iterator<Item = &Body> {
        let answer = self.response.as_ref().map(|response| &response.body);
        let messages = self.web_socket.iter().flat_map(|part| &part.messages).map(|message| &message.body);
        std::iter::once(&self.request.body).chain(answer).chain(messages)
    }

    /// As [`bodies`](Self::bodies), to be changed.
    pub fn bodies_mut(&mut self) -> impl Iterator<Item = &mut Body> {
        let answer = self.response.as_mut().map(|response| &mut response.body);
        let messages = self.web_socket.iter_mut().flat_map(|part| &mut part.messages).map(|message| &mut message.body);
        std::iter::once(&mut self.request.body).chain(answer).chain(messages)
    }

    /// The status that the integration got; none where it got no answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|response| response.status)
    }

    /// The `Request-Id` by which Mews' staff look the call up.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.response.as_ref()?.request_id.as_deref()
    }
}

/// Microseconds from the arrival of the request's head, by a monotonic clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimesUs {
    /// To the hand-over of the request to the connection to Mews.
    pub forwarded: Option<u64>,
    /// To the arrival of the answer's head.
    pub response_head: Option<u64>,
    /// To the arrival of the answer's end.
    pub response_end: Option<u64>,
}

/// What a request's body (or a WebSocket's cookies) says of its sender.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// `Client`: name and version of the integration.
    pub client: Option<String>,
    /// `ClientToken`: the integration.
    pub client_token: Option<Pseudonym>,
    /// `AccessToken`: the enterprise.
    pub access_token: Option<Pseudonym>,
    /// Whether the request uses pagination: it has a `Limitation`.
    pub paginated: bool,
}

/// A request as it was received.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", try_from = "RequestJson")]
pub struct Request {
    /// `POST`, mostly.
    pub method: CompactString,
    /// The address at Mews, target and query unchanged.
    pub url: String,
    /// `HTTP/1.1` and the like, as the integration spoke.
    pub http_version: CompactString,
    /// The header fields in the order they came, names spelt as they were.
    pub headers: Vec<Header>,
    /// The body.
    #[serde(flatten)]
    pub body: Body,
}

/// An answer as the integration got it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", try_from = "ResponseJson")]
pub struct Response {
    /// 200 and the like.
    pub status: u16,
    /// `HTTP/1.1` and the like, as Mews spoke.
    pub http_version: CompactString,
    /// The reason phrase after the status; none in HTTP/2, which has none, and in exchanges of versions that did not
    /// record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CompactString>,
    /// The header fields.
    pub headers: Vec<Header>,
    /// The value of `Request-Id`, or `RequestId` in the body of an error.
    pub request_id: Option<String>,
    /// The body.
    #[serde(flatten)]
    pub body: Body,
}

/// One header field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The name as it was spelt.
    pub name: CompactString,
    /// The value; bytes that are not UTF-8 are read as Latin-1.
    pub value: CompactString,
}

/// What the limiter said of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionRecord {
    /// What was decided.
    pub decision: Decision,
    /// The rule that decided: the one that refused, else the one with the least left.
    pub rule: String,
    /// Places taken in that rule's window, this request's included if it was admitted.
    pub used: u32,
    /// Places in that rule's window.
    pub limit: u32,
    /// Milliseconds the request was held back.
    pub waited_ms: u64,
    /// Seconds after which the request would be admitted; none where it was.
    pub retry_after_s: Option<u64>,
}

/// A limiter's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Let through at once.
    Admitted,
    /// Answered 429 by the proxy.
    Refused,
    /// Let through after a wait.
    Delayed,
    /// Let through, though it would have been refused.
    Observed,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Mews answered, whatever the status.
    Answered,
    /// A limit kept it from being forwarded.
    Refused,
    /// It could not be forwarded: malformed, misdirected, incomplete.
    Rejected,
    /// Mews gave no answer, or not the whole of one.
    Failed,
    /// The integration left before it had the answer.
    Aborted,
    /// The proxy was killed while it was under way.
    Interrupted,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Interrupted => "interrupted",
        })
    }
}

/// Why there is no answer from Mews.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind, which the integration sees in `X-Nightaudit-Error`.
    pub kind: FailureKind,
    /// A sentence for a person.
    pub message: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The request is not HTTP, or breaks its grammar (400).
    Malformed,
    /// The request's length can be read in two ways (400).
    Framing,
    /// The request's head is larger than allowed (431).
    HeadTooLarge,
    /// The request's head or body did not arrive in time (408).
    RequestTimeout,
    /// The request is for a host that is not the environment's (421).
    Misdirected,
    /// The request's method is not forwarded: CONNECT (405).
    Method,
    /// Too many WebSockets are open, too much waits in memory to be forwarded, or too many requests came at once on a
    /// connection of HTTP/2 (503).
    Overloaded,
    /// The integration left.
    ClientLeft,
    /// The client did not take the response in time.
    ClientStalled,
    /// Mews' host name could not be resolved (502).
    Resolve,
    /// No connection to Mews (502).
    Connect,
    /// No TLS session with Mews (502).
    Tls,
    /// The corporate proxy on the way to Mews refused (502).
    UpstreamProxy,
    /// No connection to Mews in time (504).
    ConnectTimeout,
    /// No answer from Mews in time (504).
    ResponseTimeout,
    /// Mews stopped in the middle of its answer for too long.
    BodyTimeout,
    /// Mews closed the connection before it answered (502).
    Closed,
    /// What Mews answered is not HTTP (502).
    InvalidResponse,
    /// Mews' answer ended before the length that it promised.
    Incomplete,
    /// The log can't be written (503).
    Store,
    /// Whoever keeps the limits can't be asked, and without them nothing is sent (503).
    LimitStore,
    /// The proxy was killed or stopped.
    Interrupted,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FailureKind {
    /// The kind as it stands in JSON and in `X-Nightaudit-Error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Framing => "framing",
            Self::HeadTooLarge => "head-too-large",
            Self::RequestTimeout => "request-timeout",
            Self::Misdirected => "misdirected",
            Self::Method => "method",
            Self::Overloaded => "overloaded",
            Self::ClientLeft => "client-left",
            Self::ClientStalled => "client-stalled",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::UpstreamProxy => "upstream-proxy",
            Self::ConnectTimeout => "connect-timeout",
            Self::ResponseTimeout => "response-timeout",
            Self::BodyTimeout => "body-timeout",
            Self::Closed => "closed",
            Self::InvalidResponse => "invalid-response",
            Self::Incomplete => "incomplete",
            Self::Store => "store",
            Self::LimitStore => "limit-store",
            Self::Interrupted => "interrupted",
        }
    }
}

// What `Request` and `Response` are read from: serde's `flatten` buffers all it reads, which these avoid.

macro_rules! message_json {
    ($json:ident for $message:ident { $($(#[$meta:meta])* $field:ident: $type:ty),* }) => {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub(crate) struct $json {
            $($(#[$meta])* $field: $type,)*
            #[serde(default)]
            body: Option<String>,
            #[serde(default)]
            body_encoding: Option<crate::body::BodyEncoding>,
            #[serde(default)]
            wire_body: Option<String>,
            #[serde(default)]
            content_encoding: Option<String>,
            body_length: u64,
            body_sha256: Digest,
            #[serde(default)]
            stored_sha256: Option<Digest>,
            truncated: bool,
            #[serde(default)]
            masked: bool,
            #[serde(default)]
            withheld: Option<crate::Withheld>,
        }

        impl TryFrom<$json> for $message {
            type Error = base64::DecodeError;

            fn try_from(json: $json) -> Result<Self, Self::Error> {
                Ok(Self {
                    $($field: json.$field,)*
                    body: BodyJson {
                        body: json.body,
                        body_encoding: json.body_encoding,
                        wire_body: json.wire_body,
                        content_encoding: json.content_encoding,
                        body_length: json.body_length,
                        body_sha256: json.body_sha256,
                        stored_sha256: json.stored_sha256,
                        truncated: json.truncated,
                        masked: json.masked,
                        withheld: json.withheld,
                    }
                    .read()?,
                })
            }
        }
    };
}

message_json!(RequestJson for Request { method: CompactString, url: String, http_version: CompactString, headers: Vec<Header> });
message_json!(ResponseJson for Response {
    status: u16, http_version: CompactString, #[serde(default)] reason: Option<CompactString>, headers: Vec<Header>,
    request_id: Option<String>
});
message_json!(MessageJson for Message {
    time: Timestamp, #[serde(rename = "type")] direction: Direction, opcode: u8
});

/// An exchange for the tests.
#[cfg(test)]
pub(crate) fn sample() -> Exchange {
    Exchange {
        id: ExchangeId::from_parts(2, 2),
        session: SessionId::from_parts(1, 1),
        session_name: "certification".into(),
        sequence: 1,
        environment: "demo".into(),
        operation: "configuration/get".into(),
        started_at: Timestamp::from_micros(1_000_000),
        times_us: TimesUs { forwarded: Some(10), response_head: Some(400_000), response_end: Some(500_000) },
        peer: Some(SocketAddr::from(([127, 0, 0, 1], 51_234))),
        envelope: Envelope {
            client: Some("Acme Kiosk 2.1.0".into()),
            client_token: Some(Pseudonym::of(b"client")),
            access_token: Some(Pseudonym::of(b"access")),
            paginated: false,
        },
        request: Request {
            method: "POST".into(),
            url: "https://api.mews-demo.com/api/connector/v1/configuration/get".into(),
            http_version: "HTTP/1.1".into(),
            headers: vec![Header { name: "Content-Type".into(), value: "application/json".into() }],
            body: Body::whole("{}".into()),
        },
        response: Some(Response {
            status: 200,
            http_version: "HTTP/2".into(),
            reason: None,
            headers: vec![Header { name: "Request-Id".into(), value: "00-ABC-01".into() }],
            request_id: Some("00-ABC-01".into()),
            body: Body::whole("{\"Enterprise\":{}}".into()),
        }),
        limit: Some(AdmissionRecord {
            decision: Decision::Admitted,
            rule: "published".into(),
            used: 1,
            limit: 200,
            waited_ms: 0,
            retry_after_s: None,
        }),
        outcome: Outcome::Answered,
        error: None,
        web_socket: None,
        destination: None,
        alteration: None,
        notes: Vec::new(),
        previous_hash: None,
        hash: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_kind_is_spelt_alike_in_json_and_in_the_header() {
        for kind in [
            FailureKind::Malformed,
            FailureKind::HeadTooLarge,
            FailureKind::UpstreamProxy,
            FailureKind::InvalidResponse,
            FailureKind::Interrupted,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
