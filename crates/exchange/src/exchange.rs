//! The exchange and its parts.

use std::{fmt, net::SocketAddr, time::Duration};

use compact_str::CompactString;
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    Alteration, Destination, Digest, Direction, ExchangeId, InjectedFault, Message, Note, Pseudonym, SessionId,
    Timestamp, WebSocket,
    body::{Body, BodyJson},
};

/// One request with its response or failure, free of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// The exchange's id.
    pub id: ExchangeId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The session's name at the time of recording.
    pub session_name: CompactString,
    /// Its position in the session, from 1.
    pub sequence: u64,
    /// The environment's name: `demo`, `production`, or a configured one.
    pub environment: CompactString,
    /// The path after `/api/connector/v1/`; for any other path the whole of it, with its leading `/`.
    pub operation: String,
    /// When the request's head was complete.
    pub started_at: Timestamp,
    /// Microseconds from then to later events.
    pub times_us: TimesUs,
    /// The client's address; `None` if the exchange was imported without it.
    pub peer: Option<SocketAddr>,
    /// The client and tokens named by the request.
    pub envelope: Envelope,
    /// The request.
    pub request: Request,
    /// The response the client received, from Mews or from the proxy itself; `None` if it received none.
    pub response: Option<Response>,
    /// The limiter's decision; `None` if the request did not reach the limiter.
    pub limit: Option<AdmissionRecord>,
    /// The outcome.
    pub outcome: Outcome,
    /// Why there is no response from Mews.
    pub error: Option<Failure>,
    /// WebSocket messages, if this exchange is a part of a connection; see [`WebSocket`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_socket: Option<WebSocket>,
    /// The connection that carried the request; `None` if it was not sent, and in exchanges from versions that did not
    /// record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// What fault rules did to it; `None` if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Box<InjectedFault>>,
    /// The exchange whose request this one sent again; `None` if a client sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resent_from: Option<ExchangeId>,
    /// Who sent the request.
    #[serde(default, skip_serializing_if = "CallDirection::is_outgoing")]
    pub direction: CallDirection,
    /// How an imported exchange differs from what was recorded; `None` if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alteration: Option<Alteration>,
    /// The tool that recorded it, as its file states, if that was not nightaudit: `WebInspector 537.36`. Covered by the
    /// hash chain, so that an import stays recognisable however it is exported and imported again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<CompactString>,
    /// Remarks about the messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// The hash of the previous exchange in the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_hash: Option<Digest>,
    /// The exchange's own hash; see [`chain`](crate::chain).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Digest>,
}

impl Exchange {
    /// Time from the request's head to the last event.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let times = &self.times_us;
        let last = times.response_end.or(times.response_head).or(times.forwarded).unwrap_or(0);
        Duration::from_micros(last)
    }

    /// When the request was handed to the upstream connection; `None` if it never was.
    #[must_use]
    pub fn forwarded_at(&self) -> Option<Timestamp> {
        Some(self.started_at.plus(Duration::from_micros(self.times_us.forwarded?)))
    }

    /// All bodies: the request's, the response's, and the payloads of WebSocket messages.
    pub fn bodies(&self) -> impl Iterator<Item = &Body> {
        let response = self.response.as_ref().map(|response| &response.body);
        let messages = self.web_socket.iter().flat_map(|part| &part.messages).map(|message| &message.body);
        std::iter::once(&self.request.body).chain(response).chain(messages)
    }

    /// Like [`bodies`](Self::bodies), mutable.
    pub fn bodies_mut(&mut self) -> impl Iterator<Item = &mut Body> {
        let response = self.response.as_mut().map(|response| &mut response.body);
        let messages = self.web_socket.iter_mut().flat_map(|part| &mut part.messages).map(|message| &mut message.body);
        std::iter::once(&mut self.request.body).chain(response).chain(messages)
    }

    /// Whether it is a webhook: a request of the API's host to the integration.
    #[must_use]
    pub const fn is_webhook(&self) -> bool {
        !self.direction.is_outgoing()
    }

    /// Whether all of the request's body came and is recorded, so that it can be judged.
    #[must_use]
    pub fn has_whole_request(&self) -> bool {
        let body = &self.request.body;
        // A rejected request was never parsed.
        let is_there = !matches!(self.outcome, Outcome::Rejected | Outcome::Interrupted);
        is_there && !body.truncated && body.withheld.is_none() && !self.is_request_cut()
    }

    /// Whether the request's body is only the start of what was announced or begun: the client left while it was sending, or the
    /// connection to the API's host broke.
    fn is_request_cut(&self) -> bool {
        let Request { headers, body, .. } = &self.request;
        let announced = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        if let Some(length) = announced.and_then(|header| header.value.trim().parse::<u64>().ok()) {
            return length > body.length;
        }
        let ends_too_early =
            || serde_json::from_slice::<IgnoredAny>(&body.decoded().0).is_err_and(|error| error.is_eof());
        matches!(self.outcome, Outcome::Aborted | Outcome::Failed) && ends_too_early()
    }

    /// The status the client received; `None` without a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|response| response.status)
    }

    /// The `Request-Id` by which Mews' support finds the request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.response.as_ref()?.request_id.as_deref()
    }
}

/// Microseconds since the request's head was complete, on a monotonic clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimesUs {
    /// Until the request was handed to the upstream connection.
    pub forwarded: Option<u64>,
    /// Until the response's head arrived.
    pub response_head: Option<u64>,
    /// Until the response ended.
    pub response_end: Option<u64>,
}

/// The sender, as named by the request's body (or a WebSocket's cookies).
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

/// A request as received.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", try_from = "RequestJson")]
pub struct Request {
    /// `POST`, mostly.
    pub method: CompactString,
    /// The URL at Mews, path and query unchanged.
    pub url: String,
    /// The client's HTTP version, such as `HTTP/1.1`.
    pub http_version: CompactString,
    /// The headers in order, names in their original case.
    pub headers: Vec<Header>,
    /// The body.
    #[serde(flatten)]
    pub body: Body,
}

/// A response as the client received it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", try_from = "ResponseJson")]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Mews' HTTP version, such as `HTTP/1.1`.
    pub http_version: CompactString,
    /// The reason phrase; `None` in HTTP/2, which has none, and in exchanges from versions that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CompactString>,
    /// The headers.
    pub headers: Vec<Header>,
    /// The value of `Request-Id`, or of `RequestId` in an error's body.
    pub request_id: Option<String>,
    /// The body.
    #[serde(flatten)]
    pub body: Body,
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The name in its original case.
    pub name: CompactString,
    /// The value; bytes that are not UTF-8 are read as Latin-1.
    pub value: CompactString,
}

/// The limiter's decision on a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionRecord {
    /// The decision.
    pub decision: Decision,
    /// The deciding rule: the one that refused, otherwise the one with the least left.
    pub rule: CompactString,
    /// Requests in that rule's window, this one included if admitted.
    pub used: u32,
    /// Requests allowed per window.
    pub limit: u32,
    /// Delay in milliseconds.
    pub waited_ms: u64,
    /// Seconds until the request would be admitted; `None` if it was.
    pub retry_after_s: Option<u64>,
}

/// A limiter's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Admitted at once.
    Admitted,
    /// Rejected by the proxy with 429.
    Refused,
    /// Admitted after a delay.
    Delayed,
    /// Sent, although over the limit.
    Observed,
}

/// Who sends a request to whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallDirection {
    /// The integration to the API.
    #[default]
    Outgoing,
    /// The API's host to the integration: a webhook.
    Incoming,
}

impl CallDirection {
    /// Whether it is the usual direction, which is left out of JSON.
    #[must_use]
    pub const fn is_outgoing(&self) -> bool {
        matches!(self, Self::Outgoing)
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Mews responded, with any status.
    Answered,
    /// Not forwarded, because of a limit.
    Refused,
    /// Not forwarded: malformed, misdirected or incomplete.
    Rejected,
    /// No response from Mews, or an incomplete one.
    Failed,
    /// The client disconnected before the end of the response.
    Aborted,
    /// The proxy was killed while the exchange was in flight.
    Interrupted,
    /// The response was made up, or broken off, by an injected fault; see [`InjectedFault`].
    Faulted,
}

impl Outcome {
    /// All outcomes, in the order in which stored numbers stand for them: new ones are appended.
    pub const ALL: [Self; 7] =
        [Self::Answered, Self::Refused, Self::Rejected, Self::Failed, Self::Aborted, Self::Interrupted, Self::Faulted];
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
            Self::Faulted => "faulted",
        })
    }
}

/// Why there is no response from Mews.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind, which the client sees in `X-Nightaudit-Error`.
    pub kind: FailureKind,
    /// A readable message.
    pub message: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The request is not HTTP, or breaks its grammar (400).
    Malformed,
    /// The request's length is ambiguous (400).
    Framing,
    /// The request's head is larger than allowed (431).
    HeadTooLarge,
    /// The request's head or body did not arrive in time (408).
    RequestTimeout,
    /// The request is for a host that is not the environment's (421).
    Misdirected,
    /// The method is not forwarded: CONNECT (405).
    Method,
    /// Too many WebSockets are open, too much data is buffered for forwarding, or too many requests arrived at once on
    /// an HTTP/2 connection (503).
    Overloaded,
    /// The client disconnected.
    ClientLeft,
    /// The client did not read the response in time.
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
    /// No response from Mews in time (504).
    ResponseTimeout,
    /// The response from Mews stalled.
    BodyTimeout,
    /// Mews closed the connection before responding (502).
    Closed,
    /// The response from Mews is not HTTP (502).
    InvalidResponse,
    /// The response from Mews ended before its declared length.
    Incomplete,
    /// The log is not writable (503).
    Store,
    /// The limit engine is unreachable, and nothing is sent without it (503).
    LimitStore,
    /// The proxy was killed or stopped.
    Interrupted,
    /// The tool that recorded the exchange names no cause that is one of these.
    Unknown,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FailureKind {
    /// What becomes of a request that fails so.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Malformed
            | Self::Framing
            | Self::HeadTooLarge
            | Self::RequestTimeout
            | Self::Misdirected
            | Self::Method
            | Self::Overloaded => Outcome::Rejected,
            Self::ClientLeft | Self::ClientStalled => Outcome::Aborted,
            _ => Outcome::Failed,
        }
    }

    /// The kind as written in JSON and in `X-Nightaudit-Error`.
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
            Self::Unknown => "unknown",
        }
    }
}

// Deserialized forms of `Request` and `Response`: serde's `flatten` buffers everything it reads; these avoid that.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_if_all_of_it_came() {
        let mut whole = crate::testing::sample();
        (whole.request.headers, whole.request.body) = (Vec::new(), Body::whole("{}".into()));
        assert!(whole.has_whole_request());
        for (outcome, body, length, is) in [
            (Outcome::Rejected, "{}", "", false),
            (Outcome::Interrupted, "{}", "", false),
            (Outcome::Aborted, "{}", "", true),
            (Outcome::Aborted, "{", "", false),
            (Outcome::Failed, "{", "", false),
            (Outcome::Answered, "{", "", true),
            (Outcome::Aborted, "{", "1", true),
            (Outcome::Answered, "{}", "3", false),
        ] {
            let mut exchange = Exchange { outcome, ..whole.clone() };
            exchange.request.body = Body::whole(body.into());
            exchange.request.headers = vec![Header { name: "content-length".into(), value: length.into() }];
            assert_eq!(exchange.has_whole_request(), is, "{outcome} {body} {length}");
        }
        whole.request.body = Body::unrecorded(crate::Withheld::Interrupted);
        assert!(!whole.has_whole_request());
    }

    #[test]
    fn a_failure_kind_has_one_spelling_in_json_and_in_the_header() {
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
