//! Sets of HTTP statuses.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use super::InvalidFilter;

/// Statuses, written as a comma-separated list of `429`, `4xx` and `500-599`.
///
/// ```
/// use nightaudit_exchange::Statuses;
///
/// let statuses: Statuses = "429,5xx".parse()?;
/// assert!(statuses.contains(503) && !statuses.contains(404));
/// # Ok::<(), nightaudit_exchange::InvalidFilter>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Maximum number of ranges.
    const MAX_RANGES: usize = 64;

    /// Whether the set contains `status`.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    /// The ranges as given; they may overlap.
    #[must_use]
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.0
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match (*range.start(), *range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) if first % 100 == 0 && last == first + 99 => write!(f, "{comma}{}xx", first / 100)?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Statuses {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ranges: Option<Vec<_>> =
            text.split(',').take(Self::MAX_RANGES + 1).map(|part| range(part.trim())).collect();
        match ranges {
            Some(ranges) if ranges.len() <= Self::MAX_RANGES => Ok(Self(ranges)),
            _ => Err(InvalidFilter::status(text)),
        }
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| -> Option<u16> {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|status| digits && (100..=999).contains(status))
    };
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (status(first.trim())?, status(last.trim())?);
        return (first <= last).then_some(first..=last);
    }
    match text.as_bytes() {
        [class @ b'1'..=b'9', b'x' | b'X', b'x' | b'X'] => {
            let first = u16::from(class - b'0') * 100;
            Some(first..=first + 99)
        }
        _ => status(text).map(|status| status..=status),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_is_parsed_and_displayed() {
        for (text, written) in
            [("429", "429"), ("4xx", "4xx"), ("5XX, 404", "5xx,404"), ("500-599", "5xx"), ("400 - 403", "400-403")]
        {
            assert_eq!(text.parse::<Statuses>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn invalid_statuses_are_rejected() {
        let many = "200,".repeat(100);
        for text in ["", ",", "4x", "0xx", "99", "1000", "+429", "599-500", "500-", "ok", &many] {
            let error = text.parse::<Statuses>().unwrap_err().to_string();
            assert!(error.contains("`--status`") && error.contains("4xx"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn lists_round_trip_as_text(ranges in prop::collection::vec((100u16..=999, 0u16..200), 1..8)) {
            let statuses = Statuses(ranges.into_iter().map(|(first, more)| first..=(first + more).min(999)).collect());
            prop_assert_eq!(statuses.to_string().parse::<Statuses>().unwrap(), statuses);
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = text.parse::<Statuses>();
        }
    }
}
