//! One line of the data: a field and its rules.

use std::ops::RangeInclusive;

use thiserror::Error;

/// A field as it is written: `UpdatedUtc  TimeInterval[]  required  max 10`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// The name of the kind, without the brackets of arrays.
    pub(super) kind: &'a str,
    pub(super) array: u8,
    pub(super) required: bool,
    pub(super) deprecated: bool,
    /// Items of an array, else characters of a string.
    pub(super) max: Option<u32>,
    pub(super) months: Option<u8>,
    pub(super) range: Option<RangeInclusive<i64>>,
    pub(super) with: Option<&'a str>,
}

/// Why a line can't be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum InvalidLine {
    #[error("it needs a name and a kind")]
    Incomplete,
    #[error("`{0}` is no rule; there are required, deprecated, max, within, from and with")]
    UnknownRule(String),
    #[error("`{0}` is not followed by what it needs")]
    Argument(&'static str),
    #[error("a field can't be both required and deprecated")]
    RequiredAndDeprecated,
}

impl<'a> Line<'a> {
    /// Reads a line that is not empty.
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
                "deprecated" => line.deprecated = true,
                "max" => line.max = Some(number(words.next(), "max")?),
                "within" => {
                    line.months = Some(number(words.next(), "within")?);
                    words.next().filter(|unit| unit.starts_with("month")).ok_or(InvalidLine::Argument("within"))?;
                }
                "from" => {
                    let from = number(words.next(), "from")?;
                    words.next().filter(|&to| to == "to").ok_or(InvalidLine::Argument("from"))?;
                    line.range = Some(from..=number(words.next(), "to")?);
                }
                "with" => line.with = Some(words.next().ok_or(InvalidLine::Argument("with"))?),
                other => return Err(InvalidLine::UnknownRule(other.to_owned())),
            }
        }
        if line.required && line.deprecated {
            return Err(InvalidLine::RequiredAndDeprecated);
        }
        Ok(line)
    }
}

fn number<T: std::str::FromStr>(word: Option<&str>, rule: &'static str) -> Result<T, InvalidLine> {
    word.and_then(|word| word.parse().ok()).ok_or(InvalidLine::Argument(rule))
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
            deprecated: false,
            max: Some(10),
            months: Some(3),
            range: Some(1..=1000),
            with: Some("Other"),
        };
        assert_eq!(line, expected);
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
