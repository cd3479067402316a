//! Exchange and session ids.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};
use ulid::Ulid;

/// Not a valid ULID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: a ULID has 26 letters and digits, without I, L, O and U")]
pub struct InvalidId(String);

macro_rules! ulid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Ulid);

        impl $name {
            /// An id from milliseconds since 1970 and a random number.
            ///
            /// Uses 48 bits of the time and 80 bits of `random`.
            #[must_use]
            pub const fn from_parts(milliseconds: u64, random: u128) -> Self {
                Self(Ulid::from_parts(milliseconds, random))
            }

            /// The id's 16 bytes, big-endian, so that they sort by time.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// Its 26 letters and digits.
            pub(crate) fn digits(self) -> [u8; ulid::ULID_LEN] {
                let mut text = [0; ulid::ULID_LEN];
                self.0.array_to_str(&mut text);
                text
            }

            /// The id with these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }

            /// The id's creation time in milliseconds since 1970.
            #[must_use]
            pub const fn milliseconds(self) -> u64 {
                self.0.timestamp_ms()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::read(deserializer)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Ulid::from_string(text).map(Self).map_err(|_| InvalidId(text.to_owned()))
            }
        }
    };
}

ulid_newtype! {
    /// The id of an exchange: a ULID, so ids sort by the time of the request.
    ExchangeId
}

ulid_newtype! {
    /// The id of a session: a ULID, also the name of the session's directory in the log.
    SessionId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_round_trip_as_text_and_bytes() {
        let earlier = ExchangeId::from_parts(1_000, u128::MAX);
        let later = ExchangeId::from_parts(1_001, 0);
        assert!(earlier < later);
        assert!(earlier.to_string() < later.to_string());
        assert_eq!(earlier.to_string().parse(), Ok(earlier));
        assert_eq!(ExchangeId::from_bytes(later.to_bytes()), later);
        assert_eq!(later.milliseconds(), 1_001);
    }

    #[test]
    fn an_invalid_ulid_is_quoted_in_the_error() {
        let error = "certification".parse::<SessionId>().unwrap_err();
        assert!(error.to_string().contains("`certification`"), "{error}");
    }
}
