//! The page around the exchanges.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use nightaudit_exchange::Digest;
use nightaudit_mews::API;
use nightaudit_review::{IntegrationKind, Review, Verdict};

use crate::bundle::Made;

use super::{
    exchange::{attribute, short},
    figures::{count, counted, period, time},
    sections::{self, Shown},
};

pub(super) const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Facts about the export, shown next to the reviews.
pub(super) struct Facts<'a> {
    pub(super) filter: &'a BTreeMap<String, String>,
    pub(super) masked_fields: &'a [String],
    /// The documentation's revision, and its SHA-256 unless it is the built-in one.
    pub(super) revision: &'a str,
    pub(super) updated: Option<Digest>,
    /// SHA-256 of the OpenAPI document that requests were checked against.
    pub(super) openapi: Option<Digest>,
    pub(super) made: Option<&'a Made>,
    /// Exchanges in total, and how many are on the page.
    pub(super) exchanges: u64,
    pub(super) shown: u64,
    /// Failures in total, and how many are on the page.
    pub(super) failures: u64,
    pub(super) failures_shown: u64,
    /// How many exchanges of each operation are shown, the earliest first.
    pub(super) sample: u64,
}

/// Everything before the first exchange.
pub(super) fn begin(reviews: &[Review], shown: &Shown, facts: &Facts<'_>) -> String {
    let several = reviews.len() > 1;
    let head = html! {
        (DOCTYPE)
        (PreEscaped("<html lang=\"en\">"))
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy());
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="referrer" content="no-referrer";
            meta name="color-scheme" content="light dark";
            title { (title(reviews)) }
            style { (PreEscaped(STYLE)) }
        }
        (PreEscaped("<body>"))
        a.skip href="#main" { "Skip to content" }
        (PreEscaped("<main id=\"main\" tabindex=\"-1\">"))
        @for (number, review) in reviews.iter().enumerate() {
            @if several && number > 0 { hr; }
            (of(review, number, shown, facts))
        }
        @if reviews.is_empty() { header { h1 { "No exchange" } p.lead { "Nothing to report." } } }
        (PreEscaped("<section class=\"part\" id=\"exchanges\">"))
        h2 { "Exchanges" }
        p.lead { (selection(facts)) }
        div.tools hidden {
            label { span { "Find" } input type="search" id="find" autocomplete="off" spellcheck="false" placeholder="operation, text, id"; }
            label { span { "Show" } select id="kind" {
                option value="" { "all" } option value="bad" { "failures" } option value="refused" { "refusals" } option value="good" { "successes" } option value="said" { "messages" }
            } }
            button type="button" id="fold" { "Unfold all" }
            output id="found" for="find kind" {}
        }
    };
    head.into_string()
}

/// Everything after the last exchange.
pub(super) fn end() -> String {
    html! {
        (PreEscaped("</section></main>"))
        footer {
            p { "Written by nightaudit " (env!("CARGO_PKG_VERSION")) ". Times are UTC. "
                "The bundle this report belongs to has every exchange; " code { "nightaudit verify" } " checks that nothing in it was changed." }
        }
        script { (PreEscaped(SCRIPT)) }
        (PreEscaped("</body></html>\n"))
    }
    .into_string()
}

/// Content security policy: only the page's own style and script, no requests.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Digest::of(text.as_bytes()).0);
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

fn title(reviews: &[Review]) -> String {
    let names: Vec<&str> = reviews.iter().map(|review| &review.run.session_name[..]).collect();
    attribute(&format!("{} – evidence by nightaudit", names.join(", ")))
}

fn of(review: &Review, number: usize, shown: &Shown, facts: &Facts<'_>) -> Markup {
    let run = &review.run;
    let declared = review.declared.as_ref();
    let class = match review.verdict {
        Verdict::Ready => "good",
        Verdict::Questions => "refused",
        Verdict::NotReady | Verdict::NotMews | Verdict::NotProven => "bad",
        Verdict::Empty => "note",
    };
    // The headline is already shown above.
    let summary = review.summary.strip_prefix(&*review.headline).unwrap_or(&review.summary);
    let summary = capital(summary.trim_start_matches([':', '.', ' ']));
    let sections = sections::all(review, shown);
    // Ids must be unique on a page; the first session has the ones without a suffix.
    let id = |id: &str| if number == 0 { id.to_owned() } else { format!("{id}-{}", number + 1) };
    html! {
        header {
            p.eyebrow {
                @if review.verdict == Verdict::NotMews { "Rehearsal of a run against the " (API.name) " Connector API" }
                @else { "Evidence of a run against the " (API.name) " Connector API" }
            }
            h1 {
                @match declared.and_then(|declared| declared.integration.as_ref()) {
                    Some(name) => { (short(name, 200)) " " span.dim { (short(&run.session_name, 200)) } }
                    None => (short(&run.session_name, 200)),
                }
            }
            div.verdict.(class) {
                p.word { (short(&review.headline, 500)) }
                p { (sections::coded(&summary)) }
            }
            dl.run {
                (fact("Origin", html! { (short(&review.provenance.statement, 300)) }))
                @if let Some(import) = review.provenance.imported { (fact("Imported", html! { (import) })) }
                @if let Some(partner) = declared.and_then(|declared| declared.partner.as_ref()) { (fact("Partner", html! { (short(partner, 100)) })) }
                @if let Some(contact) = declared.and_then(|declared| declared.contact.as_ref()) { (fact("Contact", html! { (short(contact, 200)) })) }
                @if let Some(declared) = declared.filter(|declared| declared.kind == IntegrationKind::Private) { (fact("Kind", html! { @match declared.kind { IntegrationKind::Private => "private integration", IntegrationKind::Public => "public" } })) }
                @if let Some(case) = declared.and_then(|declared| declared.use_case.as_ref()) { (fact("Use case", html! { (short(case, 100)) })) }
                @if let Some(client) = review.identity.clients.first() { (fact("Client", html! { (short(&client.client, 200))
                    @if review.identity.clients.len() > 1 { span.dim { " and " (review.identity.clients.len() - 1) " more" } } })) }
                @if let Some(first) = run.first { (fact("First request", html! { (time(first)) })) }
                @if let Some(last) = run.last { (fact("Last response", html! { (time(last)) })) }
                (fact("Length", html! { (period(run.duration_s)) }))
                (fact("Exchanges", html! { (count(run.recorded())) @if run.others > 0 { ", " (count(run.exchanges)) " of them requests" } }))
                @if !run.nodes.is_empty() { (fact("Nodes", html! { (count(run.nodes.len() as u64)) })) }
                @if let Some(session) = run.session { (fact("Session", html! { code { (session) } })) }
                @if let Some(made) = facts.made {
                    (fact("Report written", html! { (time(made.at)) }))
                    (fact("Key", html! { code { (made.key) } }))
                }
                (fact("Written by", html! { "nightaudit " (env!("CARGO_PKG_VERSION")) }))
                (fact("Documentation", html! { (API.possessive) " revision of " (short(facts.revision, 100))
                    @if let Some(digest) = facts.updated { " with SHA-256 " code.hash { (digest) } }
                    @if let Some(digest) = facts.openapi { ", and the OpenAPI document with SHA-256 " code.hash { (digest) } } }))
            }
            @let filter: Vec<_> = facts.filter.iter().filter(|(flag, _)| *flag != "session").collect();
            @if number == 0 && !filter.is_empty() {
                p.omitted { "Only exchanges that match this filter were exported: " @for (name, value) in filter { code { "--" (name) " " (short(value, 200)) } " " } }
            }
            @if number == 0 && !facts.masked_fields.is_empty() {
                p.omitted { "The values of these properties were masked in all bodies: " (short(&facts.masked_fields.join(", "), 1000)) "." }
            }
        }
        nav aria-label=(if number == 0 { "Contents".to_owned() } else { format!("Contents {}", number + 1) }) {
            @for section in &sections { a href=(format!("#{}", id(section.id))) { (section.title) } " " }
            a href="#exchanges" { "Exchanges" }
        }
        @for section in sections {
            section.part id=(id(section.id)) { h2 { (section.title) } (section.content) }
        }
    }
}

/// The text with its first letter capitalized.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    // Rule ids stay as they are: `habits/polling`.
    if text.split(char::is_whitespace).next().is_some_and(|word| word.contains('/')) {
        return text.to_owned();
    }
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}", letters.as_str())
}

fn fact(name: &str, value: Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn selection(facts: &Facts<'_>) -> Markup {
    html! {
        @if facts.shown == facts.exchanges { "All " (counted(facts.exchanges, "exchange", "exchanges")) ", in recording order." }
        @else {
            (count(facts.shown)) " of " (count(facts.exchanges)) " exchanges: the first " (count(facts.sample)) " of each operation and "
            @if facts.failures_shown == facts.failures { "every failure" } @else { (count(facts.failures_shown)) " of " (count(facts.failures)) " failures" }
            ". The rest is omitted here; " code { "exchanges.ndjson" } " and " code { "session.har" } " of the bundle have them all."
        }
    }
}
