//! The redactor's known tokens, for texts that do not pass through it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    layers::{Escapes, unescape},
    searchable::{MAX_LEN, MIN_LEN, is_words},
};
use crate::{Api, Pseudonym};

/// The tokens that a [`Redactor`](super::Redactor) currently knows. Cheap to clone, usable from any thread.
///
/// Its lock is held while a text is scanned or a token is added, never across I/O.
#[derive(Clone)]
pub struct KnownTokens {
    pub(super) api: &'static Api,
    pub(super) shared: SharedTokens,
}

/// The tokens themselves, which the redactor adds to.
#[derive(Clone, Default)]
pub(super) struct SharedTokens(Arc<RwLock<Known>>);

/// The tokens and their lengths: nearly every word in a text is ruled out by its length.
#[derive(Default)]
struct Known {
    values: HashSet<Arc<[u8]>>,
    /// A bit per token length seen; lengths of 512 and more share the last one.
    lengths: [u64; 8],
}

impl Known {
    fn add(&mut self, value: Arc<[u8]>) {
        let (index, bit) = Self::length_bit(value.len());
        self.lengths[index] |= bit;
        self.values.insert(value);
    }

    fn get(&self, word: &[u8]) -> Option<&Arc<[u8]>> {
        let (index, bit) = Self::length_bit(word.len());
        if self.lengths[index] & bit == 0 || is_words(word) { None } else { self.values.get(word) }
    }

    fn length_bit(length: usize) -> (usize, u64) {
        let length = length.min(511);
        (length / 64, 1 << (length % 64))
    }
}

/// The role of a byte in word boundaries: a token may contain slashes, but no other separator.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    Inner,
    Slash,
    Edge,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Inner; 256];
    let edges = b" \t\n\x0c\r\"'`?&=;,:()[]{}<>#@";
    let mut at = 0;
    while at < edges.len() {
        classes[edges[at] as usize] = Class::Edge;
        at += 1;
    }
    classes[b'/' as usize] = Class::Slash;
    classes
};

impl fmt::Debug for KnownTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownTokens").finish_non_exhaustive()
    }
}

impl KnownTokens {
    /// None yet, of this API.
    #[must_use]
    pub fn new(api: &'static Api) -> Self {
        Self { api, shared: SharedTokens::default() }
    }

    /// The tokens with these pseudonyms, of those that are known and text.
    ///
    /// For whoever may send them again to where they came from; they must not be written anywhere.
    #[must_use]
    pub fn reveal(&self, wanted: &BTreeSet<Pseudonym>) -> BTreeMap<Pseudonym, String> {
        if wanted.is_empty() {
            return BTreeMap::new();
        }
        // Hashed without the lock.
        let known: Vec<Arc<[u8]>> =
            self.shared.0.read().unwrap_or_else(PoisonError::into_inner).values.iter().cloned().collect();
        let known = known.iter().map(|value| (Pseudonym::of(value), value)).filter(|(name, _)| wanted.contains(name));
        known.filter_map(|(name, value)| Some((name, str::from_utf8(value).ok()?.to_owned()))).collect()
    }
}

impl SharedTokens {
    /// The known tokens that stand alone in a text.
    pub(super) fn known_in(&self, text: &[u8]) -> Vec<Arc<[u8]>> {
        let mut known = Vec::new();
        self.search(text, &mut known);
        let plain = unescape(text, Escapes::Any);
        if *plain != *text {
            self.search(&plain, &mut known);
        }
        known
    }

    fn search(&self, text: &[u8], found: &mut Vec<Arc<[u8]>>) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.values.is_empty() {
            return;
        }
        let mut check = |word: &[u8]| {
            if (MIN_LEN..=MAX_LEN).contains(&word.len()) {
                found.extend(known.get(word).cloned());
            }
        };
        // A run extends from edge to edge, a word from slash to slash.
        let (mut run, mut word) = (0, 0);
        for (at, byte) in text.iter().enumerate() {
            match CLASSES[usize::from(*byte)] {
                Class::Inner => {}
                Class::Slash => {
                    check(&text[word..at]);
                    word = at + 1;
                }
                Class::Edge => {
                    check(&text[word..at]);
                    if run < word {
                        check(&text[run..at]);
                    }
                    (run, word) = (at + 1, at + 1);
                }
            }
        }
        check(&text[word..]);
        if run < word {
            check(&text[run..]);
        }
    }

    pub(super) fn add(&self, value: Arc<[u8]>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).add(value);
    }

    pub(super) fn remove(&self, value: &[u8]) {
        // Its length bit stays; at worst it costs a futile lookup.
        self.0.write().unwrap_or_else(PoisonError::into_inner).values.remove(value);
    }

    pub(super) fn replace(&self, values: HashSet<Arc<[u8]>>) {
        let mut known = Known::default();
        values.into_iter().for_each(|value| known.add(value));
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), known);
        // Dropped outside the lock: there may be thousands.
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SAMPLE;

    const OWN: &str = "kQ7own-secret.Token_42";
    const SLASHED: &str = "q7/Zk3+own/secret0042";

    fn known() -> KnownTokens {
        let known = KnownTokens::new(&SAMPLE);
        [OWN, SLASHED].iter().for_each(|token| known.shared.add(token.as_bytes().into()));
        known
    }

    #[test]
    fn known_tokens_are_replaced_wherever_they_stand_alone() {
        let (own, slashed) = (Pseudonym::of(OWN.as_bytes()), Pseudonym::of(SLASHED.as_bytes()));
        let escaped = OWN.replace('-', "%2D");
        for (text, clean) in [
            (format!("/a/{OWN}/b"), format!("/a/{own}/b")),
            (format!("/a/{escaped}"), format!("/a/{own}")),
            (format!("/a?x={OWN}&y=1"), format!("/a?x={own}&y=1")),
            (SLASHED.to_owned(), slashed.to_string()),
        ] {
            assert_eq!(String::from_utf8_lossy(&known().redact_text(text.as_bytes(), &[])), clean);
        }
        // Next to slashes, and at the ends of a run.
        for (text, clean) in [
            (format!("{OWN}/b"), format!("{own}/b")),
            (format!("/{OWN}"), format!("/{own}")),
            (format!("x {SLASHED} y"), format!("x {slashed} y")),
            (format!("[{SLASHED}]"), format!("[{slashed}]")),
            (format!("https://a/b?c={SLASHED}"), format!("https://a/b?c={slashed}")),
        ] {
            assert_eq!(known().redact_prose(&text), clean);
        }
        assert_eq!(known().redact_prose(&format!("run with {OWN}, again")), format!("run with {own}, again"));
        assert_eq!(known().redact_prose(&format!("purpose = \"{OWN}\"\n")), format!("purpose = \"{own}\"\n"));
    }

    #[test]
    fn known_tokens_are_revealed_by_their_pseudonyms() {
        let [own, other] = [OWN, "never-seen-token-0001"].map(|token| Pseudonym::of(token.as_bytes()));
        assert_eq!(known().reveal(&BTreeSet::from([own, other])), BTreeMap::from([(own, OWN.to_owned())]));
        assert!(known().reveal(&BTreeSet::new()).is_empty());
    }

    #[test]
    fn unknown_and_forgotten_tokens_stay() {
        let known = known();
        for text in ["certification", "Žluťoučký kůň 2", "take 1/2", "kQ7own-secret.Token_43", "reservation_group_all"]
        {
            assert_eq!(known.redact_prose(text), text);
        }
        known.shared.remove(OWN.as_bytes());
        assert_eq!(known.redact_prose(OWN), OWN);
        known.shared.replace(HashSet::default());
        assert_eq!(known.redact_prose(SLASHED), SLASHED);
        let long: Arc<[u8]> = "q0".repeat(600).into_bytes().into();
        known.shared.replace(HashSet::from([Arc::clone(&long)]));
        let text = String::from_utf8_lossy(&long).into_owned();
        assert_eq!(known.redact_prose(&text), Pseudonym::of(&long).to_string());
        assert_eq!(known.redact_prose(&text.replacen('q', "Q", 1)), text.replacen('q', "Q", 1));
    }
}
