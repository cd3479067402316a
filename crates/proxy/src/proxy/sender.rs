//! Identifies the sender of a request by its body or cookies.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use nightaudit_exchange::{CapturedEnvelope, CapturedToken};
use nightaudit_mews::Envelope;

/// The sender of a request.
pub(super) struct Sender {
    pub(super) envelope: CapturedEnvelope,
    /// The tokens as keys for the limiter.
    pub(super) access_key: Arc<str>,
    pub(super) client_key: Arc<str>,
}

impl Sender {
    pub(super) fn new(envelope: Envelope<'_>, peer: SocketAddr, recent: &RecentTokens) -> Self {
        let Envelope { access_token, client_token, client, paginated } = envelope;
        let known = |token: Option<Cow<'_, str>>| token.map(|token| recent.get(&token)).unzip();
        let (access_token, access_key) = known(access_token);
        let (client_token, client_key) = known(client_token);
        Self {
            access_key: access_key.unwrap_or_else(|| key_without_token(peer)),
            client_key: client_key.unwrap_or_else(|| key_without_token(peer)),
            envelope: CapturedEnvelope {
                access_token,
                client_token,
                client: client.map(|name| recent.client(&name)),
                paginated,
            },
        }
    }
}

/// The limiter's key of a request that has no token.
pub(super) fn key_without_token(peer: SocketAddr) -> Arc<str> {
    format!("none@{}", peer.ip()).into()
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
pub(super) struct RecentTokens {
    tokens: Mutex<Vec<(CapturedToken, Arc<str>)>>,
    /// The last few values of `Client`, so that they need no copies.
    clients: Mutex<Vec<Arc<str>>>,
}

impl RecentTokens {
    /// Maximum number of tokens, and of clients, remembered.
    const MAX: usize = 8;
    /// Maximum length of one that is remembered, in bytes.
    const MAX_LEN: usize = 256;

    /// A token with its pseudonym, and that as the limiter's key.
    fn get(&self, value: &str) -> (CapturedToken, Arc<str>) {
        let make = || {
            let token = CapturedToken::from(value);
            let key = token.pseudonym().to_string().into();
            (token, key)
        };
        remembered(&self.tokens, value, |(token, _)| token, make)
    }

    /// A value of `Client`.
    fn client(&self, value: &str) -> Arc<str> {
        remembered(&self.clients, value, |client| client, || value.into())
    }
}

/// Returns what was made of this value, which is then the first of the `recent`.
fn remembered<T: Clone>(
    recent: &Mutex<Vec<T>>,
    value: &str,
    value_of: impl Fn(&T) -> &str,
    make: impl FnOnce() -> T,
) -> T {
    let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = recent.iter().position(|known| value_of(known) == value) {
        recent[..=at].rotate_right(1);
        return recent[0].clone();
    }
    let made = make();
    if value.len() <= RecentTokens::MAX_LEN {
        recent.truncate(RecentTokens::MAX - 1);
        recent.insert(0, made.clone());
    }
    made
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
                assert!(recent.tokens.lock().unwrap().len() <= RecentTokens::MAX);
            }
        }
    }
}
