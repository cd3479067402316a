//! Per-request overrides, in the header `X-Simulator`.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::config::{MAX_LATENCY, error_status};

/// `X-Simulator: size=20MB, status=503, latency=2s`; each part is optional.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    /// Response size in bytes.
    pub(crate) size: Option<u64>,
    /// The error status to respond with.
    pub(crate) status: Option<StatusCode>,
    /// Delay of the response, instead of the configured one.
    pub(crate) latency: Option<Duration>,
}

impl Overrides {
    /// Parses the headers; the error names the invalid part.
    pub(crate) fn read(headers: &HeaderMap, max_size: u64) -> Result<Self, String> {
        let mut overrides = Self::default();
        for value in headers.get_all("x-simulator") {
            let value = value.to_str().map_err(|_| "X-Simulator holds something else than letters".to_owned())?;
            for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                let invalid = |remedy: &str| format!("X-Simulator: `{part}`: {remedy}");
                match part.split_once('=') {
                    Some(("size", size)) => {
                        let size =
                            nightaudit_units::parse_size(size).map_err(|_| invalid("write it like size=20MB"))?;
                        if size > max_size {
                            return Err(invalid(&format!("at most {}", nightaudit_units::size(max_size))));
                        }
                        overrides.size = Some(size);
                    }
                    Some(("status", status)) => {
                        let status = error_status(status).ok_or_else(|| invalid("an error, like status=503"))?;
                        overrides.status = Some(status);
                    }
                    Some(("latency", latency)) => {
                        let latency =
                            nightaudit_units::parse_duration(latency).ok().filter(|latency| *latency <= MAX_LATENCY);
                        overrides.latency =
                            Some(latency.ok_or_else(|| invalid("write it like latency=2s, at most 10m"))?);
                    }
                    _ => return Err(invalid("there are size, status and latency")),
                }
            }
        }
        Ok(overrides)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(value: &'static str) -> Result<Overrides, String> {
        Overrides::read(
            &HeaderMap::from_iter([(http::HeaderName::from_static("x-simulator"), HeaderValue::from_static(value))]),
            1 << 26,
        )
    }

    #[test]
    fn overrides_are_combined() {
        let overrides = read("size=20MB, status=503,latency=2s").unwrap();
        let expected = Overrides {
            size: Some(20_000_000),
            status: Some(StatusCode::SERVICE_UNAVAILABLE),
            latency: Some(Duration::from_secs(2)),
        };
        assert_eq!(overrides, expected);
        assert_eq!(read("").unwrap(), Overrides::default());
    }

    #[test]
    fn an_invalid_part_is_named() {
        for value in ["size=x", "size=1GB", "status=200", "status=abc", "latency=1h", "speed=1", "size"] {
            let error = read(value).unwrap_err();
            assert!(error.contains(value), "{error}");
        }
    }
}
