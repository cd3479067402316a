//! Answers for Mews' certification form, as text to paste.

use std::fmt::Write as _;

use nightaudit_exchange::Timestamp;
use nightaudit_mews::operation;

use crate::{
    declaration::{Declaration, IntegrationKind},
    findings::{count_of, span, thousands},
    names::is_read,
    review::{OperationReview, Review, Verdict},
};

/// Placeholder for values missing from the declaration.
const TO_FILL_IN: &str = "(to be filled in)";

/// Answers for Mews' certification form: about the integration from its declaration, about its requests from the
/// reviewed session.
///
/// ```
/// use nightaudit_review::{Declaration, Reviewer, form};
///
/// let declaration = Declaration { partner: Some("INT12345".into()), ..Declaration::default() };
/// let review = Reviewer::new(declaration.clone()).review();
/// assert!(form(&review, &declaration).contains("Partner ID         INT12345\n"));
/// ```
#[must_use]
pub fn form(review: &Review, declaration: &Declaration) -> String {
    let mut text = String::new();
    if !matches!(review.verdict, Verdict::Ready | Verdict::Questions) {
        let _ = writeln!(text, "Don't submit this yet. {}\n", review.summary);
    }
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:19}{value}");
    };
    let said = |value: &Option<String>, key: &str| {
        value.clone().unwrap_or_else(|| format!("{TO_FILL_IN}: `{key}` in the declaration"))
    };
    let yes = |value: Option<bool>, key: &str| match value {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => format!("{TO_FILL_IN}: `{key}` in the declaration"),
    };
    row("Partner ID", &said(&declaration.partner, "partner"));
    row("Contact", &said(&declaration.contact, "contact"));
    row("Integration", &said(&declaration.integration, "integration"));
    row(
        "Kind",
        match declaration.kind {
            IntegrationKind::Public => "public, to be listed in the Marketplace",
            IntegrationKind::Private => "private, not listed in the Marketplace",
        },
    );
    row("Use case", &review.use_case.as_ref().map_or_else(|| said(&None, "use_case"), |case| case.title.clone()));
    let clients: Vec<&str> = review.identity.clients.iter().take(3).map(|own| &*own.client).collect();
    row("Client", &if clients.is_empty() { "none sent".to_owned() } else { clients.join(", ") });
    row("Pilot property", &said(&declaration.pilot, "pilot"));
    row("Webhooks", &yes(declaration.webhooks, "webhooks"));
    row("WebSocket", &yes(declaration.websocket, "websocket"));
    if let Some(hours) = declaration.every_hours {
        row("Schedule", &format!("runs every {}", count_of(hours.into(), "hour")));
    }
    let run = &review.run;
    if let Some((first, last)) = run.first.zip(run.last) {
        row("Period", &format!("{} to {} UTC ({})", minute(first), minute(last), span(run.duration_s)));
    }
    row("Requests", &format!("{}; {}", count_of(run.exchanges, "request"), review.provenance.statement));
    text.push_str("\nOperations\n");
    for (number, own) in review.coverage.operations.iter().enumerate() {
        let known = review.operations.iter().find(|known| known.operation == own.operation);
        let title = match known {
            Some(known) => known.title.clone(),
            // Declared but never called.
            None => operation(&own.operation).map(|known| known.title.to_string()),
        };
        let title = title.map_or_else(String::new, |title| format!(" – {title}"));
        let _ = writeln!(text, "\n{}. {}{title}", number + 1, own.operation);
        let purpose = match (&own.purpose, own.declared) {
            (Some(purpose), _) => purpose.as_str(),
            (None, true) => TO_FILL_IN,
            (None, false) => "(to be filled in: not declared)",
        };
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "   {name:11}{value}");
        };
        row("Purpose", purpose);
        match review.operations.iter().find(|called| called.operation == own.operation) {
            Some(called) => {
                row("Frequency", &frequency(called));
                // Changes have no filters and no pages.
                if is_read(&own.operation) {
                    row("Filters", &filters(called));
                    row("Pages", &pages(called));
                }
            }
            None => row("Frequency", "never called in this session"),
        }
    }
    text
}

fn frequency(called: &OperationReview) -> String {
    format!(
        "{} per hour on average, {} in the busiest hour; {} in total",
        rounded(called.per_hour),
        thousands(called.busiest_hour),
        count_of(called.calls, "request")
    )
}

/// `0.04`, `1.2`, `37`
fn rounded(number: f64) -> String {
    match number {
        number if number < 1.0 => format!("{number:.2}"),
        number if number < 10.0 => format!("{number:.1}"),
        number => format!("{number:.0}"),
    }
}

fn filters(called: &OperationReview) -> String {
    const MOST: usize = 12;
    // An extent selects parts of each item, not items.
    let own = called.filters.iter().filter(|(name, _)| *name != "Extent");
    let mut names: Vec<(&str, u64)> = own.map(|(name, count)| (&**name, *count)).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let said = |(name, count): &(&str, u64)| match *count == called.calls {
        true => (*name).to_owned(),
        false => format!("{name} (in {} of {})", thousands(*count), thousands(called.calls)),
    };
    let listed = names.iter().map(said).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{listed} and {more} more") } else { listed }
}

fn pages(called: &OperationReview) -> String {
    match (called.paginated, called.paged) {
        (false, 0) => "not supported by the operation".to_owned(),
        (_, paged) if paged == called.calls => "in every request".to_owned(),
        (_, 0) => "not used".to_owned(),
        (_, paged) => format!("in {} of {}", thousands(paged), thousands(called.calls)),
    }
}

/// `2026-11-23 12:00`
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(clock)) => format!("{day} {clock}"),
        _ => text,
    }
}
