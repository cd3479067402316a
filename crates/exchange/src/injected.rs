//! Faults that were injected on purpose.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What fault rules did to an exchange (`serve --fault`).
///
/// An exchange whose response was made up or broken off has the outcome [`Faulted`](crate::Outcome::Faulted). One that was
/// only delayed or slowed down keeps the outcome it had.
///
/// ```
/// use nightaudit_exchange::{FaultEnding, InjectedFault};
///
/// let fault = InjectedFault { ending: Some(FaultEnding::Status(503)), delayed_ms: Some(1200), ..InjectedFault::default() };
/// assert_eq!(fault.to_string(), "latency=1200ms, 503");
/// assert_eq!(serde_json::to_string(&fault)?, r#"{"rules":[],"ending":"503","delayedMs":1200}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InjectedFault {
    /// The rules that took part, as written.
    pub rules: Vec<String>,
    /// What the client got instead of Mews' response, or of the rest of it; `None` if it got that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<FaultEnding>,
    /// How long the request was held back after it was admitted, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delayed_ms: Option<u64>,
    /// The rate that the response's body was slowed down to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// The status of Mews' response, if the client never got it because its connection was reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
}

/// What a client got instead of Mews' response, or of the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultEnding {
    /// A response with this status, made up; the request was not forwarded.
    Status(u16),
    /// Nothing: the request was forwarded, and the client's connection reset once Mews had responded.
    Reset,
    /// The beginning of Mews' response, and the end of the connection.
    Truncated,
}

impl fmt::Display for FaultEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::Reset => f.write_str("reset"),
            Self::Truncated => f.write_str("truncated"),
        }
    }
}

impl fmt::Display for InjectedFault {
    /// The effects, as in `X-Nightaudit-Fault`: `latency=1200ms, 503`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = self.delayed_ms.map(|delay| format!("latency={delay}ms"));
        let rate = self.bytes_per_second.map(|rate| format!("slow-body={rate}B/s"));
        let ending = self.ending.map(|ending| ending.to_string());
        f.write_str(&[latency, rate, ending].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl Serialize for FaultEnding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FaultEnding {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        match &*text {
            "reset" => Ok(Self::Reset),
            "truncated" => Ok(Self::Truncated),
            status => status.parse().map(Self::Status).map_err(|_| {
                serde::de::Error::custom(format!("`{status}` is not the end of a fault: a status, reset or truncated"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_has_one_spelling_in_json_and_as_text() {
        for ending in [FaultEnding::Status(429), FaultEnding::Reset, FaultEnding::Truncated] {
            let json = serde_json::to_value(ending).unwrap();
            assert_eq!(json, ending.to_string());
            assert_eq!(serde_json::from_value::<FaultEnding>(json).unwrap(), ending);
        }
        for wrong in ["\"\"", "\"often\"", "\"70000\"", "429"] {
            assert!(serde_json::from_str::<FaultEnding>(wrong).is_err(), "{wrong}");
        }
    }
}
