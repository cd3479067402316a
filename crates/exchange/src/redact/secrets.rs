//! The secrets that are looked for by value.

use std::fmt;

use crate::Pseudonym;

/// Shorter secrets are replaced where their name or place tells them only: by value they would mangle innocent text.
pub(super) const SHORTEST: usize = 8;
/// Longer secrets are replaced where their name or place tells them only, so that a hostile one can't slow the search.
const LONGEST: usize = 4096;
/// Of a body that is cut, its end is cut off as well where it is this much or more of a secret's beginning.
const SHORTEST_BEGINNING: usize = 4;
/// How many secrets, and how many bytes of them, are remembered from one exchange to the next.
const MOST: usize = 256;
const MOST_BYTES: usize = 64 << 10;
/// The longest stride of the search, for a few secrets and for more: each has as many windows in the filter.
const LONG_STRIDE: usize = 32;
const SHORT_STRIDE: usize = 8;
const FEW: usize = 64;
/// How many secrets one exchange may add.
const MOST_AT_ONCE: usize = 64;

/// A bounded memory of secrets, and a search for all of them at once.
///
/// Every window of eight bytes with which a secret can begin stands in a filter, and a text is sampled so sparsely that
/// each occurrence of a secret still has one window in the sample: of tokens of 39 bytes or more, every 32nd window.
/// The cost is the same for one secret and for hundreds, and learning one more takes no building of an automaton.
pub(super) struct Secrets {
    known: Vec<Secret>,
    bytes: usize,
    learnt: usize,
    /// The windows with their secret and their place in it, sorted; made again when `stale`.
    windows: Vec<(u64, u16, u8)>,
    /// One bit for each hash of a window.
    filter: Box<[u64; Self::FILTER_WORDS]>,
    /// Every how many bytes a text is sampled.
    stride: usize,
    stale: bool,
}

struct Secret {
    value: Box<[u8]>,
    pseudonym: Pseudonym,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            known: Vec::new(),
            bytes: 0,
            learnt: 0,
            windows: Vec::new(),
            filter: Box::new([0; Self::FILTER_WORDS]),
            stride: SHORT_STRIDE,
            stale: false,
        }
    }
}

impl Secrets {
    const FILTER_WORDS: usize = 1024;

    /// Makes room for an exchange. Only here are secrets forgotten, so that those of one exchange stay until its end.
    pub(super) fn next_exchange(&mut self) {
        self.learnt = 0;
        if self.known.len() > MOST || self.bytes > MOST_BYTES {
            // Half at once: forgetting one by one would make the windows anew for every exchange.
            self.known.drain(..self.known.len().div_ceil(2));
            self.bytes = self.known.iter().map(|secret| secret.value.len()).sum();
            self.stale = true;
        }
    }

    /// Remembers a secret, if it is one that can be looked for by value, and returns its pseudonym.
    pub(super) fn learn(&mut self, value: &[u8]) -> Pseudonym {
        if let Some(secret) = self.known.iter().find(|secret| *secret.value == *value) {
            return secret.pseudonym;
        }
        let pseudonym = Pseudonym::of(value);
        if (SHORTEST..=LONGEST).contains(&value.len()) && self.learnt < MOST_AT_ONCE && !is_pseudonym(value) {
            self.known.push(Secret { value: value.into(), pseudonym });
            self.bytes += value.len();
            self.learnt += 1;
            self.stale = true;
        }
        pseudonym
    }

    /// The pseudonym of the secret of which `beginning` is all that is there, or of the beginning itself.
    pub(super) fn pseudonym_of_beginning(&self, beginning: &[u8]) -> Pseudonym {
        let whole = self.known.iter().rev().find(|secret| secret.value.starts_with(beginning));
        whole.map_or_else(|| Pseudonym::of(beginning), |secret| secret.pseudonym)
    }

    /// Calls `found` with the start, the end and the pseudonym of every secret in `text`.
    pub(super) fn find(&mut self, text: &[u8], mut found: impl FnMut(usize, usize, Pseudonym)) {
        if text.len() < SHORTEST || self.known.is_empty() {
            return;
        }
        if self.stale {
            self.index();
        }
        let mut at = 0;
        while let Some(window) = text.get(at..).and_then(|rest| rest.first_chunk()) {
            let window = u64::from_le_bytes(*window);
            let mut next = at + self.stride;
            if self.may_hold(window) {
                let first = self.windows.partition_point(|&(other, ..)| other < window);
                for &(_, secret, place) in self.windows[first..].iter().take_while(|&&(other, ..)| other == window) {
                    let secret = &self.known[usize::from(secret)];
                    let Some(start) = at.checked_sub(usize::from(place)) else { continue };
                    if text[start..].starts_with(&secret.value) {
                        let end = start + secret.value.len();
                        found(start, end, secret.pseudonym);
                        next = next.max(end.next_multiple_of(self.stride));
                    }
                }
            }
            at = next;
        }
    }

    /// Where the end of `text` begins that is the beginning of a secret.
    pub(super) fn beginning_at_end(&self, text: &[u8]) -> Option<usize> {
        let longest = |secret: &Secret| {
            let most = text.len().min(secret.value.len() - 1);
            (SHORTEST_BEGINNING..=most).rev().find(|&length| text.ends_with(&secret.value[..length]))
        };
        self.known.iter().filter_map(longest).max().map(|length| text.len() - length)
    }

    fn index(&mut self) {
        let shortest = self.known.iter().map(|secret| secret.value.len()).min().unwrap_or(usize::MAX);
        // An occurrence of `n` bytes holds `n - 7` windows; one of them is sampled if the stride is no longer.
        let longest = if self.known.len() <= FEW { LONG_STRIDE } else { SHORT_STRIDE };
        self.stride = (shortest - (SHORTEST - 1)).min(longest);
        self.windows.clear();
        self.filter.fill(0);
        for (index, secret) in self.known.iter().enumerate() {
            // `MOST` and what two exchanges add at most are far below 65,536.
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            for (place, window) in (0..).zip(secret.value.windows(8)).take(self.stride) {
                if let Some(window) = window.first_chunk() {
                    self.windows.push((u64::from_le_bytes(*window), index, place));
                }
            }
        }
        for &(window, ..) in &self.windows {
            let bit = hash(window);
            self.filter[bit / 64] |= 1 << (bit % 64);
        }
        self.windows.sort_unstable();
        self.stale = false;
    }

    fn may_hold(&self, window: u64) -> bool {
        let bit = hash(window);
        self.filter[bit / 64] >> (bit % 64) & 1 == 1
    }
}

/// Whether a secret's place is already taken by its pseudonym.
pub(super) fn is_pseudonym(value: &[u8]) -> bool {
    value.len() == Pseudonym::LEN
        && value.starts_with(Pseudonym::PREFIX.as_bytes())
        && str::from_utf8(value).is_ok_and(|text| text.parse::<Pseudonym>().is_ok())
}

/// A number of 16 bits, as many as the filter has.
fn hash(window: u64) -> usize {
    // The upper bits of a product with an odd number of no pattern (the golden ratio's fraction) depend on all of it.
    (window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(secrets: &mut Secrets, text: &[u8]) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        secrets.find(text, |start, end, _| all.push((start, end)));
        all
    }

    #[test]
    fn what_is_too_short_or_already_replaced_is_not_looked_for() {
        let mut secrets = Secrets::default();
        assert_eq!(secrets.learn(b"1234567"), Pseudonym::of(b"1234567"));
        secrets.learn(b"REDACTED:0123456789ab");
        secrets.learn(&[b'x'; LONGEST + 1]);
        assert_eq!(found(&mut secrets, b"1234567 REDACTED:0123456789ab"), []);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_are_kept() {
        let mut secrets = Secrets::default();
        for number in 0..10_000 {
            secrets.next_exchange();
            secrets.learn(format!("secret number {number}").as_bytes());
        }
        assert!(secrets.known.len() <= MOST + MOST_AT_ONCE);
        assert_eq!(found(&mut secrets, b"<secret number 9999>").len(), 1);
        assert_eq!(found(&mut secrets, b"<secret number 1>").len(), 0);
        secrets.next_exchange();
        for number in 0..10_000 {
            secrets.learn(format!("at once: {number}").as_bytes());
        }
        assert!(secrets.known.len() <= MOST + 2 * MOST_AT_ONCE);
    }

    #[test]
    fn a_hostile_secret_takes_no_quadratic_time() {
        let mut secrets = Secrets::default();
        secrets.learn(&[b'a'; LONGEST]);
        // The first windows of the secret are all alike, so each place counts as up to 32 overlapping ones.
        assert!(found(&mut secrets, &vec![b'a'; 64 * LONGEST]).len() <= 64 * LONG_STRIDE);
    }

    proptest! {
        #[test]
        fn every_occurrence_is_found_wherever_it_stands(
            values in prop_oneof![
                prop::collection::hash_set("[ab]{8,24}", 1..40),
                prop::collection::hash_set("[ab]{36,48}", 1..40),
                prop::collection::hash_set("[ab]{36,48}", FEW..FEW + 9),
            ],
            before in "[abc]{0,30}", after in "[abc]{0,30}", which: prop::sample::Index,
        ) {
            let mut secrets = Secrets::default();
            for value in &values {
                // One exchange alone may not add so many.
                secrets.next_exchange();
                secrets.learn(value.as_bytes());
            }
            let values: Vec<_> = values.into_iter().collect();
            let text = format!("{before}{}{after}", which.get(&values));
            // Where secrets overlap one may hide another, but nothing of any stays whole.
            let mut left = text.clone().into_bytes();
            secrets.find(text.as_bytes(), |start, end, _| left[start..end].fill(b'.'));
            let left = String::from_utf8(left).unwrap();
            prop_assert!(values.iter().all(|value| !left.contains(value)), "{text} {left}");
        }
    }
}
