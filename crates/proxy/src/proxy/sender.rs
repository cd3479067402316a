//! Identifies the sender of a request by its body or cookies.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderMap, header::COOKIE};
use nightaudit_exchange::{CapturedEnvelope, CapturedToken, as_utf8};
use nightaudit_mews::{Envelope, envelope};

/// The sender of a request.
pub(super) struct Sender {
    pub(super) envelope: CapturedEnvelope,
    /// The tokens as keys for the limiter.
    pub(super) access_key: Arc<str>,
    pub(super) client_key: Arc<str>,
}

impl Sender {
    pub(super) fn new(headers: &HeaderMap, body: &[u8], peer: SocketAddr, recent: &RecentTokens) -> Self {
        let text = as_utf8(body);
        let found = if body.is_empty() {
            envelope::from_cookies(headers.get_all(COOKIE).iter().map(http::HeaderValue::as_bytes))
        } else {
            envelope::read(&text)
        };
        let Envelope { access_token, client_token, client, paginated } = found;
        let known = |token: Option<std::borrow::Cow<'_, str>>| token.map(|token| recent.get(&token)).unzip();
        let (access_token, access_key) = known(access_token);
        let (client_token, client_key) = known(client_token);
        let none = || format!("none@{}", peer.ip()).into();
        Self {
            access_key: access_key.unwrap_or_else(none),
            client_key: client_key.unwrap_or_else(none),
            envelope: CapturedEnvelope { access_token, client_token, client: client.map(Into::into), paginated },
        }
    }
}

pub(crate) fn captured(envelope: Envelope<'_>) -> CapturedEnvelope {
    let Envelope { access_token, client_token, client, paginated } = envelope;
    CapturedEnvelope {
        access_token: access_token.map(|token| CapturedToken::from(&*token)),
        client_token: client_token.map(|token| CapturedToken::from(&*token)),
        client: client.map(Into::into),
        paginated,
    }
}

/// The last few tokens with their keys: a client sends the same two again and again, and each would be hashed anew.
#[derive(Debug, Default)]
pub(super) struct RecentTokens(Mutex<Vec<(CapturedToken, Arc<str>)>>);

impl RecentTokens {
    /// Maximum number of tokens remembered.
    const MAX: usize = 8;
    /// Maximum length of a token that is remembered, in bytes.
    const MAX_LEN: usize = 256;

    /// A token with its pseudonym, and that as the limiter's key.
    fn get(&self, value: &str) -> (CapturedToken, Arc<str>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = recent.iter().position(|(token, _)| **token == *value) {
            recent[..=at].rotate_right(1);
            return recent[0].clone();
        }
        let token = CapturedToken::from(value);
        let key: Arc<str> = token.pseudonym().to_string().into();
        if value.len() <= Self::MAX_LEN {
            recent.truncate(Self::MAX - 1);
            recent.insert(0, (token.clone(), Arc::clone(&key)));
        }
        (token, key)
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::Pseudonym;

    use super::*;

    #[test]
    fn a_token_has_its_own_pseudonym_however_many_others_were_seen() {
        let recent = RecentTokens::default();
        let long = "x".repeat(RecentTokens::MAX_LEN + 1);
        let tokens: Vec<String> =
            (0..20).map(|number| format!("token-{number}")).chain([String::new(), long]).collect();
        for round in 0..3 {
            for value in tokens.iter().step_by(round + 1) {
                for _ in 0..2 {
                    let (token, key) = recent.get(value);
                    let pseudonym = Pseudonym::of(value.as_bytes());
                    assert_eq!((&*token, token.pseudonym(), &*key), (&**value, pseudonym, &*pseudonym.to_string()));
                }
                assert!(recent.0.lock().unwrap().len() <= RecentTokens::MAX);
            }
        }
    }
}
