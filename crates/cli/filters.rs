//! The flags that choose exchanges.

use clap::Args;
use nightaudit_exchange::{Filter, InvalidFilter, Timestamp};

use crate::complete;

/// FILTERS: every one that is given must hold.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filters {
    /// Of this session: its name, its id or the beginning of its id
    #[arg(long, value_name = "NAME|ID", add = complete::sessions())]
    session: Option<String>,
    /// Of operations like this: reservations/*
    #[arg(long, value_name = "GLOB", add = complete::operations())]
    operation: Option<String>,
    /// With such a status: 4xx, 429, 500-599, or several with commas
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// With this outcome: answered, refused, delayed, failed, interrupted, rejected or aborted
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Started since then: 10m (ago), or 2026-11-23T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Started before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of clients like this: 'Acme Kiosk*'
    #[arg(long, value_name = "GLOB")]
    client: Option<String>,
    /// With this access token or client token, by its pseudonym: REDACTED:b1946ac92492
    #[arg(long, value_name = "PSEUDONYM")]
    token: Option<String>,
    /// With this Request-Id of Mews
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// With this text in the address, a header or a body
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// That took longer: 500ms
    #[arg(long, value_name = "TIME")]
    slower_than: Option<String>,
}

impl Filters {
    /// The filter that the flags say; `now` is what `10m` counts from.
    ///
    /// # Errors
    ///
    /// [`InvalidFilter`] names the flag and what can stand there.
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
        Filter::from_query(flags.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))), now)
    }

    /// The session that was asked for.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }
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
    fn a_wrong_value_names_its_flag() {
        let error = filter(&["--status", "often"]).unwrap_err();
        assert!(error.contains("status") && error.contains("often"), "{error}");
    }
}
