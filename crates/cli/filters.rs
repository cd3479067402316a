//! The flags that select exchanges.

use clap::Args;
use jiff::tz::TimeZone;
use nightaudit_exchange::{Filter, Glob, InvalidFilter, Timestamp};
use nightaudit_mews::Contracts;
use nightaudit_text::plain;

use crate::complete;

/// The filter flags; an exchange must match all of them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters (all must match; '!…' excludes: --status '!2xx')")]
pub(crate) struct Filters {
    /// In this session: a name, an id, either end of an id, or last
    #[arg(long, value_name = "NAME|ID", add = complete::sessions())]
    session: Vec<String>,
    /// For this operation: 'reservations/*', or several separated by commas
    #[arg(long, value_name = "GLOB", add = complete::operations())]
    operation: Vec<String>,
    /// With this status: 429, 4xx, 500-599, or several separated by commas
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// With this outcome: answered, refused, delayed, failed, faulted, interrupted, rejected or aborted
    #[arg(long, value_name = "OUTCOME")]
    outcome: Vec<String>,
    /// Started at or after this time: 10m (ago), 12:00 or 2026-11-23 12:00 (local), 2026-11-23T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Vec<String>,
    /// Started before this time, in the same forms
    #[arg(long, value_name = "TIME")]
    until: Vec<String>,
    /// From this client: 'Acme Kiosk*'
    #[arg(long, value_name = "GLOB")]
    client: Vec<String>,
    /// With this access or client token, as a pseudonym: REDACTED:b1946ac92492
    #[arg(long, value_name = "PSEUDONYM")]
    token: Vec<String>,
    /// With this Request-Id from Mews
    #[arg(long, value_name = "ID")]
    request_id: Vec<String>,
    /// With this text in the URL, a header or a body, ignoring case
    #[arg(long, value_name = "TEXT")]
    contains: Vec<String>,
    /// Slower than this: 500ms
    #[arg(long, value_name = "TIME")]
    slower_than: Vec<String>,
}

impl Filters {
    /// Builds the filter. Relative times such as `10m` count back from `now`; times without a zone are local.
    ///
    /// # Errors
    ///
    /// [`InvalidFilter`] names the flag and what it accepts.
    pub(crate) fn filter(&self, now: Timestamp) -> Result<Filter, InvalidFilter> {
        let flags = [
            ("session", &self.session),
            ("operation", &self.operation),
            ("status", &self.status),
            ("outcome", &self.outcome),
            ("since", &self.since),
            ("until", &self.until),
            ("client", &self.client),
            ("token", &self.token),
            ("request-id", &self.request_id),
            ("contains", &self.contains),
            ("slower-than", &self.slower_than),
        ];
        let pairs = flags.into_iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        Filter::from_query_in(pairs, now, &TimeZone::system())
    }

    /// Filters for one session.
    pub(crate) fn of_session(session: &str) -> Self {
        Self { session: vec![session.to_owned()], ..Self::default() }
    }

    /// The session given with `--session`.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.iter().map(String::as_str).find(|which| !which.starts_with('!'))
    }
}

/// Warns of filters that can't match and of operations that Mews doesn't document.
pub(crate) fn warn(filter: &Filter, contracts: &Contracts) {
    for warning in warnings(filter, contracts) {
        tracing::warn!("{warning}");
    }
}

/// The highest HTTP status (RFC 9110, section 15).
const HIGHEST: u16 = 599;

fn warnings(filter: &Filter, contracts: &Contracts) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(statuses) = &filter.status
        && statuses.ranges().iter().all(|range| *range.start() > HIGHEST)
    {
        warnings.push(format!("--status {statuses} matches nothing: HTTP statuses end at {HIGHEST}"));
    }
    if let (Some(since), Some(until)) = (filter.since, filter.until)
        && since >= until
    {
        warnings.push(format!("nothing matches: --until ({until}) is not after --since ({since})"));
    }
    for side in filter.sides() {
        let patterns = side.operation.iter().flat_map(|operation| operation.alternatives());
        warnings.extend(patterns.filter_map(|pattern| unknown_operation(pattern, contracts)));
    }
    warnings
}

/// Says that no documented operation matches a pattern, and what may be meant.
pub(crate) fn unknown_operation(pattern: &str, contracts: &Contracts) -> Option<String> {
    let operations = contracts.catalogue().operations();
    let glob: Glob = pattern.parse().ok()?;
    if operations.iter().any(|operation| glob.matches(&operation.path)) {
        return None;
    }
    let near = match glob.literal() {
        Some(path) => contracts.suggest(path).map(|suggestion| suggestion.operation.path.to_string()),
        None => near_pattern(pattern, operations.iter().map(|operation| &operation.path[..])),
    };
    let near = near.map(|near| format!(": did you mean '{near}'?")).unwrap_or_default();
    Some(format!("no documented operation matches '{}'{near}", plain(pattern)))
}

/// The pattern with its misspelt resource replaced by a similar documented one.
fn near_pattern<'a>(pattern: &str, paths: impl Iterator<Item = &'a str>) -> Option<String> {
    let (resource, action) = pattern.split_once('/')?;
    let lower = resource.to_ascii_lowercase();
    let glob = |resource: &str| format!("{resource}/{action}").parse::<Glob>();
    let mut near: Option<(usize, &str)> = None;
    // Bounds the cost; no documented name is this long.
    for path in paths.filter(|_| resource.len() <= 64) {
        let known = path.split('/').next().unwrap_or_default();
        let distance = strsim::osa_distance(&lower, &known.to_ascii_lowercase());
        let nearer = near.is_none_or(|(best, _)| distance < best);
        if nearer && distance <= 3 && distance * 3 <= resource.len() && glob(known).is_ok_and(|glob| glob.matches(path))
        {
            near = Some((distance, known));
        }
    }
    near.map(|(_, resource)| format!("{resource}/{action}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        filters: Filters,
    }

    fn filter(flags: &[&str]) -> Result<Filter, String> {
        let only = Only::try_parse_from(std::iter::once("x").chain(flags.iter().copied())).unwrap();
        only.filters.filter(Timestamp::from_micros(0)).map_err(|error| error.to_string())
    }

    #[test]
    fn each_flag_reaches_its_part() {
        let flags = [
            ("--session", "certification"),
            ("--operation", "rates/*"),
            ("--status", "4xx"),
            ("--outcome", "delayed"),
            ("--since", "2026-11-23T12:00:00.000000Z"),
            ("--until", "2026-11-24T12:00:00.000000Z"),
            ("--client", "Acme*"),
            ("--token", "REDACTED:b1946ac92492"),
            ("--request-id", "abc"),
            ("--contains", "Smith"),
            ("--slower-than", "500ms"),
        ];
        let typed: Vec<&str> = flags.iter().flat_map(|(name, value)| [*name, *value]).collect();
        let mut expected: Vec<_> =
            flags.iter().map(|(name, value)| (name.trim_start_matches('-').to_owned(), (*value).to_owned())).collect();
        let mut read = filter(&typed).unwrap().to_query();
        expected.sort();
        read.sort();
        assert_eq!(read, expected);
    }

    #[test]
    fn what_can_match_nothing_is_said() {
        let said = |flags: &[&str]| warnings(&filter(flags).unwrap(), &Contracts::built_in());
        for flags in [
            &["--status", "9xx"][..],
            &["--status", "600-999,700"],
            &["--since", "1h", "--until", "2h"],
            &["--since", "2026-11-23T12:00:00Z", "--until", "2026-11-23T12:00:00Z"],
        ] {
            assert_eq!(said(flags).len(), 1, "{flags:?}");
        }
        for (pattern, near) in [
            ("reservation/*", "'reservations/*'"),
            ("!langauges/*", "'languages/*'"),
            ("reservations/getAl/2023-06-06", "'reservations/getAll/2023-06-06'"),
            ("rates/*,custmers/get*", "'customers/get*'"),
        ] {
            let said = said(&["--operation", pattern]);
            assert!(said.len() == 1 && said[0].contains(near), "{pattern}: {said:?}");
        }
        assert_eq!(said(&["--operation", "zzz*"]), ["no documented operation matches 'zzz*'"]);
        for flags in [
            &["--status", "4xx,9xx"][..],
            &["--status", "!9xx"],
            &["--operation", "rates/*"],
            &["--operation", "!*/getAll*"],
            &["--since", "2h", "--until", "1h"],
        ] {
            assert_eq!(said(flags), [""; 0], "{flags:?}");
        }
    }

    #[test]
    fn a_flag_may_say_what_is_wanted_and_what_is_not() {
        let both = filter(&["--operation", "rates/*", "--operation", "!*/get", "--status", "!5xx"]).unwrap();
        let except = both.except.unwrap();
        assert!(both.operation.is_some() && except.operation.is_some() && except.status.is_some());
        assert!(filter(&["--status", "4xx", "--status", "5xx"]).unwrap_err().contains("twice"));
    }

    #[test]
    fn a_wrong_value_names_its_flag() {
        let error = filter(&["--status", "often"]).unwrap_err();
        assert!(error.contains("status") && error.contains("often"), "{error}");
    }
}
