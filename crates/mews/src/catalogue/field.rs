//! One line of the data: a property and its rules.

use std::ops::RangeInclusive;

use jiff::civil::Date;
use thiserror::Error;

use super::{Delay, DelayUnit, Deprecation};

/// A property as written in the data: `UpdatedUtc  TimeInterval[]  required  max 10`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// The kind's name, without array brackets.
    pub(super) kind: &'a str,
    pub(super) array: u8,
    pub(super) required: bool,
    pub(super) deprecated: Option<Deprecation>,
    /// Items of an array, or characters of a string.
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    pub(super) unique: bool,
    pub(super) months: Option<u8>,
    pub(super) days: Option<u16>,
    pub(super) range: Option<RangeInclusive<i64>>,
    pub(super) latest: Option<Delay>,
    pub(super) future: bool,
    pub(super) time_unit: bool,
    /// The name of a pattern.
    pub(super) form: Option<&'a str>,
    pub(super) distinct: Option<&'a str>,
    pub(super) with: Option<&'a str>,
}

/// A line that can't be parsed.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum InvalidLine {
    #[error("it needs a name and a kind")]
    Incomplete,
    #[error(
        "`{0}` is no rule; there are required, min, max, unique, distinct, within, from, latest, future, time-unit, form, \
         with, and at the end deprecated"
    )]
    UnknownRule(String),
    #[error("`{0}` is not followed by what it needs")]
    Argument(&'static str),
    #[error("a field can't be both required and deprecated")]
    RequiredAndDeprecated,
    #[error("there is no field `{0}`")]
    UnknownField(String),
    #[error("there is no value `{0}`")]
    UnknownValue(String),
    #[error(
        "it is no rule; there are `any of A B`, `some of A B`, `one of A B`, `A beside B C`, `A with B C`, `A when B X`, \
         `A filled when B X`, `A filled if there when B X`, \
         `A only when B X`, `A is Y when B X`, `A has X with B`, \
         `A at most 1 with B`, `sum of A.N is B`, `set A B`, `A before B` and `A to B within 367 days or 60 months`"
    )]
    NoRule,
}

impl<'a> Line<'a> {
    /// Parses a non-empty line.
    pub(super) fn parse(text: &'a str) -> Result<Self, InvalidLine> {
        let mut words = text.split_whitespace();
        let (Some(name), Some(kind)) = (words.next(), words.next()) else { return Err(InvalidLine::Incomplete) };
        let mut line = Self { name, kind, ..Self::default() };
        while let Some(item) = line.kind.strip_suffix("[]") {
            line.kind = item;
            line.array += 1;
        }
        while let Some(rule) = words.next() {
            match rule {
                "required" => line.required = true,
                "unique" => line.unique = true,
                "min" => line.min = number(words.next(), "min")?,
                "max" => line.max = Some(number(words.next(), "max")?),
                "within" => {
                    let count = words.next();
                    match words.next() {
                        Some("day" | "days") => line.days = Some(number(count, "within")?),
                        Some("month" | "months") => line.months = Some(number(count, "within")?),
                        _ => return Err(InvalidLine::Argument("within")),
                    }
                }
                "from" => {
                    let from = number(words.next(), "from")?;
                    let to = match words.clone().next() {
                        Some("to") => number(words.nth(1), "from")?,
                        Some(next) if next.parse::<i64>().is_ok() => return Err(InvalidLine::Argument("from")),
                        _ => i64::MAX,
                    };
                    line.range = Some(from..=to);
                }
                "latest" => {
                    let count: i16 = number(words.next(), "latest")?;
                    let unit = match words.next() {
                        Some("minute" | "minutes") => DelayUnit::Minutes,
                        Some("day" | "days") => DelayUnit::Days,
                        Some("year" | "years") => DelayUnit::Years,
                        _ => return Err(InvalidLine::Argument("latest")),
                    };
                    line.latest = Some(Delay { count: count.into(), unit });
                }
                "future" => line.future = true,
                "time-unit" => line.time_unit = true,
                "form" => line.form = Some(words.next().ok_or(InvalidLine::Argument("form"))?),
                "distinct" => line.distinct = Some(words.next().ok_or(InvalidLine::Argument("distinct"))?),
                "with" => line.with = Some(words.next().ok_or(InvalidLine::Argument("with"))?),
                "deprecated" => line.deprecated = Some(deprecation(&mut words)?),
                other => return Err(InvalidLine::UnknownRule(other.to_owned())),
            }
        }
        if line.required && line.deprecated.is_some() {
            return Err(InvalidLine::RequiredAndDeprecated);
        }
        Ok(line)
    }
}

/// Parses what follows `deprecated`, or a value: `since 2025-01-09 ends 2026-01-10 instead AccountId`.
pub(super) fn deprecation<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Deprecation, InvalidLine> {
    let mut deprecation = Deprecation::default();
    while let Some(word) = words.next() {
        match word {
            "since" => deprecation.since = Some(date(words.next(), "since")?),
            "ends" => deprecation.ends = Some(date(words.next(), "ends")?),
            "instead" => {
                let rest = words.collect::<Vec<_>>().join(" ");
                if rest.is_empty() {
                    return Err(InvalidLine::Argument("instead"));
                }
                deprecation.instead = Some(rest.into());
            }
            other => return Err(InvalidLine::UnknownRule(other.to_owned())),
        }
    }
    Ok(deprecation)
}

fn number<T: std::str::FromStr>(word: Option<&str>, rule: &'static str) -> Result<T, InvalidLine> {
    word.and_then(|word| word.parse().ok()).ok_or(InvalidLine::Argument(rule))
}

fn date(word: Option<&str>, rule: &'static str) -> Result<Date, InvalidLine> {
    number(word, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_a_kind_and_rules() {
        let line =
            Line::parse("  Count   integer[][]   required  max 10  within 3 months  from 1 to 1000  with Other ")
                .unwrap();
        let expected = Line {
            name: "Count",
            kind: "integer",
            array: 2,
            required: true,
            max: Some(10),
            months: Some(3),
            range: Some(1..=1000),
            with: Some("Other"),
            ..Line::default()
        };
        assert_eq!(line, expected);
    }

    #[test]
    fn the_end_of_a_field_stands_at_the_end_of_its_line() {
        let line = Line::parse("A string[] min 1 unique deprecated since 2025-01-09 ends 2026-01-10 instead B or c/d")
            .unwrap();
        let day = |month, day| Date::new(if month == 9 { 2025 } else { 2026 }, 1, day).ok();
        assert_eq!((line.min, line.unique), (1, true));
        let deprecation = line.deprecated.unwrap();
        assert_eq!((deprecation.since, deprecation.ends), (day(9, 9), day(10, 10)));
        assert_eq!(deprecation.instead.as_deref(), Some("B or c/d"));
        assert_eq!(Line::parse("A string deprecated").unwrap().deprecated, Some(Deprecation::default()));
    }

    #[test]
    fn spans_ranges_and_latest_times_have_their_units() {
        assert_eq!(Line::parse("A I within 180 days").unwrap().days, Some(180));
        assert_eq!(Line::parse("A number from 1").unwrap().range, Some(1..=i64::MAX));
        assert_eq!(Line::parse("A number from -1 to 1 required").unwrap().range, Some(-1..=1));
        assert_eq!(
            Line::parse("A utc latest 30 days").unwrap().latest,
            Some(Delay { count: 30, unit: DelayUnit::Days })
        );
        let latest = |text| Line::parse(text).unwrap().latest.map(|delay| (delay.count, delay.unit));
        assert_eq!(latest("A utc latest -5 minutes"), Some((-5, DelayUnit::Minutes)));
        assert_eq!(latest("A utc latest 5 years time-unit"), Some((5, DelayUnit::Years)));
        assert!(Line::parse("A utc latest 5 weeks").is_err());
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, mistake) in [
            ("Name", InvalidLine::Incomplete),
            ("Name string requird", InvalidLine::UnknownRule("requird".to_owned())),
            ("Name string max", InvalidLine::Argument("max")),
            ("Name string max -1", InvalidLine::Argument("max")),
            ("Name I within 3", InvalidLine::Argument("within")),
            ("Name integer from 1 1000", InvalidLine::Argument("from")),
            ("Name string with", InvalidLine::Argument("with")),
            ("Name string required deprecated", InvalidLine::RequiredAndDeprecated),
        ] {
            assert_eq!(Line::parse(text).unwrap_err(), mistake, "{text}");
        }
    }
}
