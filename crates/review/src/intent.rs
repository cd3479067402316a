//! What a request is for, in bounded space, and whether a later request is for the same.
//!
//! An [`Intent`] keeps no text of the request, only hashes: of the body, of its property names, ids and other texts, and
//! the interval it spans. It decides whether a later request *repeats* an earlier one ([`Intent::repeats`]), and whether
//! it *resolves* a failed one ([`Unresolved::resolve`]).
//!
//! Limits: names are kept as 64 bits, so one name in 64 is confused with another; only the eight smallest hashes of ids
//! and texts are kept, so for a change with more ids only eight must be seen again; numbers and booleans only count in
//! the body's hash. All of this makes the review more lenient, never stricter: an unresolved call may count as resolved,
//! but no call is blamed because of it.

use smallvec::SmallVec;

use crate::body::{BodySummary, Hashes, Subject};

/// The most parts of an interval that are kept as still uncovered. Beyond it, the shortest count as covered.
const MOST_PARTS: usize = 4;

/// How far an interval may move beyond the time that passed, in microseconds.
const DRIFT: i64 = 2_000_000;

/// What a request is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Intent {
    /// A hash of the body that ignores the envelope, the order of properties, and the page.
    pub(crate) question: u64,
    /// The property names, one bit each.
    pub(crate) names: u64,
    pub(crate) subject: Subject,
    /// A bit for each id; disjoint masks mean no id in common.
    id_mask: u64,
    /// From the earliest `StartUtc` to the latest `EndUtc`; 0 for none.
    pub(crate) interval: (i64, i64),
}

impl Intent {
    pub(crate) fn of(asked: &BodySummary<'_>) -> Self {
        Self {
            question: asked.question,
            names: asked.names,
            subject: asked.subject,
            id_mask: asked.subject.ids.mask(),
            interval: asked.interval,
        }
    }

    /// Whether a request repeats an earlier one, sent `passed` microseconds after it: the same body, or a slightly changed
    /// one with the same properties, at least half of the same ids (or texts, without ids), and an interval that has moved
    /// no further than the time.
    pub(crate) fn repeats(&self, earlier: &Self, passed: i64) -> bool {
        if self.question == earlier.question {
            return true;
        }
        if self.names != earlier.names || (self.id_mask & earlier.id_mask == 0 && self.id_mask | earlier.id_mask != 0) {
            return false;
        }
        let moved =
            |now: i64, then: i64| (now == 0) == (then == 0) && (now - then).abs() <= passed.saturating_add(DRIFT);
        let (own, other) = (&self.subject, &earlier.subject);
        let is_alike = |own: &Hashes, other: &Hashes| 2 * own.shared(other) >= own.len().max(other.len());
        let is_same_subject = match (own.ids.is_empty(), other.ids.is_empty()) {
            (false, false) => is_alike(&own.ids, &other.ids),
            // Without ids, texts and times, a body with another hash can't be recognised.
            (true, true) => is_alike(&own.texts, &other.texts) && (!own.texts.is_empty() || self.interval != (0, 0)),
            _ => false,
        };
        is_same_subject && moved(self.interval.0, earlier.interval.0) && moved(self.interval.1, earlier.interval.1)
    }
}

/// What was wrong with a failed call, as far as it matters for resolving it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request itself: the bits of the names that Mews' message or the contract points at.
    Request { blamed: u64, unknown: u64 },
    /// Something else: the state of the data, the token, the limit, Mews, the network.
    Other,
}

/// A failed call, and the part of it that is still unresolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unresolved {
    intent: Intent,
    fault: Fault,
    /// The ids that no later call has covered.
    ids: Hashes,
    id_mask: u64,
    /// The interval, less what later calls have covered.
    times: Times,
}

impl Unresolved {
    pub(crate) fn new(intent: Intent, fault: Fault) -> Self {
        Self { intent, fault, ids: intent.subject.ids, id_mask: intent.id_mask, times: Times::of(intent.interval) }
    }

    /// Whether another call failed in the same way, so that whatever resolves this one resolves it too.
    pub(crate) fn is_same_failure(&self, intent: &Intent, fault: Fault) -> bool {
        self.fault == fault
            && self.intent.names == intent.names
            && self.intent.subject == intent.subject
            && self.intent.interval == intent.interval
            && self.ids == intent.subject.ids
            && self.times == Times::of(intent.interval)
    }

    /// Takes a later successful call of the same operation, and returns whether the failed call is now resolved.
    ///
    /// The later call must have all properties of the failed one and be about the same: every id of the failed one, in
    /// one call or several; without ids, half of its texts; without either, all ids of configured objects. Its interval
    /// must cover the failed one's, alone or together with those of other such calls.
    ///
    /// If the request was at fault, the blamed parts may differ. Properties unknown to the contract may be gone, and so
    /// may one property in four; blamed ids and times may change; texts and the interval of a read may be anything, as
    /// one of them was the mistake.
    pub(crate) fn resolve(&mut self, later: &Intent, is_read: bool) -> bool {
        let failed = &self.intent;
        let missing = failed.names & !later.names;
        let has_names = match self.fault {
            Fault::Request { unknown, .. } => 4 * (missing & !unknown).count_ones() <= failed.names.count_ones(),
            Fault::Other => missing == 0,
        };
        if !has_names {
            return false;
        }
        let blamed = match self.fault {
            Fault::Request { blamed, .. } => Some(blamed),
            Fault::Other => None,
        };
        let is_blamed = |names: u64| blamed.is_some_and(|blamed| blamed & names != 0);
        let (own, other) = (&failed.subject, &later.subject);
        let may_be_another_time = is_blamed(own.time_names) || (is_read && blamed.is_some());
        let others = if may_be_another_time { Times::default() } else { self.times.without(later.interval) };
        if !own.ids.is_empty() && !is_blamed(own.id_names) {
            return self.resolve_ids(later, others);
        }
        let is_same_subject = if !own.ids.is_empty() || (is_read && blamed.is_some()) {
            true
        } else if own.texts.is_empty() {
            own.set_up.shared(&other.set_up) == own.set_up.len()
        } else {
            2 * own.texts.shared(&other.texts) >= own.texts.len()
        };
        if is_same_subject {
            self.times = others;
        }
        is_same_subject && self.times.is_empty()
    }

    /// Takes a later call that leaves these times open for the ids it has. Every id must be covered at every time, so
    /// either all times are covered and some ids are done with, or all ids and some times are.
    fn resolve_ids(&mut self, later: &Intent, others: Times) -> bool {
        if self.id_mask & later.id_mask == 0 {
            return false;
        }
        let mut left = self.ids;
        left.remove(&later.subject.ids);
        if others.is_empty() {
            (self.ids, self.id_mask) = (left, left.mask());
        } else if left.is_empty() {
            self.times = others;
        }
        self.ids.is_empty()
    }
}

/// The uncovered parts of an interval, from and until; unused ones are zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Times([(i64, i64); MOST_PARTS]);

impl Times {
    /// A whole interval; empty for none.
    fn of(interval: (i64, i64)) -> Self {
        let mut times = Self::default();
        if interval != (0, 0) {
            times.0[0] = ends(interval);
        }
        times
    }

    fn is_empty(&self) -> bool {
        self.0 == Self::default().0
    }

    /// What an interval leaves of them.
    fn without(&self, interval: (i64, i64)) -> Self {
        let (from, until) = ends(interval);
        let mut left: SmallVec<[(i64, i64); 2 * MOST_PARTS]> = SmallVec::new();
        for part in self.0.iter().filter(|part| **part != (0, 0)) {
            if from <= part.0 && until >= part.1 {
                continue;
            }
            if until <= part.0 || from >= part.1 {
                left.push(*part);
                continue;
            }
            left.extend((part.0 < from).then_some((part.0, from)));
            left.extend((until < part.1).then_some((until, part.1)));
        }
        left.sort_by_key(|(from, until)| std::cmp::Reverse(until.saturating_sub(*from)));
        left.truncate(MOST_PARTS);
        let mut times = Self::default();
        times.0.iter_mut().zip(left).for_each(|(place, part)| *place = part);
        times
    }
}

/// The ends of an interval. Without a start or an end it is open on that side.
fn ends((from, until): (i64, i64)) -> (i64, i64) {
    (if from == 0 { i64::MIN } else { from }, if until == 0 { i64::MAX } else { until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{MailDomains, hash, name_bit, read};

    fn intent(body: &str) -> Intent {
        Intent::of(&read(body.as_bytes(), &MailDomains::default()))
    }

    fn resolves(failed: &str, fault: Fault, later: &[&str], is_read: bool) -> bool {
        let mut unresolved = Unresolved::new(intent(failed), fault);
        later.iter().any(|later| unresolved.resolve(&intent(later), is_read))
    }

    fn request(blamed: &[&str]) -> Fault {
        let bits = blamed.iter().map(|name| name_bit(hash(name.as_bytes()))).fold(0, |all, bit| all | bit);
        Fault::Request { blamed: bits, unknown: 0 }
    }

    #[test]
    fn a_change_is_resolved_once_every_id_was_sent_again() {
        let failed = r#"{"ReservationIds":["r1","r2","r3"],"Notes":"late"}"#;
        let (some, rest) =
            (r#"{"ReservationIds":["r1","r2"],"Notes":"x"}"#, r#"{"ReservationIds":["r3"],"Notes":"x"}"#);
        assert!(!resolves(failed, Fault::Other, &[some], false));
        assert!(resolves(failed, Fault::Other, &[some, rest], false));
        assert!(!resolves(failed, Fault::Other, &[some, r#"{"ReservationIds":["r4"],"Notes":"x"}"#], false));
        // Without `Notes` it is a different change.
        assert!(!resolves(failed, Fault::Other, &[r#"{"ReservationIds":["r1","r2","r3"]}"#], false));
    }

    #[test]
    fn a_mistake_must_be_fixed_where_it_was() {
        let failed = r#"{"CustomerId":"c","Email":"bad"}"#;
        assert!(resolves(failed, request(&["Email"]), &[r#"{"CustomerId":"c","Email":"a@example.com"}"#], false));
        // Omitting the property, sending another one, or the same for another guest fixes nothing.
        for other in [
            r#"{"CustomerId":"c"}"#,
            r#"{"CustomerId":"c","Phone":"1"}"#,
            r#"{"CustomerId":"d","Email":"a@example.com"}"#,
        ] {
            assert!(!resolves(failed, request(&["Email"]), &[other], false), "{other}");
        }
        // A blamed id may change.
        let failed = r#"{"CustomerIds":["x"],"Extent":{"Customers":true}}"#;
        let later = r#"{"CustomerIds":["y"],"Extent":{"Customers":true}}"#;
        assert!(resolves(failed, request(&["CustomerIds"]), &[later], true));
        assert!(!resolves(failed, request(&[]), &[later], true));
    }

    #[test]
    fn an_interval_that_failed_is_not_skipped() {
        let of = |from: u8, to: u8| {
            format!(
                r#"{{"UpdatedUtc":{{"StartUtc":"2026-11-20T{from:02}:00:00Z","EndUtc":"2026-11-20T{to:02}:00:00Z"}}}}"#
            )
        };
        assert!(resolves(&of(8, 9), Fault::Other, &[&of(8, 10)], true));
        // Reading its second half again says nothing of the first.
        assert!(!resolves(&of(8, 10), Fault::Other, &[&of(9, 11)], true));
        assert!(!resolves(&of(8, 9), Fault::Other, &[&of(9, 10)], true));
        // The interval may have been the mistake.
        assert!(resolves(&of(8, 9), request(&["UpdatedUtc"]), &[&of(12, 13)], true));
        assert!(!resolves(&of(8, 9), request(&["UpdatedUtc"]), &[r#"{"ReservationIds":["r"]}"#], true));
    }

    #[test]
    fn regression_an_interval_is_covered_by_one_call_or_several_but_not_in_part() {
        let of = |ids: &str, from: u8, to: u8| {
            format!(
                r#"{{"Ids":[{ids}],"T":{{"StartUtc":"2026-11-{from:02}T00:00:00Z","EndUtc":"2026-11-{to:02}T00:00:00Z"}}}}"#
            )
        };
        let resolves = |ids: &str, later: &[(&str, u8, u8)]| {
            let later: Vec<_> = later.iter().map(|(ids, from, to)| of(ids, *from, *to)).collect();
            let later: Vec<_> = later.iter().map(|body| &body[..]).collect();
            resolves(&of(ids, 10, 20), Fault::Other, &later, true)
        };
        assert!(!resolves("", &[("", 19, 21)]) && !resolves("", &[("", 12, 15)]));
        assert!(resolves("", &[("", 10, 20)]) && resolves("", &[("", 9, 21)]));
        assert!(resolves("", &[("", 15, 21), ("", 9, 15)]));
        assert!(resolves("", &[("", 12, 15), ("", 17, 18), ("", 15, 17), ("", 18, 20), ("", 8, 12)]));
        assert!(!resolves("", &[("", 10, 14), ("", 15, 20)]));
        // Each id for the whole interval.
        let (a, b, both) = (r#""a""#, r#""b""#, r#""a","b""#);
        assert!(!resolves(both, &[(a, 10, 15), (b, 15, 20)]));
        assert!(resolves(both, &[(both, 10, 15), (a, 15, 20), (b, 14, 20)]));
        assert!(resolves(both, &[(a, 10, 20), (b, 10, 15), (b, 15, 20)]));
    }

    #[test]
    fn a_change_to_time_units_may_be_sent_again_unit_by_unit() {
        let of = |first: u8, last: u8| {
            format!(
                r#"{{"RateId":"a","PriceUpdates":[{{"FirstTimeUnitStartUtc":"2026-11-{first}T23:00:00Z",
                    "LastTimeUnitStartUtc":"2026-11-{last}T23:00:00Z","Value":1}}]}}"#
            )
        };
        assert!(resolves(&of(20, 22), Fault::Other, &[&of(20, 20), &of(21, 22)], false));
        assert!(!resolves(&of(20, 22), Fault::Other, &[&of(20, 20), &of(21, 21)], false));
    }

    #[test]
    fn a_change_to_configuration_is_matched_by_ids_and_times() {
        let price = |rate: &str, day: u8| {
            format!(
                r#"{{"RateId":"{rate}","PriceUpdates":[{{"FirstTimeUnitStartUtc":"2026-11-{day}T08:00:00Z",
                    "LastTimeUnitStartUtc":"2026-11-{day}T08:00:00Z","Value":1}}]}}"#
            )
        };
        let resolves = |later: &str| resolves(&price("a", 20), request(&["PriceUpdates"]), &[later], false);
        assert!(resolves(&price("a", 20)));
        assert!(!resolves(&price("a", 21)) && !resolves(&price("a", 19)) && !resolves(&price("b", 20)));
    }

    #[test]
    fn a_slightly_changed_request_is_a_repetition() {
        let of = |id: &str, at: u8| {
            intent(&format!(
                r#"{{"Ids":["{id}","b"],"T":{{"StartUtc":"2026-11-20T08:00:00Z","EndUtc":"2026-11-20T09:00:{at:02}Z"}}}}"#
            ))
        };
        assert!(of("a", 4).repeats(&of("a", 0), 3_000_000));
        assert!(of("c", 4).repeats(&of("a", 0), 3_000_000));
        // The interval has moved further than the time.
        assert!(!of("a", 40).repeats(&of("a", 0), 3_000_000));
        assert!(!intent(r#"{"Ids":["a"]}"#).repeats(&intent(r#"{"Ids":["b"]}"#), 1));
        assert!(!intent(r#"{"Number":1}"#).repeats(&intent(r#"{"Number":2}"#), 1));
    }
}
