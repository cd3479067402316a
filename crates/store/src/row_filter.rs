//! The part of a filter that the index can decide.

use std::time::Duration;

use nightaudit_exchange::{
    AdmissionRecord, Body, Decision, Envelope, Exchange, ExchangeId, Filter, Outcome, Request, Response, SessionId,
    TimesUs, Timestamp,
};

use crate::index::{Chunk, Columns, Group, Index, Part, Row, StatusClasses, Summary, request_id_hash};

/// Decides whether a row's exchange can match.
#[derive(Debug)]
pub(crate) struct RowFilter {
    /// The filter without conditions on what rows don't hold.
    filter: Filter,
    /// The part of it that the kind of a row decides; see [`Columns`].
    by_kind: Filter,
    /// The rest of it.
    times: Times,
    request_id: Option<u64>,
    /// What the hash must not be; only where the index decides alone.
    except_request_id: Option<u64>,
    /// The classes of statuses that can match.
    statuses: Option<StatusClasses>,
    all: bool,
    exact: bool,
    /// A stub exchange with a row's data, to match the filter against.
    stub: Box<Exchange>,
}

impl RowFilter {
    pub(crate) fn new(filter: &Filter) -> Self {
        let exact = !filter.needs_body() && filter.sides().all(|side| side.request_id.is_none());
        let request_id = filter.request_id.as_deref().map(request_id_hash);
        let held = |side: &Filter| Filter { session: None, contains: None, request_id: None, ..side.clone() };
        let except = filter.except.as_deref().map(|except| Box::new(held(except)));
        let filter = Filter { except: except.filter(|except| **except != Filter::default()), ..held(filter) };
        let all = filter == Filter::default() && request_id.is_none();
        let statuses = filter.status.as_ref().map(StatusClasses::of_set);
        let (by_kind, times) = Times::of(&filter);
        let (stub, except_request_id) = (Box::new(stub()), None);
        Self { filter, by_kind, times, request_id, except_request_id, statuses, all, exact, stub }
    }

    /// Matches only what ended at or after `since`, or started then if it has no end.
    pub(crate) fn ended_since(self, since: Timestamp) -> Self {
        let times = Times { ended_since: Some(since), ..self.times };
        Self { times, all: false, ..self }
    }

    /// Decides by the row alone, also on a `Request-Id`, of which it has a hash. The filter must not need bodies.
    pub(crate) fn by_index(filter: &Filter) -> Self {
        let except = filter.except.as_ref().and_then(|except| except.request_id.as_deref());
        let except_request_id = except.map(request_id_hash);
        let rows = Self::new(filter);
        Self { all: rows.all && except_request_id.is_none(), exact: true, except_request_id, ..rows }
    }

    /// Whether every row matches.
    pub(crate) fn is_all(&self) -> bool {
        self.all
    }

    /// Whether a match of the row is a match of the exchange.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether any row of the chunk can match.
    pub(crate) fn may_match(&self, summary: &Summary) -> bool {
        self.filter.since.is_none_or(|since| summary.last_started() >= since)
            && self.filter.until.is_none_or(|until| summary.first_started() < until)
            && self.times.ended_since.is_none_or(|since| summary.ended >= since.micros())
            && self.statuses.is_none_or(|wanted| summary.statuses.overlap(wanted))
    }

    /// Whether columns decide as rows do: they have no `Request-Id`.
    pub(crate) fn is_decided_by_columns(&self) -> bool {
        self.request_id.is_none() && self.except_request_id.is_none()
    }

    /// Whether the kind of a row alone decides whether it matches, for all rows of a chunk.
    pub(crate) fn is_decided_by_kind(&self, summary: &Summary) -> bool {
        let Times { since, until, ended_since, .. } = self.times;
        self.is_decided_by_columns()
            && ended_since.is_none()
            && !self.times.are_durations()
            && since.is_none_or(|since| summary.started.0 >= since.micros())
            && until.is_none_or(|until| summary.started.1 < until.micros())
    }

    /// How many rows of a group match. Their kinds must decide.
    pub(crate) fn count_kinds(&mut self, group: &Group) -> u64 {
        let Group { kinds, counts } = group;
        let mut is_wanted = |row: &Row| {
            self.fill(row, kinds);
            self.by_kind.matches(&self.stub)
        };
        kinds.rows.iter().zip(counts).filter(|(row, _)| is_wanted(row)).map(|(_, count)| u64::from(*count)).sum()
    }

    /// Whether no row of a part can match, by its summary and its columns, which are read faster than its rows.
    pub(crate) fn rules_out(&mut self, index: &Index, session: SessionId, part: &Part) -> bool {
        if !self.may_match(&part.summary) {
            return true;
        }
        // Otherwise the summary says as much.
        let is_narrower = self.by_kind != Filter::default() || self.times.are_durations();
        is_narrower && index.columns(session, part).is_some_and(|columns| self.rows_of(&columns).next().is_none())
    }

    /// The numbers of the rows that match, as far as columns decide.
    pub(crate) fn rows_of<'c>(&mut self, columns: &'c Columns) -> impl Iterator<Item = usize> + use<'c> {
        let mut is_wanted = |row: &Row| {
            self.fill(row, &columns.kinds);
            self.by_kind.matches(&self.stub)
        };
        let kinds: Vec<bool> = columns.kinds.rows.iter().map(&mut is_wanted).collect();
        let times = self.times;
        (0..columns.kind.len()).filter(move |number| {
            kinds.get(usize::from(columns.kind[*number])) == Some(&true)
                && times.match_row(columns.started[*number], columns.took[*number])
        })
    }

    pub(crate) fn matches(&mut self, row: &Row, chunk: &Chunk) -> bool {
        if self.all {
            return true;
        }
        if self.request_id.is_some_and(|wanted| wanted != row.request_id)
            || self.except_request_id.is_some_and(|unwanted| unwanted == row.request_id)
            || self.times.ended_since.is_some_and(|since| row.ended() < since.micros())
        {
            return false;
        }
        self.fill(row, chunk);
        self.filter.matches(&self.stub)
    }

    /// Gives the stub a row's data.
    fn fill(&mut self, row: &Row, chunk: &Chunk) {
        let exchange = &mut *self.stub;
        exchange.started_at = Timestamp::from_micros(row.started);
        exchange.times_us.response_end = Some(row.took);
        exchange.outcome = row.outcome;
        if let Some(limit) = &mut exchange.limit {
            limit.decision = if row.delayed { Decision::Delayed } else { Decision::Admitted };
        }
        match (&mut exchange.response, row.status) {
            (response, 0) => *response = None,
            (Some(response), status) => response.status = status,
            (response, status) => *response = Some(stub_response(status)),
        }
        exchange.envelope.access_token = row.access_token;
        exchange.envelope.client_token = row.client_token;
        if self.filter.sides().any(|side| side.operation.is_some()) {
            exchange.operation.clear();
            exchange.operation.push_str(chunk.operations.get(usize::from(row.operation)).map_or("", |text| text));
        }
        if self.filter.sides().any(|side| side.client.is_some()) {
            let client = usize::from(row.client).checked_sub(1).and_then(|client| chunk.clients.get(client));
            exchange.envelope.client = client.map(|client| client.to_string());
        }
    }
}

/// The conditions on when an exchange started and ended, and how long it took.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// When matches ended at the earliest, which is no part of a filter.
    ended_since: Option<Timestamp>,
    slower_than: Option<Duration>,
    /// The negated condition.
    not_slower_than: Option<Duration>,
}

impl Times {
    /// A filter without them, and these.
    fn of(filter: &Filter) -> (Filter, Self) {
        let without = |side: &Filter| Filter { since: None, until: None, slower_than: None, ..side.clone() };
        let except = filter.except.as_deref();
        let times = Self {
            since: filter.since,
            until: filter.until,
            ended_since: None,
            slower_than: filter.slower_than,
            not_slower_than: except.and_then(|except| except.slower_than),
        };
        let except = except.map(without).filter(|except| *except != Filter::default());
        (Filter { except: except.map(Box::new), ..without(filter) }, times)
    }

    fn are_durations(&self) -> bool {
        self.slower_than.is_some() || self.not_slower_than.is_some()
    }

    fn match_row(&self, started: i64, took: u64) -> bool {
        let is_slower = |than: Duration| Duration::from_micros(took) > than;
        self.since.is_none_or(|since| started >= since.micros())
            && self.until.is_none_or(|until| started < until.micros())
            && self.ended_since.is_none_or(|since| started.saturating_add_unsigned(took) >= since.micros())
            && self.slower_than.is_none_or(is_slower)
            && !self.not_slower_than.is_some_and(is_slower)
    }
}

fn stub() -> Exchange {
    Exchange {
        id: ExchangeId::from_parts(0, 0),
        session: SessionId::from_parts(0, 0),
        session_name: Default::default(),
        sequence: 0,
        environment: Default::default(),
        operation: String::new(),
        started_at: Timestamp::from_micros(0),
        times_us: TimesUs::default(),
        peer: None,
        envelope: Envelope::default(),
        request: Request {
            method: Default::default(),
            url: String::new(),
            http_version: Default::default(),
            headers: Vec::new(),
            body: Body::empty(),
        },
        response: None,
        limit: Some(AdmissionRecord {
            decision: Decision::Admitted,
            rule: Default::default(),
            used: 0,
            limit: 0,
            waited_ms: 0,
            retry_after_s: None,
        }),
        outcome: Outcome::Answered,
        error: None,
        web_socket: None,
        resent_from: None,
        destination: None,
        fault: None,
        direction: nightaudit_exchange::CallDirection::Outgoing,
        alteration: None,
        recorded_by: None,
        notes: Vec::new(),
        previous_hash: None,
        hash: None,
    }
}

fn stub_response(status: u16) -> Response {
    Response {
        status,
        http_version: Default::default(),
        reason: None,
        headers: Vec::new(),
        request_id: None,
        body: Body::empty(),
    }
}
