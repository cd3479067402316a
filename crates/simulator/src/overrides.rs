//! What a single request may ask of the simulator, by the header `X-Simulator`.

use std::time::Duration;

use bytesize::ByteSize;
use http::{HeaderMap, StatusCode};

use crate::config::{MAX_LATENCY, duration, error_status};

/// `X-Simulator: size=20MB, status=503, latency=2s`, each of which may be left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    /// Bytes that the answer is to have.
    pub(crate) size: Option<u64>,
    /// An error to be answered with.
    pub(crate) status: Option<StatusCode>,
    /// How long the answer is kept back, in the place of what is configured.
    pub(crate) latency: Option<Duration>,
}

impl Overrides {
    /// What the headers overrides for; an error names what can't be.
    pub(crate) fn read(headers: &HeaderMap, max_size: u64) -> Result<Self, String> {
        let mut overrides = Self::default();
        for value in headers.get_all("x-simulator") {
            let value = value.to_str().map_err(|_| "X-Simulator holds something else than letters".to_owned())?;
            for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                let wrong = |remedy: &str| format!("X-Simulator: `{part}`: {remedy}");
                match part.split_once('=') {
                    Some(("size", size)) => {
                        let size = size.parse::<ByteSize>().map_err(|_| wrong("write it like size=20MB"))?.as_u64();
                        if size > max_size {
                            return Err(wrong(&format!("at most {}", ByteSize(max_size))));
                        }
                        overrides.size = Some(size);
                    }
                    Some(("status", status)) => {
                        let status = error_status(status).ok_or_else(|| wrong("an error, like status=503"))?;
                        overrides.status = Some(status);
                    }
                    Some(("latency", latency)) => {
                        let latency = duration(latency).filter(|latency| *latency <= MAX_LATENCY);
                        overrides.latency =
                            Some(latency.ok_or_else(|| wrong("write it like latency=2s, at most 10m"))?);
                    }
                    _ => return Err(wrong("there are size, status and latency")),
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
    fn wishes_stand_side_by_side() {
        let overrides = read("size=20MB, status=503,latency=2s").unwrap();
        let wished = Overrides {
            size: Some(20_000_000),
            status: Some(StatusCode::SERVICE_UNAVAILABLE),
            latency: Some(Duration::from_secs(2)),
        };
        assert_eq!(overrides, wished);
        assert_eq!(read("").unwrap(), Overrides::default());
    }

    #[test]
    fn what_cannot_be_is_named() {
        for value in ["size=x", "size=1GB", "status=200", "status=abc", "latency=1h", "speed=1", "size"] {
            let error = read(value).unwrap_err();
            assert!(error.contains(value), "{error}");
        }
    }
}
