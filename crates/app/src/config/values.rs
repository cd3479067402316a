//! Durations, sizes and optional values in the configuration.

use std::{fmt, str::FromStr, time::Duration};

use nightaudit_units::{InvalidDuration, InvalidSize, parse_duration, parse_size, size};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration: `500ms`, `30s`, `15m`, `90d`; a day has 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_duration(text).map(Self)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::SignedDuration::try_from(self.0) {
            Ok(signed) => write!(f, "{signed:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

/// A number of bytes: `64 KiB`, `8 MiB`, `10 GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_size(text).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&size(self.0))
    }
}

/// An optional value; an empty string is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maybe<T>(pub Option<T>);

impl<T> Maybe<T> {
    pub const NONE: Self = Self(None);
}

impl<T: FromStr> FromStr for Maybe<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |value| value.fmt(f))
    }
}

macro_rules! serde_as_text {
    ($(($($generic:tt)*) $type:ty),+) => {$(
        impl<$($generic)*> Serialize for $type where Self: fmt::Display {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de, $($generic)*> Deserialize<'de> for $type where Self: FromStr<Err: fmt::Display> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

serde_as_text!(() Period, () Size, (T) Maybe<T>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_parsed() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("48h", 172_800), ("90d", 7_776_000), ("1m 15s", 75)] {
            assert_eq!(text.parse(), Ok(Period(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!("500ms".parse(), Ok(Period(Duration::from_millis(500))));
        assert_eq!("8 MiB".parse(), Ok(Size(8 << 20)));
        assert_eq!("10GB".parse(), Ok(Size(10_000_000_000)));
    }

    #[test]
    fn invalid_values_are_named_with_an_example() {
        for text in ["", "soon", "-5s", "3 months", "1e99s"] {
            let error = text.parse::<Period>().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        assert_eq!("many".parse::<Size>().unwrap_err().to_string(), "`many` is not a size: use 64 KiB, 8 MiB or 10 GB");
    }

    #[test]
    fn an_empty_string_is_none() {
        assert_eq!("".parse::<Maybe<Size>>(), Ok(Maybe(None)));
        assert_eq!(Maybe::<Size>(None).to_string(), "");
        assert_eq!("1 KiB".parse::<Maybe<Size>>(), Ok(Maybe(Some(Size(1024)))));
    }
}
