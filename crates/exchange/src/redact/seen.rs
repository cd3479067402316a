//! The tokens that were seen, for those who look at a text before the redactor does.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    layers::{Escapes, undone},
    note::without,
    secrets::{LONGEST, SHORTEST, is_words},
    text::Syntax,
};

/// The tokens that a [`Redactor`](super::Redactor) knows at the moment: cheap to clone, and asked from any thread.
///
/// Its lock is held for a look-up, or while the redactor adds a token, and never while anything is read or written.
#[derive(Clone, Default)]
pub struct Seen(Arc<RwLock<HashSet<Arc<[u8]>>>>);

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

impl Seen {
    /// As [`noted`](super::noted), and without the tokens that were seen, where they stand by themselves: between slashes,
    /// spaces, quotes and the like.
    ///
    /// A path whose segments are short or words, as those of Mews' API are, is only looked at.
    #[must_use]
    pub fn noted<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
        let known = self.known_in(text);
        let tokens: Vec<&[u8]> =
            tokens.iter().map(|token| token.as_bytes()).chain(known.iter().map(|token| &**token)).collect();
        without(text, &tokens, Syntax::Target)
    }

    /// What a person wrote - a session's name, a note, a declaration - without tokens.
    #[must_use]
    pub fn cleaned(&self, text: &str) -> String {
        let known = self.known_in(text.as_bytes());
        let tokens: Vec<&[u8]> = known.iter().map(|token| &**token).collect();
        String::from_utf8_lossy(&without(text.as_bytes(), &tokens, Syntax::Field)).into_owned()
    }

    fn known_in(&self, text: &[u8]) -> Vec<Arc<[u8]>> {
        let mut known = Vec::new();
        self.look(text, &mut known);
        let plain = undone(text, Escapes::Any);
        if *plain != *text {
            self.look(&plain, &mut known);
        }
        known
    }

    fn look(&self, text: &[u8], known: &mut Vec<Arc<[u8]>>) {
        let is_edge = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`?&=;,:()[]{}<>#@".contains(byte);
        for run in text.split(is_edge).filter(|run| run.len() >= SHORTEST) {
            // Some tokens have slashes of their own.
            for word in std::iter::once(run).chain(run.split(|byte| *byte == b'/')) {
                if (SHORTEST..=LONGEST).contains(&word.len()) && !is_words(word) {
                    known.extend(self.0.read().unwrap_or_else(PoisonError::into_inner).get(word).cloned());
                }
            }
        }
    }

    pub(super) fn add(&self, value: Arc<[u8]>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(value);
    }

    pub(super) fn remove(&self, value: &[u8]) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(value);
    }

    pub(super) fn replace(&self, values: HashSet<Arc<[u8]>>) {
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), values);
        // Without the lock: there may be thousands.
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pseudonym;

    const OWN: &str = "kQ7own-secret.Token_42";
    const SLASHED: &str = "q7/Zk3+own/secret0042";

    fn seen() -> Seen {
        let seen = Seen::default();
        [OWN, SLASHED].iter().for_each(|token| seen.add(token.as_bytes().into()));
        seen
    }

    #[test]
    fn what_was_seen_goes_wherever_it_stands_by_itself() {
        let (own, slashed) = (Pseudonym::of(OWN.as_bytes()), Pseudonym::of(SLASHED.as_bytes()));
        let escaped = OWN.replace('-', "%2D");
        for (text, clean) in [
            (format!("/a/{OWN}/b"), format!("/a/{own}/b")),
            (format!("/a/{escaped}"), format!("/a/{own}")),
            (format!("/a?x={OWN}&y=1"), format!("/a?x={own}&y=1")),
            (SLASHED.to_owned(), slashed.to_string()),
        ] {
            assert_eq!(String::from_utf8_lossy(&seen().noted(text.as_bytes(), &[])), clean);
        }
        assert_eq!(seen().cleaned(&format!("run with {OWN}, again")), format!("run with {own}, again"));
        assert_eq!(seen().cleaned(&format!("purpose = \"{OWN}\"\n")), format!("purpose = \"{own}\"\n"));
    }

    #[test]
    fn what_was_not_seen_or_is_known_no_more_stays() {
        let seen = seen();
        for text in ["certification", "Žluťoučký kůň 2", "take 1/2", "kQ7own-secret.Token_43", "reservation_group_all"]
        {
            assert_eq!(seen.cleaned(text), text);
        }
        seen.remove(OWN.as_bytes());
        assert_eq!(seen.cleaned(OWN), OWN);
        seen.replace(HashSet::default());
        assert_eq!(seen.cleaned(SLASHED), SLASHED);
    }
}
