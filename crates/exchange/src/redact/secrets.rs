//! Secrets that are searched by value.

mod windows;

use std::{collections::BTreeMap, fmt, ops::Bound, sync::Arc};

use self::windows::Windows;
use super::{
    bounds::TooComplex,
    form,
    known_tokens::SharedTokens,
    layers::{Escapes, Layers, unescape},
    searchable::{MAX_LEN, MIN_LEN, is_phrase, is_pseudonym, is_words},
};
use crate::{Pseudonym, PseudonymKey, TokenForm};

/// At the end of a truncated body, a secret's prefix of this length or more is removed.
const MIN_PREFIX: usize = 4;
/// Capacity for secrets, by number and bytes, across exchanges.
const MAX_SECRETS: usize = 16 << 10;
const MAX_BYTES: usize = 16 << 20;
/// How many more one exchange may add at full capacity, by number and bytes.
const MAX_EXTRA: usize = 4 << 10;
const MAX_EXTRA_BYTES: usize = 4 << 20;
/// One exchange's share, by number and bytes. What it adds beyond that is forgotten before anything else, so that one
/// body full of made-up tokens doesn't displace those of everybody.
const SHARE: usize = 1 << 10;
const SHARE_BYTES: usize = 256 << 10;
/// Maximum number of secrets searched in one exchange only.
const MAX_TRANSIENT: usize = 8;

/// A bounded memory of secrets, and a search for all of them at once.
#[derive(Default)]
pub(super) struct Secrets {
    known: Vec<Secret>,
    /// The index of each by value, ordered, so that the secrets a text starts with are found quickly.
    indices: BTreeMap<Arc<[u8]>, usize>,
    /// The length of the longest secret.
    longest: usize,
    bytes: usize,
    /// What this exchange has added, by number and bytes.
    added: usize,
    added_bytes: usize,
    /// The two secrets looked up last: an exchange names the same two again and again.
    recent: [usize; 2],
    /// Counts exchanges.
    now: u64,
    windows: Windows,
    /// Secrets searched in this exchange only: too much like ordinary text to replace in others.
    transient: Vec<(Box<[u8]>, Pseudonym)>,
    key: Option<PseudonymKey>,
    /// The form of tokens; `None` if they have none.
    form: Option<TokenForm>,
    /// The same values, shared with other threads.
    known_tokens: SharedTokens,
}

struct Secret {
    /// Empty if it turned out not to be a secret.
    value: Arc<[u8]>,
    pseudonym: Pseudonym,
    /// The last exchange that named it.
    last_seen: u64,
    /// Whether it was beyond the share of each exchange that named it.
    surplus: bool,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Uses `key` for the pseudonyms of values with few possibilities.
    pub(super) fn with_key(key: PseudonymKey) -> Self {
        Self { key: Some(key), ..Self::default() }
    }

    /// Recognises tokens of this form.
    pub(super) fn with_form(self, form: TokenForm) -> Self {
        Self { form: Some(form), ..self }
    }

    /// The form of tokens; `None` if they have none.
    pub(super) fn form(&self) -> Option<TokenForm> {
        self.form
    }

    pub(super) fn known_tokens(&self) -> SharedTokens {
        self.known_tokens.clone()
    }

    /// Makes room for the next exchange. Secrets are evicted only here, so that those of one exchange stay until its
    /// end.
    pub(super) fn next_exchange(&mut self) {
        self.now += 1;
        (self.added, self.added_bytes) = (0, 0);
        self.transient.clear();
        if self.is_over_capacity() {
            self.evict();
        }
    }

    fn is_over_capacity(&self) -> bool {
        self.known.len() > MAX_SECRETS || self.bytes > MAX_BYTES
    }

    /// Counts one more secret of this exchange.
    fn is_beyond_share(&mut self, length: usize) -> bool {
        self.added += 1;
        self.added_bytes += length;
        self.added > SHARE || self.added_bytes > SHARE_BYTES
    }

    fn evict(&mut self) {
        self.known.retain(|secret| !secret.value.is_empty() && !secret.surplus);
        self.bytes = self.known.iter().map(|secret| secret.value.len()).sum();
        if self.is_over_capacity() {
            // Half at once: evicting one by one would rebuild the windows for every exchange.
            self.known.sort_by_key(|secret| secret.last_seen);
            self.known.drain(..self.known.len().div_ceil(2));
            self.bytes = self.known.iter().map(|secret| secret.value.len()).sum();
        }
        self.indices = (0..).zip(&self.known).map(|(index, secret)| (Arc::clone(&secret.value), index)).collect();
        self.windows.rebuild(self.known.iter().map(|secret| &*secret.value));
        self.known_tokens.replace(self.known.iter().map(|secret| Arc::clone(&secret.value)).collect());
    }

    /// Remembers a secret, if it can be searched by value, and returns its pseudonym.
    ///
    /// One that reads like a name is replaced only where it was found.
    pub(super) fn learn(&mut self, value: &[u8]) -> Pseudonym {
        if let Some(index) = self.index(value) {
            let again = self.known[index].surplus && self.known[index].last_seen < self.now;
            let surplus = again && self.is_beyond_share(value.len());
            let secret = &mut self.known[index];
            secret.surplus = if again { surplus } else { secret.surplus };
            secret.last_seen = self.now;
            return secret.pseudonym;
        }
        let pseudonym = Pseudonym::of(value);
        self.remember(value, pseudonym);
        // What is much longer than any secret that is searched for isn't shortened to one by its escapes.
        if value.len() > MAX_LEN * 16 {
            return pseudonym;
        }
        // In a text with escapes, anything in the secret that looks like an escape is decoded too.
        let mut alias = unescape(value, Escapes::Any);
        for _ in 0..Layers::MAX {
            if *alias == *value {
                break;
            }
            self.remember(&alias, pseudonym);
            match unescape(&alias, Escapes::Any) {
                further if further == alias => break,
                further => alias = further.into_owned().into(),
            }
        }
        pseudonym
    }

    fn remember(&mut self, value: &[u8], pseudonym: Pseudonym) {
        if !(MIN_LEN..=MAX_LEN).contains(&value.len()) || is_pseudonym(value) || is_words(value) {
            return;
        }
        if is_phrase(value) {
            if self.transient.len() < MAX_TRANSIENT && self.transient.iter().all(|(known, _)| **known != *value) {
                self.transient.push((value.into(), pseudonym));
            }
        } else if !self.indices.contains_key(value)
            && self.known.len() < MAX_SECRETS + MAX_EXTRA
            && self.bytes < MAX_BYTES + MAX_EXTRA_BYTES
        {
            let index = self.known.len();
            let value: Arc<[u8]> = value.into();
            let surplus = self.is_beyond_share(value.len());
            self.known.push(Secret { value: Arc::clone(&value), pseudonym, last_seen: self.now, surplus });
            self.bytes += value.len();
            self.longest = self.longest.max(value.len());
            self.recent = [index, self.recent[0]];
            if !self.windows.add(&value) {
                self.windows.rebuild(self.known.iter().map(|secret| &*secret.value));
            }
            self.known_tokens.add(Arc::clone(&value));
            self.indices.insert(value, index);
        }
    }

    /// Forgets a secret that turns out to be a client's name, unless it has the form of a token.
    pub(super) fn forget(&mut self, client: &[u8]) {
        if let Some(index) = self.index(client)
            && !self.form.is_some_and(|form| form::is_token(form, client))
        {
            self.indices.remove(client);
            self.known_tokens.remove(client);
            self.bytes -= client.len();
            self.known[index].value = Arc::from([]);
        }
    }

    /// The keyed pseudonym of a value with few possibilities. Only this installation can compute it.
    pub(super) fn keyed(&mut self, value: &[u8]) -> Pseudonym {
        self.key.get_or_insert_with(PseudonymKey::ephemeral).pseudonym(value)
    }

    /// The pseudonym of the secret that starts with `prefix`, or of the prefix itself.
    pub(super) fn pseudonym_of_prefix(&self, prefix: &[u8]) -> Pseudonym {
        let index = self.starting_with(prefix);
        index.map_or_else(|| Pseudonym::of(prefix), |index| self.known[index].pseudonym)
    }

    /// Calls `found` with the start, the end and the pseudonym of every secret in `text`, until it says that there are too
    /// many.
    pub(super) fn find(
        &self,
        text: &[u8],
        mut found: impl FnMut(usize, usize, Pseudonym) -> Result<(), TooComplex>,
    ) -> Result<(), TooComplex> {
        for (value, pseudonym) in &self.transient {
            memchr::memmem::find_iter(text, value).try_for_each(|at| found(at, at + value.len(), *pseudonym))?;
        }
        if text.len() < MIN_LEN || self.known.is_empty() {
            return Ok(());
        }
        self.windows.search(text, |start| {
            let Some((end, index)) = self.longest_at(&text[start..]) else { return Ok(None) };
            found(start, start + end, self.known[index].pseudonym)?;
            Ok(Some(start + end))
        })
    }

    /// The longest secret that a text starts with, as length and index.
    fn longest_at(&self, text: &[u8]) -> Option<(usize, usize)> {
        /// How many secrets that share a prefix are tried.
        const MAX_STEPS: usize = 64;
        let mut text = &text[..text.len().min(self.longest)];
        for _ in 0..MAX_STEPS {
            let (value, index) =
                self.indices.range::<[u8], _>((Bound::Unbounded, Bound::Included(text))).next_back()?;
            if text.starts_with(value) {
                return Some((value.len(), *index));
            }
            let common = value.iter().zip(text).take_while(|(one, other)| one == other).count();
            // Any other match is no longer than the common prefix.
            text = &text[..common];
        }
        None
    }

    fn starting_with(&self, prefix: &[u8]) -> Option<usize> {
        let (value, index) = self.indices.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded)).next()?;
        value.starts_with(prefix).then_some(*index)
    }

    /// The start of a secret's prefix at the end of `text`.
    pub(super) fn prefix_at_end(&self, text: &[u8]) -> Option<usize> {
        let max = text.len().min(self.longest.saturating_sub(1));
        let known = (MIN_PREFIX..=max).rev().find(|length| {
            let end = &text[text.len() - length..];
            self.starting_with(end).is_some_and(|index| self.known[index].value.len() > end.len())
        });
        let transient = self.transient.iter().filter_map(|(value, _)| {
            let max = text.len().min(value.len() - 1);
            (MIN_PREFIX..=max).rev().find(|&length| text.ends_with(&value[..length]))
        });
        known.into_iter().chain(transient).max().map(|length| text.len() - length)
    }

    fn index(&mut self, value: &[u8]) -> Option<usize> {
        let matches = |index: usize| self.known.get(index).is_some_and(|secret| *secret.value == *value);
        if let Some(recent) = self.recent.into_iter().find(|index| matches(*index)) {
            return Some(recent);
        }
        let index = *self.indices.get(value)?;
        self.recent = [index, self.recent[0]];
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(secrets: &Secrets, text: &[u8]) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        secrets
            .find(text, |start, end, _| {
                all.push((start, end));
                Ok(())
            })
            .unwrap();
        all
    }

    #[test]
    fn short_secrets_and_pseudonyms_are_not_searched() {
        let mut secrets = Secrets::default();
        assert_eq!(secrets.learn(b"123456789012345"), Pseudonym::of(b"123456789012345"));
        secrets.learn(b"REDACTED:0123456789ab");
        secrets.learn(&[b'x'; MAX_LEN + 1]);
        assert_eq!(found(&secrets, b"123456789012345 REDACTED:0123456789ab"), []);
    }

    #[test]
    fn identifiers_are_never_searched_and_phrases_only_in_their_exchange() {
        let mut secrets = Secrets::default();
        for name in ["ConnectionTokenValue", "reservation_group", "correcthorsebatterystaple"] {
            secrets.learn(name.as_bytes());
            assert_eq!(found(&secrets, name.as_bytes()), [], "{name}");
        }
        for phrase in ["Acme Kiosk for hotels", "AcmeKiosk/2.1.0-beta"] {
            secrets.learn(phrase.as_bytes());
            assert_eq!(found(&secrets, phrase.as_bytes()), [(0, phrase.len())], "{phrase}");
            secrets.next_exchange();
            assert_eq!(found(&secrets, phrase.as_bytes()), [], "{phrase}");
        }
        secrets.learn(b"seen-by-name-once");
        secrets.learn(b"xKwPqZrTbNmLsDfG");
        secrets.next_exchange();
        assert_eq!(found(&secrets, b"seen-by-name-once xKwPqZrTbNmLsDfG"), [(0, 17), (18, 34)]);
        secrets.forget(b"seen-by-name-once");
        assert_eq!(found(&secrets, b"seen-by-name-once xKwPqZrTbNmLsDfG"), [(18, 34)]);
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_newest() {
        let mut secrets = Secrets::default();
        secrets.learn(b"secret-of-every-exchange");
        for number in 0..40_000 {
            secrets.next_exchange();
            secrets.learn(b"secret-of-every-exchange");
            secrets.learn(format!("secret-number-{number}").as_bytes());
        }
        assert!(secrets.known.len() <= MAX_SECRETS + 2);
        assert_eq!(found(&secrets, b"<secret-number-39999>").len(), 1);
        assert_eq!(found(&secrets, b"<secret-number-33000>").len(), 1);
        assert_eq!(found(&secrets, b"<secret-of-every-exchange>").len(), 1);
        assert_eq!(found(&secrets, b"<secret-number-1>").len(), 0);
        secrets.next_exchange();
        for number in 0..40_000 {
            secrets.learn(format!("at-once-{number:09}").as_bytes());
        }
        assert!(secrets.known.len() <= MAX_SECRETS + MAX_EXTRA);
    }

    #[test]
    fn regression_a_token_was_forgotten_after_320_others_and_not_learnt_beside_80_in_one_body() {
        let mut secrets = Secrets::default();
        let value = |number: u32| format!("{number:032x}-token");
        for number in 0..80 {
            secrets.learn(value(number).as_bytes());
        }
        for number in 80..8000 {
            secrets.next_exchange();
            secrets.learn(value(number).as_bytes());
        }
        for number in [0, 79, 80, 4000, 7999] {
            assert_eq!(found(&secrets, value(number).as_bytes()).len(), 1, "{number}");
        }
    }

    #[test]
    fn regression_one_body_full_of_made_up_tokens_displaced_all_others() {
        let mut secrets = Secrets::default();
        for number in 0..900 {
            secrets.next_exchange();
            secrets.learn(format!("token-of-somebody-{number:09}").as_bytes());
        }
        for body in 0..12 {
            secrets.next_exchange();
            secrets.learn(format!("own-token-of-this-body-{body}").as_bytes());
            for number in 0..600 {
                secrets.learn(format!("{body:02}{number:03998}").as_bytes());
            }
            for number in 0..9000 {
                secrets.learn(format!("many-at-once-{body:02}-{number:09}").as_bytes());
            }
            assert!(
                secrets.bytes <= MAX_BYTES + MAX_EXTRA_BYTES + MAX_LEN
                    && secrets.known.len() <= MAX_SECRETS + MAX_EXTRA
            );
        }
        secrets.next_exchange();
        for number in 0..900 {
            let token = format!("token-of-somebody-{number:09}");
            assert_eq!(found(&secrets, token.as_bytes()).len(), 1, "{token}");
        }
        for body in 0..12 {
            assert_eq!(found(&secrets, format!("own-token-of-this-body-{body}").as_bytes()).len(), 1, "{body}");
        }
    }

    #[test]
    fn hostile_secrets_do_not_take_quadratic_time() {
        let mut secrets = Secrets::default();
        secrets.learn(&[b'1'; MAX_LEN]);
        for length in 16..MAX_LEN {
            secrets.learn(&vec![b'1'; length]);
        }
        let mut count = 0;
        let searched = secrets.find(&vec![b'1'; 64 * MAX_LEN], |_, _, _| {
            count += 1;
            Ok(())
        });
        assert!(searched == Err(TooComplex) || count <= 64 * MAX_LEN);
    }

    proptest! {
        #[test]
        fn every_occurrence_is_found(
            values in prop_oneof![
                prop::collection::hash_set("[12]{16,24}", 1..40),
                prop::collection::hash_set("[12]{39,48}", 1..40),
                prop::collection::hash_set("[12]{39,48}", 60..80),
                prop::collection::hash_set("[12]{16,90}", 1..40),
            ],
            before in "[123]{0,30}", after in "[123]{0,30}", which: prop::sample::Index,
        ) {
            let mut secrets = Secrets::default();
            for value in &values {
                secrets.learn(value.as_bytes());
            }
            let values: Vec<_> = values.into_iter().collect();
            let text = format!("{before}{}{after}", which.get(&values));
            // Overlapping secrets may hide each other, but none survives whole.
            let mut left = text.clone().into_bytes();
            let fill = |start: usize, end: usize, _| {
                left[start..end].fill(b'.');
                Ok(())
            };
            secrets.find(text.as_bytes(), fill).unwrap();
            let left = String::from_utf8(left).unwrap();
            prop_assert!(values.iter().all(|value| !left.contains(value)), "{text} {left}");
        }
    }
}
