//! Verification of every record of the archive.

use std::sync::Arc;

use nightaudit_exchange::{Digest, Exchange, Filter, Missing, chain};
use nightaudit_log::{Check, Damage, Order, Progress, ReadError};

use crate::{
    condition::Chains,
    pages::{Pages, Wanted},
    pool::{Pool, unavailable},
    sessions::{Grouped, Known},
};

/// Reads every chain, and checks each record, each body, and that each follows the one before.
pub(crate) fn check(pool: &Arc<Pool>, progress: &mut dyn FnMut(Progress)) -> Result<Check, ReadError> {
    let groups = Grouped::read(pool).map_err(unavailable)?;
    let mut checker = Checker { pool, found: Check::default(), at: Progress::default(), progress };
    checker.at.total = groups.chains().map(|chain| chain.bytes).sum();
    for known in groups.chains() {
        checker.chain(known)?;
    }
    checker.found.sessions = groups.sessions().len() as u64;
    checker.found.bytes = checker.at.total;
    Ok(checker.found)
}

struct Checker<'a> {
    pool: &'a Arc<Pool>,
    found: Check,
    at: Progress,
    progress: &'a mut dyn FnMut(Progress),
}

impl Checker<'_> {
    fn chain(&mut self, known: &Known) -> Result<(), ReadError> {
        let wanted = Wanted {
            filter: Filter::default(),
            chains: Chains { only: Some(vec![known.id]), except: Vec::new() },
            order: Order::Oldest,
        };
        let pages = Pages::new(Arc::clone(self.pool), wanted, None, None);
        let begins_here = known.dropped_to == 0;
        // What follows what retention dropped is chained to what nobody has any more.
        let mut before = Before { last: known.dropped_to, hash: begins_here.then(|| chain::genesis(known.id)) };
        let mut missing = known.missing.clone();
        let mut lost = Vec::new();
        for exchange in pages {
            match exchange {
                // What was shipped while this ran is for the next check.
                Ok(exchange) if exchange.sequence > known.last => break,
                Ok(exchange) => {
                    match before.flaw(&exchange, &missing) {
                        None => self.found.exchanges += 1,
                        Some(Flaw::Gap(first, last)) => {
                            self.found.exchanges += 1;
                            lost.push((first, last));
                            self.damage(known, format!("exchanges {first} to {last} are missing"));
                        }
                        Some(Flaw::Wrong(what)) => {
                            lost.push((exchange.sequence, exchange.sequence));
                            self.damage(known, what);
                        }
                    }
                    before = Before { last: exchange.sequence, hash: exchange.hash };
                }
                Err(error) => {
                    let Some((_, first, last)) = error.exchanges() else { return Err(error) };
                    self.damage(known, error.to_string());
                    lost.push((first, last));
                    before = Before { last, hash: None };
                }
            }
            self.at.exchanges += 1;
            if self.at.exchanges.is_multiple_of(256) {
                self.report();
            }
        }
        if before.last < known.last && known.exchanges > 0 {
            self.damage(known, format!("exchanges {} to {} are missing", before.last + 1, known.last));
            lost.push((before.last + 1, known.last));
        } else if before.last == known.last
            && known.hash.is_some()
            && before.hash.is_some()
            && before.hash != known.hash
        {
            self.damage(known, "its last exchange is not the one that was shipped last".to_owned());
        }
        missing.extend(lost);
        let count = missing.iter().map(|(first, last)| last - first + 1).sum();
        if count > 0 {
            let mut all = known.missing().unwrap_or_else(|| Missing {
                session: known.id,
                session_name: format!("{} on {}", known.state.name, known.node),
                count,
                ranges: Vec::new(),
                whole_session: false,
            });
            (all.count, all.ranges) = (count, missing);
            self.found.missing.push(all);
        }
        self.report();
        Ok(())
    }

    fn damage(&mut self, known: &Known, what: String) {
        let path = format!("{} on {} ({})", known.state.name, known.node, known.id);
        self.found.damage.push(Damage { path: path.into(), offset: 0, what });
    }

    fn report(&mut self) {
        (self.progress)(self.at);
    }
}

/// The exchange before.
struct Before {
    last: u64,
    /// `None` if it is unknown.
    hash: Option<Digest>,
}

enum Flaw {
    /// These are missing, which nobody knew.
    Gap(u64, u64),
    Wrong(String),
}

impl Before {
    fn flaw(&self, exchange: &Exchange, known: &[(u64, u64)]) -> Option<Flaw> {
        let sequence = exchange.sequence;
        if sequence <= self.last {
            return Some(Flaw::Wrong(format!("exchange {sequence} is repeated")));
        }
        if !exchange.bodies().all(|body| Digest::of(&body.bytes) == body.stored_digest()) {
            return Some(Flaw::Wrong(format!("a body of exchange {sequence} differs from what was recorded")));
        }
        let is_chained = self.hash.is_none() || exchange.previous_hash == self.hash;
        let gap = (self.last + 1, sequence - 1);
        let is_known = known.iter().any(|(first, last)| *first <= gap.0 && gap.1 <= *last);
        match (is_chained, sequence == self.last + 1) {
            (true, _) => None,
            (false, false) if is_known => None,
            (false, false) => Some(Flaw::Gap(gap.0, gap.1)),
            (false, true) => Some(Flaw::Wrong(format!("exchange {sequence} is not chained to the one before"))),
        }
    }
}
