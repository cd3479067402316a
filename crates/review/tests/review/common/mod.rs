//! Sessions of known content.

pub(crate) mod events;

use std::collections::BTreeSet;

use bytes::Bytes;
use nightaudit_exchange::{
    AdmissionRecord, Authority, Body, Decision, Destination, Digest, Envelope, Exchange, ExchangeId, Failure,
    FailureKind, FaultEnding, Header, InjectedFault, Outcome, Pseudonym, TimesUs, Timestamp, Tls, testing::sample,
};
use nightaudit_review::{Declaration, Review, Reviewer, Rule};

/// 2026-11-20T08:00:00Z in microseconds.
pub(crate) const START: i64 = 1_795_161_600_000_000;

/// An exchange in the making. It is answered 200 after 50 ms unless said otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Call(pub Exchange);

/// A call at so many seconds after the start. `fields` are the fields of the body beside the envelope.
pub(crate) fn call(at: f64, operation: &str, fields: &str) -> Call {
    let mut exchange = Exchange {
        id: ExchangeId::from_parts(0, 0),
        sequence: 0,
        operation: operation.into(),
        started_at: Timestamp::from_micros(START + (at * 1e6).round() as i64),
        times_us: TimesUs { forwarded: Some(200), response_head: Some(48_000), response_end: Some(50_000) },
        peer: None,
        envelope: Envelope::default(),
        limit: None,
        destination: Some(demo()),
        ..sample()
    };
    exchange.request.url = format!("https://api.mews-demo.com/api/connector/v1/{operation}");
    exchange.request.body = Body::empty();
    if let Some(response) = &mut exchange.response {
        response.http_version = "HTTP/1.1".into();
        response.headers.clear();
        response.request_id = Some("request-1".into());
        response.body = whole("{\"Cursor\":null}");
    }
    Call(exchange).sender(Some("Acme Kiosk 2.1.0"), "client", Some("hotel"), &with_ids(fields))
}

/// The fields with GUIDs in the place of short ids, as Mews has them: the same for the same.
fn with_ids(fields: &str) -> String {
    let mut text = String::with_capacity(fields.len());
    let (mut name, mut in_list) = ("", false);
    for (position, part) in fields.split('"').enumerate() {
        if position > 0 {
            text.push('"');
        }
        if position % 2 == 0 {
            // What stands between strings tells names from values.
            in_list = (in_list || part.starts_with(":[")) && !part.contains([']', '{']);
            text.push_str(part);
            continue;
        }
        let after_colon = text.trim_end_matches('"').ends_with(':');
        let is_id = (after_colon && name.ends_with("Id")) || (in_list && name.ends_with("Ids"));
        if is_id && part.len() != 36 {
            text.push_str(&guid(part));
        } else {
            text.push_str(part);
            if !after_colon && !in_list {
                name = part;
            }
        }
    }
    text
}

/// A GUID for a short id.
pub(crate) fn guid(id: &str) -> String {
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("00000000-0000-4000-8000-{:012x}", hash & 0xffff_ffff_ffff)
}

/// A body without the cost of its digest, which nothing here looks at.
fn whole(text: &str) -> Body {
    Body {
        bytes: Bytes::copy_from_slice(text.as_bytes()),
        length: text.len() as u64,
        sha256: Digest([0; 32]),
        stored_sha256: None,
        content_encoding: None,
        truncated: false,
        masked: false,
        withheld: None,
    }
}

impl Call {
    /// Who sends it.
    pub(crate) fn sender(
        mut self,
        client: Option<&str>,
        client_token: &str,
        access_token: Option<&str>,
        fields: &str,
    ) -> Self {
        let client_token = Pseudonym::of(client_token.as_bytes());
        let access_token = access_token.map(|token| Pseudonym::of(token.as_bytes()));
        let mut body = format!("{{\"ClientToken\":\"{client_token}\"");
        if let Some(token) = access_token {
            body.push_str(&format!(",\"AccessToken\":\"{token}\""));
        }
        if let Some(client) = client {
            body.push_str(&format!(",\"Client\":\"{client}\""));
        }
        if !fields.is_empty() {
            body.push_str(&format!(",{fields}"));
        }
        body.push('}');
        self.0.envelope = Envelope {
            client: client.map(str::to_owned),
            client_token: Some(client_token),
            access_token,
            paginated: fields.contains("\"Limitation\""),
        };
        self.0.request.body = whole(&body);
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        let fields = self.fields();
        self.sender(Some("Acme Kiosk 2.1.0"), "client", Some(token), &fields)
    }

    pub(crate) fn client(self, client: Option<&str>) -> Self {
        let fields = self.fields();
        self.sender(client, "client", Some("hotel"), &fields)
    }

    /// The fields of the body after the envelope.
    pub(crate) fn fields(&self) -> String {
        let body = String::from_utf8(self.0.request.body.bytes.to_vec()).unwrap();
        let client = format!("\"Client\":\"{}\"", self.0.envelope.client.as_deref().unwrap());
        let rest = &body[body.find(&client).unwrap() + client.len()..body.len() - 1];
        rest.trim_start_matches(',').to_owned()
    }

    pub(crate) fn took(mut self, milliseconds: u64) -> Self {
        let micros = milliseconds * 1000;
        self.0.times_us = TimesUs { forwarded: Some(200), response_head: Some(micros), response_end: Some(micros) };
        self
    }

    pub(crate) fn answer(mut self, status: u16, body: &str) -> Self {
        let response = self.0.response.as_mut().unwrap();
        (response.status, response.body) = (status, whole(body));
        self
    }

    pub(crate) fn fails(self, status: u16, message: &str) -> Self {
        self.answer(status, &format!("{{\"Message\":\"{message}\",\"RequestId\":\"in-body\"}}"))
    }

    /// Mews' 429.
    pub(crate) fn too_many(self, retry_after: Option<u32>) -> Self {
        let mut call = self.fails(429, "Too many requests.");
        if let Some(seconds) = retry_after {
            let header = Header { name: "Retry-After".into(), value: seconds.to_string().into() };
            call.0.response.as_mut().unwrap().headers.push(header);
        }
        call
    }

    /// nightaudit's 429.
    pub(crate) fn refused(self, retry_after: u32) -> Self {
        let mut call = self.too_many(Some(retry_after)).noted(Decision::Refused, "published", 200);
        call.0.outcome = Outcome::Refused;
        call.0.times_us = TimesUs { forwarded: None, response_head: Some(100), response_end: Some(100) };
        call.0.response.as_mut().unwrap().request_id = None;
        call
    }

    pub(crate) fn noted(mut self, decision: Decision, rule: &str, used: u32) -> Self {
        self.0.limit =
            Some(AdmissionRecord { decision, rule: rule.into(), used, limit: 200, waited_ms: 0, retry_after_s: None });
        self
    }

    pub(crate) fn without_answer(mut self, outcome: Outcome, kind: FailureKind) -> Self {
        self.0.response = None;
        self.0.outcome = outcome;
        self.0.times_us = TimesUs { forwarded: Some(200), ..TimesUs::default() };
        self.0.error = Some(Failure { kind, message: "as it happens".into() });
        self
    }

    /// With an injected fault, as the proxy records it.
    pub(crate) fn faulted(mut self, ending: FaultEnding) -> Self {
        let call = &mut self.0;
        call.outcome = Outcome::Faulted;
        call.fault = Some(Box::new(InjectedFault {
            rules: vec!["a rule".to_owned()],
            ending: Some(ending),
            ..InjectedFault::default()
        }));
        match ending {
            FaultEnding::Status(status) => {
                let made_up = TimesUs { forwarded: None, response_head: Some(100), response_end: Some(100) };
                (call.times_us, call.destination) = (made_up, None);
                let response = call.response.as_mut().unwrap();
                (response.status, response.body) = (status, whole(r#"{"Message":"Made up."}"#));
                response.request_id = None;
            }
            FaultEnding::Reset => call.response = None,
            FaultEnding::Truncated => call.response.as_mut().unwrap().body = whole("{"),
        }
        self
    }

    pub(crate) fn sent_by(mut self, destination: Option<Destination>) -> Self {
        self.0.destination = destination;
        self
    }

    pub(crate) fn altered(mut self, alteration: nightaudit_exchange::Alteration) -> Self {
        self.0.alteration = Some(alteration);
        self
    }

    /// The environment that it was recorded as.
    pub(crate) fn called(mut self, environment: &str) -> Self {
        self.0.environment = environment.into();
        self
    }

    /// Answered with this `Date`, in seconds after the start.
    pub(crate) fn dated(mut self, seconds: i64) -> Self {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs((START / 1_000_000 + seconds) as u64);
        let value = httpdate::fmt_http_date(at).into();
        self.0.response.as_mut().unwrap().headers.push(Header { name: "date".into(), value });
        self
    }

    fn end(&self) -> i64 {
        self.0.started_at.micros() + self.0.times_us.response_end.unwrap_or(200) as i64
    }
}

/// The calls as a session records them: numbered in the order in which they ended.
pub(crate) fn session(mut calls: Vec<Call>) -> Vec<Exchange> {
    calls.sort_by_key(Call::end);
    numbered(calls)
}

/// The calls numbered as they stand.
pub(crate) fn numbered(calls: Vec<Call>) -> Vec<Exchange> {
    let number = |(index, Call(mut exchange)): (usize, Call)| {
        exchange.sequence = index as u64 + 1;
        let millis = u64::try_from(exchange.started_at.micros() / 1000).unwrap();
        exchange.id = ExchangeId::from_parts(millis, 7 << 40 | exchange.sequence as u128);
        exchange
    };
    calls.into_iter().enumerate().map(number).collect()
}

/// 49 quiet hours in which nothing is to be said against anything: a question by the hour, each its own.
pub(crate) fn quiet() -> Vec<Call> {
    (0..=49).map(|hour| question(f64::from(hour) * 3600.0, &format!("quiet-{hour}"))).collect()
}

/// A page of so many reservations, and the cursor with which Mews offers the next one; none where it is empty.
pub(crate) fn page_of(items: usize, cursor: &str) -> String {
    let cursor = if cursor.is_empty() { "null".to_owned() } else { format!("\"{cursor}\"") };
    let items: Vec<String> = (0..items).map(|n| format!("{{\"Id\":\"{n}\"}}")).collect();
    format!("{{\"Reservations\":[{}],\"Cursor\":{cursor}}}", items.join(","))
}

/// A good question for one reservation.
pub(crate) fn question(at: f64, id: &str) -> Call {
    call(at, RESERVATIONS, &format!("\"ReservationIds\":[\"{id}\"],\"Limitation\":{{\"Count\":100}}"))
}

pub(crate) const RESERVATIONS: &str = "reservations/getAll/2023-06-06";

/// The quiet hours with these calls among them.
pub(crate) fn among(calls: impl IntoIterator<Item = Call>) -> Vec<Call> {
    let mut all = quiet();
    all.extend(calls);
    all
}

pub(crate) fn review(exchanges: &[Exchange], declaration: &Declaration) -> Review {
    let mut reviewer = Reviewer::new(declaration.clone());
    exchanges.iter().for_each(|exchange| reviewer.push(exchange));
    reviewer.into_review()
}

/// The rules that a session raises.
pub(crate) fn raised(exchanges: &[Exchange], declaration: &Declaration) -> BTreeSet<Rule> {
    review(exchanges, declaration).findings.iter().map(|finding| finding.rule).collect()
}

/// Mews Demo, over TLS that a public authority vouches for.
pub(crate) fn demo() -> Destination {
    host("https://api.mews-demo.com")
}

/// A host, over TLS that a public authority vouches for where its address says so.
pub(crate) fn host(address: &str) -> Destination {
    let name = address.strip_prefix("https://");
    Destination {
        address: address.into(),
        remote: None,
        tls: name.map(|name| Tls { server_name: name.into(), authority: Authority::Public }),
        proxy: None,
    }
}
