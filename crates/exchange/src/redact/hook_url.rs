//! The URL that a webhook was sent to. Mews can put a secret into it, by which the receiver knows the sender.

use crate::Pseudonym;

/// The segments that paths of webhooks usually have. Anything else may be the secret: no form tells a secret from a name.
const USUAL: [&str; 26] = [
    "api",
    "callback",
    "callbacks",
    "connector",
    "event",
    "events",
    "general",
    "handler",
    "hook",
    "hooks",
    "in",
    "incoming",
    "inbound",
    "integration",
    "integrations",
    "listener",
    "mews",
    "notification",
    "notifications",
    "notify",
    "public",
    "receive",
    "receiver",
    "webhook",
    "webhooks",
    "ws",
];

/// Path and query with a pseudonym in the place of everything that may be a secret: the query's values, and the path's
/// segments but the usual ones.
pub(super) fn masked(target: &[u8], mut pseudonym: impl FnMut(&[u8]) -> Pseudonym) -> Vec<u8> {
    let mut mask = |text: &[u8], out: &mut Vec<u8>| {
        if text.is_empty() || text.starts_with(Pseudonym::PREFIX.as_bytes()) {
            out.extend_from_slice(text);
        } else {
            out.extend_from_slice(pseudonym(text).to_string().as_bytes());
        }
    };
    let mut parts = target.splitn(2, |byte| *byte == b'?');
    let (path, query) = (parts.next().unwrap_or_default(), parts.next());
    let mut out = Vec::with_capacity(target.len());
    for (number, segment) in path.split(|byte| *byte == b'/').enumerate() {
        if number > 0 {
            out.push(b'/');
        }
        if is_usual(segment) {
            out.extend_from_slice(segment);
        } else {
            mask(segment, &mut out);
        }
    }
    let Some(query) = query else { return out };
    out.push(b'?');
    for (number, pair) in query.split(|byte| *byte == b'&').enumerate() {
        if number > 0 {
            out.push(b'&');
        }
        match memchr::memchr(b'=', pair) {
            // Without a value, the name is what matters.
            Some(at) if at + 1 < pair.len() => {
                out.extend_from_slice(&pair[..=at]);
                mask(&pair[at + 1..], &mut out);
            }
            Some(at) => {
                mask(&pair[..at], &mut out);
                out.push(b'=');
            }
            None => mask(pair, &mut out),
        }
    }
    out
}

fn is_usual(segment: &[u8]) -> bool {
    let is_version = |text: &[u8]| matches!(text, [b'v' | b'V', digits @ ..] if (1..=2).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit));
    is_version(segment) || USUAL.iter().any(|word| segment.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(target: &str) -> String {
        String::from_utf8(masked(target.as_bytes(), Pseudonym::of)).unwrap()
    }

    #[test]
    fn a_secret_in_path_or_query_is_replaced_and_usual_words_stay() {
        let of = |secret: &str| Pseudonym::of(secret.as_bytes());
        assert_eq!(shown("/hook"), "/hook");
        assert_eq!(shown("/api/v2/Mews/webhooks/"), "/api/v2/Mews/webhooks/");
        assert_eq!(shown("/hooks/opensesame"), format!("/hooks/{}", of("opensesame")));
        assert_eq!(shown("/hook?token=s3cr%20et&x=1"), format!("/hook?token={}&x={}", of("s3cr%20et"), of("1")));
        assert_eq!(shown("/hook?s3cret"), format!("/hook?{}", of("s3cret")));
        assert_eq!(shown("/hook?s3cret="), format!("/hook?{}=", of("s3cret")));
        assert_eq!(shown("/v123/?a=b=c"), format!("/{}/?a={}", of("v123"), of("b=c")));
    }

    #[test]
    fn what_is_empty_or_replaced_already_stays() {
        for target in ["", "/", "*", "//", "/hook?", "/?&&", "/?=", "?"] {
            let expected = target.replace('*', &Pseudonym::of(b"*").to_string());
            assert_eq!(shown(target), expected, "{target}");
        }
        let once = shown("/hooks/opensesame?a=b&c");
        assert_eq!(shown(&once), once);
    }
}
