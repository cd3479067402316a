//! Limits: how full the windows were, by the time of sending.

mod window;

use std::{collections::HashMap, time::Duration};

use nightaudit_exchange::{Decision, ExchangeId, Outcome, Timestamp};
use nightaudit_mews::Environment;
use serde::{Deserialize, Serialize};

use super::series::{Series, Step};
use crate::{
    fact::Fact,
    findings::{Findings, by_number, count_of, counted_as, span},
    names::{OperationNo, Operations, TokenNo, Tokens},
    review::{BusiestWindow, Evidence, LimitPoint, LimitReview, LimitSeries, LimitSource},
    rule::Rule,
};
use window::Window;

/// A limit that requests are checked against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestLimit {
    /// The limit's name.
    pub name: String,
    /// Requests allowed per window.
    pub requests: u32,
    /// The length of the window; in JSON in microseconds.
    #[serde(rename = "windowUs", with = "microseconds")]
    pub window: Duration,
    /// Whether requests are counted per access token.
    pub access_token: bool,
    /// Whether they are counted per client token.
    pub client_token: bool,
    /// Whether they are counted per operation.
    pub operation: bool,
}

/// Durations as whole microseconds.
mod microseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_micros(u64::deserialize(from)?))
    }
}

/// The most keys that are tracked, over all limits.
const MOST_KEYS: usize = 512;

/// How many refusals of a token, and what share of its requests in percent, are reported.
const REFUSALS: u64 = 5;
const REFUSED_SHARE: u64 = 5;

/// The most points of a chart.
const MOST_POINTS: usize = 360;

/// Requests sent, by limit and key.
#[derive(Debug, Clone, Default)]
pub(crate) struct LimitsPart {
    limits: Vec<(RequestLimit, LimitSource)>,
    keys: HashMap<Key, Tally>,
    /// Requests of keys beyond the bound.
    uncounted: u64,
    refused_by_us: HashMap<TokenNo, Evidence>,
    refused_by_mews: HashMap<TokenNo, Evidence>,
    /// Requests by access token, whatever their outcome.
    calls: HashMap<TokenNo, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    limit: u16,
    access_token: Option<TokenNo>,
    client_token: Option<TokenNo>,
    operation: Option<OperationNo>,
}

#[derive(Debug, Clone)]
struct Tally {
    window: Window,
    sent: u64,
    busiest: Option<(i64, Timestamp, Timestamp, u32, ExchangeId)>,
    requests: u32,
    refused_by_us: u64,
    refused_by_mews: u64,
    delayed: u64,
    observed: u64,
    over: Evidence,
    series: Series<Point>,
}

#[derive(Debug, Clone, Default)]
struct Point {
    sent: u32,
    peak: u32,
    refused: u32,
}

impl Step for Point {
    fn merge(&mut self, next: &Self) {
        self.sent = self.sent.saturating_add(next.sent);
        self.refused = self.refused.saturating_add(next.refused);
        self.peak = self.peak.max(next.peak);
    }
}

impl LimitsPart {
    /// Adds a limit to check requests against.
    pub(crate) fn add(&mut self, limit: RequestLimit) {
        if self.limits.len() < 64 && !self.limits.iter().any(|(own, _)| own.name == limit.name) {
            self.limits.push((limit, LimitSource::Configured));
        }
    }

    /// Adds the limit that Mews publishes for an environment.
    pub(crate) fn set_environment(&mut self, name: &str) {
        let published = Environment::named(name).unwrap_or(Environment::DEMO).limit;
        let limit = RequestLimit {
            name: "published".to_owned(),
            requests: published.requests,
            window: Duration::from_secs(u64::from(published.window_secs)),
            access_token: true,
            client_token: false,
            operation: false,
        };
        // Drop an identical limit from the configuration.
        self.limits.retain(|(own, _)| *own != limit);
        for (own, _) in &mut self.limits {
            if own.name == limit.name {
                own.name = "published (configured)".to_owned();
            }
        }
        self.limits.insert(0, (limit, LimitSource::Published));
    }

    /// The index of the limit that a recorded note refers to.
    pub(crate) fn number(&mut self, name: &str, requests: u32) -> Option<u16> {
        let is_it = |(own, _): &(RequestLimit, LimitSource)| {
            own.name == name || own.name.strip_suffix(" (configured)") == Some(name) && own.requests == requests
        };
        // If two share the name, notes refer to the configured one.
        if let Some(index) = self.limits.iter().rposition(is_it) {
            return u16::try_from(index).ok();
        }
        if self.limits.len() >= 64 {
            return None;
        }
        let name = name.chars().take(100).collect();
        let noted = RequestLimit {
            name,
            requests,
            window: Duration::ZERO,
            access_token: true,
            client_token: false,
            operation: false,
        };
        self.limits.push((noted, LimitSource::Noted));
        u16::try_from(self.limits.len() - 1).ok()
    }

    /// Takes the next fact in the order of sending.
    pub(crate) fn follow(&mut self, fact: &Fact) {
        let by_mews = fact.outcome == Outcome::Answered && fact.status == 429;
        let by_us = fact.outcome == Outcome::Refused;
        *self.calls.entry(fact.access_token).or_default() += 1;
        for (is_refused, refused) in [(by_us, &mut self.refused_by_us), (by_mews, &mut self.refused_by_mews)] {
            if is_refused && (refused.len() < MOST_KEYS || refused.contains_key(&fact.access_token)) {
                refused.entry(fact.access_token).or_default().add(fact.id, fact.recorded_at());
            }
        }
        for index in 0..self.limits.len() {
            let (limit, source) = &self.limits[index];
            let noted = fact.limit.filter(|note| usize::from(note.rule) == index);
            let is_noted_only = *source == LimitSource::Noted;
            if is_noted_only && noted.is_none() {
                continue;
            }
            // Mews counts per token, so requests without one don't count.
            if limit.access_token && fact.access_token == TokenNo(0) {
                continue;
            }
            let key = Key {
                limit: u16::try_from(index).unwrap_or(u16::MAX),
                access_token: limit.access_token.then_some(fact.access_token),
                client_token: limit.client_token.then_some(fact.client_token),
                operation: limit.operation.then_some(fact.operation),
            };
            if !self.keys.contains_key(&key) && self.keys.len() >= MOST_KEYS {
                self.uncounted += 1;
                continue;
            }
            let window = i64::try_from(limit.window.as_micros()).unwrap_or(i64::MAX).max(1);
            let requests = limit.requests;
            let tally = self.keys.entry(key).or_insert_with(|| Tally {
                window: Window::new(window),
                sent: 0,
                busiest: None,
                requests,
                refused_by_us: 0,
                refused_by_mews: 0,
                delayed: 0,
                observed: 0,
                over: Evidence::default(),
                series: Series::new(window.max(1_000_000), MOST_POINTS),
            });
            if let Some(note) = noted {
                tally.refused_by_us += u64::from(by_us);
                tally.delayed += u64::from(note.decision == Decision::Delayed);
                tally.observed += u64::from(note.decision == Decision::Observed);
                if is_noted_only {
                    tally.requests = note.limit;
                    tally.note(fact, note.used);
                }
            }
            if *source == LimitSource::Published {
                tally.refused_by_mews += u64::from(by_mews);
            }
            if by_us || by_mews {
                let point = tally.series.at(fact.at);
                point.refused = point.refused.saturating_add(1);
            }
            if fact.sent && !is_noted_only {
                tally.send(fact);
            }
        }
    }

    pub(crate) fn report(
        &self,
        operations: &Operations,
        tokens: [&Tokens; 2],
        shared: impl Fn(TokenNo) -> bool,
        findings: &mut Findings<'_>,
    ) -> Vec<LimitReview> {
        let mut keys: Vec<(&Key, &Tally)> = self.keys.iter().collect();
        keys.sort_by_key(|(key, _)| **key);
        let mut reviews = Vec::new();
        for (key, tally) in keys {
            let Some((limit, source)) = self.limits.get(usize::from(key.limit)) else { continue };
            let review = LimitReview {
                rule: limit.name.clone(),
                source: *source,
                requests: tally.requests,
                window_ms: u64::try_from(limit.window.as_millis()).ok().filter(|millis| *millis > 0),
                access_token: key.access_token.and_then(|number| tokens[0].token(number)),
                client_token: key.client_token.and_then(|number| tokens[1].token(number)),
                operation: key.operation.map(|number| operations.name(number).to_owned()),
                sent: tally.sent,
                busiest: tally.busiest(),
                refused_by_us: tally.refused_by_us,
                refused_by_mews: tally.refused_by_mews,
                delayed: tally.delayed,
                observed: tally.observed,
                series: tally.series(),
            };
            if tally.over.count > 0 {
                let message = format!(
                    "{} in {}; `{}` allows {}{}; {} over the limit.",
                    count_of(u64::from(review.busiest.map_or(0, |busiest| busiest.requests)), "request"),
                    span(limit.window.as_secs()),
                    limit.name,
                    tally.requests,
                    review
                        .access_token
                        .map_or_else(String::new, |token| format!(", token {}", short(&token.to_string()))),
                    counted_as(tally.over.count, "was sent", "were sent"),
                );
                findings.raise(Rule::LimitsOver, review.operation.as_deref(), message, &tally.over);
            }
            reviews.push(review);
        }
        let share = |review: &LimitReview| review.busiest.map_or(0.0, |busiest| busiest.share);
        reviews.sort_by(|a, b| share(b).total_cmp(&share(a)));
        self.raise(tokens[0], shared, findings);
        reviews
    }

    fn raise(&self, tokens: &Tokens, shared: impl Fn(TokenNo) -> bool, findings: &mut Findings<'_>) {
        let of = |number: TokenNo| match tokens.token(number) {
            Some(token) => format!("of token {}", short(&token.to_string())),
            None => "without a token".to_owned(),
        };
        for (rule, refused, who) in [
            (Rule::LimitsRefusedByUs, &self.refused_by_us, "refused by nightaudit"),
            (Rule::LimitsRefusedByMews, &self.refused_by_mews, "rejected with 429 by Mews"),
        ] {
            let mut refused: Vec<_> = refused.iter().collect();
            refused.sort_by_key(|(number, _)| **number);
            for (number, evidence) in refused {
                let calls = self.calls.get(number).copied().unwrap_or(0);
                if evidence.count < REFUSALS || 100 * evidence.count < REFUSED_SHARE * calls {
                    continue;
                }
                let were = by_number(evidence.count, "was", "were");
                let mut message =
                    format!("{} {} {were} {who}, of {calls}.", count_of(evidence.count, "request"), of(*number));
                if rule == Rule::LimitsRefusedByMews && shared(*number) {
                    message.push_str(" The token is public, so this integration may not be the cause.");
                }
                findings.raise(rule, None, message, evidence);
            }
        }
        if self.uncounted > 0 {
            findings.bounds.push(format!(
                "{} with keys beyond the first {MOST_KEYS} {} not counted in windows",
                count_of(self.uncounted, "request"),
                by_number(self.uncounted, "was", "were")
            ));
        }
        if self.keys.values().any(|tally| tally.window.is_overfull()) {
            findings
                .bounds
                .push("a window held more requests than the review tracks; its figure is a lower bound".to_owned());
        }
    }
}

impl Tally {
    fn send(&mut self, fact: &Fact) {
        self.sent += 1;
        let (count, first) = self.window.push(fact.at);
        let at = fact.recorded_at();
        if self.busiest.is_none_or(|(_, _, _, most, _)| count > most) {
            let from = Timestamp::from_micros(first.saturating_sub(fact.offset));
            self.busiest = Some((fact.at, from, at, count, fact.id));
        }
        if count > self.requests {
            self.over.add(fact.id, at);
        }
        let point = self.series.at(fact.at);
        point.sent = point.sent.saturating_add(1);
        point.peak = point.peak.max(count);
    }

    /// Records the limiter's own count, for a limit known only from notes.
    fn note(&mut self, fact: &Fact, used: u32) {
        self.sent += u64::from(fact.sent);
        let at = fact.recorded_at();
        if self.busiest.is_none_or(|(_, _, _, most, _)| used > most) {
            self.busiest = Some((fact.at, at, at, used, fact.id));
        }
        let point = self.series.at(fact.at);
        point.sent = point.sent.saturating_add(u32::from(fact.sent));
        point.peak = point.peak.max(used);
    }

    fn busiest(&self) -> Option<BusiestWindow> {
        let (_, from, to, requests, exchange) = self.busiest?;
        let share = f64::from(requests) / f64::from(self.requests.max(1));
        Some(BusiestWindow { from, to, requests, share: (share * 1000.0).round() / 1000.0, exchange })
    }

    fn series(&self) -> LimitSeries {
        let points = self.series.iter().filter(|(_, point)| point.sent > 0 || point.refused > 0).map(|(at, point)| {
            LimitPoint { at: Timestamp::from_micros(at), sent: point.sent, peak: point.peak, refused: point.refused }
        });
        LimitSeries { step_ms: u64::try_from(self.series.step() / 1000).unwrap_or(0), points: points.collect() }
    }
}

/// A pseudonym without the prefix.
pub(crate) fn short(token: &str) -> &str {
    token.trim_start_matches(nightaudit_exchange::Pseudonym::PREFIX)
}
