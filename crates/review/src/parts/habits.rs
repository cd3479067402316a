//! How the integration uses the API.

mod bursts;
mod pages;
mod polling;
mod repeats;

use std::collections::BTreeMap;

use nightaudit_exchange::{Exchange, Outcome};
use nightaudit_mews::Contracts;

use crate::{
    body::BodySummary,
    fact::Fact,
    findings::{Findings, count_of, counted_as, span},
    names::{OperationNo, Operations},
    review::{Evidence, HabitReview},
    rule::Rule,
};
use bursts::Bursts;
use pages::Pages;
use polling::Polling;
use repeats::Repeats;

/// More extents than this are many.
const FEW_EXTENTS: u32 = 4;

/// Repeated requests for a past interval that make a habit.
const PAST_REPEATS: u64 = 3;

/// The least share of repetitions in an operation's calls, in percent.
const REPEATED_SHARE: u64 = 5;

/// Properties that don't bound a list in the long run: an open service keeps growing.
const NO_FILTERS: &[&str] =
    &["Extent", "EnterpriseIds", "ServiceIds", "States", "ActivityStates", "Currency", "ChainIds"];

/// Lists that keep growing over a property's lifetime.
const GROWING: &[&str] = &[
    "reservations",
    "customers",
    "companies",
    "companionships",
    "bills",
    "outletBills",
    "orderItems",
    "outletItems",
    "accountingItems",
    "accountNotes",
    "payments",
    "paymentRequests",
    "preauthorizations",
    "messages",
    "messageThreads",
    "tasks",
    "reservationGroups",
    "serviceOrderNotes",
    "productServiceOrders",
    "resourceBlocks",
    "availabilityBlocks",
    "loyaltyMemberships",
    "creditCards",
    "identityDocuments",
    "addresses",
    "exports",
];

/// Whether an operation's list keeps growing.
fn is_growing(operation: &str) -> bool {
    let mut parts = operation.split('/');
    parts.next().is_some_and(|resource| GROWING.contains(&resource)) && parts.next() == Some("getAll")
}

/// Whether a property bounds what an operation returns. An extent selects parts of each item, not items.
pub(crate) fn is_filter(operation: &str, property: &str) -> bool {
    property != "Extent" && !(is_growing(operation) && NO_FILTERS.contains(&property))
}

/// Lists that seldom change.
const STATIC: &[&str] = &[
    "configuration",
    "services",
    "products",
    "productCategories",
    "resourceCategories",
    "accountingCategories",
    "taxEnvironments",
    "taxations",
    "languages",
    "currencies",
    "countries",
    "ageCategories",
    "departments",
    "businessSegments",
];

/// Lists whose changes Mews announces, with the events.
const ANNOUNCED: &[(&str, &str)] = &[
    ("reservations", "ServiceOrderUpdated (webhook) or Reservation (WebSocket)"),
    ("resources", "ResourceUpdated (webhook) or Resource (WebSocket)"),
    ("resourceBlocks", "ResourceBlockUpdated (webhook)"),
    ("customers", "CustomerAdded and CustomerUpdated (webhooks)"),
    ("payments", "PaymentUpdated (webhook)"),
    ("messages", "MessageAdded (webhook)"),
    ("commands", "DeviceCommand (WebSocket)"),
    ("rates/getPricing", "PriceUpdate (WebSocket)"),
];

/// Collects habits.
#[derive(Debug, Clone, Default)]
pub(crate) struct HabitsPart {
    kinds: Vec<Option<Kind>>,
    calls: BTreeMap<OperationNo, u64>,
    unpaged: BTreeMap<OperationNo, Evidence>,
    unfiltered: BTreeMap<OperationNo, Evidence>,
    extents: BTreeMap<OperationNo, (Evidence, u32)>,
    pages: Pages,
    repeats: Repeats,
    polling: Polling,
    bursts: Bursts,
}

/// What is known of an operation's calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kind {
    paginated: bool,
    growing: bool,
    is_static: bool,
    /// Whether repeating a change is legitimate: two keys, two copies.
    may_repeat: bool,
    announced: Option<&'static str>,
}

impl Kind {
    fn of(name: &str, contracts: &Contracts) -> Self {
        let mut parts = name.split('/');
        let (resource, action) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let gets_all = action.starts_with("getAll");
        let is_list = gets_all || action == "get";
        let announced = ANNOUNCED.iter().find(|(what, _)| match what.split_once('/') {
            Some((own, own_action)) => own == resource && own_action == action,
            None => *what == resource && gets_all,
        });
        Self {
            paginated: contracts.operation(name).is_some_and(|known| known.paginated),
            growing: is_growing(name),
            is_static: STATIC.contains(&resource) && is_list,
            may_repeat: resource == "commands",
            announced: announced.map(|(_, event)| *event),
        }
    }
}

impl HabitsPart {
    /// Takes the next request in the order of the record.
    pub(crate) fn note(
        &mut self,
        number: OperationNo,
        exchange: &Exchange,
        asked: &BodySummary<'_>,
        contracts: &Contracts,
    ) {
        let index = usize::from(number.0);
        if index >= self.kinds.len() {
            self.kinds.resize(index + 1, None);
        }
        let kind = *self.kinds[index].get_or_insert_with(|| Kind::of(&exchange.operation, contracts));
        *self.calls.entry(number).or_default() += 1;
        // An unreadable body says nothing about habits.
        if !asked.is_object || matches!(exchange.outcome, Outcome::Rejected | Outcome::Interrupted) {
            return;
        }
        let (id, at) = (exchange.id, exchange.started_at);
        if kind.paginated && !exchange.envelope.paginated {
            self.unpaged.entry(number).or_default().add(id, at);
        }
        if kind.growing && !asked.fields.iter().any(|field| !NO_FILTERS.contains(&&**field)) {
            self.unfiltered.entry(number).or_default().add(id, at);
        }
        if asked.extents > FEW_EXTENTS {
            let (evidence, most) = self.extents.entry(number).or_default();
            evidence.add(id, at);
            *most = asked.extents.max(*most);
        }
    }

    /// Takes the next fact in the order of sending.
    pub(crate) fn follow(&mut self, fact: &Fact) {
        let kind = self.kinds.get(usize::from(fact.operation.0)).copied().flatten().unwrap_or_default();
        self.pages.follow(fact);
        if fact.family.is_read {
            self.repeats.follow(fact, kind.is_static);
            self.bursts.follow_question(fact);
            if kind.announced.is_some() {
                self.polling.follow(fact);
            }
        } else {
            self.repeats.follow_change(fact);
            if !kind.may_repeat {
                self.bursts.follow_change(fact);
            }
        }
    }

    pub(crate) fn report(mut self, operations: &Operations, findings: &mut Findings<'_>) -> Vec<HabitReview> {
        let unfinished = self.pages.finish();
        let polled = self.polling.polled();
        let mut habits = Habits { operations, calls: &self.calls, findings, reviews: Vec::new() };
        for (number, evidence) in &self.unpaged {
            habits.add(Rule::Unpaged, *number, evidence, None, |name, calls| {
                format!("{name}: {calls} without a `Limitation`.")
            });
        }
        for (number, evidence) in &unfinished {
            habits.add(Rule::UnfinishedPages, *number, evidence, None, |name, _| {
                format!("{name}: the next pages of {} were not fetched.", count_of(evidence.count, "response"))
            });
        }
        for (number, (evidence, seconds)) in polled {
            let kind = self.kinds.get(usize::from(number.0)).copied().flatten().unwrap_or_default();
            let event = kind.announced.unwrap_or_default();
            let every = span(*seconds);
            habits.add(Rule::Polling, *number, evidence, Some(format!("every {every}")), |name, _| {
                format!("{name} is called about every {every}; Mews announces changes by {event}.")
            });
        }
        let static_data: BTreeMap<OperationNo, &Evidence> = self.repeats.static_data().collect();
        for (number, evidence) in &static_data {
            habits.add(Rule::StaticData, *number, evidence, None, |name, _| {
                format!("{name}: fetched again within an hour, {}.", count_of(evidence.count, "time"))
            });
        }
        for (number, evidence) in self.repeats.repeated() {
            let calls = self.calls.get(&number).copied().unwrap_or(0);
            let is_habit = 100 * evidence.count >= REPEATED_SHARE * calls;
            // Report each habit once, by the most specific rule.
            if is_habit && !static_data.contains_key(&number) && !polled.contains_key(&number) {
                habits.add(Rule::RepeatedQuestion, number, evidence, None, |name, _| {
                    format!("{name}: the same read repeated within a minute, {}.", count_of(evidence.count, "time"))
                });
            }
        }
        for (number, evidence) in self.repeats.past().iter().filter(|(_, evidence)| evidence.count >= PAST_REPEATS) {
            habits.add(Rule::PastInterval, *number, evidence, None, |name, _| {
                format!("{name}: a past interval requested again, {}.", count_of(evidence.count, "time"))
            });
        }
        for (number, evidence) in self.bursts.one_by_one() {
            habits.add(Rule::OneByOne, *number, evidence, None, |name, calls| {
                format!("{name}: {calls} fetch one id each, {} or more within 30 s.", bursts::SINGLES)
            });
        }
        for (number, evidence) in self.bursts.twice() {
            habits.add(Rule::SameChange, *number, evidence, None, |name, _| {
                let times = count_of(evidence.count, "time");
                format!("{name}: a successful change sent again within seconds, {times}.")
            });
        }
        for (number, evidence) in &self.unfiltered {
            habits.add(Rule::Unfiltered, *number, evidence, None, |name, calls| {
                format!("{name}: {calls} without a filter.")
            });
        }
        for (number, (evidence, most)) in &self.extents {
            habits.add(Rule::Extents, *number, evidence, Some(format!("up to {most}")), |name, calls| {
                format!("{name}: {calls} for up to {most} extents at once.")
            });
        }
        let reviews = habits.reviews;
        let unfollowed =
            self.pages.unfollowed() + self.repeats.unfollowed() + self.polling.unfollowed() + self.bursts.unfollowed();
        if unfollowed > 0 {
            findings.bounds.push(format!(
                "{} not checked for habits because too many were in progress at once",
                counted_as(unfollowed, "call was", "calls were")
            ));
        }
        reviews
    }
}

struct Habits<'a, 'd> {
    operations: &'a Operations,
    calls: &'a BTreeMap<OperationNo, u64>,
    findings: &'a mut Findings<'d>,
    reviews: Vec<HabitReview>,
}

impl Habits<'_, '_> {
    fn add(
        &mut self,
        rule: Rule,
        number: OperationNo,
        evidence: &Evidence,
        detail: Option<String>,
        message: impl FnOnce(&str, &str) -> String,
    ) {
        let name = self.operations.name(number);
        let all = self.calls.get(&number).copied().unwrap_or(0);
        let calls = if evidence.count == all {
            format!("all {} calls", all)
        } else {
            format!("{} of {all} calls", evidence.count)
        };
        let calls = if all == 1 { "its only call".to_owned() } else { calls };
        self.findings.raise(rule, Some(name), message(name, &calls), evidence);
        self.reviews.push(HabitReview {
            rule,
            operation: name.to_owned(),
            count: evidence.count,
            calls: all,
            detail,
            exchanges: evidence.exchanges.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_mews::operations;

    use super::*;

    #[test]
    fn every_listed_resource_exists() {
        let has = |resource: &str| operations().iter().any(|own| own.path.split('/').next() == Some(resource));
        let lists = GROWING.iter().chain(STATIC).chain(ANNOUNCED.iter().map(|(what, _)| what));
        let unknown: Vec<_> = lists.map(|what| what.split('/').next().unwrap()).filter(|what| !has(what)).collect();
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn every_growing_list_can_be_filtered() {
        for own in operations().iter().filter(|own| Kind::of(&own.path, &Contracts::built_in()).growing) {
            let is_filter = |name: &str| {
                let envelope = ["ClientToken", "AccessToken", "Client", "LanguageCode", "CultureCode", "Limitation"];
                !NO_FILTERS.contains(&name) && !envelope.contains(&name)
            };
            assert!(own.request.fields.iter().any(|field| is_filter(&field.name)), "{}", own.path);
        }
    }
}
