//! The page of a comparison of two recordings: self-contained, without scripts.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use nightaudit_compare::{Difference, Differences, Latency, OperationFigures, Side, SideFigures};
use nightaudit_exchange::Digest;
use nightaudit_review::Severity;

use super::{
    exchange::{attribute, short},
    figures::{count, counted, micros, time},
    page::STYLE,
};

/// Maximum bytes of a message.
const TEXT: usize = 1_000;

/// The comparison as one HTML page.
#[must_use]
pub fn comparison_page(differences: &Differences) -> String {
    let Differences { a, b, counts, .. } = differences;
    let class = match differences.severity() {
        None => "good",
        Some(Severity::Note) => "note",
        Some(Severity::Warning) => "refused",
        Some(Severity::Error) => "bad",
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="color-scheme" content="light dark";
                title { (attribute(&format!("{} and {} – comparison by nightaudit", a.name, b.name))) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to content" }
                main id="main" tabindex="-1" {
                    header {
                        p.eyebrow { "Comparison of two recordings" }
                        h1 { (short(&a.name, 200)) span.dim { " and then " } (short(&b.name, 200)) }
                        div.verdict.(class) { p.word { (capital(&counts.to_string())) } p { (short(&summary(differences), TEXT)) } }
                        (sides(a, b))
                    }
                    (by_operation(differences))
                    section.part id="operations" { h2 { "Operations" } (operations(&differences.operations)) }
                    section.part id="method" {
                        h2 { "What is a difference" }
                        p.lead { (differences.method) }
                        @for bound in &differences.bounds { p.omitted { "Left out: " (short(bound, TEXT)) "." } }
                    }
                }
                footer { p { "Written by nightaudit " (env!("CARGO_PKG_VERSION")) ". Times are UTC." } }
            }
        }
    };
    page.into_string() + "\n"
}

/// Content security policy: only the page's own style, no requests.
fn policy() -> String {
    let hash = BASE64_STANDARD.encode(Digest::of(STYLE.as_bytes()).0);
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + letters.as_str()
}

/// What the differences are about.
fn summary(differences: &Differences) -> String {
    if differences.is_empty() {
        let operations = counted(differences.operations.len() as u64, "operation", "operations");
        return format!("{operations} called on both sides, with the same results.");
    }
    let kinds: Vec<String> =
        differences.kinds().into_iter().map(|(kind, number)| format!("{kind}: {}", count(number))).collect();
    format!("{}.", kinds.join(", "))
}

fn sides(a: &Side, b: &Side) -> Markup {
    let row = |name: &str, of: &dyn Fn(&Side) -> Markup| html! { tr { th scope="row" { (name) } td { (of(a)) } td { (of(b)) } } };
    let instant = |at: Option<nightaudit_exchange::Timestamp>| at.map_or_else(|| "–".to_owned(), time);
    html! {
        div.scroll tabindex="0" role="region" aria-label="The two recordings" {
            table {
                thead { tr { th {} th scope="col" { (short(&a.name, 80)) } th scope="col" { (short(&b.name, 80)) } } }
                tbody {
                    (row("Exchanges", &|side| html! { (count(side.exchanges)) }))
                    (row("First", &|side| html! { (instant(side.first)) }))
                    (row("Last", &|side| html! { (instant(side.last)) }))
                    (row("Answered by", &|side| html! {
                        @if side.hosts.is_empty() { span.dim { "not recorded" } }
                        @for (host, calls) in &side.hosts { div { (short(host, 200)) " " span.dim { (count(*calls)) } } }
                    }))
                    @if a.altered + b.altered > 0 { (row("Altered before import", &|side| html! { (count(side.altered)) })) }
                    @if a.foreign + b.foreign > 0 { (row("Recorded by another tool", &|side| html! { (count(side.foreign)) })) }
                    @if a.unread + b.unread > 0 { (row("Bodies not read", &|side| html! { (count(side.unread)) })) }
                    (row("Fullest windows", &|side| html! {
                        @if side.rules.is_empty() { span.dim { "not recorded" } }
                        @for (rule, figures) in &side.rules { div { (short(rule, 80)) " " (count(figures.most_used.into())) " of " (count(figures.limit.into())) } }
                    }))
                }
            }
        }
    }
}

/// The differences, in a section for each operation.
fn by_operation(differences: &Differences) -> Markup {
    let mut groups: BTreeMap<Option<&str>, Vec<&Difference>> = BTreeMap::new();
    for difference in &differences.differences {
        groups.entry(difference.operation.as_deref()).or_default().push(difference);
    }
    html! {
        @for (operation, own) in groups {
            section.part {
                h2 { @match operation { Some(name) => { code { (short(name, 200)) } } None => "All operations" } }
                ol.findings { @for difference in own { (item(difference)) } }
            }
        }
    }
}

fn item(difference: &Difference) -> Markup {
    let class = match difference.severity {
        Severity::Error => "bad",
        Severity::Warning => "refused",
        Severity::Note => "note",
    };
    html! {
        li {
            h3 {
                span.pill.(class) { (difference.severity) } " " (difference.kind) " " (difference.change)
                @if let Some(place) = difference.place { " " span.for { (place) } }
            }
            p { (short(&difference.message, TEXT)) }
            @if !difference.examples.is_empty() {
                p.where { @for example in &difference.examples { span.id { (example.side) " " (example.exchange) } " " } }
            }
        }
    }
}

fn operations(operations: &[OperationFigures]) -> Markup {
    let pair = |own: &OperationFigures, of: &dyn Fn(&SideFigures) -> String| {
        let [a, b] = [&own.a, &own.b].map(|side| side.as_ref().map_or_else(|| "–".to_owned(), of));
        html! { td.num { (a) } td.num { (b) } }
    };
    let latency = |side: &SideFigures, of: fn(&Latency) -> f64| {
        side.latency.as_ref().map_or_else(|| "–".to_owned(), |latency| micros((of(latency) * 1000.0) as u64))
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Operations" {
            table {
                thead {
                    tr { th scope="col" { "Operation" }
                        @for title in ["Calls", "Failed", "Median", "95th percentile"] { th.num scope="colgroup" colspan="2" { (title) ", before and now" } } }
                }
                tbody {
                    @for own in operations {
                        tr {
                            th scope="row" { code { (short(&own.operation, 200)) } }
                            (pair(own, &|side| count(side.calls)))
                            (pair(own, &|side| count(side.failed)))
                            (pair(own, &|side| latency(side, |latency| latency.p50)))
                            (pair(own, &|side| latency(side, |latency| latency.p95)))
                        }
                    }
                }
            }
        }
    }
}
