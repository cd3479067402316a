//! What a request is found by.

use nightaudit_exchange::{Digest, Pseudonym};

use crate::comparison::{Comparison, without_secrets};

/// A hash of what a request asks for, short so that a million take little memory.
///
/// 96 bits: among a million requests two that differ share a key with a probability of 1 to 10^17. The other 32 are those of the
/// access token for alike requests, so that these are sorted by token, and zero otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key([u8; 16]);

/// Bytes of a key that are the hash.
const HASH: usize = 12;

impl Key {
    /// The key of requests with the very same body.
    pub(crate) fn same(method: &str, target: &str, body: &Digest) -> Self {
        Self::of(b"same", method, target, &body.0, None)
    }

    /// The key of requests with an alike body, from this sender. All of it is redacted.
    pub(crate) fn alike(
        method: &str,
        target: &str,
        body: &[u8],
        token: Option<Pseudonym>,
        comparison: &Comparison,
    ) -> Self {
        Self::of(b"alike", method, &without_secrets(target), &comparison.canonical(body), token)
    }

    fn of(kind: &[u8], method: &str, target: &str, body: &[u8], token: Option<Pseudonym>) -> Self {
        let zero: &[u8] = b"\0";
        let digest = Digest::of_parts([kind, zero, method.as_bytes(), zero, target.as_bytes(), zero, body]).0;
        let mut key = [0; 16];
        key[..HASH].copy_from_slice(&digest[..HASH]);
        if let Some(Pseudonym(token)) = token {
            key[HASH..].copy_from_slice(&token[..16 - HASH]);
        }
        Self(key)
    }

    /// The key without its token.
    pub(crate) fn hash(&self) -> &[u8] {
        &self.0[..HASH]
    }
}

/// Path and query of a recorded URL.
pub(crate) fn target(url: &str) -> &str {
    if url.starts_with('/') {
        return url;
    }
    match url.split_once("://") {
        Some((_, rest)) => rest.find(['/', '?']).map_or("/", |start| &rest[start..]),
        None => url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_what_follows_the_host() {
        for (url, wanted) in [
            ("https://api.mews-demo.com/api/connector/v1/a?b=c", "/api/connector/v1/a?b=c"),
            ("http://127.0.0.1:8090/", "/"),
            ("https://api.mews-demo.com", "/"),
            ("/a?b=http://c/d", "/a?b=http://c/d"),
            ("*", "*"),
        ] {
            assert_eq!(target(url), wanted, "{url}");
        }
    }

    #[test]
    fn a_key_depends_on_everything_that_is_asked() {
        let comparison = Comparison::default();
        let token = Some(Pseudonym::of(b"a"));
        let key = Key::alike("POST", "/a", b"{}", token, &comparison);
        for other in [
            Key::alike("PUT", "/a", b"{}", token, &comparison),
            Key::alike("POST", "/b", b"{}", token, &comparison),
            Key::alike("POST", "/a", b"[]", token, &comparison),
        ] {
            assert_ne!(key.hash(), other.hash());
        }
        let stranger = Key::alike("POST", "/a", b"{ }", Some(Pseudonym::of(b"b")), &comparison);
        assert!(key.hash() == stranger.hash() && key != stranger);
        let [one, other] = [&b"a"[..], b"b"].map(|body| Key::same("POST", "/a", &Digest::of(body)));
        assert_ne!(one, other);
    }
}
