//! An exchange: its summary line, and the details that unfold under it.

use maud::{Markup, html};
use nightaudit_exchange::{
    AdmissionRecord, Alteration, Body, Decision, Destination, Direction, Exchange, Header, InjectedFault, Outcome,
};
use nightaudit_mews::{API, Contracts, FindingKind};

use super::{
    body::{Text, show},
    figures::{clock, count, micros, size, time},
    messages::messages,
};
use crate::text::{message_bytes, printable};

/// Maximum headers shown per message, and maximum bytes of a value.
const MAX_HEADERS: usize = 60;
const MAX_VALUE: usize = 2 << 10;
/// Maximum bytes of any other text from the network.
const MAX_TEXT: usize = 500;
/// Maximum contract findings shown per exchange.
const MAX_MISFITS: usize = 30;
/// Maximum bytes of a URL.
const MAX_URL: usize = 4 << 10;

/// Whether the exchange failed, and so belongs in the report whatever else is omitted.
pub(super) fn is_failure(exchange: &Exchange) -> bool {
    // A WebSocket part is not a request and has no response.
    let unanswered = exchange.web_socket.is_none() && exchange.status().is_none();
    exchange.outcome != Outcome::Answered || unanswered || exchange.status().is_some_and(|status| status >= 400)
}

/// Renders the exchange with at most `room` bytes of each body; returns how many bytes both bodies took. `node` recorded
/// it, if several recorded its session.
pub(super) fn exchange(exchange: &Exchange, node: Option<&str>, contracts: &Contracts, room: usize) -> (Markup, usize) {
    let (details, taken) = match &exchange.web_socket {
        Some(part) => messages(part, room),
        None => pair(exchange, room),
    };
    let (sent, received) = match &exchange.web_socket {
        Some(part) => (message_bytes(part, Direction::Send), message_bytes(part, Direction::Receive)),
        None => (exchange.request.body.length, exchange.response.as_ref().map_or(0, |response| response.body.length)),
    };
    let class = class(exchange);
    let markup = html! {
        details.x data-kind=(class) {
            summary {
                span.at title=(time(exchange.started_at)) { (clock(exchange.started_at)) }
                span.pill.(class) { (label(exchange)) }
                span.op { (short(&exchange.operation, MAX_TEXT)) }
                span.num { (micros(duration(exchange))) }
                span.num.sizes { (size(sent)) " → " (size(received)) }
            }
            // The anchor is inside the details element, so that browsers unfold it when following a link.
            div.open id=(anchor(exchange)) {
                (facts(exchange, node))
                (misfits(exchange, contracts))
                (details)
            }
        }
    };
    (markup, taken)
}

/// Request and response side by side; returns how many bytes their bodies took.
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
                p.line { b { (short(&exchange.request.method, MAX_TEXT)) } " " (short(&exchange.request.url, MAX_URL)) " " span.dim { (short(&exchange.request.http_version, 20)) } }
                (headers(&exchange.request.headers))
                (body_size(&exchange.request.body))
                (sent)
            }
            section {
                h3 { "Response" }
                @match &exchange.response {
                    Some(response) => {
                        p.line { b { (response.status) } " " span.dim { (short(&response.http_version, 20)) } }
                        (headers(&response.headers))
                        (body_size(&response.body))
                        (received)
                    }
                    None => { p.none { "The client got no response." } }
                }
            }
        }
    };
    (markup, taken + more)
}

/// The exchange's anchor in the report.
pub(super) fn anchor(exchange: &Exchange) -> String {
    format!("x-{}", exchange.id)
}

fn facts(exchange: &Exchange, node: Option<&str>) -> Markup {
    let envelope = &exchange.envelope;
    html! {
        dl.facts {
            dt { "Exchange" } dd { code { (exchange.id) } " · number " (count(exchange.sequence)) " of " (short(&exchange.session_name, MAX_TEXT)) }
            @if let Some(node) = node { dt { "Node" } dd { (short(node, MAX_TEXT)) } }
            dt { "Started" } dd { (time(exchange.started_at)) }
            @if exchange.is_webhook() { dt { "Direction" } dd { "webhook, from " (API.name) " to the integration" } }
            @if let Some(destination) = &exchange.destination { dt { "Sent to" } dd { (sent_to(destination)) } }
            @if let Some(original) = exchange.resent_from { dt { "Sent again from" } dd { code { (original) } } }
            @if let Some(alteration) = exchange.alteration { dt { "Imported" } dd { span.pill.bad { (match alteration {
                Alteration::Edited => "edited before the import",
                Alteration::Masked => "values masked before the import",
            }) } } }
            @if let Some(tool) = &exchange.recorded_by { dt { "Imported" } dd { span.pill.bad { "recorded by another tool" } " " (short(tool, MAX_TEXT)) } }
            @if let Some(id) = exchange.request_id() { dt { (API.request_id_header) } dd { code { (short(id, MAX_TEXT)) } } }
            dt { "Outcome" } dd { (exchange.outcome) @if let Some(error) = &exchange.error { ": " (error.kind) ", " (short(&error.message, MAX_TEXT)) } }
            @if let Some(fault) = &exchange.fault { dt { "Injected fault" } dd { (fault_note(fault)) } }
            @if let Some(client) = &envelope.client { dt { "Client" } dd { (short(client, MAX_TEXT)) } }
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
        (short(&destination.to_string(), MAX_URL))
        @if let Some(remote) = destination.remote { span.dim { " (" (remote) ")" } }
    }
}

/// Where the request doesn't match the documentation, as the review finds.
fn misfits(exchange: &Exchange, contracts: &Contracts) -> Markup {
    let body = &exchange.request.body;
    if body.bytes.is_empty() || exchange.request.method != "POST" || !body.decoded().1 {
        return html! {};
    }
    let mut found = contracts.check_exchange(exchange);
    found.retain(|finding| finding.kind != FindingKind::More);
    html! {
        @if !found.is_empty() {
            div.misfits {
                h3 { "Doesn't match the documentation" }
                ul { @for finding in found.iter().take(MAX_MISFITS) { li { code { (short(&finding.to_string(), MAX_TEXT)) } } } }
                @if found.len() > MAX_MISFITS { p.omitted { (found.len() - MAX_MISFITS) " more omitted." } }
            }
        }
    }
}

fn fault_note(fault: &InjectedFault) -> Markup {
    html! {
        span.pill.refused { (fault.to_string()) } " by "
        @for (number, rule) in fault.rules.iter().enumerate() { @if number > 0 { ", " } code { (short(rule, MAX_TEXT)) } }
        @if let Some(status) = fault.upstream_status { "; " (API.name) " had responded with " (status) }
    }
}

fn limit_note(limit: &AdmissionRecord) -> Markup {
    let decision = match limit.decision {
        Decision::Admitted => "admitted",
        Decision::Refused => "refused",
        Decision::Delayed => "delayed",
        Decision::Observed => "over the limit, forwarded anyway",
    };
    html! {
        (decision) " by " (short(&limit.rule, MAX_TEXT)) ", " (limit.used) " of " (limit.limit) " used"
        @if limit.waited_ms > 0 { ", waited " (micros(limit.waited_ms.saturating_mul(1000))) }
        @if let Some(seconds) = limit.retry_after_s { ", Retry-After " (count(seconds)) " s" }
    }
}

fn times(exchange: &Exchange) -> Markup {
    let times = exchange.times_us;
    html! {
        @if let Some(at) = times.forwarded { "sent after " (micros(at)) }
        @else { "not sent" }
        @if let Some(at) = times.response_head { ", response started after " (micros(at)) }
        @if let Some(at) = times.response_end { ", ended after " (micros(at)) }
    }
}

fn headers(headers: &[Header]) -> Markup {
    html! {
        @if !headers.is_empty() {
            details.fields {
                summary { (headers.len()) " headers" }
                dl {
                    @for header in headers.iter().take(MAX_HEADERS) {
                        dt { (short(&header.name, MAX_TEXT)) } dd { (short(&header.value, MAX_VALUE)) }
                    }
                }
                @if headers.len() > MAX_HEADERS { p.omitted { (headers.len() - MAX_HEADERS) " more omitted." } }
            }
        }
    }
}

fn body_size(body: &Body) -> Markup {
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

/// The CSS class, which is also what the page filters by.
fn class(exchange: &Exchange) -> &'static str {
    match exchange.outcome {
        Outcome::Refused | Outcome::Faulted => "refused",
        Outcome::Answered if exchange.web_socket.is_some() => "said",
        Outcome::Answered if exchange.status() == Some(429) => "refused",
        Outcome::Answered if !is_failure(exchange) => "good",
        _ => "bad",
    }
}

fn duration(exchange: &Exchange) -> u64 {
    u64::try_from(exchange.duration().as_micros()).unwrap_or(u64::MAX)
}

/// The text, truncated to `most` bytes, with a mark where it goes on.
pub(super) fn short(text: &str, most: usize) -> Markup {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    html! { (Text(&text[..end])) @if end < text.len() { i.u { "+" (count((text.len() - end) as u64)) " bytes" } } }
}

/// A text for an attribute or a title, where markup isn't possible.
pub(super) fn attribute(text: &str) -> String {
    printable(text).chars().take(MAX_TEXT).collect()
}
