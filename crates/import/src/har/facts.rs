//! What nightaudit's own HAR has besides, as `_nightaudit`.

use compact_str::CompactString;
use nightaudit_exchange::{
    AdmissionRecord, Alteration, Body, CallDirection, Destination, Digest, Envelope, ExchangeId, Failure,
    InjectedFault, Note, Omitted, Outcome, WebSocket, Withheld, redact_text,
};
use nightaudit_mews::API;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::foreign::Facts;

/// The property, as far as it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nightaudit {
    id: ExchangeId,
    environment: CompactString,
    #[serde(default)]
    operation: Option<String>,
    outcome: Outcome,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    request_id: Option<String>,
    envelope: Envelope,
    #[serde(default)]
    limit: Option<AdmissionRecord>,
    #[serde(default)]
    error: Option<Failure>,
    #[serde(default)]
    notes: Vec<Note>,
    request_body: BodyFacts,
    #[serde(default)]
    response_body: Option<BodyFacts>,
    #[serde(default)]
    web_socket: Option<Part>,
    #[serde(default)]
    destination: Option<Destination>,
    #[serde(default)]
    fault: Option<Box<InjectedFault>>,
    #[serde(default)]
    direction: CallDirection,
    #[serde(default)]
    resent_from: Option<ExchangeId>,
    #[serde(default)]
    alteration: Option<Alteration>,
    #[serde(default)]
    recorded_by: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    handshake: ExchangeId,
    part: u32,
    messages: Vec<BodyFacts>,
    omitted: Omitted,
    unreadable_bytes: u64,
    ended: bool,
}

/// What a HAR can't express of a body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BodyFacts {
    length: u64,
    sha256: Digest,
    #[serde(default)]
    content_encoding: Option<String>,
    #[serde(default)]
    undecoded: bool,
    truncated: bool,
    #[serde(default)]
    withheld: Option<Withheld>,
}

impl BodyFacts {
    pub(super) fn restore(&self, body: &mut Body) {
        let stored = Digest::of(&body.bytes);
        body.length = self.length;
        body.sha256 = self.sha256;
        body.stored_sha256 = (stored != self.sha256).then_some(stored);
        body.truncated = self.truncated;
        body.withheld = self.withheld;
        body.content_encoding = self.content_encoding.clone().filter(|_| self.undecoded);
    }
}

/// The property as read.
pub(super) struct Read {
    pub(super) facts: Facts,
    /// The status that the client got; HAR's own is 0 if Mews sent none.
    pub(super) status: Option<u16>,
    pub(super) request_body: BodyFacts,
    pub(super) response_body: Option<BodyFacts>,
    pub(super) part: Option<(WebSocket, Vec<BodyFacts>)>,
}

/// Reads the property; `None` if it is another version's.
pub(super) fn read(value: &RawValue) -> Option<Read> {
    let read: Nightaudit = serde_json::from_str(value.get()).ok()?;
    let part = read.web_socket.map(|part| {
        let Part { handshake, part, messages, omitted, unreadable_bytes, ended } = part;
        (WebSocket { handshake, part, messages: Vec::new(), omitted, unreadable_bytes, ended }, messages)
    });
    Some(Read {
        facts: Facts {
            id: read.id,
            environment: read.environment,
            operation: read.operation,
            envelope: read.envelope,
            outcome: read.outcome,
            limit: read.limit,
            error: read.error,
            notes: read.notes,
            request_id: read.request_id,
            destination: read.destination,
            fault: read.fault.map(without_secrets),
            direction: read.direction,
            resent_from: read.resent_from,
            alteration: read.alteration,
            recorded_here: read.recorded_by.is_none(),
            recorded_by: read.recorded_by,
            part: None,
        },
        status: read.status,
        request_body: read.request_body,
        response_body: read.response_body,
        part,
    })
}

/// The fault, without tokens in its rules: of all that a file says, only these texts are searched by nobody else.
fn without_secrets(mut fault: Box<InjectedFault>) -> Box<InjectedFault> {
    for rule in &mut fault.rules {
        *rule = String::from_utf8_lossy(&redact_text(&API, rule.as_bytes(), &[])).into_owned();
    }
    fault
}
