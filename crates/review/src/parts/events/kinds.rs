//! The types of events, counted.

use nightaudit_mews::WebhookEvents;

use crate::{
    body::hash,
    findings::{Findings, count_of, span, thousands},
    names::OTHERS,
    review::{EventChannel, EventReview, Evidence},
    rule::Rule,
};

/// The most types that are counted apart; a sender may invent any.
const MOST: usize = 64;

/// The longest name of a type that is kept, in characters.
const LONGEST: usize = 100;

/// How many calls that fetch again are more than an accident.
const FETCHED_AGAIN: u64 = 3;

/// One event in this many may go without a call.
const SHARE: u64 = 20;

/// The number of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KindNo(u16);

/// The types of a session, in the order of their first event.
#[derive(Debug, Clone, Default)]
pub(super) struct Kinds(Vec<Kind>);

#[derive(Debug, Clone)]
struct Kind {
    event: Box<str>,
    channel: EventChannel,
    fetched_by: Option<&'static str>,
    /// The hash of the resource of that operation; 0 for none.
    resource: u64,
    tally: Tally,
}

/// What became of the events of a type.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) received: u64,
    pub(super) accepted: u64,
    pub(super) late: u64,
    pub(super) failed: u64,
    pub(super) followed: u64,
    pub(super) not_followed: Evidence,
    pub(super) fetched_again: Evidence,
}

impl Kinds {
    /// The number of a type; those beyond the bound share one.
    pub(super) fn number(&mut self, event: &str, channel: EventChannel) -> KindNo {
        let event: String = event.chars().take(LONGEST).collect();
        let is_new = |kinds: &Self, event: &str| !kinds.0.iter().any(|own| own.is(event, channel));
        let event = if self.0.len() >= MOST && is_new(self, &event) { OTHERS } else { &event };
        let index = self.0.iter().position(|own| own.is(event, channel)).unwrap_or_else(|| {
            let fetched_by = WebhookEvents::fetched_by(event);
            let resource = fetched_by.and_then(|operation| operation.split('/').next());
            self.0.push(Kind {
                event: event.into(),
                channel,
                fetched_by,
                resource: resource.map_or(0, |resource| hash(resource.as_bytes())),
                tally: Tally::default(),
            });
            self.0.len() - 1
        });
        KindNo(u16::try_from(index).unwrap_or(u16::MAX))
    }

    pub(super) fn tally(&mut self, number: KindNo) -> Option<&mut Tally> {
        self.0.get_mut(usize::from(number.0)).map(|kind| &mut kind.tally)
    }

    /// The hash of the resource that the events are about; `None` if there is nothing to fetch.
    pub(super) fn resource(&self, number: KindNo) -> Option<u64> {
        self.0.get(usize::from(number.0)).map(|kind| kind.resource).filter(|resource| *resource != 0)
    }

    /// Raises what was found. `patience` is how many seconds after an event a call may come; `None` if calls may be missing.
    pub(super) fn report(mut self, patience: Option<u64>, findings: &mut Findings<'_>) -> Vec<EventReview> {
        self.0.sort_by(|a, b| (&a.event, a.channel).cmp(&(&b.event, b.channel)));
        for kind in &self.0 {
            kind.raise(patience, findings);
        }
        self.0.into_iter().map(|kind| kind.review(patience.is_some())).collect()
    }
}

impl Kind {
    fn is(&self, event: &str, channel: EventChannel) -> bool {
        *self.event == *event && self.channel == channel
    }

    fn raise(&self, patience: Option<u64>, findings: &mut Findings<'_>) {
        let Tally { followed, not_followed, fetched_again, .. } = &self.tally;
        let (event, fetched_by) = (&self.event, self.fetched_by.unwrap_or_default());
        if fetched_again.count >= FETCHED_AGAIN {
            let again = count_of(fetched_again.count, "call");
            let message = format!("{event}: {again} fetched an entity again for the same event.");
            findings.raise(Rule::EventsTwice, None, message, fetched_again);
        }
        let judged = followed + not_followed.count;
        if let Some(patience) = patience
            && not_followed.count > 0
            && not_followed.count * SHARE >= judged
        {
            let rule = match self.channel {
                EventChannel::Webhook => Rule::EventsNotFetched,
                EventChannel::WebSocket => Rule::EventsSocketNotFetched,
            };
            let message = format!(
                "{event}: {} of {} without a call such as `{fetched_by}` within {}.",
                thousands(not_followed.count),
                count_of(judged, "event"),
                span(patience)
            );
            findings.raise(rule, None, message, not_followed);
        }
    }

    fn review(self, is_complete: bool) -> EventReview {
        let tally = self.tally;
        EventReview {
            event: self.event.into(),
            channel: self.channel,
            fetched_by: self.fetched_by.map(str::to_owned),
            received: tally.received,
            accepted: tally.accepted,
            late: tally.late,
            failed: tally.failed,
            followed: tally.followed,
            not_followed: if is_complete { tally.not_followed.count } else { 0 },
            fetched_again: tally.fetched_again.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_beyond_the_bound_are_counted_together() {
        let mut kinds = Kinds::default();
        for n in 0..2 * MOST {
            let number = kinds.number(&format!("Type{n}"), EventChannel::Webhook);
            kinds.tally(number).unwrap().received += 1;
        }
        assert_eq!(kinds.0.len(), MOST + 1);
        assert_eq!((&*kinds.0[MOST].event, kinds.0[MOST].tally.received), (OTHERS, MOST as u64));
        // Known ones keep their number, and the way counts.
        assert_eq!(kinds.number("Type1", EventChannel::Webhook), KindNo(1));
        assert_ne!(kinds.number("Type1", EventChannel::WebSocket), KindNo(1));
        let long = "é".repeat(1000);
        assert_eq!(Kinds::default().number(&long, EventChannel::Webhook), KindNo(0));
    }
}
