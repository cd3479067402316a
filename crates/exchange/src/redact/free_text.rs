//! Redacting free text outside of exchanges.

use std::borrow::Cow;

use memchr::memmem;

use super::{
    known_tokens::KnownTokens,
    names::{Names, has_token_name},
    searchable::MIN_LEN,
    secrets::Secrets,
    syntax::Syntax,
    text::{Text, has_shaped},
};
use crate::Api;

/// Redacts a text without the [`Redactor`](super::Redactor)'s memory: replaces the given tokens, values identified by
/// name, and anything with the shape of a token.
///
/// Meant for log messages about requests. A text with nothing suspicious is scanned but not copied.
///
/// ```
/// # use nightaudit_exchange::{Api, TokenForm};
/// # static API: Api = Api { name: "Books", possessive: "Books'", operation_prefix: "/", request_id_header: "", request_id_property: "",
/// #     message_property: "", token_words: &["library"], token_form: TokenForm::new(32, 31) };
/// let token = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";
/// let clean = nightaudit_exchange::redact_text(&API, format!("/a/{token}").as_bytes(), &[]).into_owned();
/// assert_eq!(clean, b"/a/REDACTED:e7fcd8b29db2");
/// assert_eq!(&*nightaudit_exchange::redact_text(&API, b"/a/my-own-secret-0001", &["my-own-secret-0001"]), b"/a/REDACTED:46dea97852c4");
/// ```
#[must_use]
pub fn redact_text<'a>(api: &'static Api, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
    without(api, text, tokens.iter().map(|token| token.as_bytes()), Syntax::Target)
}

impl KnownTokens {
    /// Like [`redact_text`](super::redact_text), also replacing known tokens where they stand alone: between slashes,
    /// spaces, quotes and the like.
    ///
    /// A path of short or plain-word segments is scanned but not copied.
    #[must_use]
    pub fn redact_text<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
        let known = self.shared.known_in(text);
        let tokens = tokens.iter().map(|token| token.as_bytes()).chain(known.iter().map(|token| &**token));
        without(self.api, text, tokens, Syntax::Target)
    }

    /// Redacts free text such as a session's name, a note or a declaration.
    #[must_use]
    pub fn redact_prose(&self, text: &str) -> String {
        let known = self.shared.known_in(text.as_bytes());
        let tokens = known.iter().map(|token| &**token);
        String::from_utf8_lossy(&without(self.api, text.as_bytes(), tokens, Syntax::Field)).into_owned()
    }
}

/// Bytes that neither separate a name from its value nor start an escape.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        plain[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b'/' | b'-' | b'_' | b'.' | b' ' | b'(' | b')');
        byte += 1;
    }
    plain
};

fn without<'a, 't>(
    api: &'static Api,
    text: &'a [u8],
    tokens: impl Iterator<Item = &'t [u8]> + Clone,
    syntax: Syntax,
) -> Cow<'a, [u8]> {
    // Most texts are paths, shorter than any token.
    let long = |token: &&[u8]| (MIN_LEN..=text.len()).contains(&token.len());
    let has_token = || tokens.clone().filter(long).any(|token| memmem::find(text, token).is_some());
    let is_plain = text.iter().all(|byte| PLAIN[usize::from(*byte)]);
    if is_plain && !has_shaped(text) && !has_token() && !has_token_name(api, text) {
        return text.into();
    }
    let mut secrets = Secrets::default().with_form(api.token_form);
    for token in tokens {
        secrets.learn(token);
    }
    let mut found = Text::new(text, syntax);
    found.find_named(&Names::tokens_and(api, &[]), &mut secrets);
    found.find_shaped(&mut secrets);
    found.find_values(&secrets);
    if found.is_too_complex() {
        return b"[withheld]".into();
    }
    found.redacted().map_or(text.into(), |redacted| redacted.to_vec().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pseudonym, api::SAMPLE};

    const TOKEN: &str = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";

    fn redacted(text: &str) -> String {
        String::from_utf8(redact_text(&SAMPLE, text.as_bytes(), &["a secret/of my own", "short"]).into_owned()).unwrap()
    }

    #[test]
    fn tokens_are_replaced_by_value_name_and_shape() {
        let (own, other) = (Pseudonym::of(b"a secret/of my own"), Pseudonym::of(TOKEN.as_bytes()));
        assert_eq!(redacted("Kiosk a secret/of my own"), format!("Kiosk {own}"));
        assert_eq!(redacted("/a%20secret%2Fof%20my%20own/x"), format!("/{own}/x"));
        assert_eq!(redacted(&format!("/a/{TOKEN}/b")), format!("/a/{other}/b"));
        assert_eq!(redacted(&format!("/a/%43{}", &TOKEN[1..])), format!("/a/{other}"));
        assert_eq!(redacted("/a;AccessToken=xyz"), format!("/a;AccessToken={}", Pseudonym::of(b"xyz")));
    }

    #[test]
    fn other_text_is_left_alone() {
        for text in [
            "/api/connector/v1/reservations/getAll/2023-06-06",
            "/bills/0c19d2e4-bb3e-4d9c-9b3c-b1f0008a3b9d/pdf%20x",
            "short",
            "Acme Kiosk 2.1.0",
            "",
        ] {
            assert_eq!(redacted(text), text);
        }
    }
}
