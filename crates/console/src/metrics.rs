//! Counters in Prometheus' text format.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::Arc,
};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use nightaudit_exchange::Outcome;
use nightaudit_log::Status;

use crate::{ArchiveState, LimitState, LimitStoreState, Shared, error::ApiError};

/// `GET /metrics`
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Result<Response, ApiError> {
    let outcomes = (shared.gauges.outcomes)();
    // If the limits are unavailable, the other metrics still are useful.
    let limits = (shared.gauges.limits)().await.unwrap_or_default();
    let mut text = String::new();
    write_metrics(&mut text, &shared.log.status(), &outcomes, &limits).map_err(ApiError::internal)?;
    if let Some(archive) = &shared.gauges.archive {
        write_archive(&mut text, &archive()).map_err(ApiError::internal)?;
    }
    if let Some(store) = &shared.gauges.limit_store {
        write_limit_store(&mut text, &store()).map_err(ApiError::internal)?;
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

fn write_archive(out: &mut String, state: &ArchiveState) -> fmt::Result {
    let mut metric = |name: &str, kind: &str, help: &str, value: u64| {
        write_metric(out, &format!("archive_{name}"), kind, help, &[(String::new(), value)])
    };
    metric("shipped_total", "counter", "Exchanges shipped to the archive since start.", state.shipped)?;
    metric("behind", "gauge", "Recorded exchanges that the archive doesn't have yet.", state.behind)?;
    metric(
        "lag_milliseconds",
        "gauge",
        "How long the oldest of them has waited, or had when it arrived in the last 2 seconds.",
        state.lag_ms,
    )?;
    metric("failures_total", "counter", "Failed attempts to ship since start.", state.failures)?;
    metric("failing", "gauge", "1 while nothing can be shipped, else 0.", state.failing.is_some().into())
}

fn write_limit_store(out: &mut String, state: &LimitStoreState) -> fmt::Result {
    let mut metric = |name: &str, help: &str, value: bool| {
        write_metric(out, &format!("limit_store_{name}"), "gauge", help, &[(String::new(), value.into())])
    };
    metric("failing", "1 while the store of the limits can't be reached, else 0.", state.failing.is_some())?;
    metric("sharing", "1 while this machine goes on with its share of the limits, else 0.", state.sharing)
}

fn write_metric(out: &mut String, name: &str, kind: &str, help: &str, values: &[(String, u64)]) -> fmt::Result {
    writeln!(out, "# HELP nightaudit_{name} {help}\n# TYPE nightaudit_{name} {kind}")?;
    values.iter().try_for_each(|(labels, value)| writeln!(out, "nightaudit_{name}{labels} {value}"))
}

fn write_metrics(out: &mut String, status: &Status, outcomes: &[(Outcome, u64)], limits: &[LimitState]) -> fmt::Result {
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| -> fmt::Result {
        write_metric(out, name, kind, help, values)
    };
    let one = |value: u64| [(String::new(), value)];
    metric("recorded_total", "counter", "Exchanges recorded since start.", &one(status.recorded))?;
    metric("unrecorded_total", "counter", "Requests forwarded but not recorded.", &one(status.unrecorded))?;
    metric("queue", "gauge", "Exchanges waiting in the recorder's queue.", &one(status.waiting))?;
    metric("missing_exchanges", "gauge", "Recorded exchanges that are no longer in the log.", &one(status.missing))?;
    metric("log_failing", "gauge", "1 while the log is not writable, else 0.", &one(status.failing.is_some().into()))?;
    let by_outcome: Vec<_> =
        outcomes.iter().map(|(outcome, count)| (format!("{{outcome=\"{outcome}\"}}"), *count)).collect();
    metric("exchanges_total", "counter", "Requests by outcome.", &by_outcome)?;
    // By rule, not by key: a label per token would be unbounded.
    let mut rules: Vec<&str> = limits.iter().map(|limit| limit.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let by_rule: Vec<_> = rules
        .into_iter()
        .map(|rule| {
            let left = limits.iter().filter(|limit| limit.rule == rule).map(|limit| limit.left).min().unwrap_or(0);
            (format!("{{rule=\"{}\"}}", Label(rule)), u64::from(left))
        })
        .collect();
    metric("limit_left_min", "gauge", "Fewest permits left in any window of the rule.", &by_rule)?;
    // Nodes are few, and named by whoever runs them.
    let mut by_node: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for limit in limits {
        for of in &limit.nodes {
            *by_node.entry((&limit.rule, &of.node)).or_default() += u64::from(of.used);
        }
    }
    if by_node.is_empty() {
        return Ok(());
    }
    let by_node: Vec<_> = by_node
        .into_iter()
        .map(|((rule, node), used)| (format!("{{rule=\"{}\",node=\"{}\"}}", Label(rule), Label(node)), used))
        .collect();
    metric("limit_node_used", "gauge", "Permits that each machine uses of the rule, of those that share it.", &by_node)
}

/// An escaped label value.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            letter => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeUsage;

    #[test]
    fn shipping_has_its_metrics() {
        let state = ArchiveState { shipped: 5, behind: 3, lag_ms: 70, failures: 2, failing: Some("down".to_owned()) };
        let mut text = String::new();
        write_archive(&mut text, &state).unwrap();
        let values: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            values,
            [
                "nightaudit_archive_shipped_total 5",
                "nightaudit_archive_behind 3",
                "nightaudit_archive_lag_milliseconds 70",
                "nightaudit_archive_failures_total 2",
                "nightaudit_archive_failing 1",
            ]
        );
    }

    #[test]
    fn the_store_of_the_limits_has_its_metrics_and_is_told_of() {
        let mut state = LimitStoreState {
            address: "redis://cache:6379".to_owned(),
            failing: Some("cache:6379: refused".to_owned()),
            share_of: Some(8),
            sharing: true,
        };
        let mut text = String::new();
        write_limit_store(&mut text, &state).unwrap();
        let values: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(values, ["nightaudit_limit_store_failing 1", "nightaudit_limit_store_sharing 1"]);
        let why = "the limits in redis://cache:6379 can't be reached: cache:6379: refused";
        assert_eq!(state.told().unwrap(), format!("this machine goes on with 1/8 of every limit: {why}"));
        state.sharing = false;
        let waits = "requests get 503 until this machine may go on with 1/8 of every limit";
        assert_eq!(state.told().unwrap(), format!("{waits}: {why}"));
        state.share_of = None;
        assert_eq!(state.told().unwrap(), format!("requests get 503: {why}"));
        state.failing = None;
        assert_eq!(state.told(), None);
    }

    #[test]
    fn label_values_are_escaped() {
        let limit = |rule: &str, left| LimitState {
            rule: rule.to_owned(),
            key: "REDACTED:b1946ac92492".to_owned(),
            limit: left + 1,
            window_ms: 30_000,
            used: 1,
            left,
            next_free_ms: 0,
            refused: 0,
            refused_by_mews: 0,
            delayed: 0,
            closed_for_ms: None,
            nodes: vec![NodeUsage { node: "kiosk".to_owned(), used: 2 }],
        };
        let status = Status { recorded: 7, unrecorded: 0, waiting: 2, missing: 3, failing: None };
        let mut text = String::new();
        let limits = [limit("a\"b", 9), limit("published", 5), limit("published", 3)];
        write_metrics(&mut text, &status, &[(Outcome::Answered, 6)], &limits).unwrap();
        for line in [
            "# TYPE nightaudit_recorded_total counter",
            "nightaudit_recorded_total 7",
            "nightaudit_queue 2",
            "nightaudit_missing_exchanges 3",
            "nightaudit_log_failing 0",
            "nightaudit_exchanges_total{outcome=\"answered\"} 6",
            "nightaudit_limit_left_min{rule=\"a\\\"b\"} 9",
            "nightaudit_limit_left_min{rule=\"published\"} 3",
            "nightaudit_limit_node_used{rule=\"a\\\"b\",node=\"kiosk\"} 2",
            "nightaudit_limit_node_used{rule=\"published\",node=\"kiosk\"} 4",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("b1946"), "labels hold no keys");
    }
}
