//! Filters as SQL.

use nightaudit_exchange::{Filter, Glob, OutcomeFilter, SessionId};
use nightaudit_log::Position;

use crate::{
    connection::Param,
    row::{outcome, text, token},
};

/// A condition on rows of `exchanges`, with its parameters.
#[derive(Default)]
pub(crate) struct Condition {
    parts: Vec<String>,
    pub(crate) params: Vec<Param>,
}

/// Which chains a filter allows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chains {
    /// Only these; `None` for all.
    pub(crate) only: Option<Vec<SessionId>>,
    /// None of these.
    pub(crate) except: Vec<SessionId>,
}

impl Condition {
    /// Exactly what the filter says, but for what it wants of bodies.
    pub(crate) fn of(filter: &Filter, except: &[SessionId]) -> Self {
        let mut condition = Self::default();
        if let Some(since) = filter.since {
            let since = condition.param(since.micros());
            // Nothing is written before it started.
            condition.parts.push(format!("started >= {since} AND written >= {since}"));
        }
        if let Some(until) = filter.until {
            let until = condition.param(until.micros());
            condition.parts.push(format!("started < {until}"));
        }
        for part in condition.side(filter) {
            condition.parts.push(part);
        }
        if let Some(except) = &filter.except {
            for part in condition.side(except) {
                condition.parts.push(format!("NOT coalesce({part}, false)"));
            }
        }
        if !except.is_empty() {
            let except = condition.param(bytes(except));
            condition.parts.push(format!("session <> ALL ({except})"));
        }
        condition
    }

    /// Adds a parameter, and returns how to name it.
    pub(crate) fn param(&mut self, value: impl Into<Value>) -> String {
        let value: Value = value.into();
        self.params.push(value.0);
        format!("${}", self.params.len())
    }

    pub(crate) fn push(&mut self, part: String) {
        self.parts.push(part);
    }

    /// Only what comes after a position, or before it.
    pub(crate) fn beyond(&mut self, position: Position, newest_first: bool) {
        let written = self.param(stamp(position));
        let session = self.param(position.session.to_bytes().to_vec());
        let sequence = self.param(number(position.sequence));
        let (edge, beyond) = if newest_first { ("<=", "<") } else { (">=", ">") };
        self.push(format!(
            "written {edge} {written} AND (written, session, sequence) {beyond} ({written}, {session}, {sequence})"
        ));
    }

    /// The text after `WHERE`.
    pub(crate) fn sql(&self) -> String {
        if self.parts.is_empty() { "true".to_owned() } else { self.parts.join(" AND ") }
    }

    /// The conditions of one side, but those on times and sessions.
    fn side(&mut self, filter: &Filter) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some(slower) = filter.slower_than {
            let micros = self.param(i64::try_from(slower.as_micros()).unwrap_or(i64::MAX));
            parts.push(format!("(duration > {micros})"));
        }
        match filter.outcome {
            Some(OutcomeFilter::Is(wanted)) => {
                let wanted = self.param(outcome(wanted));
                parts.push(format!("(outcome = {wanted})"));
            }
            Some(OutcomeFilter::Delayed) => parts.push("(delayed)".to_owned()),
            None => {}
        }
        if let Some(statuses) = &filter.status {
            let ranges = statuses.ranges().iter().map(|range| {
                let [first, last] =
                    [*range.start(), *range.end()].map(|status| i16::try_from(status).unwrap_or(i16::MAX));
                format!("status BETWEEN {} AND {}", self.param(first), self.param(last))
            });
            let ranges: Vec<_> = ranges.collect();
            parts.push(format!("({})", ranges.join(" OR ")));
        }
        if let Some(wanted) = filter.token {
            let wanted = self.param(token(wanted));
            parts.push(format!("(access_token = {wanted} OR client_token = {wanted})"));
        }
        if let Some(operation) = &filter.operation {
            let alternatives: Vec<_> =
                operation.alternatives().map(|pattern| self.matches("lower(operation)", pattern)).collect();
            parts.push(format!("({})", alternatives.join(" OR ")));
        }
        if let Some(client) = &filter.client {
            parts.push(format!("({})", self.matches("lower(client)", &Glob::to_string(client))));
        }
        if let Some(id) = &filter.request_id {
            let id = self.param(text(&id.to_ascii_lowercase()));
            parts.push(format!("(request_id = {id})"));
        }
        parts
    }

    /// A pattern with `*` and `?`; in the columns' collation, `lower` knows ASCII only, as the program does.
    fn matches(&mut self, column: &str, pattern: &str) -> String {
        let pattern = text(&pattern.to_ascii_lowercase());
        if !pattern.contains(['*', '?']) {
            let pattern = self.param(pattern);
            return format!("{column} = {pattern}");
        }
        let mut like = String::with_capacity(pattern.len() + 8);
        for letter in pattern.chars() {
            match letter {
                '*' => like.push('%'),
                '?' => like.push('_'),
                '%' | '_' | '\\' => like.extend(['\\', letter]),
                letter => like.push(letter),
            }
        }
        let like = self.param(like);
        format!("{column} LIKE {like}")
    }
}

/// A value of a type that PostgreSQL knows.
pub(crate) struct Value(Param);

macro_rules! values {
    ($($type:ty),+) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self(Box::new(value))
            }
        })+
    };
}

values!(i16, i64, String, Vec<u8>, Vec<Vec<u8>>, Vec<i64>);

/// The ids' bytes.
pub(crate) fn bytes(sessions: &[SessionId]) -> Vec<Vec<u8>> {
    sessions.iter().map(|session| session.to_bytes().to_vec()).collect()
}

/// A position's time as the column has it.
pub(crate) fn stamp(position: Position) -> i64 {
    number(position.written)
}

pub(crate) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
