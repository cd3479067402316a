//! What a request asks for, in bounded space, and whether a later one asks the same.
//!
//! An [`Intent`] keeps no text of the request, only hashes: of the whole question, of the names of its properties, of the
//! ids in it and of its other texts, and the interval that it spans. Two questions are answered by it: whether a later
//! request *repeats* an earlier one ([`Intent::repeats`]), and whether it *makes good* one that failed ([`Owed::settle`]).
//!
//! The limits of this: names are kept as 64 bits, so that one name in 64 is taken for another; of ids and texts the eight
//! smallest hashes are kept, so that of a change with more ids than that eight must be seen again; numbers and booleans are
//! part of the question only. All of them make the review more lenient, never stricter: a call may be taken for made good
//! that wasn't, none is blamed because of them.

use crate::body::{Asked, Hashes, Subject};

/// How much an interval may move beyond the time that passed, in microseconds.
const DRIFT: i64 = 2_000_000;

/// What a request asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Intent {
    /// Equal for bodies that are equal in all but the envelope's tokens, the order of names, and the page.
    pub(crate) question: u64,
    /// The names of the properties, a bit each.
    pub(crate) names: u64,
    pub(crate) subject: Subject,
    /// A bit for each id, to tell at a glance that two have none in common.
    id_mask: u64,
    /// From the earliest `StartUtc` to the latest `EndUtc`; 0 for none.
    pub(crate) interval: (i64, i64),
}

impl Intent {
    pub(crate) fn of(asked: &Asked<'_>) -> Self {
        Self {
            question: asked.question,
            names: asked.names,
            subject: asked.subject,
            id_mask: asked.subject.ids.mask(),
            interval: asked.interval,
        }
    }

    /// Whether a request is an earlier one again, sent so many microseconds after it: the same body, or one that has
    /// changed a little. It then has the same properties, at least half of the same ids, or of the same texts where there
    /// are no ids, and an interval that has moved no more than the time has.
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
        let is_about_the_same = match (own.ids.is_empty(), other.ids.is_empty()) {
            (false, false) => is_alike(&own.ids, &other.ids),
            // Without ids, texts and times there is nothing left by which a body with another hash could be the same.
            (true, true) => is_alike(&own.texts, &other.texts) && (!own.texts.is_empty() || self.interval != (0, 0)),
            _ => false,
        };
        is_about_the_same && moved(self.interval.0, earlier.interval.0) && moved(self.interval.1, earlier.interval.1)
    }
}

/// What was wrong with a call that failed, as far as it matters to what makes it good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request itself, and where: the bits of the names that Mews' message or the contract blames.
    Request { blamed: u64, unknown: u64 },
    /// Something else: the state of the data, the token, the limit, Mews, the way there.
    Other,
}

/// A call that failed, and what of it is still to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owed {
    intent: Intent,
    fault: Fault,
    /// The ids that no later call has been about.
    ids: Hashes,
    id_mask: u64,
}

impl Owed {
    pub(crate) fn new(intent: Intent, fault: Fault) -> Self {
        Self { intent, fault, ids: intent.subject.ids, id_mask: intent.id_mask }
    }

    /// Whether another call failed alike, so that what makes this one good makes it good too.
    pub(crate) fn is_alike(&self, intent: &Intent, fault: Fault) -> bool {
        self.fault == fault
            && self.intent.names == intent.names
            && self.intent.subject == intent.subject
            && self.intent.interval == intent.interval
            && self.ids == intent.subject.ids
    }

    /// Takes in a later call of the same operation that succeeded, and says whether all that was owed is asked by now.
    ///
    /// It asks the same if it has all the properties that the failed one has, and is about the same: every id of the failed
    /// one has come again, in one call or in several; where it has no ids, half of its texts; where it has none of them,
    /// all ids of what is set up. Its interval must meet the failed one's, so that nothing is left out between them.
    ///
    /// Where the request was at fault the place that is blamed may have changed. What the contract doesn't know may be
    /// gone, one property in four may be; ids and times that are blamed may be others; texts of a question, and its
    /// interval, may be any, as one of them was the mistake.
    pub(crate) fn settle(&mut self, later: &Intent, asks: bool) -> bool {
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
        let is_about_the_same = if !own.ids.is_empty() {
            is_blamed(own.id_names)
                || (self.id_mask & later.id_mask != 0 && {
                    self.ids.remove(&other.ids);
                    self.id_mask = self.ids.mask();
                    self.ids.is_empty()
                })
        } else if asks && blamed.is_some() {
            true
        } else if own.texts.is_empty() {
            own.set_up.shared(&other.set_up) == own.set_up.len()
        } else {
            2 * own.texts.shared(&other.texts) >= own.texts.len()
        };
        let may_be_another_time = is_blamed(own.time_names) || (asks && blamed.is_some());
        is_about_the_same && (may_be_another_time || meet(failed.interval, later.interval))
    }
}

/// Whether an interval begins before another one's end, and ends after its beginning. Without a beginning it begins at
/// once, and without an end it has none.
fn meet(earlier: (i64, i64), later: (i64, i64)) -> bool {
    let end = |end: i64| if end == 0 { i64::MAX } else { end };
    (later.0 < end(earlier.1) || later.0 == earlier.0) && (end(later.1) > earlier.0 || later.1 == earlier.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Mail, hash, name_bit, read};

    fn intent(body: &str) -> Intent {
        Intent::of(&read(body.as_bytes(), &Mail::default()))
    }

    fn settles(failed: &str, fault: Fault, later: &[&str], asks: bool) -> bool {
        let mut owed = Owed::new(intent(failed), fault);
        later.iter().any(|later| owed.settle(&intent(later), asks))
    }

    fn request(blamed: &[&str]) -> Fault {
        let bits = blamed.iter().map(|name| name_bit(hash(name.as_bytes()))).fold(0, |all, bit| all | bit);
        Fault::Request { blamed: bits, unknown: 0 }
    }

    #[test]
    fn a_change_is_made_good_once_every_id_has_come_again() {
        let failed = r#"{"ReservationIds":["r1","r2","r3"],"Notes":"late"}"#;
        let (some, rest) =
            (r#"{"ReservationIds":["r1","r2"],"Notes":"x"}"#, r#"{"ReservationIds":["r3"],"Notes":"x"}"#);
        assert!(!settles(failed, Fault::Other, &[some], false));
        assert!(settles(failed, Fault::Other, &[some, rest], false));
        assert!(!settles(failed, Fault::Other, &[some, r#"{"ReservationIds":["r4"],"Notes":"x"}"#], false));
        // Without `Notes` it asks something else.
        assert!(!settles(failed, Fault::Other, &[r#"{"ReservationIds":["r1","r2","r3"]}"#], false));
    }

    #[test]
    fn a_mistake_is_mended_where_it_was() {
        let failed = r#"{"CustomerId":"c","Email":"bad"}"#;
        assert!(settles(failed, request(&["Email"]), &[r#"{"CustomerId":"c","Email":"a@example.com"}"#], false));
        // To leave the field out, to send another one, or to ask it for another guest, mends nothing.
        for other in [
            r#"{"CustomerId":"c"}"#,
            r#"{"CustomerId":"c","Phone":"1"}"#,
            r#"{"CustomerId":"d","Email":"a@example.com"}"#,
        ] {
            assert!(!settles(failed, request(&["Email"]), &[other], false), "{other}");
        }
        // An id that is blamed may become another.
        let failed = r#"{"CustomerIds":["x"],"Extent":{"Customers":true}}"#;
        let later = r#"{"CustomerIds":["y"],"Extent":{"Customers":true}}"#;
        assert!(settles(failed, request(&["CustomerIds"]), &[later], true));
        assert!(!settles(failed, request(&[]), &[later], true));
    }

    #[test]
    fn an_interval_that_failed_is_not_skipped() {
        let of = |from: u8, to: u8| {
            format!(
                r#"{{"UpdatedUtc":{{"StartUtc":"2026-11-20T{from:02}:00:00Z","EndUtc":"2026-11-20T{to:02}:00:00Z"}}}}"#
            )
        };
        assert!(settles(&of(8, 9), Fault::Other, &[&of(8, 10)], true));
        assert!(settles(&of(8, 10), Fault::Other, &[&of(9, 11)], true));
        assert!(!settles(&of(8, 9), Fault::Other, &[&of(9, 10)], true));
        // A mistake may have been the interval.
        assert!(settles(&of(8, 9), request(&["UpdatedUtc"]), &[&of(12, 13)], true));
        assert!(!settles(&of(8, 9), request(&["UpdatedUtc"]), &[r#"{"ReservationIds":["r"]}"#], true));
    }

    #[test]
    fn a_change_of_what_is_set_up_is_about_that_and_its_time() {
        let price = |rate: &str, day: u8| {
            format!(
                r#"{{"RateId":"{rate}","PriceUpdates":[{{"FirstTimeUnitStartUtc":"2026-11-{day}T08:00:00Z",
                    "LastTimeUnitStartUtc":"2026-11-{day}T08:00:00Z","Value":1}}]}}"#
            )
        };
        let settles = |later: &str| settles(&price("a", 20), request(&["PriceUpdates"]), &[later], false);
        assert!(settles(&price("a", 20)));
        assert!(!settles(&price("a", 21)) && !settles(&price("a", 19)) && !settles(&price("b", 20)));
    }

    #[test]
    fn a_request_is_the_same_though_it_changes_a_little() {
        let of = |id: &str, at: u8| {
            intent(&format!(
                r#"{{"Ids":["{id}","b"],"T":{{"StartUtc":"2026-11-20T08:00:00Z","EndUtc":"2026-11-20T09:00:{at:02}Z"}}}}"#
            ))
        };
        assert!(of("a", 4).repeats(&of("a", 0), 3_000_000));
        assert!(of("c", 4).repeats(&of("a", 0), 3_000_000));
        // The interval has moved on by more than the time.
        assert!(!of("a", 40).repeats(&of("a", 0), 3_000_000));
        assert!(!intent(r#"{"Ids":["a"]}"#).repeats(&intent(r#"{"Ids":["b"]}"#), 1));
        assert!(!intent(r#"{"Number":1}"#).repeats(&intent(r#"{"Number":2}"#), 1));
    }
}
