//! A fault rule as text.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use nightaudit_exchange::Glob;
use nightaudit_units::parse_duration;

use crate::{
    Ending,
    item::{self, Share},
};

/// The most bytes of a rule.
const MOST_BYTES: usize = 1000;

/// The words of a rule, besides statuses.
const WORDS: [&str; 9] = ["5xx", "reset", "truncate", "latency", "slow-body", "retry-after", "count", "for", "session"];

/// Seconds of `Retry-After` on a made-up 429, unless the rule says otherwise: up to the length of the window in which Mews
/// counts requests.
const RETRY_AFTER: RangeInclusive<u64> = 1..=30;

/// The server errors of `5xx`.
const SERVER_ERRORS: [u16; 4] = [500, 502, 503, 504];

/// Which requests get which faults.
///
/// ```text
/// [OPERATIONS:] ITEM, ITEM, …
/// ```
///
/// `OPERATIONS` is what `--operation` accepts: patterns with `*` and `?`, or `!` and the patterns that are left out. Without
/// it the rule is for all operations. The items, with a share of requests (`2%`) where `SHARE` is; without it, all:
///
/// | item | what happens |
/// |---|---|
/// | `429=SHARE`, any status from 400 to 599 | the request is not forwarded, and gets this status |
/// | `5xx=SHARE` | the same with 500, 502, 503 or 504 |
/// | `reset=SHARE` | the client's connection is reset once Mews has responded |
/// | `truncate=SHARE` | the response's body breaks off |
/// | `latency=200ms..2s@SHARE` | the request is held back before it is sent |
/// | `slow-body=20KB/s@SHARE` | the response's body comes at this rate |
/// | `retry-after=5s..20s`, `retry-after=none` | the `Retry-After` of a made-up 429 or 503 |
/// | `count=5` | the rule ends after this many requests |
/// | `for=10m` | the rule ends after this time |
/// | `session=NAME` | only requests recorded in this session |
///
/// At most one of the statuses, `reset` and `truncate` applies to a request, so their shares add up to 100 % at most.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    text: String,
    operations: Option<Operations>,
    /// Each with its share.
    endings: Vec<(EndingKind, Share)>,
    latency: Option<(RangeInclusive<u64>, Share)>,
    rate: Option<(u64, Share)>,
    retry_after: RetryAfter,
    pub(crate) count: Option<u64>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) session: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Operations {
    patterns: Glob,
    excluded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndingKind {
    Status(u16),
    ServerError,
    Reset,
    Truncate,
}

/// The `Retry-After` of made-up responses.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RetryAfter {
    /// As Mews: on a 429.
    AsMews,
    Never,
    /// On 429 and 503, in seconds.
    Seconds(RangeInclusive<u64>),
}

/// A text that is not a fault rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}` is not a fault rule: {problem}")]
pub struct InvalidFaultRule {
    rule: String,
    problem: String,
}

/// What a rule does to one request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) ending: Option<Ending>,
    pub(crate) latency: Option<Duration>,
    pub(crate) rate: Option<u64>,
}

impl FaultRule {
    /// Whether the rule is for this operation.
    #[must_use]
    pub fn applies_to(&self, operation: &str) -> bool {
        self.operations.as_ref().is_none_or(|own| own.patterns.matches_any(operation) != own.excluded)
    }

    /// The patterns of the operations that the rule is for, unless it excludes those or is for all.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.operations.iter().filter(|own| !own.excluded).flat_map(|own| own.patterns.alternatives())
    }

    /// The faults for one request.
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> Drawn {
        // Always the same number of draws, so that one request's faults don't depend on another's.
        let (which, server_error, at) = (random.f64(), random.usize(..), random.f64());
        let (is_late, late_by) = (random.f64(), random.f64());
        let is_slow = random.f64();
        let wait = random.f64();
        let mut from = 0;
        let ending = self.endings.iter().find(|(_, share)| {
            let holds = share.holds(from, which);
            from += share.millionths();
            holds
        });
        Drawn {
            ending: ending.map(|(kind, _)| match kind {
                EndingKind::Status(status) => self.status(*status, wait),
                EndingKind::ServerError => self.status(SERVER_ERRORS[server_error % SERVER_ERRORS.len()], wait),
                EndingKind::Reset => Ending::Reset,
                EndingKind::Truncate => Ending::Truncate { at },
            }),
            latency: self
                .latency
                .as_ref()
                .filter(|(_, share)| share.holds(0, is_late))
                .map(|(range, _)| Duration::from_millis(within(range, late_by))),
            rate: self.rate.filter(|(_, share)| share.holds(0, is_slow)).map(|(rate, _)| rate),
        }
    }

    fn status(&self, status: u16, drawn: f64) -> Ending {
        let retry_after = match &self.retry_after {
            RetryAfter::AsMews if status == 429 => Some(within(&RETRY_AFTER, drawn)),
            RetryAfter::Seconds(seconds) if matches!(status, 429 | 503) => Some(within(seconds, drawn)),
            _ => None,
        };
        Ending::Status { status, retry_after }
    }

    fn set(&mut self, name: &str, value: Option<&str>, shares: &mut Option<Share>) -> Result<(), String> {
        let invalid = |example: &str| {
            let given = value.map_or_else(|| format!("`{name}`"), |value| format!("`{name}={value}`"));
            format!("{given} is not understood: write {example}")
        };
        let once = |is_first: bool| if is_first { Ok(()) } else { Err(format!("`{name}` is there twice")) };
        if let Some(kind) = ending(name) {
            once(!self.endings.iter().any(|(known, _)| *known == kind))?;
            let share = value.map_or(Some(Share::ALL), Share::parse).ok_or_else(|| invalid(&format!("{name}=2%")))?;
            let sum = shares.map_or(Some(share), |sum| sum.and(share));
            *shares = Some(sum.ok_or_else(|| {
                "statuses, reset and truncate together are more than 100 %: give each a share, such as 429=2%"
                    .to_owned()
            })?);
            self.endings.push((kind, share));
            return Ok(());
        }
        let Some(name) = WORDS.into_iter().find(|word| *word == name) else { return Err(unknown(name)) };
        let given = value.unwrap_or_default();
        match name {
            "latency" => {
                once(self.latency.is_none())?;
                let example = "latency=500ms, latency=200ms..2s or latency=2s@10%, from 1ms to 10m";
                self.latency = Some(with_share(given, item::latency).ok_or_else(|| invalid(example))?);
            }
            "slow-body" => {
                once(self.rate.is_none())?;
                let example = "slow-body=20KB/s or slow-body=20KB/s@10%";
                self.rate = Some(with_share(given, item::rate).ok_or_else(|| invalid(example))?);
            }
            "retry-after" => {
                once(self.retry_after == RetryAfter::AsMews)?;
                self.retry_after = match given {
                    "none" => RetryAfter::Never,
                    given => RetryAfter::Seconds(item::retry_after(given).ok_or_else(|| {
                        invalid("retry-after=none, retry-after=5s or retry-after=5s..20s, in whole seconds")
                    })?),
                };
            }
            "count" => {
                once(self.count.is_none())?;
                let count = given.parse().ok().filter(|count| *count > 0);
                self.count = Some(count.ok_or_else(|| invalid("count=5"))?);
            }
            "for" => {
                once(self.lifetime.is_none())?;
                let lifetime = parse_duration(given).ok().filter(|lifetime| !lifetime.is_zero());
                self.lifetime = Some(lifetime.ok_or_else(|| invalid("for=10m"))?);
            }
            // `session`, the last of the words.
            _ => {
                once(self.session.is_none())?;
                self.session = Some(given.to_owned()).filter(|name| !name.is_empty());
                if self.session.is_none() {
                    return Err(invalid("session=NAME"));
                }
            }
        }
        Ok(())
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MOST_BYTES {
            return Err(format!("it is longer than {MOST_BYTES} bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err("it has control characters".to_owned());
        }
        // A name or a time in an item may have a colon, but comes after a `=`.
        let (operations, items) = match text.split_once(':') {
            Some((operations, items)) if !operations.contains('=') => (Some(operations.trim()), items),
            _ => (None, text),
        };
        let operations = operations.map(|patterns| {
            let (patterns, excluded) = match patterns.strip_prefix('!') {
                Some(patterns) => (patterns.trim_start(), true),
                None => (patterns, false),
            };
            let patterns = patterns.parse().map_err(|error| format!("the operations before the colon: {error}"))?;
            Ok::<_, String>(Operations { patterns, excluded })
        });
        let mut rule = Self {
            text: text.to_owned(),
            operations: operations.transpose()?,
            endings: Vec::new(),
            latency: None,
            rate: None,
            retry_after: RetryAfter::AsMews,
            count: None,
            lifetime: None,
            session: None,
        };
        let mut shares = None;
        for item in items.split(',').map(str::trim) {
            if item.is_empty() {
                return Err("an item is missing: write reservations/*: 429=2%, latency=200ms..2s".to_owned());
            }
            let (name, value) = match item.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
                None => (item, None),
            };
            rule.set(name, value, &mut shares)?;
        }
        if rule.endings.is_empty() && rule.latency.is_none() && rule.rate.is_none() {
            return Err(
                "it has no fault: add a status such as 429=2%, reset, truncate, latency or slow-body".to_owned()
            );
        }
        let takes_retry_after =
            |(kind, _): &(EndingKind, Share)| matches!(kind, EndingKind::Status(429 | 503) | EndingKind::ServerError);
        if rule.retry_after != RetryAfter::AsMews && !rule.endings.iter().any(takes_retry_after) {
            return Err("`retry-after` is for a made-up 429 or 503, and the rule has neither".to_owned());
        }
        Ok(rule)
    }
}

/// The item with a share after an `@`, if there is one.
fn with_share<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<(T, Share)> {
    let (value, share) = match text.split_once('@') {
        Some((value, share)) => (value.trim_end(), Share::parse(share.trim_start())?),
        None => (text, Share::ALL),
    };
    Some((parse(value)?, share))
}

fn ending(name: &str) -> Option<EndingKind> {
    Some(match name {
        "5xx" => EndingKind::ServerError,
        "reset" => EndingKind::Reset,
        "truncate" => EndingKind::Truncate,
        status if status.len() == 3 => {
            EndingKind::Status(status.parse().ok().filter(|status| (400..=599).contains(status))?)
        }
        _ => return None,
    })
}

fn unknown(name: &str) -> String {
    let near = WORDS.iter().map(|word| (strsim::jaro_winkler(word, &name.to_lowercase()), word));
    let near = near.filter(|(likeness, _)| *likeness >= 0.8).max_by(|(one, _), (other, _)| one.total_cmp(other));
    let words = || format!("use a status from 400 to 599, {}", WORDS.join(", "));
    let remedy = near.map_or_else(words, |(_, word)| format!("did you mean `{word}`?"));
    format!("`{name}` is not one of its words: {remedy}")
}

/// The whole number that `drawn` from 0 to 1 stands for, each as likely as the others.
fn within(range: &RangeInclusive<u64>, drawn: f64) -> u64 {
    let count = (range.end() - range.start() + 1) as f64;
    (range.start() + (drawn * count) as u64).min(*range.end())
}

impl FromStr for FaultRule {
    type Err = InvalidFaultRule;

    fn from_str(text: &str) -> Result<Self, InvalidFaultRule> {
        let text = text.trim();
        Self::parse(text).map_err(|problem| InvalidFaultRule {
            rule: text.chars().take(200).flat_map(char::escape_debug).collect(),
            problem,
        })
    }
}

impl fmt::Display for FaultRule {
    /// The rule as it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> FaultRule {
        text.parse().unwrap()
    }

    fn problem(text: &str) -> String {
        text.parse::<FaultRule>().unwrap_err().to_string()
    }

    #[test]
    fn a_rule_has_operations_and_items() {
        let all =
            rule("reservations/*: 429=2%, 503=1%, latency=200ms..2s, reset=0.5%, truncate=0.5%, slow-body=20KB/s");
        assert!(all.applies_to("reservations/getAll/2023-06-06") && !all.applies_to("rates/getAll"));
        assert_eq!(all.endings.len(), 4);
        assert_eq!(all.latency, Some((200..=2000, Share::ALL)));
        assert_eq!(all.rate, Some((20_000, Share::ALL)));
        let several = rule("rates/*, bills/add : 5xx");
        assert!(
            several.applies_to("rates/getAll") && several.applies_to("bills/add") && !several.applies_to("bills/get")
        );
        let excluded = rule("!rates/*,bills/*: reset=1%");
        assert!(
            !excluded.applies_to("rates/getAll") && !excluded.applies_to("bills/add") && excluded.applies_to("x/y")
        );
        assert!(rule("latency=1s@10%, session=take 2: morning").applies_to("/favicon.ico"));
        assert_eq!(rule("429, session=take 2: morning").session.unwrap(), "take 2: morning");
    }

    #[test]
    fn an_unknown_word_is_named_with_the_one_that_was_meant() {
        assert_eq!(
            problem("reservations/*: lattency=2s"),
            "`reservations/*: lattency=2s` is not a fault rule: `lattency` is not one of its words: did you mean `latency`?"
        );
        assert!(problem("Truncated=1%").ends_with("did you mean `truncate`?"));
        assert!(problem("slowbody=1KB/s").ends_with("did you mean `slow-body`?"));
        let far = problem("*: explode=1%");
        assert!(far.ends_with("use a status from 400 to 599, 5xx, reset, truncate, latency, slow-body, retry-after, count, for, session"), "{far}");
        for status in ["200=1%", "399=1%", "600=1%", "4xx=1%", "+42=1%", "42=1%", "0429=1%"] {
            assert!(problem(status).contains("is not one of its words"), "{status}: {}", problem(status));
        }
    }

    #[test]
    fn what_a_rule_cannot_mean_is_an_error_that_says_why() {
        for (text, why) in [
            ("", "an item is missing"),
            ("*:", "an item is missing"),
            ("*: 429=1%,", "an item is missing"),
            (": 429", "the operations before the colon"),
            ("!: 429", "the operations before the colon"),
            ("429=2", "`429=2` is not understood: write 429=2%"),
            ("429=", "`429=` is not understood: write 429=2%"),
            ("reset=120%", "write reset=2%"),
            ("429=60%, 503=50%", "together are more than 100 %"),
            ("429, 503=1%", "together are more than 100 %"),
            ("429=1%, 429=2%", "`429` is there twice"),
            ("latency=1s, latency=2s", "`latency` is there twice"),
            ("latency", "`latency` is not understood: write latency=500ms"),
            ("latency=2s..1s", "`latency=2s..1s` is not understood"),
            ("latency=1h", "from 1ms to 10m"),
            ("latency=1s@0%", "`latency=1s@0%` is not understood"),
            ("slow-body=20KB", "write slow-body=20KB/s"),
            ("429, count=0", "write count=5"),
            ("429, count=-1", "write count=5"),
            ("429, for=soon", "write for=10m"),
            ("429, for=0s", "write for=10m"),
            ("429, session=", "write session=NAME"),
            ("429, retry-after=1.5s", "in whole seconds"),
            ("latency=1s, retry-after=5s", "the rule has neither"),
            ("500, retry-after=5s", "the rule has neither"),
            ("*: count=5", "it has no fault"),
            ("429\u{1b}[2J", "control characters"),
        ] {
            let problem = problem(text);
            assert!(problem.contains(why) && !problem.contains('\u{1b}'), "{text}: {problem}");
        }
        let long = problem(&"x".repeat(2000));
        assert!(long.contains("longer than 1000 bytes") && long.len() < 300, "{long}");
    }

    #[test]
    fn retry_after_is_as_mews_gives_it_unless_the_rule_says_otherwise() {
        let given = |text: &str| {
            let mut random = fastrand::Rng::with_seed(3);
            let drawn = rule(text).draw(&mut random).ending;
            let Some(Ending::Status { retry_after, .. }) = drawn else { panic!("{drawn:?}") };
            retry_after
        };
        assert!(given("429").is_some_and(|seconds| (1..=30).contains(&seconds)));
        assert_eq!((given("503"), given("400")), (None, None));
        assert_eq!(given("429, retry-after=none"), None);
        assert_eq!((given("429, retry-after=7s"), given("503, retry-after=1m")), (Some(7), Some(60)));
    }

    #[test]
    fn shares_hold_over_ten_thousand_requests() {
        let rule = rule("429=2%, 503=1%, reset=0.5%, truncate=0.5%, latency=200ms..2s@10%, slow-body=20KB/s@25%");
        let (mut counts, mut delays) = ([0_u32; 6], Vec::new());
        for number in 0..10_000 {
            let drawn = rule.draw(&mut crate::faults::random(1, number));
            match drawn.ending {
                Some(Ending::Status { status: 429, .. }) => counts[0] += 1,
                Some(Ending::Status { .. }) => counts[1] += 1,
                Some(Ending::Reset) => counts[2] += 1,
                Some(Ending::Truncate { .. }) => counts[3] += 1,
                None => {}
            }
            counts[4] += u32::from(drawn.latency.is_some());
            counts[5] += u32::from(drawn.rate.is_some());
            delays.extend(drawn.latency);
        }
        for (count, share) in counts.into_iter().zip([0.02, 0.01, 0.005, 0.005, 0.1, 0.25]) {
            let (mean, deviation) = (10_000.0 * share, (10_000.0_f64 * share * (1.0 - share)).sqrt());
            let off = (f64::from(count) - mean) / deviation;
            assert!(off.abs() < 4.0, "{count} instead of {mean}: {off:.1} standard deviations");
        }
        assert!(delays.iter().all(|delay| (200..=2000).contains(&delay.as_millis())));
        let mean = delays.iter().map(Duration::as_millis).sum::<u128>() / delays.len() as u128;
        assert!((1040..=1160).contains(&mean), "{mean}");
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(
            text in ".{0,60}",
            words in prop::collection::vec("(429|5xx|reset|truncate|latency|slow-body|retry-after|count|for|session|:|=|,|@|%|\\.\\.|1s|2%|1KB/s| )", 0..12),
        ) {
            let _ = text.parse::<FaultRule>();
            if let Ok(rule) = words.concat().parse::<FaultRule>() {
                rule.draw(&mut fastrand::Rng::with_seed(0));
                let again: FaultRule = rule.to_string().parse().unwrap();
                prop_assert_eq!(again, rule);
            }
        }

        #[test]
        fn every_share_is_kept(share in 1_u32..=1_000_000, seed: u64) {
            let text = format!("503={}.{:04}%", share / 10_000, share % 10_000);
            let rule: FaultRule = text.parse().unwrap();
            let drawn = (0..2000).filter(|number| rule.draw(&mut crate::faults::random(seed, *number)).ending.is_some()).count();
            let share = f64::from(share) / 1e6;
            let deviation = (2000.0 * share * (1.0 - share)).sqrt().max(1.0);
            prop_assert!((drawn as f64 - 2000.0 * share).abs() < 6.0 * deviation + 1.0, "{drawn} for {share}");
        }
    }
}
