//! An exchange, folded: its line, and what opens under it.

use maud::{Markup, html};
use nightaudit_exchange::{
    AdmissionRecord, Alteration, Body, Decision, Destination, Direction, Exchange, Header, Outcome,
};
use nightaudit_mews::{Contracts, FindingKind};

use super::{
    body::{Text, show},
    figures::{clock, count, micros, size, time},
    messages::messages,
};
use crate::text::{bytes_said, printable};

/// The most header fields of a message, and the most bytes of a value, that are shown.
const FIELDS: usize = 60;
const FIELD: usize = 2 << 10;
/// The most bytes of any other text from the network.
const SHORT: usize = 500;
/// The most contract findings of an exchange that are shown.
const MISFITS: usize = 30;
/// The most bytes of an address.
const ADDRESS: usize = 4 << 10;

/// Whether the reader should see the exchange whatever is left out: it got no answer that says that all is well.
pub(super) fn is_failure(exchange: &Exchange) -> bool {
    // A part of a WebSocket is no request, and none is owed an answer.
    let unanswered = exchange.web_socket.is_none() && exchange.status().is_none();
    exchange.outcome != Outcome::Answered || unanswered || exchange.status().is_some_and(|status| status >= 400)
}

/// The exchange, each of its bodies in at most `room` bytes; says how many both took.
pub(super) fn exchange(exchange: &Exchange, contracts: &Contracts, room: usize) -> (Markup, usize) {
    let (opened, taken) = match &exchange.web_socket {
        Some(part) => messages(part, room),
        None => pair(exchange, room),
    };
    let (sent, received) = match &exchange.web_socket {
        Some(part) => (bytes_said(part, Direction::Send), bytes_said(part, Direction::Receive)),
        None => (exchange.request.body.length, exchange.response.as_ref().map_or(0, |response| response.body.length)),
    };
    let class = class(exchange);
    let markup = html! {
        details.x data-kind=(class) {
            summary {
                span.at title=(time(exchange.started_at)) { (clock(exchange.started_at)) }
                span.pill.(class) { (label(exchange)) }
                span.op { (short(&exchange.operation, SHORT)) }
                span.num { (micros(duration(exchange))) }
                span.num.sizes { (size(sent)) " → " (size(received)) }
            }
            // The place that links lead to lies inside, so that a browser opens what it is folded in.
            div.open id=(anchor(exchange)) {
                (facts(exchange))
                (misfits(exchange, contracts))
                (opened)
            }
        }
    };
    (markup, taken)
}

/// Request and answer side by side; says how many bytes their bodies took.
fn pair(exchange: &Exchange, room: usize) -> (Markup, usize) {
    let (sent, taken) = show(&exchange.request.body, room);
    let (received, more) = match &exchange.response {
        Some(response) => show(&response.body, room),
        None => (html! {}, 0),
    };
    let markup = html! {
        div.pair {
            section {
                h3 { "Request" }
                p.line { b { (short(&exchange.request.method, SHORT)) } " " (short(&exchange.request.url, ADDRESS)) " " span.dim { (short(&exchange.request.http_version, 20)) } }
                (fields(&exchange.request.headers))
                (measure(&exchange.request.body))
                (sent)
            }
            section {
                h3 { "Answer" }
                @match &exchange.response {
                    Some(response) => {
                        p.line { b { (response.status) } " " span.dim { (short(&response.http_version, 20)) } }
                        (fields(&response.headers))
                        (measure(&response.body))
                        (received)
                    }
                    None => { p.none { "The integration got no answer." } }
                }
            }
        }
    };
    (markup, taken + more)
}

/// The name of the exchange's place in the report.
pub(super) fn anchor(exchange: &Exchange) -> String {
    format!("x-{}", exchange.id)
}

fn facts(exchange: &Exchange) -> Markup {
    let envelope = &exchange.envelope;
    html! {
        dl.facts {
            dt { "Exchange" } dd { code { (exchange.id) } " · number " (count(exchange.sequence)) " of " (short(&exchange.session_name, SHORT)) }
            dt { "Begun" } dd { (time(exchange.started_at)) }
            @if let Some(destination) = &exchange.destination { dt { "Sent to" } dd { (sent_to(destination)) } }
            @if let Some(alteration) = exchange.alteration { dt { "Imported" } dd { span.pill.bad { (match alteration {
                Alteration::Edited => "not as it was recorded",
                Alteration::Masked => "values masked before the import",
            }) } } }
            @if let Some(id) = exchange.request_id() { dt { "Request-Id" } dd { code { (short(id, SHORT)) } } }
            dt { "Outcome" } dd { (exchange.outcome) @if let Some(error) = &exchange.error { ": " (error.kind) ", " (short(&error.message, SHORT)) } }
            @if let Some(client) = &envelope.client { dt { "Client" } dd { (short(client, SHORT)) } }
            @if let Some(token) = envelope.access_token { dt { "Access token" } dd { code { (token) } } }
            @if let Some(token) = envelope.client_token { dt { "Client token" } dd { code { (token) } } }
            @for note in &exchange.notes { dt { "Note" } dd { (note) } }
            @if let Some(limit) = &exchange.limit { dt { "Limit" } dd { (limit_note(limit)) } }
            @if exchange.web_socket.is_none() { dt { "Times" } dd { (times(exchange)) } }
            @if let Some(hash) = exchange.hash { dt { "Hash" } dd { code.hash { (hash) } } }
        }
    }
}

fn sent_to(destination: &Destination) -> Markup {
    html! {
        (short(&destination.to_string(), ADDRESS))
        @if let Some(remote) = destination.remote { span.dim { " (" (remote) ")" } }
    }
}

/// What in the request doesn't fit the documentation.
fn misfits(exchange: &Exchange, contracts: &Contracts) -> Markup {
    let body = &exchange.request.body;
    // What was cut, or never read, fits nothing.
    if exchange.web_socket.is_some() || body.truncated || body.bytes.is_empty() || exchange.request.method != "POST" {
        return html! {};
    }
    let (decoded, is_decoded) = body.decoded();
    if !is_decoded {
        return html! {};
    }
    let mut found = contracts.check(&exchange.operation, &decoded);
    // What was redacted is not what was sent.
    found.retain(|finding| finding.kind != FindingKind::More && !finding.found.contains("REDACTED:"));
    html! {
        @if !found.is_empty() {
            div.misfits {
                h3 { "Doesn't fit the documentation" }
                ul { @for finding in found.iter().take(MISFITS) { li { code { (short(&finding.to_string(), SHORT)) } } } }
                @if found.len() > MISFITS { p.cut { (found.len() - MISFITS) " more are left out here." } }
            }
        }
    }
}

fn limit_note(limit: &AdmissionRecord) -> Markup {
    let decision = match limit.decision {
        Decision::Admitted => "admitted",
        Decision::Refused => "refused",
        Decision::Delayed => "delayed",
        Decision::Observed => "over the limit, let through",
    };
    html! {
        (decision) " by " (short(&limit.rule, SHORT)) ", " (limit.used) " of " (limit.limit) " used"
        @if limit.waited_ms > 0 { ", waited " (micros(limit.waited_ms.saturating_mul(1000))) }
        @if let Some(seconds) = limit.retry_after_s { ", told to come back after " (count(seconds)) " s" }
    }
}

fn times(exchange: &Exchange) -> Markup {
    let times = exchange.times_us;
    html! {
        @if let Some(at) = times.forwarded { "sent after " (micros(at)) }
        @else { "not sent" }
        @if let Some(at) = times.response_head { ", answer began after " (micros(at)) }
        @if let Some(at) = times.response_end { ", ended after " (micros(at)) }
    }
}

fn fields(headers: &[Header]) -> Markup {
    html! {
        @if !headers.is_empty() {
            details.fields {
                summary { (headers.len()) " header fields" }
                dl {
                    @for field in headers.iter().take(FIELDS) {
                        dt { (short(&field.name, SHORT)) } dd { (short(&field.value, FIELD)) }
                    }
                }
                @if headers.len() > FIELDS { p.cut { (headers.len() - FIELDS) " more are left out here." } }
            }
        }
    }
}

fn measure(body: &Body) -> Markup {
    html! {
        p.measure {
            (size(body.length))
            @if let Some(coding) = &body.content_encoding { ", " (short(coding, 40)) " on the wire" }
        }
    }
}

fn label(exchange: &Exchange) -> String {
    match (exchange.status(), exchange.outcome) {
        (None, Outcome::Answered) if exchange.web_socket.is_some() => "messages".to_owned(),
        (Some(status), _) => status.to_string(),
        (None, outcome) => outcome.to_string(),
    }
}

/// The class that colours it, and by which it is chosen.
fn class(exchange: &Exchange) -> &'static str {
    match exchange.outcome {
        Outcome::Refused => "refused",
        Outcome::Answered if exchange.web_socket.is_some() => "said",
        Outcome::Answered if exchange.status() == Some(429) => "refused",
        Outcome::Answered if !is_failure(exchange) => "good",
        _ => "bad",
    }
}

fn duration(exchange: &Exchange) -> u64 {
    u64::try_from(exchange.duration().as_micros()).unwrap_or(u64::MAX)
}

/// The beginning of a text, and a mark where there is more.
pub(super) fn short(text: &str, most: usize) -> Markup {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    html! { (Text(&text[..end])) @if end < text.len() { i.u { "+" (count((text.len() - end) as u64)) " bytes" } } }
}

/// A text for an attribute or a title, where nothing can be marked.
pub(super) fn attribute(text: &str) -> String {
    printable(text).chars().take(SHORT).collect()
}
