//! The rules as the scripts get them, and the keys of a request.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use nightaudit_limit::{AdmissionRequest, Config, KeyParts, Rule};
use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use crate::wire::Command;

/// How long after the request for admission a request may be sent without asking again.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// The most that a process is believed to stand still between its last check and the send; see the crate's documentation.
const LONGEST_STALL: Duration = Duration::from_secs(30);

/// The rules, prepared.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rules: Vec<PlannedRule>,
    pub(crate) kinds: Vec<Kind>,
    /// The parts that all rules count by; those of a key that have the same are in one slot of a cluster.
    common: KeyParts,
    pub(crate) parts: KeyParts,
    pub(crate) pages: bool,
    pub(crate) slack: Duration,
    /// From admission to the latest instant of sending, in microseconds.
    pub(crate) grace: u64,
    /// The longest window with slack, in microseconds.
    pub(crate) longest: u64,
    /// What the script that admits is told at every request, encoded.
    tail: Vec<u8>,
    tail_words: usize,
}

/// A kind of key: the parts of a request that some rules count by.
#[derive(Debug)]
pub(crate) struct Kind {
    parts: KeyParts,
    /// The longest hold of its rules, in microseconds.
    pub(crate) keep: u64,
    /// The most entries that a set needs.
    most: u64,
}

#[derive(Debug)]
pub(crate) struct PlannedRule {
    pub(crate) name: Arc<str>,
    pub(crate) kind: usize,
    pub(crate) requests: u32,
    pub(crate) window: Duration,
    capacity: u64,
    plain: u64,
    /// How long a send counts, in microseconds.
    pub(crate) hold: u64,
    /// Microseconds per unit of the bucket, and of a full one; zero without one.
    interval: String,
    fill: String,
}

impl Plan {
    pub(crate) fn new(config: &Config, nodes: u32) -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        let mut rules = Vec::new();
        for rule in &config.rules {
            let hold = micros(rule.window + config.slack);
            let (plain, capacity) =
                (u64::from(rule.paginated_factor), u64::from(rule.requests) * u64::from(rule.paginated_factor));
            let kind = kinds.iter().position(|kind| kind.parts == rule.key).unwrap_or_else(|| {
                kinds.push(Kind { parts: rule.key, keep: 0, most: 0 });
                kinds.len() - 1
            });
            kinds[kind].keep = kinds[kind].keep.max(hold);
            kinds[kind].most = kinds[kind].most.max(capacity);
            let (interval, fill) = bucket(rule, capacity);
            let name = rule.name.as_str().into();
            let (requests, window) = (rule.requests, rule.window);
            rules.push(PlannedRule { name, kind, requests, window, capacity, plain, hold, interval, fill });
        }
        let all =
            |part: fn(KeyParts) -> bool| !config.rules.is_empty() && config.rules.iter().all(|rule| part(rule.key));
        let any = |part: fn(KeyParts) -> bool| config.rules.iter().any(|rule| part(rule.key));
        let parts = |of: &dyn Fn(fn(KeyParts) -> bool) -> bool| KeyParts {
            access_token: of(|key| key.access_token),
            client_token: of(|key| key.client_token),
            operation: of(|key| key.operation),
        };
        let pages = config.rules.iter().any(|rule| rule.paginated_factor != 1);
        let shortest = config.rules.iter().map(|rule| rule.window).min().unwrap_or_default();
        let grace = micros(LEASE + shortest.min(LONGEST_STALL));
        let mut words = vec![grace, u64::from(nodes), u64::from(pages), kinds.len() as u64].map_texts();
        for kind in &kinds {
            words.extend([kind.keep, kind.most].map(|number| number.to_string()));
        }
        for rule in &rules {
            words.extend([rule.name.to_string(), (rule.kind + 1).to_string()]);
            words.extend(rule.figures());
        }
        Self {
            common: parts(&all),
            parts: parts(&any),
            pages,
            slack: config.slack,
            grace,
            longest: rules.iter().map(|rule| rule.hold).max().unwrap_or(0),
            tail_words: words.len(),
            tail: Command::words(&words),
            rules,
            kinds,
        }
    }

    /// The keys of a request.
    pub(crate) fn keys(&self, arrival: &AdmissionRequest<'_>) -> Keys {
        let digests = self.kinds.iter().map(|kind| digest(arrival, kind.parts)).collect();
        Keys { tag: digest(arrival, self.common), digests, paginated: self.pages && arrival.paginated }
    }

    /// How long statistics of a kind live after they were used, in milliseconds.
    pub(crate) fn lives(&self, kind: usize) -> u64 {
        (self.kinds[kind].keep + self.grace).div_ceil(1000) + 1000
    }

    /// Adds what the script that admits is told at every request.
    pub(crate) fn tail(&self, command: Command) -> Command {
        command.encoded(&self.tail)
    }

    pub(crate) fn tail_words(&self) -> usize {
        self.tail_words
    }

    /// The parts of a kind, as one digit.
    pub(crate) fn letter(&self, kind: usize) -> u8 {
        let KeyParts { access_token, client_token, operation } = self.kinds[kind].parts;
        u8::from(access_token) | u8::from(client_token) << 1 | u8::from(operation) << 2
    }

    /// The kind with these parts.
    pub(crate) fn kind_of(&self, letter: u8) -> Option<usize> {
        (0..self.kinds.len()).find(|kind| self.letter(*kind) == letter)
    }

    /// The parts of a request that a kind counts by, separated by spaces.
    pub(crate) fn shown(&self, kind: usize, arrival: &AdmissionRequest<'_>) -> String {
        let KeyParts { access_token, client_token, operation } = self.kinds[kind].parts;
        let parts = [
            (access_token, arrival.access_token),
            (client_token, arrival.client_token),
            (operation, arrival.operation),
        ];
        let parts: Vec<&str> = parts.iter().filter(|(wanted, _)| *wanted).map(|(_, text)| *text).collect();
        parts.join(" ").chars().filter(|letter| !letter.is_control()).take(300).collect()
    }
}

impl PlannedRule {
    /// Capacity, units of a request, hold, and the bucket.
    pub(crate) fn figures(&self) -> [String; 5] {
        [
            self.capacity.to_string(),
            self.plain.to_string(),
            self.hold.to_string(),
            self.interval.clone(),
            self.fill.clone(),
        ]
    }

    /// Units as requests without pagination, rounded up.
    pub(crate) fn in_requests(&self, units: u64) -> u32 {
        u32::try_from(units.div_ceil(self.plain)).unwrap_or(u32::MAX)
    }

    /// Microseconds that a request takes from the bucket; `None` without one.
    pub(crate) fn refill(&self, paginated: bool) -> Option<f64> {
        let interval: f64 = self.interval.parse().ok().filter(|interval| *interval > 0.0)?;
        #[allow(clippy::cast_precision_loss, reason = "at most 1000")]
        Some(if paginated { interval } else { interval * self.plain as f64 })
    }
}

/// Microseconds per unit and of a full bucket, as in crate `limit`. A bucket as large as the window refuses nothing.
#[allow(clippy::cast_precision_loss, reason = "nanoseconds of at most a day")]
fn bucket(rule: &Rule, capacity: u64) -> (String, String) {
    match rule.burst.filter(|burst| *burst < rule.requests) {
        None => ("0".to_owned(), "0".to_owned()),
        Some(burst) => {
            let interval = (rule.window.as_nanos() as u64 / capacity).max(1);
            let fill = interval * u64::from(burst) * u64::from(rule.paginated_factor);
            (format!("{:.3}", interval as f64 / 1000.0), format!("{:.3}", fill as f64 / 1000.0))
        }
    }
}

trait Texts {
    fn map_texts(self) -> Vec<String>;
}

impl Texts for Vec<u64> {
    fn map_texts(self) -> Vec<String> {
        self.into_iter().map(|number| number.to_string()).collect()
    }
}

/// The keys of a request: what stands for its tokens, and for each kind of key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Keys {
    tag: Text,
    digests: SmallVec<[Text; 3]>,
    pub(crate) paginated: bool,
}

type Text = [u8; 12];

/// What of a key's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Requests,
    Paginated,
    Closure,
    Statistics,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Requests, Self::Paginated, Self::Closure, Self::Statistics];
}

impl Keys {
    /// Those of an entry of the list of keys.
    pub(crate) fn of_one(tag: &str, digest: &str) -> Option<Self> {
        let text = |text: &str| Text::try_from(text.as_bytes()).ok();
        Some(Self { tag: text(tag)?, digests: SmallVec::from_slice(&[text(digest)?]), paginated: false })
    }

    pub(crate) fn tag(&self) -> &str {
        std::str::from_utf8(&self.tag).unwrap_or_default()
    }

    pub(crate) fn digest(&self, kind: usize) -> &str {
        self.digests.get(kind).and_then(|digest| std::str::from_utf8(digest).ok()).unwrap_or_default()
    }

    /// The name of a key of Redis. All of one request have the same tag in braces, so that a cluster has them in one slot.
    ///
    /// Closures by the host outlive a generation; windows don't.
    pub(crate) fn name(&self, place: usize, letter: u8, part: Part, generation: &str) -> String {
        let mut name = String::with_capacity(64);
        let (tag, digest) = (self.tag(), self.digest(place));
        // Writing to a string never fails.
        let _ = match part {
            Part::Closure => write!(name, "nightaudit:{{{tag}}}:{letter}:{digest}:closed"),
            Part::Requests => write!(name, "nightaudit:{{{tag}}}:{generation}:{letter}:{digest}:sent"),
            Part::Paginated => write!(name, "nightaudit:{{{tag}}}:{generation}:{letter}:{digest}:pages"),
            Part::Statistics => write!(name, "nightaudit:{{{tag}}}:{generation}:{letter}:{digest}:counts"),
        };
        name
    }
}

/// Twelve letters for some parts of a request. Clients choose operations, so that they may be of any length.
fn digest(arrival: &AdmissionRequest<'_>, parts: KeyParts) -> Text {
    let mut hash = Sha256::new();
    let all = [
        (parts.access_token, arrival.access_token),
        (parts.client_token, arrival.client_token),
        (parts.operation, arrival.operation),
    ];
    for (_, text) in all.iter().filter(|(wanted, _)| *wanted) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    letters(&hash.finalize())
}

/// Six bits a letter.
pub(crate) fn letters<const N: usize>(bytes: &[u8]) -> [u8; N] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::array::from_fn(|index| ALPHABET[usize::from(bytes[index % bytes.len()] & 63)])
}

/// Rounded up.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVAL: AdmissionRequest<'_> =
        AdmissionRequest { access_token: "hotel", client_token: "kiosk", operation: "rates/getAll", paginated: true };

    fn rule(name: &str, key: KeyParts) -> Rule {
        let (requests, window) = (10, Duration::from_secs(30));
        Rule { name: name.to_owned(), key, requests, window, burst: None, paginated_factor: 1 }
    }

    const ACCESS: KeyParts = KeyParts { access_token: true, client_token: false, operation: false };
    const CLIENT: KeyParts = KeyParts { access_token: false, client_token: true, operation: false };

    fn names(keys: &[KeyParts]) -> Vec<String> {
        let rules = keys.iter().enumerate().map(|(index, key)| rule(&index.to_string(), *key)).collect();
        let plan = Plan::new(&Config { rules, ..Config::default() }, 0);
        let of = plan.keys(&ARRIVAL);
        (0..plan.kinds.len()).map(|kind| of.name(kind, plan.letter(kind), Part::Requests, "G")).collect()
    }

    #[test]
    fn keys_of_a_request_share_a_tag_of_what_all_rules_count_by() {
        let tag = |name: &String| name[name.find('{').unwrap()..=name.find('}').unwrap()].to_owned();
        let both = names(&[ACCESS, KeyParts { operation: true, ..ACCESS }, ACCESS]);
        assert_eq!(both.len(), 2, "rules that count by the same share a set");
        assert_eq!(tag(&both[0]), tag(&both[1]));
        assert_ne!(both[0], both[1]);
        assert_eq!(tag(&names(&[ACCESS])[0]), tag(&both[0]));
        // Without a common part everything is in one slot.
        let mixed = names(&[ACCESS, CLIENT]);
        assert_eq!(tag(&mixed[0]), tag(&mixed[1]));
        assert_ne!(tag(&mixed[0]), tag(&both[0]));
    }

    #[test]
    fn parts_are_told_apart() {
        let keys = KeyParts { access_token: true, client_token: true, operation: true };
        let of = |access_token, client_token| {
            digest(&AdmissionRequest { access_token, client_token, operation: "", paginated: false }, keys)
        };
        assert_ne!(of("ab", "c"), of("a", "bc"));
        assert_ne!(of("", "abc"), of("abc", ""));
    }
}
