//! A review's figures, as tables that fit the terminal.

use std::fmt;

use nightaudit_exchange::Pseudonym;
use nightaudit_review::{EventChannel, RetryCause, RetryOrigin};
use nightaudit_text::{counted, duration, local, plain, size};

use super::layout::{Summary, heading, thousands, wrapped};

/// The most rows of a table; `--json` has all.
const ROWS: usize = 25;
/// The most nodes that are named; `--json` has all.
const NODES: usize = 20;

/// What was reviewed, in a few lines.
pub(super) fn overview(f: &mut fmt::Formatter<'_>, summary: &Summary<'_>) -> fmt::Result {
    let (review, run) = (summary.review, &summary.review.run);
    let mut row = |name: &str, text: String| {
        let text = wrapped(&text, summary.width, "             ");
        writeln!(f, "{name:13}{}", text.trim_start())
    };
    row("session", run.session_name.clone())?;
    row("origin", review.provenance.statement.clone())?;
    if let Some(place) = summary.declaration {
        row("declaration", place.to_owned())?;
    }
    let clients: Vec<&str> = review.identity.clients.iter().take(4).map(|own| &*own.client).collect();
    if !clients.is_empty() {
        row("client", clients.join(", "))?;
    }
    if let Some((first, last)) = run.first.zip(run.last) {
        let time = |time| local(time, summary.zone, "%Y-%m-%d %H:%M");
        let starts = run.starts.map_or_else(String::new, |starts| format!(", {}", counted(starts, "start")));
        row("run", format!("{} to {}, {}{starts}", time(first), time(last), long(run.duration_s)))?;
        let unit = match (run.hour_s, run.total_hours) {
            (3600, 1) => "hour",
            (3600, _) => "hours",
            (_, 1) => "stretch",
            _ => "stretches",
        };
        row("active", format!("{} of {} {unit}", run.active_hours, run.total_hours))?;
    }
    if !run.nodes.is_empty() {
        // Those that lack something first.
        let mut nodes: Vec<_> = run.nodes.iter().collect();
        nodes.sort_by_key(|node| node.missing == 0);
        let of = |node: &&nightaudit_review::NodeRun| match node.missing {
            0 => format!("{} ({})", plain(&node.node), thousands(node.exchanges)),
            missing => format!("{} ({}, {} missing)", plain(&node.node), thousands(node.exchanges), thousands(missing)),
        };
        let mut named: Vec<String> = nodes.iter().take(NODES).map(of).collect();
        if nodes.len() > NODES {
            named.push(format!("and {} more, which --json has", nodes.len() - NODES));
        }
        row("nodes", named.join(", "))?;
    }
    let outcomes = &run.outcomes;
    let parts = [
        (outcomes.answered, "answered"),
        (outcomes.refused, "refused"),
        (outcomes.rejected, "rejected"),
        (outcomes.failed, "failed"),
        (outcomes.aborted, "aborted"),
        (outcomes.interrupted, "interrupted"),
        (outcomes.faulted, "faulted"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", thousands(*count)))
        .collect();
    row("exchanges", format!("{}: {}", thousands(run.exchanges), parts.join(", ")))?;
    Ok(())
}

/// The limits, highest usage first.
pub(super) fn limits(f: &mut fmt::Formatter<'_>, summary: &Summary<'_>) -> fmt::Result {
    let limits = &summary.review.limits;
    if limits.is_empty() {
        return Ok(());
    }
    heading(f, "Limits, with the peak window of each")?;
    writeln!(f, "  {:14} {:12} {:>9} {:>5} {:11} {:>8} {:>8}", "rule", "token", "peak", "", "at", "by us", "by Mews")?;
    for limit in limits.iter().take(ROWS) {
        let busiest = limit.busiest.map_or(0, |busiest| busiest.requests);
        let share = limit.busiest.map_or_else(String::new, |own| format!("{:.0}%", own.share * 100.0));
        let at = limit.busiest.map_or_else(String::new, |own| local(own.to, summary.zone, "%m-%d %H:%M"));
        writeln!(
            f,
            "  {:14} {:12} {:>9} {share:>5} {at:11} {:>8} {:>8}",
            cut(&limit.rule, 14),
            token(limit.access_token.or(limit.client_token)),
            format!("{busiest}/{}", limit.requests),
            thousands(limit.refused_by_us),
            thousands(limit.refused_by_mews),
        )?;
    }
    more(f, limits.len())
}

/// The operations, most called first.
pub(super) fn operations(f: &mut fmt::Formatter<'_>, summary: &Summary<'_>) -> fmt::Result {
    let operations = &summary.review.operations;
    if operations.is_empty() {
        return Ok(());
    }
    heading(f, "Operations, most called first")?;
    let room = summary.width.saturating_sub(50).clamp(24, 60);
    writeln!(f, "  {:room$} {:>8} {:>8} {:>9} {:>9} {:>9}", "operation", "calls", "ok", "p50", "p99", "received")?;
    for own in operations.iter().take(ROWS) {
        let latency = |of: fn(&nightaudit_review::LatencyMs) -> f64| {
            own.latency.as_ref().map_or_else(
                || "-".to_owned(),
                |latency| duration(std::time::Duration::from_micros((of(latency) * 1000.0) as u64)),
            )
        };
        writeln!(
            f,
            "  {:room$} {:>8} {:>8} {:>9} {:>9} {:>9}",
            cut(&own.operation, room),
            thousands(own.calls),
            thousands(own.succeeded),
            latency(|latency| latency.p50),
            latency(|latency| latency.p99),
            size(own.response.total),
        )?;
    }
    more(f, operations.len())
}

/// How the integration handled refusals and failures.
pub(super) fn retries(f: &mut fmt::Formatter<'_>, summary: &Summary<'_>) -> fmt::Result {
    let retries = &summary.review.retries;
    if retries.is_empty() {
        return Ok(());
    }
    heading(f, "Refusals and failures, and how they were handled")?;
    writeln!(
        f,
        "  {:12} {:22} {:>6} {:>7} {:>7} {:>7} {:>10}",
        "token", "", "times", "heeded", "ignored", "backed", "not backed"
    )?;
    for own in retries.iter().take(ROWS) {
        let origin = match own.origin {
            RetryOrigin::Mews => "Mews",
            RetryOrigin::Nightaudit => "nightaudit",
            RetryOrigin::Fault => "a fault",
        };
        let cause = match own.cause {
            RetryCause::TooManyRequests => "429",
            RetryCause::TooHeavy => "408",
            RetryCause::ServerError => "5xx",
            RetryCause::NoAnswer => "no response",
        };
        writeln!(
            f,
            "  {:12} {:22} {:>6} {:>7} {:>7} {:>7} {:>10}",
            token(own.access_token),
            format!("{cause} from {origin}"),
            thousands(own.count),
            thousands(own.heeded),
            thousands(own.ignored),
            thousands(own.backed_off),
            thousands(own.fixed_pauses + own.without_backoff + own.hammered),
        )?;
    }
    more(f, retries.len())
}

/// Webhooks and WebSocket events, and what became of them.
pub(super) fn events(f: &mut fmt::Formatter<'_>, summary: &Summary<'_>) -> fmt::Result {
    let events = &summary.review.events;
    if events.is_empty() {
        return Ok(());
    }
    heading(f, "Webhooks and WebSocket events")?;
    let room = summary.width.saturating_sub(60).clamp(20, 40);
    let mut row = |event: &str, by: &str, numbers: [&str; 6]| {
        let [received, accepted, late, failed, followed, not] = numbers;
        let event = cut(event, room);
        writeln!(f, "  {event:room$} {by:9} {received:>8} {accepted:>8} {late:>6} {failed:>6} {followed:>8} {not:>6}")
    };
    if !events.kinds.is_empty() {
        row("event", "by", ["received", "accepted", "late", "failed", "followed", "not"])?;
    }
    for own in events.kinds.iter().take(ROWS) {
        let by = match own.channel {
            EventChannel::Webhook => "webhook",
            EventChannel::WebSocket => "WebSocket",
        };
        let (is_webhook, is_fetched) = (own.channel == EventChannel::Webhook, own.fetched_by.is_some());
        let known = |is_known: bool, number: u64| if is_known { thousands(number) } else { "-".to_owned() };
        let numbers = [
            thousands(own.received),
            known(is_webhook, own.accepted),
            known(is_webhook, own.late),
            known(is_webhook, own.failed),
            known(is_fetched, own.followed),
            known(is_fetched, own.not_followed),
        ];
        row(&own.event, by, numbers.each_ref().map(|number| &**number))?;
    }
    more(f, events.kinds.len())?;
    for own in events.sockets.iter().take(ROWS) {
        let gaps = match own.gaps {
            0 => String::new(),
            gaps => format!(", {} of up to {}", counted(gaps, "gap"), long(own.longest_gap_s)),
        };
        let text = format!(
            "token {}: {}, open {}, closed {} in between{gaps}",
            token(own.access_token),
            counted(own.connections, "WebSocket"),
            long(own.open_s),
            long(own.closed_s)
        );
        writeln!(f, "{}", wrapped(&text, summary.width, "  "))?;
    }
    more(f, events.sockets.len())
}

/// The failed calls, unresolved ones first.
pub(super) fn errors(f: &mut fmt::Formatter<'_>, summary: &Summary<'_>) -> fmt::Result {
    let errors = &summary.review.errors;
    if errors.failed == 0 {
        return Ok(());
    }
    heading(f, &format!("{} failed; {} later resolved", counted(errors.failed, "call"), thousands(errors.resolved)))?;
    for call in errors.calls.iter().take(ROWS) {
        let status = call.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
        let times = if call.count > 1 { format!(" ({} times)", thousands(call.count)) } else { String::new() };
        let what = format!("{status} {}{times}: {}", call.operation, call.message);
        writeln!(f, "{}", wrapped(&what, summary.width, "  "))?;
        if let Some(called) = call.exchanges.last() {
            let request_id = called.request_id.as_ref().map_or_else(String::new, |id| format!(", Request-Id {id}"));
            writeln!(f, "{}", wrapped(&format!("{}{request_id}", called.exchange), summary.width, "      "))?;
        }
        match call.resolution {
            Some(resolution) => {
                let after = duration(std::time::Duration::from_millis(resolution.after_ms));
                writeln!(f, "      resolved after {after} by {}", resolution.exchange)?;
            }
            None => writeln!(f, "      not resolved")?,
        }
    }
    more(f, errors.calls.len())
}

/// The steps of the declared use case.
pub(super) fn use_case(f: &mut fmt::Formatter<'_>, summary: &Summary<'_>) -> fmt::Result {
    let Some(case) = &summary.review.use_case else { return Ok(()) };
    heading(f, &format!("Use case: {}", case.title))?;
    for section in &case.sections {
        let seen = section.operations.iter().filter(|step| step.succeeded > 0).count();
        writeln!(
            f,
            "{}",
            wrapped(&format!("{seen} of {}  {}", section.operations.len(), section.title), summary.width, "  ")
        )?;
        let missing: Vec<&str> =
            section.operations.iter().filter(|step| step.succeeded == 0).map(|step| &*step.operation).collect();
        if !missing.is_empty() {
            writeln!(f, "{}", wrapped(&format!("missing: {}", missing.join(", ")), summary.width, "          "))?;
        }
    }
    Ok(())
}

/// The exchanges that the declaration leaves out.
pub(super) fn left_out(f: &mut fmt::Formatter<'_>, summary: &Summary<'_>) -> fmt::Result {
    let left_out = &summary.review.left_out;
    if left_out.is_empty() {
        return Ok(());
    }
    heading(f, "Left out by the declaration")?;
    for own in left_out.iter().take(ROWS) {
        let status = own.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
        let what = own
            .operation
            .as_ref()
            .map_or_else(|| "not in this session".to_owned(), |operation| format!("{status} {operation}"));
        writeln!(f, "{}", wrapped(&format!("{} {what}", own.exchange), summary.width, "  "))?;
        writeln!(f, "{}", wrapped(&own.reason, summary.width, "    "))?;
    }
    more(f, left_out.len())
}

fn more(f: &mut fmt::Formatter<'_>, rows: usize) -> fmt::Result {
    if rows > ROWS { writeln!(f, "  and {} more, which --json has", rows - ROWS) } else { Ok(()) }
}

fn token(token: Option<Pseudonym>) -> String {
    let text = token.map_or_else(|| "-".to_owned(), |token| token.to_string());
    text.trim_start_matches(Pseudonym::PREFIX).to_owned()
}

/// `47 h 59 min`, `12 min`, `45 s`.
fn long(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Text without control characters, cut at the start to fit.
fn cut(text: &str, room: usize) -> String {
    let text = plain(text);
    let letters = text.chars().count();
    if letters <= room {
        return text;
    }
    std::iter::once('…').chain(text.chars().skip(letters + 1 - room)).collect()
}
