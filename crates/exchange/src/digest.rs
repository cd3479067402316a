//! SHA-256 digests and the pseudonyms made from them.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    str::FromStr,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
///
/// ```
/// use nightaudit_exchange::Digest;
///
/// let empty = Digest::of(b"");
/// assert!(empty.to_string().starts_with("e3b0c442"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// Not a valid SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 digest: expected 64 hexadecimal digits")]
pub struct InvalidDigest;

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Its hexadecimal digits.
    pub(crate) fn digits(&self) -> [u8; 64] {
        let mut text = [0; 64];
        hex(&self.0, &mut text);
        text
    }

    /// The digest of the concatenated parts.
    #[must_use]
    pub fn of_parts<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> Self {
        let mut hasher = sha2::Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return Err(InvalidDigest);
        }
        let mut bytes = [0; 32];
        for (out, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *out = byte(pair)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

/// The replacement for a secret: `REDACTED:` and the first 12 hexadecimal digits of its SHA-256.
///
/// A secret has the same pseudonym in every exchange and on every machine. For values with few possibilities that would
/// allow guessing, so their pseudonyms are made with a [`PseudonymKey`].
///
/// ```
/// use nightaudit_exchange::Pseudonym;
///
/// let token = Pseudonym::of(b"hello");
/// assert_eq!(token.to_string(), "REDACTED:2cf24dba5fb0");
/// assert_eq!("REDACTED:2cf24dba5fb0".parse(), Ok(token));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pseudonym(pub [u8; 6]);

/// Not a valid pseudonym.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a pseudonym: expected a form like REDACTED:3f9a1c0b7d24")]
pub struct InvalidPseudonym(String);

impl Pseudonym {
    /// The prefix and 12 hexadecimal digits.
    pub(crate) fn text(&self) -> [u8; Self::LEN] {
        let mut text = [0; Self::LEN];
        let (prefix, digits) = text.split_at_mut(Self::PREFIX.len());
        prefix.copy_from_slice(Self::PREFIX.as_bytes());
        hex(&self.0, digits);
        text
    }

    /// The prefix of every pseudonym.
    pub const PREFIX: &str = "REDACTED:";
    /// The length of a pseudonym in bytes.
    pub const LEN: usize = Self::PREFIX.len() + 12;

    /// The pseudonym of a secret.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let digest = Digest::of(secret).0;
        Self([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5]])
    }
}

/// The installation's key for pseudonyms of configured properties: HMAC with SHA-256 (RFC 2104).
///
/// Without the key, pseudonyms can't be guessed by trial.
///
/// ```
/// use nightaudit_exchange::{PseudonymKey, Pseudonym};
///
/// let [one, other] = [PseudonymKey([1; 32]), PseudonymKey([2; 32])];
/// assert_eq!(one.pseudonym(b"1234"), one.pseudonym(b"1234"));
/// assert_ne!(one.pseudonym(b"1234"), other.pseudonym(b"1234"));
/// assert_ne!(one.pseudonym(b"1234"), Pseudonym::of(b"1234"));
/// ```
#[derive(Clone)]
pub struct PseudonymKey(pub [u8; 32]);

impl PseudonymKey {
    /// A random key for the life of the process.
    #[must_use]
    pub fn ephemeral() -> Self {
        let mut key = [0; 32];
        for part in key.as_chunks_mut::<8>().0 {
            // The standard library keys its hashers with random numbers from the operating system.
            *part = RandomState::new().hash_one(0).to_le_bytes();
        }
        Self(key)
    }

    /// The keyed pseudonym of a value.
    #[must_use]
    pub fn pseudonym(&self, value: &[u8]) -> Pseudonym {
        // HMAC pads the key with zeros to SHA-256's block size.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<sha2::Sha256>::new(&block.into());
        mac.update(value);
        let [a, b, c, d, e, f, ..] = <[u8; 32]>::from(mac.finalize().into_bytes());
        Pseudonym([a, b, c, d, e, f])
    }
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKey(…)")
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pseudonym {
    type Err = InvalidPseudonym;

    /// Accepts a pseudonym with or without its prefix.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPseudonym(text.to_owned());
        let digits = text.strip_prefix(Self::PREFIX).unwrap_or(text).as_bytes();
        if digits.len() != 12 {
            return Err(invalid());
        }
        let mut bytes = [0; 6];
        for (out, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *out = byte(pair).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Pseudonym {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pseudonym {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex(bytes: &[u8], text: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// The value of two lower-case hexadecimal digits.
fn byte(pair: &[u8]) -> Result<u8, InvalidDigest> {
    // Non-digits have the upper half of their value set.
    let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
    if (high | low) < 16 { Ok(high << 4 | low) } else { Err(InvalidDigest) }
}

/// The value of each digit; 255 for any other byte.
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        values[DIGITS[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_parts_equals_digest_of_the_whole() {
        assert_eq!(Digest::of_parts(["ab", "", "c"]), Digest::of(b"abc"));
    }

    #[test]
    fn a_digest_parses_and_nothing_else_does() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for wrong in ["", "ba78", &digest.to_string().to_uppercase(), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<Digest>(), Err(InvalidDigest), "{wrong}");
        }
    }

    #[test]
    fn an_invalid_pseudonym_is_quoted_in_the_error() {
        for wrong in ["", "REDACTED:", "REDACTED:3f9a1c0b7d2", "REDACTED:3f9a1c0b7d2G"] {
            let error = wrong.parse::<Pseudonym>().unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }
}
