//! Which exchanges somebody wants to see.

mod glob;
mod parse;
mod status;

use std::{fmt, time::Duration};

use memchr::memmem;

use self::parse::{parse_duration, parse_instant, parse_text, parse_token};
pub use self::{glob::Glob, parse::InvalidFilter, status::Statuses};
use crate::{Body, Decision, Exchange, Header, Outcome, Pseudonym, Timestamp};

/// A condition on exchanges; every part that is given must hold.
///
/// The parts are the flags of the same names. A filter goes through a query string and comes back unchanged.
///
/// ```
/// use nightaudit_exchange::{Filter, Timestamp};
///
/// let filter = Filter { status: Some("4xx,503".parse()?), operation: Some("reservations/*".parse()?), ..Filter::default() };
/// assert_eq!(filter.to_query(), [("operation", "reservations/*"), ("status", "4xx,503")].map(|(n, v)| (n.into(), v.into())));
/// assert_eq!(Filter::from_query(filter.to_query(), Timestamp::from_micros(0))?, filter);
/// # Ok::<(), nightaudit_exchange::InvalidFilter>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `--session`: a session's name, its id or a unique beginning of the id. [`matches`](Self::matches) leaves it to
    /// the log, which knows what it means.
    pub session: Option<String>,
    /// `--operation`: the operation, with `*` and `?`.
    pub operation: Option<Glob>,
    /// `--status`: the status that the integration got.
    pub status: Option<Statuses>,
    /// `--outcome`: what became of the request.
    pub outcome: Option<OutcomeFilter>,
    /// `--since`: started at this instant or later.
    pub since: Option<Timestamp>,
    /// `--until`: started before this instant.
    pub until: Option<Timestamp>,
    /// `--client`: the `Client` of the envelope, with `*` and `?`.
    pub client: Option<Glob>,
    /// `--token`: the access token or the client token.
    pub token: Option<Pseudonym>,
    /// `--request-id`: Mews' identifier of the call, whatever the case of its letters.
    pub request_id: Option<String>,
    /// `--contains`: a text in the address, the header fields or the decoded bodies; case counts.
    pub contains: Option<String>,
    /// `--slower-than`: took longer than this, from the request's head to the answer's end.
    pub slower_than: Option<Duration>,
}

impl Filter {
    /// Whether the exchange fulfils every condition but `session`.
    #[must_use]
    pub fn matches(&self, exchange: &Exchange) -> bool {
        let holds = |glob: &Option<Glob>, text: &str| glob.as_ref().is_none_or(|glob| glob.matches(text));
        let envelope = &exchange.envelope;
        self.since.is_none_or(|since| exchange.started_at >= since)
            && self.until.is_none_or(|until| exchange.started_at < until)
            && self.slower_than.is_none_or(|limit| exchange.duration() > limit)
            && self.outcome.is_none_or(|outcome| outcome.matches(exchange))
            && self.status.as_ref().is_none_or(|list| exchange.status().is_some_and(|status| list.contains(status)))
            && self.token.is_none_or(|token| [envelope.access_token, envelope.client_token].contains(&Some(token)))
            && holds(&self.operation, &exchange.operation)
            && (self.client.is_none() || envelope.client.as_deref().is_some_and(|client| holds(&self.client, client)))
            && self.request_id.as_ref().is_none_or(|wanted| {
                exchange.request_id().is_some_and(|request_id| request_id.eq_ignore_ascii_case(wanted))
            })
            && self.contains.as_ref().is_none_or(|text| contains(exchange, text))
    }

    /// Whether [`matches`](Self::matches) looks at the bodies.
    #[must_use]
    pub const fn needs_body(&self) -> bool {
        self.contains.is_some()
    }

    /// The filter as the pairs of a query string, each flag's name with its value; not yet percent-encoded.
    #[must_use]
    pub fn to_query(&self) -> Vec<(String, String)> {
        let mut query = Vec::new();
        let mut add = |name: &str, value: Option<String>| query.extend(value.map(|value| (name.to_owned(), value)));
        add("session", self.session.clone());
        add("operation", self.operation.as_ref().map(Glob::to_string));
        add("status", self.status.as_ref().map(Statuses::to_string));
        add("outcome", self.outcome.as_ref().map(OutcomeFilter::to_string));
        add("since", self.since.as_ref().map(Timestamp::to_string));
        add("until", self.until.as_ref().map(Timestamp::to_string));
        add("client", self.client.as_ref().map(Glob::to_string));
        add("token", self.token.as_ref().map(Pseudonym::to_string));
        add("request-id", self.request_id.clone());
        add("contains", self.contains.clone());
        add("slower-than", self.slower_than.map(parse::write_duration));
        query
    }

    /// Reads a filter from the pairs of a query string; `now` is what `since=10m` counts from.
    ///
    /// # Errors
    ///
    /// [`InvalidFilter`] names the first pair that can't be read, or that has an unknown or repeated name.
    pub fn from_query<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
        now: Timestamp,
    ) -> Result<Self, InvalidFilter> {
        let mut filter = Self::default();
        let mut seen = Vec::new();
        for (name, value) in pairs {
            let flag = filter.set(name.as_ref(), value.as_ref(), now)?;
            if seen.contains(&flag) {
                return Err(InvalidFilter::Repeated(flag));
            }
            seen.push(flag);
        }
        Ok(filter)
    }

    /// Reads one pair into the filter and returns the flag's name.
    fn set(&mut self, name: &str, value: &str, now: Timestamp) -> Result<&'static str, InvalidFilter> {
        let flag = parse::flag(name)?;
        match flag {
            "session" => self.session = Some(parse_text(flag, value)?),
            "operation" => self.operation = Some(value.parse()?),
            "status" => self.status = Some(value.parse()?),
            "outcome" => self.outcome = Some(value.parse()?),
            "since" => self.since = Some(parse_instant(flag, value, now)?),
            "until" => self.until = Some(parse_instant(flag, value, now)?),
            "client" => self.client = Some(value.parse().map_err(|error: InvalidFilter| error.of(flag))?),
            "token" => self.token = Some(parse_token(value)?),
            "request-id" => self.request_id = Some(parse_text(flag, value.trim())?),
            "contains" => self.contains = Some(parse_text(flag, value)?),
            _ => self.slower_than = Some(parse_duration(value)?),
        }
        Ok(flag)
    }
}

/// The values of `--outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeFilter {
    /// The exchange's outcome is this.
    Is(Outcome),
    /// `delayed`: the limiter held the request back before it let it through.
    Delayed,
}

impl OutcomeFilter {
    /// Every value, in the order in which help and errors list them.
    pub const ALL: [Self; 7] = [
        Self::Is(Outcome::Answered),
        Self::Is(Outcome::Refused),
        Self::Delayed,
        Self::Is(Outcome::Failed),
        Self::Is(Outcome::Interrupted),
        Self::Is(Outcome::Rejected),
        Self::Is(Outcome::Aborted),
    ];

    fn matches(self, exchange: &Exchange) -> bool {
        match self {
            Self::Is(outcome) => exchange.outcome == outcome,
            Self::Delayed => exchange.limit.as_ref().is_some_and(|limit| limit.decision == Decision::Delayed),
        }
    }
}

impl fmt::Display for OutcomeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(outcome) => outcome.fmt(f),
            Self::Delayed => f.write_str("delayed"),
        }
    }
}

impl std::str::FromStr for OutcomeFilter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|outcome| text.eq_ignore_ascii_case(&outcome.to_string()))
            .ok_or_else(|| InvalidFilter::outcome(text))
    }
}

fn contains(exchange: &Exchange, text: &str) -> bool {
    let finder = memmem::Finder::new(text);
    let in_text = |hay: &str| finder.find(hay.as_bytes()).is_some();
    let in_headers = |headers: &[Header]| headers.iter().any(|header| in_text(&header.name) || in_text(&header.value));
    let in_body = |body: &Body| finder.find(&body.decoded().0).is_some();
    in_text(&exchange.request.url)
        || in_headers(&exchange.request.headers)
        || exchange.response.as_ref().is_some_and(|response| in_headers(&response.headers))
        || exchange.bodies().any(in_body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exchange::sample;

    fn now() -> Timestamp {
        Timestamp::from_micros(0)
    }

    fn filter(name: &str, value: &str) -> Filter {
        Filter::from_query([(name, value)], now()).unwrap()
    }

    #[test]
    fn each_condition_tells_exchanges_apart() {
        let exchange = sample();
        let token = Pseudonym::of(b"client").to_string();
        for (name, yes, no) in [
            ("operation", "conf*", "reservations/*"),
            ("status", "2xx", "404"),
            ("outcome", "answered", "delayed"),
            ("since", "1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z"),
            ("until", "1970-01-01T00:00:02Z", "1970-01-01T00:00:01Z"),
            ("client", "acme*", "acme"),
            ("token", &token, "REDACTED:000000000000"),
            ("request-id", "00-abc-01", "00-abc"),
            ("contains", "Enterprise", "enterprise"),
            ("contains", "configuration/get", "\0"),
            ("contains", "Content-Type", "x"),
            ("slower-than", "499ms", "0.5s"),
            ("session", "whatever the log makes of it", "-"),
        ] {
            assert!(filter(name, yes).matches(&exchange), "{name} {yes}");
            assert!(!filter(name, no).matches(&exchange) || name == "session", "{name} {no}");
        }
    }

    #[test]
    fn what_an_exchange_does_not_have_fulfils_nothing() {
        let mut exchange = sample();
        exchange.response = None;
        exchange.envelope = crate::Envelope::default();
        for (name, value) in [("status", "100-999"), ("client", "*"), ("request-id", "x"), ("contains", "Enterprise")] {
            assert!(!filter(name, value).matches(&exchange), "{name}");
        }
        assert!(Filter::default().matches(&exchange));
    }

    #[test]
    fn delayed_is_what_the_limiter_decided() {
        let mut exchange = sample();
        exchange.limit.as_mut().unwrap().decision = Decision::Delayed;
        assert!(filter("outcome", "delayed").matches(&exchange) && filter("outcome", "answered").matches(&exchange));
    }

    #[test]
    fn text_is_found_in_coded_bodies() {
        let mut exchange = sample();
        let coded = zstd::encode_all(&b"needle"[..], 1).unwrap();
        exchange.request.body = Body { content_encoding: Some("zstd".into()), ..Body::whole(coded.into()) };
        assert!(filter("contains", "needle").matches(&exchange));
        assert!(filter("contains", "x").needs_body() && !filter("status", "4xx").needs_body());
    }

    #[test]
    fn an_error_names_the_flag_the_value_and_what_it_could_be() {
        for (name, value) in [
            ("operation", ""),
            ("status", "4x"),
            ("outcome", "fine"),
            ("since", "yesterday"),
            ("until", "10"),
            ("client", ""),
            ("request-id", " "),
            ("contains", ""),
            ("slower-than", "fast"),
        ] {
            let error = Filter::from_query([(name, value)], now()).unwrap_err().to_string();
            assert!(
                error.contains(&format!("`--{name}`")) && error.contains(&format!("`{}`", value.trim())),
                "{error}"
            );
        }
        let secret = Filter::from_query([("token", "a real token")], now()).unwrap_err().to_string();
        assert!(!secret.contains("a real token") && secret.contains("REDACTED:"), "{secret}");
        assert!(Filter::from_query([("colour", "red")], now()).unwrap_err().to_string().contains("`colour`"));
        assert!(Filter::from_query([("status", "1xx"), ("status", "2xx")], now()).is_err());
    }

    fn any_filter() -> impl Strategy<Value = Filter> {
        let text = || prop::option::of("[ -~é]{1,20}");
        let trimmed = || prop::option::of("[!-~é]{1,20}");
        let glob = || prop::option::of("[ -~é]{1,20}".prop_map(|text| text.parse().unwrap()));
        let time = || prop::option::of(any::<i64>().prop_map(Timestamp::from_micros));
        let status = prop::option::of("[1-9]xx|[1-9][0-9]{2}(,5xx)?".prop_map(|text| text.parse().unwrap()));
        let outcome = prop::option::of(prop::sample::select(&OutcomeFilter::ALL[..]));
        let token = prop::option::of(any::<[u8; 6]>().prop_map(Pseudonym));
        let duration = prop::option::of((0..u64::MAX / 2, 0..1_000_000_000u32).prop_map(|(s, n)| Duration::new(s, n)));
        (text(), glob(), status, outcome, time(), time(), glob(), token, trimmed(), text(), duration).prop_map(
            |(session, operation, status, outcome, since, until, client, token, request_id, contains, slower_than)| {
                Filter {
                    session,
                    operation,
                    status,
                    outcome,
                    since,
                    until,
                    client,
                    token,
                    request_id,
                    contains,
                    slower_than,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_filter_survives_its_query(filter in any_filter()) {
            prop_assert_eq!(Filter::from_query(filter.to_query(), now()).unwrap(), filter);
        }

        #[test]
        fn no_query_makes_it_panic(name in "status|outcome|since|until|token|slower-than|client", value in "[ -~é]{0,30}") {
            let _ = Filter::from_query([(name, value)], now()).map(|filter| filter.matches(&sample()));
        }
    }
}
