//! Wall-clock time as written in the log.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A UTC instant in microseconds since 1970, written `2026-11-23T12:00:00.123456Z`.
///
/// ```
/// use nightaudit_exchange::Timestamp;
///
/// let noon: Timestamp = "2026-11-23T12:00:00Z".parse()?;
/// assert_eq!(noon.to_string(), "2026-11-23T12:00:00.000000Z");
/// assert_eq!(noon.plus(std::time::Duration::from_millis(250)).micros() - noon.micros(), 250_000);
/// # Ok::<(), nightaudit_exchange::InvalidTimestamp>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// Not a valid UTC instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time: write it like 2026-11-23T12:00:00Z")]
pub struct InvalidTimestamp(String);

impl Timestamp {
    // The years 0 to 9999, outside of which RFC 3339 has no form.
    const MIN: i64 = -62_167_219_200_000_000;
    const MAX: i64 = 253_402_207_199_999_999;

    /// The instant this many microseconds after 1970, clamped to what RFC 3339 can express.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::MIN, Self::MAX))
    }

    /// The instant of a system time, rounded down to the microsecond.
    #[must_use]
    pub fn from_system(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => Self::from_micros(i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |m| -m)),
        }
    }

    /// Microseconds since 1970; negative for earlier instants.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The instant `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The instant `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_sub(micros))
    }

    /// The time since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            // Unreachable: `from_micros` clamps to jiff's range.
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp(text.to_owned()))?;
        Ok(Self::from_micros(time.as_microsecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_range_times_are_clamped_and_displayed() {
        for micros in [i64::MIN, -1, 0, 1, i64::MAX] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(time.to_string().parse(), Ok(time), "{micros}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let last = Timestamp::from_micros(i64::MAX);
        assert_eq!(last.plus(Duration::MAX), last);
        assert_eq!(last.since(last.plus(Duration::from_secs(1))), Duration::ZERO);
        assert_eq!(Timestamp::from_micros(0).minus(Duration::MAX), Timestamp::from_micros(i64::MIN));
    }
}
