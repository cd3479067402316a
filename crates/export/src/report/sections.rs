//! The review of a session, section by section.

use std::collections::BTreeSet;

use maud::{Markup, html};
use nightaudit_exchange::ExchangeId;
use nightaudit_mews::API;
use nightaudit_review::{
    CheckState, CoverageReview, ErrorReview, EventChannel, Finding, LimitReview, LimitSource, RetryCause, RetryOrigin,
    Review, Severity,
};

use super::{
    chart,
    exchange::short,
    figures::{by_number, count, counted, micros, period, size, time},
};

/// Maximum rows per table; `review.json` has the rest.
const ROWS: usize = 500;
/// Maximum limits drawn as a chart.
const CHARTS: usize = 6;
/// Maximum bytes of a text in a table.
const TEXT: usize = 600;

/// The exchanges shown in the report; only these can be linked to.
pub(super) type Shown = BTreeSet<ExchangeId>;

/// A section of the page: its anchor, heading and content.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) content: Markup,
}

/// The sections of a review, in the order a reviewer reads them. Sections without content are left out.
pub(super) fn all(review: &Review, shown: &Shown) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut add = |id, title, content: Option<Markup>| {
        sections.extend(content.map(|content| Section { id, title, content }));
    };
    add("checklist", "Certification checklist", Some(checklist(review)));
    add("findings", "Findings", Some(findings(review, shown)));
    add("coverage", "Coverage", coverage(review));
    add("use-case", "Use case", use_case(review));
    add("activity", "Activity", (!review.run.hours.is_empty()).then(|| activity(review, shown)));
    add("nodes", "Nodes", (!review.run.nodes.is_empty()).then(|| nodes(review)));
    add("limits", "Request limits", (!review.limits.is_empty()).then(|| limits(&review.limits, shown)));
    add("refusals", "Retries after errors", retries(review));
    add("errors", "Errors", Some(errors(review, shown)));
    add("events", "Webhooks and events", events(review));
    add("operations", "Operations", (!review.operations.is_empty()).then(|| operations(review)));
    add("accuracy", "Accuracy", accuracy(review, shown));
    add("identity", "Clients and tokens", identity(review));
    sections
}

fn link(id: ExchangeId, shown: &Shown) -> Markup {
    let text = id.to_string();
    // The whole id, so that it can be searched for in any file. Its prefix is the time, which neighbours share.
    let (stem, end) = text.split_at(text.len() - 6);
    html! {
        @if shown.contains(&id) { a.id href=(format!("#x-{id}")) { span.stem { (stem) } (end) } }
        @else { code.id title="in exchanges.ndjson of the bundle" { span.stem { (stem) } (end) } }
    }
}

fn links(ids: &[ExchangeId], of: u64, shown: &Shown) -> Markup {
    let more = of.saturating_sub(ids.len() as u64);
    html! {
        @if !ids.is_empty() {
            span.ids { @for id in ids { (link(*id, shown)) " " } @if more > 0 { span.dim { "and " (count(more)) " more" } } }
        }
    }
}

/// A table that scrolls horizontally on narrow pages.
fn table(label: &str, head: &Markup, rows: impl Iterator<Item = Markup>) -> Markup {
    let mut rows = rows;
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { (head) } }
                tbody { @for row in rows.by_ref().take(ROWS) { tr { (row) } } }
            }
        }
        @let left = rows.count();
        @if left > 0 { p.omitted { (count(left as u64)) " more rows in " code { "review.json" } " of the bundle." } }
    }
}

fn checklist(review: &Review) -> Markup {
    html! {
        ol.checks {
            @for check in &review.checklist {
                @let (class, word) = match check.state {
                    CheckState::Passed => ("good", "passed"),
                    CheckState::Failed => ("bad", "failed"),
                    CheckState::NotJudged => ("note", "not judged"),
                };
                li {
                    span.pill.(class) { (word) }
                    b { (check.title) }
                    span.figure {
                        (coded(&check.figure))
                        @if !check.rules.is_empty() {
                            span.rules { @for rule in &check.rules {
                                code { (rule.id()) }
                                @if check.silenced.contains(rule) { span.dim { " suppressed by the partner" } }
                                " "
                            } }
                        }
                    }
                }
            }
        }
    }
}

fn findings(review: &Review, shown: &Shown) -> Markup {
    html! {
        @if review.findings.is_empty() { p.none { "No findings." } }
        @else { ol.findings { @for finding in review.findings.iter().take(ROWS) { (one_finding(finding, shown)) } } }
        @if !review.silenced.is_empty() {
            details.more open {
                summary { (counted(review.silenced.len() as u64, "finding suppressed by the partner", "findings suppressed by the partner")) }
                ol.findings { @for finding in review.silenced.iter().take(ROWS) { (one_finding(finding, shown)) } }
            }
        }
        @if !review.left_out.is_empty() {
            details.more open {
                summary { (counted(review.left_out.len() as u64, "exchange excluded by the partner", "exchanges excluded by the partner")) }
                ul { @for own in review.left_out.iter().take(ROWS) { li {
                    (link(own.exchange, shown)) " "
                    @if let Some(operation) = &own.operation { code { (short(operation, TEXT)) } " " }
                    @if let Some(status) = own.status { (status) " " }
                    "– " (short(&own.reason, TEXT))
                } } }
            }
        }
        @for bound in &review.bounds { p.omitted { (short(bound, TEXT)) } }
    }
}

fn one_finding(finding: &Finding, shown: &Shown) -> Markup {
    let class = match finding.severity {
        Severity::Error => "bad",
        Severity::Warning => "refused",
        Severity::Note => "note",
    };
    html! {
        li {
            h3 {
                span.pill.(class) { (finding.severity) } " " (coded(finding.rule.title()))
                @if let Some(operation) = &finding.operation { " " code { (short(operation, TEXT)) } }
            }
            p { (coded(&finding.message)) }
            @if let Some(ruling) = &finding.ruling { p.advice {
                "Partner's note: " (short(&ruling.reason, TEXT))
                @if ruling.was != finding.severity { " (by default: " (ruling.was) ")" }
            } }
            p.where {
                code { (finding.rule.id()) }
                @if let Some(first) = finding.first { span { "first " (time(first)) } }
                (links(&finding.exchanges, finding.count, shown))
            }
        }
    }
}

/// A sentence with the parts between backticks set as code.
pub(super) fn coded(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (short(part, TEXT)) } } @else { (short(part, TEXT)) }
        }
    }
}

fn coverage(review: &Review) -> Option<Markup> {
    let coverage = &review.coverage;
    if coverage.operations.is_empty() {
        return None;
    }
    let state = |row: &CoverageReview| match (row.declared, row.calls, row.succeeded) {
        (true, 0, _) => ("bad", "never called"),
        (true, _, 0) => ("bad", "only failed"),
        (true, ..) => ("good", "shown"),
        (false, ..) => ("note", "not declared"),
    };
    let declared = coverage.declared > 0;
    Some(html! {
        @if declared {
            p.lead {
                (count(coverage.succeeded)) " of " (counted(coverage.declared, "declared operation", "declared operations")) " succeeded at least once"
                @if coverage.only_failed > 0 { ", " (count(coverage.only_failed)) " only failed" }
                @if coverage.not_called > 0 { ", " (count(coverage.not_called)) " never called" }
                "; " (count(coverage.undeclared)) " called but not declared."
            }
        } @else { p.lead {
            @if review.declared.is_some() { "The declaration names no operations" } @else { "No declaration was given" }
            "; these are the operations that were called."
        } }
        (table("Coverage", &html! {
            th scope="col" { "Operation" } @if declared { th scope="col" { "Declared purpose" } }
            th.num scope="col" { "Calls" } th.num scope="col" { "Succeeded" } @if declared { th scope="col" { "State" } }
        }, coverage.operations.iter().map(|row| {
            let (class, told) = state(row);
            html! {
                th scope="row" { code { (short(&row.operation, TEXT)) } }
                @if declared { td.wide { @if let Some(purpose) = &row.purpose { (short(purpose, TEXT)) } @else { span.dim { "–" } } } }
                td.num { (count(row.calls)) } td.num { (count(row.succeeded)) }
                @if declared { td { span.pill.(class) { (told) } } }
            }
        })))
    })
}

fn use_case(review: &Review) -> Option<Markup> {
    let case = review.use_case.as_ref()?;
    Some(html! {
        p.lead { (short(&case.title, TEXT)) }
        @for section in &case.sections {
            h3 { (short(&section.title, TEXT)) }
            ul.steps {
                @for step in &section.operations {
                    li { span.pill.(if step.succeeded > 0 { "good" } else { "bad" }) { (if step.succeeded > 0 { "shown" } else if step.calls > 0 { "only failed" } else { "missing" }) }
                        " " code { (short(&step.operation, TEXT)) } " " span.dim { (counted(step.calls, "call", "calls")) } }
                }
            }
        }
    })
}

fn activity(review: &Review, shown: &Shown) -> Markup {
    let run = &review.run;
    html! {
        (chart::hours(run))
        @if !run.gaps.is_empty() {
            details.more {
                summary { "Longest pauses" }
                (table("Longest pauses", &html! { th scope="col" { "From" } th scope="col" { "To" } th.num scope="col" { "Length" } th scope="col" { "Ended by" } },
                    run.gaps.iter().map(|gap| html! {
                        th scope="row" { (time(gap.from)) } td { (time(gap.to)) } td.num { (period(gap.seconds)) } td { (link(gap.ended_by, shown)) }
                    })))
            }
        }
        @if run.missing > 0 { p.omitted { (counted(run.missing, "exchange is", "exchanges are")) " not in this export: lost, or never recorded." } }
    }
}

/// The record of each node, those that lack exchanges first.
fn nodes(review: &Review) -> Markup {
    let mut rows: Vec<_> = review.run.nodes.iter().collect();
    rows.sort_by_key(|row| row.missing == 0);
    let holed = rows.iter().filter(|row| row.missing > 0).count() as u64;
    html! {
        p.lead { "Recorded by " (counted(rows.len() as u64, "node", "nodes")) ", each with a hash chain of its own. "
            @if holed > 0 { (counted(holed, "record lacks", "records lack")) " exchanges: lost, or never recorded. " }
            @if review.run.filtered { "What the filter left out is not counted as missing." }
            @else if holed == 0 { "No record has a gap." } }
        (table("Nodes", &html! {
            th scope="col" { "Node" } th.num scope="col" { "Exchanges" } th.num scope="col" { "Last number" } th.num scope="col" { "Missing" } th scope="col" { "Chain" }
        }, rows.into_iter().map(|row| html! {
            th scope="row" { (short(&row.node, TEXT)) } td.num { (count(row.exchanges)) } td.num { (count(row.last)) }
            td.num { @if row.missing > 0 { span.pill.bad { (count(row.missing)) } } @else { "0" } } td { code { (row.session) } }
        })))
    }
}

fn limits(limits: &[LimitReview], shown: &Shown) -> Markup {
    let window = |limit: &LimitReview| match limit.window_ms {
        Some(window) => format!("{} in {}", count(limit.requests.into()), period(window.div_ceil(1000))),
        None => count(limit.requests.into()),
    };
    let key = |limit: &LimitReview| {
        html! {
            @if let Some(token) = limit.access_token { code { (token) } " " }
            @if let Some(token) = limit.client_token { code { (token) } " " }
            @if let Some(operation) = &limit.operation { code { (short(operation, TEXT)) } }
            @if limit.access_token.is_none() && limit.client_token.is_none() && limit.operation.is_none() { span.dim { "no token" } }
        }
    };
    html! {
        @for (number, limit) in limits.iter().take(CHARTS).enumerate() {
            h3 { (short(&limit.rule, TEXT)) ": " (window(limit)) " " span.for { (key(limit)) } }
            (chart::limit(limit, number))
        }
        (table("Limits", &html! {
            th scope="col" { "Limit" } th scope="col" { "Source" } th scope="col" { "Key" } th.num scope="col" { "Sent" } th.num scope="col" { "Peak in a window" }
            th.num scope="col" { "Refused by nightaudit" } th.num scope="col" { "Rejected by " (API.name) } th.num scope="col" { "Delayed" } th scope="col" { "Peak at" }
        }, limits.iter().map(|limit| html! {
            th scope="row" { (short(&limit.rule, TEXT)) ", " (window(limit)) }
            td { (match limit.source { LimitSource::Published => API.name, LimitSource::Configured => "configuration", LimitSource::Noted => "recorded exchanges" }) }
            td { (key(limit)) } td.num { (count(limit.sent)) }
            td.num { @if let Some(busiest) = &limit.busiest { (count(busiest.requests.into())) } @else { "–" } }
            td.num { (count(limit.refused_by_us)) } td.num { (count(limit.refused_by_mews)) } td.num { (count(limit.delayed)) }
            td { @if let Some(busiest) = &limit.busiest { (time(busiest.to)) " " (link(busiest.exchange, shown)) } }
        })))
    }
}

fn retries(review: &Review) -> Option<Markup> {
    if review.retries.is_empty() {
        return None;
    }
    Some(table("Retries after errors", &html! {
        th scope="col" { "Status" } th scope="col" { "From" } th scope="col" { "Access token" } th.num scope="col" { "Times" }
        th.num scope="col" { "Retry-After honored" } th.num scope="col" { "Ignored" } th.num scope="col" { "Growing delays" } th.num scope="col" { "Constant delays" } th.num scope="col" { "No backoff" } th.num scope="col" { "Continued at full rate" }
    }, review.retries.iter().map(|row| html! {
        th scope="row" { (match row.cause { RetryCause::TooManyRequests => "429", RetryCause::TooHeavy => "408", RetryCause::ServerError => "5xx", RetryCause::NoAnswer => "no response" }) }
        td { (match row.origin { RetryOrigin::Mews => API.name, RetryOrigin::Nightaudit => "nightaudit", RetryOrigin::Fault => "injected fault" }) }
        td { @if let Some(token) = row.access_token { code { (token) } } @else { span.dim { "none" } } }
        td.num { (count(row.count)) } td.num { (count(row.heeded)) " of " (count(row.with_retry_after)) @if row.unchecked > 0 { ", " (count(row.unchecked)) " not checked" } } td.num { (count(row.ignored)) }
        td.num { (count(row.backed_off)) } td.num { (count(row.fixed_pauses)) } td.num { (count(row.without_backoff)) } td.num { (count(row.hammered)) }
    })))
}

fn errors(review: &Review, shown: &Shown) -> Markup {
    let errors = &review.errors;
    html! {
        @if errors.failed == 0 { p.none { "No call failed." } }
        @else {
            p.lead { (counted(errors.failed, "call", "calls")) " failed; " (counted(errors.resolved, "was", "were")) " later resolved, " (counted(errors.unresolved, "was", "were")) " not." }
            (table("Errors", &html! {
                th scope="col" { "Operation" } th scope="col" { "Status" } th scope="col" { (API.message_property) } th.num scope="col" { "Times" }
                th scope="col" { "Exchange and " (API.request_id_header) } th scope="col" { "Last" } th scope="col" { "Resolution" }
            }, errors.calls.iter().map(|row| error(row, shown))))
            @if errors.unlisted > 0 { p.omitted { (counted(errors.unlisted, "failed call is", "failed calls are")) " counted but not listed." } }
        }
    }
}

fn error(row: &ErrorReview, shown: &Shown) -> Markup {
    html! {
        th scope="row" { code { (short(&row.operation, TEXT)) } }
        td { @match row.status { Some(status) => (status), None => "none" } @if !row.by_mews { span.dim { " by nightaudit" } } }
        td.wide { (short(&row.message, TEXT)) }
        td.num { (count(row.count)) }
        td { @for called in &row.exchanges {
            div { (link(called.exchange, shown)) " " @if let Some(id) = &called.request_id { code.rid { (short(id, 80)) } } }
        } }
        td { (time(row.last)) }
        td { @match &row.resolution {
            Some(resolution) => { span.pill.good { "resolved" } " " (link(resolution.exchange, shown)) " " span.dim { "after " (micros(resolution.after_ms.saturating_mul(1000))) } }
            None => { span.pill.bad { "open" } }
        } }
    }
}

fn events(review: &Review) -> Option<Markup> {
    let events = &review.events;
    if events.is_empty() {
        return None;
    }
    let webhooks = &events.webhooks;
    let webhook = |channel: EventChannel, number: u64| {
        html! {
            td.num { @if channel == EventChannel::Webhook { (count(number)) } @else { span.dim { "–" } } }
        }
    };
    let shown =
        |number: u64, is_known: bool| html! { td.num { @if is_known { (count(number)) } @else { span.dim { "–" } } } };
    Some(html! {
        @if webhooks.received > 0 { p.lead {
            (counted(webhooks.received, "webhook", "webhooks")) ": " (count(webhooks.accepted)) " accepted within 5 seconds, "
            (count(webhooks.late)) " late, " (count(webhooks.failed)) " failed"
            @if webhooks.accepted_later > 0 { "; " (counted(webhooks.accepted_later, "message was", "messages were")) " accepted when sent again" }
            "."
        } }
        @if webhooks.others > 0 { p.omitted { (counted(webhooks.others, "other request", "other requests")) " to the port of webhooks: not in the form of " (API.possessive) " messages, and not counted." } }
        @if !events.kinds.is_empty() {
            (table("Events by type", &html! {
                th scope="col" { "Event" } th scope="col" { "Came by" } th.num scope="col" { "Received" } th.num scope="col" { "Accepted in time" }
                th.num scope="col" { "Late" } th.num scope="col" { "Failed" } th scope="col" { "Fetched by" } th.num scope="col" { "Followed by a call" }
                th.num scope="col" { "Not followed" } th.num scope="col" { "Fetched again" }
            }, events.kinds.iter().map(|row| html! {
                th scope="row" { code { (short(&row.event, TEXT)) } }
                td { (match row.channel { EventChannel::Webhook => "webhook", EventChannel::WebSocket => "WebSocket" }) }
                td.num { (count(row.received)) } (webhook(row.channel, row.accepted)) (webhook(row.channel, row.late)) (webhook(row.channel, row.failed))
                td { @if let Some(operation) = &row.fetched_by { code { (operation) } } @else { span.dim { "–" } } }
                (shown(row.followed, row.fetched_by.is_some())) (shown(row.not_followed, row.fetched_by.is_some())) (shown(row.fetched_again, row.fetched_by.is_some()))
            })))
        }
        @if events.kinds.iter().any(|row| row.fetched_by.is_some()) { p.dim {
            "An event is followed if, within an hour or the declared schedule, a call read that kind of entity or named its id. What is in neither figure could not be judged."
        } }
        @if !events.sockets.is_empty() {
            (table("WebSockets", &html! {
                th scope="col" { "Access token" } th.num scope="col" { "Connections" } th.num scope="col" { "Open" } th.num scope="col" { "Closed in between" }
                th.num scope="col" { "Gaps of more than a minute" } th.num scope="col" { "Longest" }
            }, events.sockets.iter().map(|row| html! {
                th scope="row" { @if let Some(token) = row.access_token { code { (token) } } @else { span.dim { "no token" } } }
                td.num { (count(row.connections)) } td.num { (period(row.open_s)) } td.num { (period(row.closed_s)) }
                td.num { (count(row.gaps)) } td.num { @if row.gaps > 0 { (period(row.longest_gap_s)) } @else { span.dim { "–" } } }
            })))
        }
    })
}

fn operations(review: &Review) -> Markup {
    table("Operations", &html! {
        th scope="col" { "Operation" } th.num scope="col" { "Calls" } th.num scope="col" { "Succeeded" } th.num scope="col" { "Per hour" } th.num scope="col" { "Median" } th.num scope="col" { "p99" }
        th.num scope="col" { "Mean request" } th.num scope="col" { "Mean response" } th.num scope="col" { "Pages fetched" } th scope="col" { "Filters" }
    }, review.operations.iter().map(|row| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "latencies are non-negative and shorter than the run")]
        let latency = |ms: f64| micros((ms * 1e3) as u64);
        html! {
            th scope="row" { code { (short(&row.operation, TEXT)) } @if let Some(title) = &row.title { br; span.dim { (short(title, TEXT)) } } }
            td.num { (count(row.calls)) } td.num { (count(row.succeeded)) } td.num { (format!("{:.1}", row.per_hour)) }
            @match &row.latency {
                Some(times) => { td.num { (latency(times.p50)) } td.num { (latency(times.p99)) } }
                None => { td.num { "–" } td.num { "–" } }
            }
            td.num { (size(row.request.mean)) } td.num { (size(row.response.mean)) }
            td.num { @if row.paginated { (count(row.paged)) } @else { span.dim { "–" } } }
            td.wide { @for (place, (name, calls)) in row.filters.iter().take(20).enumerate() { @if place > 0 { ", " } (short(name, 80)) " " span.dim { (count(*calls)) } } }
        }
    }))
}

fn accuracy(review: &Review, shown: &Shown) -> Option<Markup> {
    let accuracy = &review.accuracy;
    if accuracy.checked == 0 && accuracy.lifecycle.is_empty() {
        return None;
    }
    Some(html! {
        p.lead { (count(accuracy.accurate)) " of " (counted(accuracy.checked, "request", "requests")) " checked against " (API.possessive) " documentation " (by_number(accuracy.accurate, "matches", "match")) " it."
            @if accuracy.unchecked > 0 { " " (count(accuracy.unchecked)) " could not be parsed." } }
        @if !accuracy.fields.is_empty() {
            (table("Properties that don't match", &html! {
                th scope="col" { "Operation" } th scope="col" { "Property" } th scope="col" { "Expected" } th scope="col" { "Found" } th.num scope="col" { "Requests" } th scope="col" { "Examples" }
            }, accuracy.fields.iter().map(|row| html! {
                th scope="row" { code { (short(&row.operation, TEXT)) } } td { code { (short(&row.field, TEXT)) } }
                td { (short(&row.expected, TEXT)) } td { (short(&row.found, TEXT)) } td.num { (count(row.count)) } td { (links(&row.exchanges, 0, shown)) }
            })))
        }
        @for row in &accuracy.lifecycle {
            p { code { (short(&row.operation, TEXT)) } " is " (format!("{:?}", row.state).to_lowercase()) ", " (counted(row.calls, "call", "calls"))
                @if !row.replaced_by.is_empty() { "; use instead: " code { (short(&row.replaced_by.join(", "), TEXT)) } } }
        }
    })
}

fn identity(review: &Review) -> Option<Markup> {
    let identity = &review.identity;
    if identity.clients.is_empty() && identity.access_tokens.is_empty() && identity.without_client == 0 {
        return None;
    }
    Some(html! {
        (table("Clients and tokens", &html! { th scope="col" { "Kind" } th scope="col" { "Value" } th.num scope="col" { "Calls" } },
            identity.clients.iter().map(|row| html! { th scope="row" { "Client" } td.wide { (short(&row.client, TEXT)) } td.num { (count(row.calls)) } })
            .chain(identity.client_tokens.iter().map(|row| html! { th scope="row" { "Client token" } td { code { (row.token) } @if row.shared { span.dim { " from the documentation" } } } td.num { (count(row.calls)) } }))
            .chain(identity.access_tokens.iter().map(|row| html! { th scope="row" { "Access token" } td { code { (row.token) } @if row.shared { span.dim { " from the documentation" } } } td.num { (count(row.calls)) } }))))
        p.dim { "Tokens are never recorded. These are pseudonyms: the first 12 hex digits of each token's SHA-256." }
        @if identity.without_client > 0 { p.omitted { (counted(identity.without_client, "request", "requests")) " without `Client`." } }
    })
}
