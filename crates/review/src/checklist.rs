//! The checklist: what Mews checks, point by point.

use nightaudit_mews::Environment;

use crate::{
    declaration::{Declaration, IntegrationKind},
    findings::{by_number, count_of, counted_as, span, thousands},
    parts::{habits::is_filter, personal_data::LookedAt},
    review::{Check, CheckState, EventChannel, OperationReview, OriginStatus, Review, Run, WebhookReview},
    rule::{Rule, Severity},
};

/// What a part of a session, as a filter leaves it, says of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfPart {
    /// Each exchange passes or fails it on its own.
    Judged,
    /// Only that it fails: what was left out might, too, or is just what is asked for.
    FailsOnly,
}

use OfPart::{FailsOnly, Judged};

/// The points in order: id, title, and what a part of a session says of it.
const POINTS: [(&str, &str, OfPart); 14] = [
    ("origin", "Answered by Mews Demo", Judged),
    ("record", "Record complete", Judged),
    ("duration", "48 hours of activity", FailsOnly),
    ("operations", "Declared operations used", FailsOnly),
    ("use-case", "Minimum of the use case", FailsOnly),
    ("limits", "Request limits kept", FailsOnly),
    ("frequency", "Frequency of requests", FailsOnly),
    ("filters", "Filters and pages", FailsOnly),
    ("errors", "Errors resolved", FailsOnly),
    ("events", "Webhooks and events", FailsOnly),
    ("accuracy", "Accurate requests", Judged),
    ("client", "Identified by Client", Judged),
    ("test-data", "Test data only", Judged),
    ("deprecated", "Nothing deprecated", Judged),
];

/// The point that a rule belongs to. New rules go by their group.
pub(crate) fn point_of(rule: Rule) -> &'static str {
    match rule {
        Rule::RunEnvironment
        | Rule::RecordOrigin
        | Rule::RecordAltered
        | Rule::RecordImported
        | Rule::RecordFaults
        | Rule::RecordDates => "origin",
        Rule::RequestDeprecated | Rule::RequestDiscontinued | Rule::RequestRestricted => "deprecated",
        Rule::Unpaged | Rule::UnfinishedPages | Rule::Unfiltered | Rule::Extents => "filters",
        rule => match rule.id().split('/').next().unwrap_or_default() {
            "run" => "duration",
            "coverage" => "operations",
            "usecase" => "use-case",
            "limits" | "retry" => "limits",
            "errors" => "errors",
            "events" => "events",
            "request" => "accuracy",
            "identity" => "client",
            "data" => "test-data",
            "record" => "record",
            _ => "frequency",
        },
    }
}

/// The checklist of a review.
pub(crate) fn checklist(review: &Review, declaration: &Declaration, looked_at: &LookedAt) -> Vec<Check> {
    // Many integrations have no events, and that is no point against them.
    let has_events =
        declaration.webhooks == Some(true) || declaration.websocket == Some(true) || !review.events.is_empty();
    let points = POINTS.iter().filter(|(id, ..)| *id != "events" || has_events);
    points.map(|point| check(review, declaration.kind, looked_at, *point)).collect()
}

fn check(
    review: &Review,
    kind: IntegrationKind,
    looked_at: &LookedAt,
    (id, title, of_part): (&str, &str, OfPart),
) -> Check {
    // A finding that the partner lowered or silenced still fails the point.
    let fails_point = |finding: &&crate::review::Finding| {
        let own = finding.ruling.as_ref().map_or(finding.severity, |ruling| ruling.was.max(finding.severity));
        point_of(finding.rule) == id && own >= Severity::Warning
    };
    let unique = |mut rules: Vec<Rule>| {
        rules.sort_unstable();
        rules.dedup();
        rules
    };
    let silenced = unique(review.silenced.iter().filter(fails_point).map(|finding| finding.rule).collect());
    let all = review.findings.iter().chain(&review.silenced);
    let rules = unique(all.filter(fails_point).map(|finding| finding.rule).collect());
    let (figure, judged) = figure(review, kind, looked_at, id);
    let state = if !rules.is_empty() || (id == "origin" && fails_by_origin(review)) {
        CheckState::Failed
    } else if judged {
        CheckState::Passed
    } else {
        CheckState::NotJudged
    };
    let (state, figure) = match (state, of_part) {
        _ if !review.run.filtered || id == "record" => (state, figure),
        (CheckState::Failed, _) | (_, Judged) => (state, format!("{figure}; the export is filtered")),
        (_, FailsOnly) => (CheckState::NotJudged, "not judged: the export is filtered".to_owned()),
    };
    Check { id: id.to_owned(), title: title.to_owned(), state, figure, rules, silenced }
}

fn fails_by_origin(review: &Review) -> bool {
    let provenance = &review.provenance;
    !matches!(provenance.standing, OriginStatus::Demo | OriginStatus::Nobody) || !provenance.doubts.is_empty()
}

/// The figure of a point, and whether there was anything to judge.
fn figure(review: &Review, kind: IntegrationKind, looked_at: &LookedAt, id: &str) -> (String, bool) {
    let run = &review.run;
    let has_calls = run.exchanges > 0;
    let nothing = || ("no request".to_owned(), false);
    match id {
        "origin" => {
            let doubts = review.provenance.doubts.len();
            let statement = &review.provenance.statement;
            match review.provenance.standing {
                OriginStatus::Nobody => (statement.clone(), false),
                OriginStatus::Demo if doubts > 0 => {
                    (format!("{statement}; {}", review.provenance.doubts.join(" ")), true)
                }
                _ => (statement.clone(), true),
            }
        }
        "record" => record(run),
        "duration" => {
            let unit = if run.hour_s == 3600 { "hour" } else { "stretch" };
            let unit = match (run.total_hours, unit) {
                (1, unit) => unit.to_owned(),
                (_, "hour") => "hours".to_owned(),
                _ => "stretches".to_owned(),
            };
            let pause =
                run.gaps.first().map_or_else(String::new, |gap| format!("; longest pause {}", span(gap.seconds)));
            let took = format!(
                "{}, active in {} of {} {unit}{pause}",
                span(run.duration_s),
                thousands(run.active_hours),
                thousands(run.total_hours)
            );
            match kind {
                IntegrationKind::Private => (format!("{took}; not required of a private integration"), false),
                IntegrationKind::Public => {
                    let declared = review.declared.as_ref().and_then(|declared| declared.every_hours);
                    let every = declared.map_or_else(String::new, |hours| {
                        format!("; declared to run every {}", count_of(hours.into(), "hour"))
                    });
                    (format!("{took}{every}"), has_calls)
                }
            }
        }
        "operations" => {
            let coverage = &review.coverage;
            if coverage.declared == 0 {
                let none = match review.declared {
                    Some(_) => "the declaration names no operations",
                    None => "no declaration",
                };
                return (format!("{none}; {} called", count_of(coverage.undeclared, "operation")), false);
            }
            let mut figure = format!("{} of {} succeeded", coverage.succeeded, coverage.declared);
            for (count, what) in [
                (coverage.only_failed, "only failed"),
                (coverage.not_called, "never called"),
                (coverage.undeclared, "called but not declared"),
            ] {
                if count > 0 {
                    figure.push_str(&format!(", {count} {what}"));
                }
            }
            (figure, true)
        }
        "use-case" => match &review.use_case {
            Some(case) => {
                let seen = case.sections.iter().filter(|own| own.operations.iter().any(|step| step.succeeded > 0));
                (format!("{}: {} of {} steps seen", case.title, seen.count(), case.sections.len()), true)
            }
            None => ("no use case declared".to_owned(), false),
        },
        "limits" => {
            let fullest = review.limits.iter().find_map(|limit| Some((limit, limit.busiest.as_ref()?)));
            let refused: u64 = review.limits.iter().map(|limit| limit.refused_by_us + limit.refused_by_mews).sum();
            match fullest {
                Some((limit, busiest)) => {
                    let window = limit
                        .window_ms
                        .map_or_else(String::new, |window| format!(" in {}", span(window.div_ceil(1000))));
                    let figure = format!(
                        "at most {} of {}{window}; {} refused",
                        thousands(busiest.requests.into()),
                        thousands(limit.requests.into()),
                        thousands(refused)
                    );
                    (figure, true)
                }
                None => (without_windows(review), false),
            }
        }
        "frequency" => match review.operations.first() {
            Some(most) => {
                let figure = format!(
                    "{:.1} requests per hour; most frequent {} ({:.1} per hour, peak {})",
                    run.per_hour(run.exchanges),
                    most.operation,
                    most.per_hour,
                    thousands(most.busiest_hour)
                );
                (figure, true)
            }
            None => nothing(),
        },
        "filters" => {
            let lists = || review.operations.iter().filter(|own| own.paginated);
            let (calls, paged) = lists().fold((0, 0), |(calls, paged), own| (calls + own.calls, paged + own.paged));
            let narrowed = |own: &&OperationReview| own.filters.keys().any(|name| is_filter(&own.operation, name));
            let filtered = lists().filter(narrowed).count();
            match calls {
                0 => ("no list was fetched".to_owned(), false),
                calls => {
                    let figure = format!(
                        "{} of {} paginated; {filtered} of {} with filters",
                        thousands(paged),
                        count_of(calls, "list request"),
                        count_of(lists().count() as u64, "list operation")
                    );
                    (figure, true)
                }
            }
        }
        "errors" => match (has_calls, review.errors.failed) {
            (false, _) => nothing(),
            (true, 0) => ("no request failed".to_owned(), true),
            (true, failed) => {
                (format!("{} failed; {} later resolved", count_of(failed, "request"), review.errors.resolved), true)
            }
        },
        "events" => {
            let WebhookReview { received, accepted, .. } = review.events.webhooks;
            let sockets = &review.events.sockets;
            let connections = sockets.iter().map(|own| own.connections).sum();
            let over_sockets = review.events.kinds.iter().filter(|own| own.channel == EventChannel::WebSocket);
            let mut figures = Vec::new();
            if received > 0 {
                figures.push(format!("{} of {} accepted in time", thousands(accepted), count_of(received, "webhook")));
            }
            if connections > 0 {
                let events = count_of(over_sockets.map(|own| own.received).sum(), "event");
                figures.push(format!("{events} over {}", count_of(connections, "WebSocket")));
            }
            let judged = !figures.is_empty();
            (if judged { figures.join("; ") } else { "none was recorded".to_owned() }, judged)
        }
        "accuracy" => match review.accuracy.checked {
            0 => ("no request could be checked".to_owned(), false),
            checked => (
                format!(
                    "{} of {} {} the documentation",
                    thousands(review.accuracy.accurate),
                    count_of(checked, "request"),
                    by_number(review.accuracy.accurate, "matches", "match")
                ),
                true,
            ),
        },
        "client" => {
            let clients = &review.identity.clients;
            match (clients.first(), review.identity.without_client) {
                (Some(first), 0) if clients.len() == 1 => (format!("{} in every request", first.client), true),
                (Some(first), without) => {
                    let more = clients.len() - 1;
                    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                    (format!("{}{more}; {} without", first.client, count_of(without, "request")), true)
                }
                (None, _) => ("no request has one".to_owned(), has_calls),
            }
        }
        "test-data" => match review.data_care.iter().map(|own| own.count).sum::<u64>() {
            0 => looked_at.found_nothing(),
            count => (counted_as(count, "value looks real", "values look real"), true),
        },
        "deprecated" => {
            if !has_calls {
                return nothing();
            }
            let is = |rule: Rule| point_of(rule) == "deprecated";
            let count = review.findings.iter().chain(&review.silenced).filter(|finding| is(finding.rule)).count();
            let known = review.operations.iter().filter(|own| own.title.is_some()).count() as u64;
            match count {
                0 => (format!("none in {}", count_of(known, "operation")), true),
                count => (format!("{count} found in {}", count_of(known, "operation")), true),
            }
        }
        _ => nothing(),
    }
}

/// How complete the record is. Of a filtered one nobody can tell, but the log may know what it has lost.
fn record(run: &Run) -> (String, bool) {
    let recorded = match run.others {
        0 => count_of(run.exchanges, "exchange"),
        _ => format!("{}, {} of them requests", count_of(run.recorded(), "exchange"), thousands(run.exchanges)),
    };
    match (run.missing, run.filtered) {
        (0, false) => (format!("{recorded}, none missing"), run.exchanges > 0),
        (missing, false) => {
            (format!("{} of {} missing", thousands(missing), thousands(run.recorded().saturating_add(missing))), true)
        }
        (0, true) => (format!("{recorded}, after a filter, so it can't be told whether any are missing"), false),
        (missing, true) => (format!("{} missing from the log", count_of(missing, "exchange")), true),
    }
}

/// The figure of the limits where no window held anything.
fn without_windows(review: &Review) -> String {
    let requests = review.operations.iter().filter(|own| own.operation != Environment::EVENTS_PATH);
    match requests.map(|own| own.sent).sum::<u64>() {
        0 => "nothing was sent".to_owned(),
        sent => format!("{} sent, without the access token by which Mews counts", count_of(sent, "request")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_belongs_to_a_point() {
        for rule in Rule::ALL {
            let point = point_of(*rule);
            assert!(POINTS.iter().any(|(id, ..)| *id == point), "{rule}: {point}");
        }
        assert_eq!(point_of(Rule::RunShort), "duration");
        assert_eq!(point_of(Rule::RecordAltered), "origin");
        assert_eq!(point_of(Rule::Polling), "frequency");
    }
}
