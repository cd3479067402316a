//! One side of a comparison.

use std::collections::{BTreeMap, HashMap};

use nightaudit_exchange::{Exchange, Outcome, Timestamp};
use nightaudit_mews::Contracts;
use nightaudit_shape::Room;

use crate::{
    findings::MOST_FINDINGS,
    pages::Cursors,
    tally::{Common, Tally},
};

/// The most operations, whose number wrong paths would make unlimited.
const MOST_OPERATIONS: usize = 1_000;
/// The most hosts, sessions, environments and rules that are named.
const MOST_NAMES: usize = 16;
/// The most characters of an operation.
const LONGEST: usize = 200;

/// The summary of a recording, made from its exchanges in their order.
#[derive(Debug, Clone)]
pub struct Recording {
    pub(crate) name: String,
    contracts: Contracts,
    numbers: HashMap<Box<str>, u32>,
    pub(crate) tallies: Vec<(Box<str>, Tally)>,
    room: Room,
    findings: usize,
    pub(crate) cursors: Cursors,
    pub(crate) facts: Facts,
}

/// What isn't about one operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) exchanges: u64,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    /// Who answered, and how many calls.
    pub(crate) hosts: BTreeMap<String, u64>,
    /// Exchanges that were edited or masked before they were imported.
    pub(crate) altered: u64,
    /// Exchanges that another tool recorded.
    pub(crate) foreign: u64,
    /// Limit rules: requests per window, and the most used of it.
    pub(crate) rules: BTreeMap<String, (u32, u32)>,
    /// Calls of operations beyond the bound.
    pub(crate) unlisted: u64,
}

impl Recording {
    /// An empty recording of this name, whose requests are checked against these contracts.
    #[must_use]
    pub fn new(name: &str, contracts: Contracts) -> Self {
        Self {
            name: name.to_owned(),
            contracts,
            numbers: HashMap::new(),
            tallies: Vec::new(),
            room: Room::default(),
            findings: MOST_FINDINGS,
            cursors: Cursors::default(),
            facts: Facts::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many exchanges it has.
    #[must_use]
    pub const fn exchanges(&self) -> u64 {
        self.facts.exchanges
    }

    /// Takes the next exchange.
    pub fn push(&mut self, exchange: &Exchange) {
        self.facts.note(exchange);
        let Some(number) = self.number(exchange) else {
            self.facts.unlisted += 1;
            return;
        };
        let tally = &mut self.tallies[number as usize].1;
        if let Some(part) = &exchange.web_socket {
            tally.note_messages(part, exchange.id, &mut self.room);
            return;
        }
        let mut common = Common {
            contracts: &self.contracts,
            room: &mut self.room,
            findings: &mut self.findings,
            cursors: &mut self.cursors,
        };
        tally.note(number, exchange, &mut common);
    }

    /// The number of the exchange's operation; `None` beyond the bound.
    fn number(&mut self, exchange: &Exchange) -> Option<u32> {
        let method = &exchange.request.method;
        let operation = &exchange.operation;
        let named;
        let name = if method == "POST" && operation.len() <= LONGEST {
            operation
        } else {
            let method = if method == "POST" { String::new() } else { format!("{method} ") };
            named = method.chars().chain(operation.chars()).take(LONGEST).collect::<String>();
            &named
        };
        if let Some(number) = self.numbers.get(&**name) {
            return Some(*number);
        }
        let number = u32::try_from(self.tallies.len()).ok().filter(|_| self.tallies.len() < MOST_OPERATIONS)?;
        self.numbers.insert((**name).into(), number);
        self.tallies.push(((**name).into(), Tally::default()));
        Some(number)
    }

    /// The operations by name.
    pub(crate) fn operations(&self) -> BTreeMap<&str, &Tally> {
        self.tallies.iter().map(|(name, tally)| (&**name, tally)).collect()
    }
}

impl Facts {
    fn note(&mut self, exchange: &Exchange) {
        self.exchanges += 1;
        self.first = Some(self.first.map_or(exchange.started_at, |first| first.min(exchange.started_at)));
        self.last = Some(self.last.map_or(exchange.started_at, |last| last.max(exchange.started_at)));
        self.altered += u64::from(exchange.alteration.is_some());
        self.foreign += u64::from(exchange.recorded_by.is_some());
        if let (Outcome::Answered, false, Some(destination)) =
            (exchange.outcome, exchange.is_webhook(), &exchange.destination)
        {
            if let Some(calls) = self.hosts.get_mut(&*destination.address) {
                *calls += 1;
            } else if self.hosts.len() < MOST_NAMES {
                self.hosts.insert(destination.address.chars().take(LONGEST).collect(), 1);
            }
        }
        if let Some(limit) = &exchange.limit {
            if let Some((requests, used)) = self.rules.get_mut(limit.rule.as_str()) {
                (*requests, *used) = (limit.limit, limit.used.max(*used));
            } else if self.rules.len() < MOST_NAMES {
                self.rules.insert(limit.rule.chars().take(LONGEST).collect(), (limit.limit, limit.used));
            }
        }
    }
}
