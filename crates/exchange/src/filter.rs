//! Filters over exchanges.

mod contains;
mod glob;
mod instant;
mod parse;
mod status;

use std::{fmt, time::Duration};

use jiff::tz::TimeZone;

use self::{
    contains::Needle,
    parse::{parse_duration, parse_text, parse_token},
};
pub use self::{glob::Glob, parse::InvalidFilter, status::Statuses};
use crate::{Decision, Exchange, Outcome, Pseudonym, Timestamp};

/// A condition on exchanges; every given part must hold.
///
/// The parts are named after the command-line flags. A value with a leading `!` is negated: `--status '!2xx'`; a
/// literal leading `!` is written `\\!`. A filter round-trips through a query string, where a negated condition has the
/// `!` at the end of its name: `status!=2xx`.
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
    /// `--session`: a session's name, its id, either end of the id, or `last`. Ignored by [`matches`](Self::matches);
    /// the log resolves it.
    pub session: Option<String>,
    /// `--operation`: a pattern with `*` and `?`, or several separated by commas.
    pub operation: Option<Glob>,
    /// `--status`: the status the client received.
    pub status: Option<Statuses>,
    /// `--outcome`: the outcome.
    pub outcome: Option<OutcomeFilter>,
    /// `--since`: started at this instant or later.
    pub since: Option<Timestamp>,
    /// `--until`: started before this instant.
    pub until: Option<Timestamp>,
    /// `--client`: the envelope's `Client`, a pattern with `*` and `?`.
    pub client: Option<Glob>,
    /// `--token`: the access token or the client token.
    pub token: Option<Pseudonym>,
    /// `--request-id`: Mews' request id, case-insensitive.
    pub request_id: Option<String>,
    /// `--contains`: a text in the URL, the headers or the decoded bodies, case-insensitive; JSON escapes are decoded
    /// (`caf\u00e9` contains `é`).
    pub contains: Option<String>,
    /// `--slower-than`: took longer than this, from the request's head to the end of the response.
    pub slower_than: Option<Duration>,
    /// The negated conditions: none of these may hold. Has no `since`, `until` or `except` itself.
    pub except: Option<Box<Self>>,
}

/// Whether one part of a filter holds; `None` if the part is not given.
type Check = fn(&Filter, &Exchange) -> Option<bool>;

/// All parts but `session`, which only the log can resolve. The body search comes last: it costs the most.
const CHECKS: [Check; 10] = [
    |filter, exchange| Some(exchange.started_at >= filter.since?),
    |filter, exchange| Some(exchange.started_at < filter.until?),
    |filter, exchange| Some(exchange.duration() > filter.slower_than?),
    |filter, exchange| Some(filter.outcome?.matches(exchange)),
    |filter, exchange| {
        let statuses = filter.status.as_ref()?;
        Some(exchange.status().is_some_and(|status| statuses.contains(status)))
    },
    |filter, exchange| {
        let envelope = &exchange.envelope;
        Some([envelope.access_token, envelope.client_token].contains(&Some(filter.token?)))
    },
    |filter, exchange| Some(filter.operation.as_ref()?.matches_any(&exchange.operation)),
    |filter, exchange| {
        let glob = filter.client.as_ref()?;
        Some(exchange.envelope.client.as_deref().is_some_and(|client| glob.matches(client)))
    },
    |filter, exchange| {
        let wanted = filter.request_id.as_deref()?;
        Some(exchange.request_id().is_some_and(|request_id| request_id.eq_ignore_ascii_case(wanted)))
    },
    |filter, exchange| Some(Needle::new(filter.contains.as_deref()?).is_in(exchange)),
];

impl Filter {
    /// Whether the exchange meets every condition, those on sessions aside.
    #[must_use]
    pub fn matches(&self, exchange: &Exchange) -> bool {
        CHECKS.iter().all(|check| check(self, exchange) != Some(false))
            && self.except.iter().all(|except| CHECKS.iter().all(|check| check(except, exchange) != Some(true)))
    }

    /// The positive conditions, then the negated ones.
    pub fn sides(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.except.as_deref())
    }

    /// Whether [`matches`](Self::matches) reads bodies.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        self.sides().any(|side| side.contains.is_some())
    }

    /// The excluded session.
    #[must_use]
    pub fn except_session(&self) -> Option<&str> {
        self.except.as_ref()?.session.as_deref()
    }

    /// The filter as query-string pairs of flag name and value, not yet percent-encoded.
    #[must_use]
    pub fn to_query(&self) -> Vec<(String, String)> {
        let mut query = self.parts();
        for (_, value) in &mut query {
            *value = parse::escape(value);
        }
        let except = self.except.iter().flat_map(|except| except.parts());
        query.extend(except.map(|(name, value)| (format!("{name}!"), value)));
        query
    }

    fn parts(&self) -> Vec<(String, String)> {
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

    /// Parses a filter from query-string pairs; `since=10m` counts back from `now`. Times without a zone are UTC.
    ///
    /// # Errors
    ///
    /// [`InvalidFilter`] names the first pair that is invalid, unknown or repeated.
    pub fn from_query<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
        now: Timestamp,
    ) -> Result<Self, InvalidFilter> {
        Self::from_query_in(pairs, now, &TimeZone::UTC)
    }

    /// Like [`from_query`](Self::from_query), with times without a zone taken as local to `zone`: `12:00:00.123`,
    /// `2026-11-23 12:00`. A time without a date is the latest such time that is not in the future; for `until`, if
    /// `since` is given, the first one after it.
    ///
    /// # Errors
    ///
    /// See [`from_query`](Self::from_query).
    pub fn from_query_in<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<Self, InvalidFilter> {
        let (mut filter, mut except) = (Self::default(), Self::default());
        let mut until = None;
        let mut seen = Vec::new();
        for (name, value) in pairs {
            let (name, value) = (name.as_ref(), value.as_ref());
            // With a `!` after the name, the value is literal.
            let (name, value, negated) = match (name.strip_suffix('!'), value.strip_prefix('!')) {
                (Some(name), _) => (name, value, true),
                (None, Some(value)) => (name, value, true),
                (None, None) => (name, parse::unescape(value), false),
            };
            let flag = parse::flag(name)?;
            if seen.contains(&(flag, negated)) {
                return Err(InvalidFilter::Repeated(flag));
            }
            seen.push((flag, negated));
            match flag {
                "since" | "until" if negated => return Err(InvalidFilter::Negated(flag)),
                "since" => filter.since = Some(instant::parse(flag, value, now, zone, None)?),
                // Its meaning may depend on `since`.
                "until" => until = Some(value.to_owned()),
                _ if negated => except.set(flag, value)?,
                _ => filter.set(flag, value)?,
            }
        }
        if let Some(until) = until {
            filter.until = Some(instant::parse("until", &until, now, zone, filter.since)?);
        }
        filter.except = (except != Self::default()).then(|| Box::new(except));
        Ok(filter)
    }

    /// Parses one value into the filter.
    fn set(&mut self, flag: &'static str, value: &str) -> Result<(), InvalidFilter> {
        match flag {
            "session" => self.session = Some(parse_text(flag, value)?),
            "operation" => self.operation = Some(value.parse()?),
            "status" => self.status = Some(value.parse()?),
            "outcome" => self.outcome = Some(value.parse()?),
            "client" => self.client = Some(value.parse().map_err(|error: InvalidFilter| error.of(flag))?),
            "token" => self.token = Some(parse_token(value)?),
            "request-id" => self.request_id = Some(parse_text(flag, value.trim())?),
            "contains" => self.contains = Some(parse_text(flag, value)?),
            _ => self.slower_than = Some(parse_duration(value)?),
        }
        Ok(())
    }
}

/// The values of `--outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeFilter {
    /// The exchange's outcome is this.
    Is(Outcome),
    /// `delayed`: the limiter delayed the request before admitting it.
    Delayed,
}

impl OutcomeFilter {
    /// All values, in the order listed by help and errors.
    pub const ALL: [Self; 8] = [
        Self::Is(Outcome::Answered),
        Self::Is(Outcome::Refused),
        Self::Delayed,
        Self::Is(Outcome::Failed),
        Self::Is(Outcome::Interrupted),
        Self::Is(Outcome::Rejected),
        Self::Is(Outcome::Aborted),
        Self::Is(Outcome::Faulted),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Body, testing::sample};

    fn now() -> Timestamp {
        Timestamp::from_micros(0)
    }

    fn filter(name: &str, value: &str) -> Filter {
        Filter::from_query([(name, value)], now()).unwrap()
    }

    #[test]
    fn each_condition_selects() {
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
            ("contains", "Enterprise", "Enterprises"),
            ("contains", "enterprise", "!ENTERPRISE"),
            ("status", "!4xx", "!2xx"),
            ("operation", "x,!,conf*", "!conf*,bills/*"),
            ("client", "!acme", "!Acme*"),
            ("outcome", "!refused", "!answered"),
            ("request-id", "!00-abc", "!00-abc-01"),
            ("slower-than", "!0.5s", "!499ms"),
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
    fn a_missing_value_meets_no_condition() {
        let mut exchange = sample();
        exchange.response = None;
        exchange.envelope = crate::Envelope::default();
        for (name, value) in [("status", "100-999"), ("client", "*"), ("request-id", "x"), ("contains", "Enterprise")] {
            assert!(!filter(name, value).matches(&exchange), "{name}");
        }
        assert!(Filter::default().matches(&exchange));
    }

    #[test]
    fn a_leading_mark_negates() {
        let exchange = sample();
        let filter = |pairs: &[(&str, &str)]| Filter::from_query(pairs.iter().copied(), now());
        // Positive and negated, with the same flag and with different ones.
        assert!(filter(&[("operation", "conf*"), ("operation", "!*/getAll")]).unwrap().matches(&exchange));
        assert!(
            !filter(&[("operation", "conf*"), ("operation!", "*/get"), ("status", "!5xx")]).unwrap().matches(&exchange)
        );
        assert!(!filter(&[("status", "!5xx"), ("client", "!Acme*")]).unwrap().matches(&exchange));
        // Without a response there is no status to match or exclude.
        let unanswered = Exchange { response: None, ..exchange };
        assert!(filter(&[("status", "!4xx,5xx")]).unwrap().matches(&unanswered));
        // A literal `!`.
        let marked = filter(&[("contains", r"\!important")]).unwrap();
        assert_eq!((marked.contains.as_deref(), &marked.except), (Some("!important"), &None));
        assert_eq!(filter(&[("session", "!rehearsal")]).unwrap().except_session(), Some("rehearsal"));
        for wrong in [("since", "!10m"), ("until!", "10m"), ("status", "!!4xx"), ("operation", "!")] {
            assert!(filter(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(filter(&[("status", "!4xx"), ("status!", "5xx")]).is_err());
    }

    #[test]
    fn delayed_is_the_limiters_decision() {
        let mut exchange = sample();
        exchange.limit.as_mut().unwrap().decision = Decision::Delayed;
        assert!(filter("outcome", "delayed").matches(&exchange) && filter("outcome", "answered").matches(&exchange));
    }

    #[test]
    fn text_is_found_in_encoded_bodies() {
        let mut exchange = sample();
        let coded = zstd::encode_all(&b"needle"[..], 1).unwrap();
        exchange.request.body = Body { content_encoding: Some("zstd".into()), ..Body::whole(coded.into()) };
        assert!(filter("contains", "needle").matches(&exchange));
        assert!(filter("contains", "x").needs_body() && !filter("status", "4xx").needs_body());
    }

    #[test]
    fn an_error_names_the_flag_the_value_and_the_accepted_forms() {
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
        (any_side(), any_side()).prop_map(|(filter, except)| {
            let except = Filter { since: None, until: None, ..except };
            Filter { except: (except != Filter::default()).then(|| Box::new(except)), ..filter }
        })
    }

    fn any_side() -> impl Strategy<Value = Filter> {
        let text = || prop::option::of("[!\\\\]{0,2}[ -~é]{1,20}");
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
                    except: None,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn filters_round_trip_through_queries(filter in any_filter()) {
            prop_assert_eq!(Filter::from_query(filter.to_query(), now()).unwrap(), filter);
        }

        #[test]
        fn never_panics(name in "status|outcome|since|until|token|slower-than|client", value in "[ -~é]{0,30}") {
            let _ = Filter::from_query([(name, value)], now()).map(|filter| filter.matches(&sample()));
        }
    }
}
