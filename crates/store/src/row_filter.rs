//! The part of a filter that the index can decide.

use nightaudit_exchange::{
    AdmissionRecord, Body, Decision, Envelope, Exchange, ExchangeId, Filter, Outcome, Request, Response, SessionId,
    TimesUs, Timestamp,
};

use crate::index::{Chunk, Row, StatusClasses, Summary, request_id_hash};

/// Decides whether a row's exchange can match.
#[derive(Debug)]
pub(crate) struct RowFilter {
    /// The filter without conditions on what rows don't hold.
    filter: Filter,
    request_id: Option<u64>,
    /// What the hash must not be; only where the index decides alone.
    except_request_id: Option<u64>,
    /// The classes of statuses that can match.
    statuses: Option<StatusClasses>,
    /// When matches ended at the earliest, in microseconds since the epoch.
    ended_since: Option<i64>,
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
        let stub = Box::new(stub());
        Self { filter, request_id, except_request_id: None, statuses, ended_since: None, all, exact, stub }
    }

    /// Matches only what ended at or after `since`, or started then if it has no end.
    pub(crate) fn ended_since(self, since: Timestamp) -> Self {
        Self { ended_since: Some(since.micros()), all: false, ..self }
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
            && self.ended_since.is_none_or(|since| summary.ended >= since)
            && self.statuses.is_none_or(|wanted| summary.statuses.overlap(wanted))
    }

    pub(crate) fn matches(&mut self, row: &Row, chunk: &Chunk) -> bool {
        if self.all {
            return true;
        }
        if self.request_id.is_some_and(|wanted| wanted != row.request_id)
            || self.except_request_id.is_some_and(|unwanted| unwanted == row.request_id)
            || self.ended_since.is_some_and(|since| row.ended() < since)
        {
            return false;
        }
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
        self.filter.matches(exchange)
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
            rule: String::new(),
            used: 0,
            limit: 0,
            waited_ms: 0,
            retry_after_s: None,
        }),
        outcome: Outcome::Answered,
        error: None,
        web_socket: None,
        destination: None,
        fault: None,
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
