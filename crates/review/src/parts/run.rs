//! The run as a whole.

use nightaudit_exchange::{Exchange, ExchangeId, Missing, Outcome, SessionId, Timestamp};

use super::{
    records::Records,
    series::{Series, Step},
};
use crate::{
    declaration::IntegrationKind,
    fact::Fact,
    facts::SessionFacts,
    findings::{Findings, count_of, span},
    order::{Clock, Starts},
    review::{Evidence, Gap, Hour, OutcomeCounts, Run},
    rule::Rule,
};

/// The duration Mews asks for, in seconds.
const ASKED_S: u64 = 48 * 3600;

/// The length of a quiet night, in seconds.
const QUIET_S: u64 = 8 * 3600;

const HOUR: i64 = 3_600_000_000;

/// The most steps that are listed: 30 days of hours. A longer run has longer steps.
const MOST_HOURS: usize = 720;

/// The most gaps listed.
const MOST_GAPS: usize = 10;

/// The run's figures.
#[derive(Debug, Clone)]
pub(crate) struct RunPart {
    session: Option<SessionId>,
    session_name: String,
    environment: String,
    exchanges: u64,
    /// All that is in the record, whether or not it is a request of the run.
    recorded: u64,
    outcomes: OutcomeCounts,
    first: Option<(i64, Timestamp, ExchangeId)>,
    last: Option<(i64, Timestamp, ExchangeId)>,
    hours: Series<HourStep>,
    starts: Starts,
    records: Records,
    unrecorded: u64,
    interrupted: Evidence,
    /// When the latest request so far arrived.
    previous: Option<(i64, Timestamp)>,
    gaps: Vec<Gap>,
    /// Hours from one run to the next, if the declaration names a schedule.
    every_hours: Option<u8>,
    /// Pauses explained by neither a quiet night nor the schedule.
    long_gaps: u64,
    /// Pauses explained by the schedule.
    scheduled_gaps: u64,
}

#[derive(Debug, Clone, Default)]
struct HourStep {
    calls: u64,
    failed: u64,
}

impl Step for HourStep {
    fn merge(&mut self, next: &Self) {
        self.calls += next.calls;
        self.failed += next.failed;
    }
}

impl Default for RunPart {
    fn default() -> Self {
        Self {
            session: None,
            session_name: String::new(),
            environment: String::new(),
            exchanges: 0,
            recorded: 0,
            outcomes: OutcomeCounts::default(),
            first: None,
            last: None,
            hours: Series::new(HOUR, MOST_HOURS),
            starts: Starts::default(),
            records: Records::default(),
            unrecorded: 0,
            interrupted: Evidence::default(),
            previous: None,
            gaps: Vec::new(),
            every_hours: None,
            long_gaps: 0,
            scheduled_gaps: 0,
        }
    }
}

impl RunPart {
    /// Whether only exchanges that match a filter are reviewed.
    pub(crate) fn filtered(&self) -> bool {
        self.records.filtered()
    }

    /// Takes the next exchange in the order of the record.
    pub(crate) fn note(&mut self, exchange: &Exchange, offset: i64) {
        self.note_record(exchange);
        self.note_span(exchange, offset);
        self.exchanges += 1;
        let outcomes = &mut self.outcomes;
        *match exchange.outcome {
            Outcome::Answered => &mut outcomes.answered,
            Outcome::Refused => &mut outcomes.refused,
            Outcome::Rejected => &mut outcomes.rejected,
            Outcome::Failed => &mut outcomes.failed,
            Outcome::Aborted => &mut outcomes.aborted,
            Outcome::Interrupted => &mut outcomes.interrupted,
            Outcome::Faulted => &mut outcomes.faulted,
        } += 1;
        if exchange.outcome == Outcome::Interrupted {
            self.interrupted.add(exchange.id, exchange.started_at);
        }
    }

    /// Notes that an exchange is in the record. For a webhook, a part of a WebSocket and what is left out that is all: none
    /// of them is a request of the run, so they show no activity.
    pub(crate) fn note_record(&mut self, exchange: &Exchange) {
        if self.session.is_none() {
            self.session = Some(exchange.session);
            exchange.session_name.as_str().clone_into(&mut self.session_name);
            exchange.environment.as_str().clone_into(&mut self.environment);
        }
        // The ids of webhooks are made apart.
        if !exchange.is_webhook() {
            self.starts.note(exchange.id);
        }
        self.recorded += 1;
        self.records.note(exchange);
    }

    /// Notes from when to when a request lasted.
    fn note_span(&mut self, exchange: &Exchange, offset: i64) {
        let begun = exchange.started_at.micros().saturating_add(offset);
        if self.first.is_none_or(|(at, ..)| begun < at) {
            self.first = Some((begun, exchange.started_at, exchange.id));
        }
        let end = exchange.started_at.plus(exchange.duration());
        let ended = end.micros().saturating_add(offset);
        if self.last.is_none_or(|(at, ..)| ended > at) {
            self.last = Some((ended, end, exchange.id));
        }
    }

    /// Takes the next fact in the order of sending.
    pub(crate) fn follow(&mut self, fact: &Fact) {
        let step = self.hours.at(fact.at);
        step.calls += 1;
        step.failed += u64::from(fact.failed());
        let at = fact.recorded_at();
        self.note_pause(fact.at, at, fact.id);
        if self.previous.is_none_or(|(previous, _)| previous <= fact.at) {
            self.previous = Some((fact.at, at));
        }
    }

    /// Notes the pause since the latest call, or before the first one since the run began.
    fn note_pause(&mut self, until: i64, to: Timestamp, ended_by: ExchangeId) {
        let began = self.first.map(|(at, recorded, _)| (at, recorded));
        let Some((previous, from)) = self.previous.or(began) else { return };
        let seconds = u64::try_from(until.saturating_sub(previous) / 1_000_000).unwrap_or(0);
        if seconds <= 60 {
            return;
        }
        self.long_gaps += u64::from(seconds > self.quiet_s());
        self.scheduled_gaps += u64::from(seconds > QUIET_S && seconds <= self.quiet_s());
        self.gaps.push(Gap { from, to, seconds, ended_by });
        self.gaps.sort_by_key(|gap| std::cmp::Reverse(gap.seconds));
        self.gaps.truncate(MOST_GAPS);
    }

    /// Notes the pause from the last call to the end of the run, which may be a health check long afterwards.
    fn note_last_pause(&mut self) {
        if let Some((ended, end, id)) = self.last {
            self.note_pause(ended, end, id);
        }
    }

    /// Sets the declared schedule, in hours from one run to the next.
    pub(crate) fn set_every_hours(&mut self, every_hours: Option<u8>) {
        self.every_hours = every_hours;
    }

    /// The longest acceptable pause, in seconds. A scheduled run may be late by a tenth.
    fn quiet_s(&self) -> u64 {
        QUIET_S.max(self.every_hours.map_or(0, |hours| u64::from(hours) * 3960))
    }

    /// Whether there was no exchange yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.session.is_none()
    }

    /// Sets how many exchanges are known to have passed unrecorded.
    pub(crate) fn set_unrecorded(&mut self, count: u64) {
        self.unrecorded = count;
    }

    /// Sets which exchanges the log has lost.
    pub(crate) fn set_missing(&mut self, missing: &Missing) {
        self.records.set_missing(Some(missing));
    }

    /// Sets what the log knows of the session.
    pub(crate) fn set_facts(&mut self, facts: &SessionFacts) {
        self.unrecorded = facts.unrecorded;
        self.records.set_facts(facts);
    }

    fn seconds(&self) -> u64 {
        let micros = self.first.zip(self.last).map_or(0, |((first, ..), (last, ..))| last.saturating_sub(first));
        u64::try_from(micros / 1_000_000).unwrap_or(0)
    }

    pub(crate) fn report(&mut self, clock: &Clock, kind: IntegrationKind, findings: &mut Findings<'_>) -> Run {
        self.note_last_pause();
        let nodes = self.records.nodes();
        let missing = self.records.missing(&nodes).saturating_add(self.unrecorded);
        let hours: Vec<Hour> = self
            .hours
            .iter()
            .map(|(at, step)| Hour { at: Timestamp::from_micros(at), calls: step.calls, failed: step.failed })
            .collect();
        let run = Run {
            session: self.session.map(|first| self.records.session().unwrap_or(first)),
            session_name: self.session_name.clone(),
            environment: self.environment.clone(),
            exchanges: self.exchanges,
            others: self.recorded.saturating_sub(self.exchanges),
            outcomes: self.outcomes,
            first: self.first.map(|(_, at, _)| at),
            last: self.last.map(|(_, at, _)| at),
            duration_s: self.seconds(),
            asked_s: ASKED_S,
            active_hours: hours.iter().filter(|hour| hour.calls > 0).count() as u64,
            total_hours: hours.len() as u64,
            hour_s: u64::try_from(self.hours.step() / 1_000_000).unwrap_or(0),
            hours,
            gaps: self.gaps.clone(),
            starts: self.starts.count(),
            clock_steps: clock.steps().to_vec(),
            missing,
            filtered: self.records.filtered(),
            nodes,
        };
        self.raise(&run, clock, kind, findings);
        run
    }

    /// Evidence for `count` pauses of more than `from` and up to `to` seconds.
    fn gaps_longer_than(&self, from: u64, to: u64, count: u64) -> Evidence {
        let mut evidence = Evidence::default();
        for gap in self.gaps.iter().filter(|gap| gap.seconds > from && gap.seconds <= to) {
            evidence.add(gap.ended_by, gap.from);
        }
        evidence.count = count;
        evidence
    }

    fn raise_short(&self, run: &Run, findings: &mut Findings<'_>) {
        let mut evidence = Evidence::default();
        for (_, at, id) in self.first.iter().chain(&self.last) {
            evidence.add(*id, *at);
        }
        evidence.count = 1;
        let message = match self.first {
            Some(_) => format!("The run took {}; Mews asks for 48 hours.", span(run.duration_s)),
            None => "No request was sent; Mews asks for 48 hours.".to_owned(),
        };
        findings.raise(Rule::RunShort, None, message, &evidence);
    }

    fn raise(&self, run: &Run, clock: &Clock, kind: IntegrationKind, findings: &mut Findings<'_>) {
        // Private integrations have no minimum duration; they must call each operation instead.
        if !self.is_empty() && run.duration_s < ASKED_S && kind == IntegrationKind::Public {
            self.raise_short(run, findings);
        }
        if let Some(longest) = self.gaps.first().filter(|_| self.long_gaps > 0 && kind == IntegrationKind::Public) {
            let longest = span(longest.seconds);
            let pauses = match self.long_gaps {
                1 => format!("Nothing was sent for {longest}"),
                more => format!(
                    "Nothing was sent in {more} pauses of more than {}, the longest {longest}",
                    span(self.quiet_s())
                ),
            };
            let declared = self.every_hours.map_or_else(String::new, |hours| {
                format!("; the integration is declared to run every {}", count_of(hours.into(), "hour"))
            });
            let evidence = self.gaps_longer_than(self.quiet_s(), u64::MAX, self.long_gaps);
            findings.raise(Rule::RunGap, None, format!("{pauses}{declared}."), &evidence);
        }
        if let Some(hours) = self.every_hours.filter(|_| self.scheduled_gaps > 0 && kind == IntegrationKind::Public) {
            let message = format!(
                "{} of more than 8 hours, as expected of an integration that runs every {}.",
                count_of(self.scheduled_gaps, "pause"),
                count_of(hours.into(), "hour")
            );
            let evidence = self.gaps_longer_than(QUIET_S, self.quiet_s(), self.scheduled_gaps);
            findings.raise(Rule::RunScheduled, None, message, &evidence);
        }
        if let Some(step) = clock.steps().first() {
            let message = match clock.stepped() {
                1 => format!("The clock was set back by {} s.", step.back_ms.div_ceil(1000)),
                more => format!("The clock was set back {more} times, first by {} s.", step.back_ms.div_ceil(1000)),
            };
            let exchanges = clock.steps().iter().map(|step| step.exchange).collect();
            let evidence = Evidence { count: clock.stepped(), exchanges, ..Evidence::default() };
            findings.raise(Rule::RunClock, None, message, &evidence);
        }
        if self.interrupted.count > 0 {
            let message = format!(
                "{} in flight when nightaudit was killed.",
                if self.interrupted.count == 1 {
                    "1 request was".to_owned()
                } else {
                    format!("{} requests were", self.interrupted.count)
                }
            );
            findings.raise(Rule::RecordInterrupted, None, message, &self.interrupted);
        }
        if run.missing > 0 {
            let which = self.records.told(&run.nodes);
            let message = format!(
                "{} missing from the record.{which}",
                if run.missing == 1 { "1 exchange is".to_owned() } else { format!("{} exchanges are", run.missing) }
            );
            findings.raise(
                Rule::RecordIncomplete,
                None,
                message,
                &Evidence { count: run.missing, ..Evidence::default() },
            );
        }
    }
}
