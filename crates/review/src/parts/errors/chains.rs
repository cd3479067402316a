//! Chains of attempts: calls for the same thing that failed one after the other, and the call that resolved them.

use std::cmp::Reverse;

use nightaudit_exchange::{ExchangeId, Outcome};

use crate::{
    fact::Fact,
    names::{OperationNo, Operations, TokenNo, Tokens},
    review::{Attempt, EXAMPLES, Resolution, RetryChain},
};

/// The most chains that are listed of each kind, resolved and unresolved: those with the most attempts.
const MOST: usize = 30;

/// The failed calls for one thing, the first [`EXAMPLES`] of them in detail.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts {
    count: u64,
    first: Vec<Attempt>,
    /// When the last of them was sent, on the corrected clock.
    last_at: i64,
}

impl Attempts {
    pub(super) fn add(&mut self, fact: &Fact) {
        self.count += 1;
        self.last_at = self.last_at.max(fact.at);
        if self.first.len() < EXAMPLES {
            self.first.push(Attempt {
                exchange: fact.id,
                at: fact.recorded_at(),
                status: (fact.status != 0).then_some(fact.status),
                by_mews: fact.outcome == Outcome::Answered,
                retry_after_s: fact.retry_after,
            });
        }
    }

    /// Takes in attempts at the same thing that failed in another way.
    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.last_at = self.last_at.max(other.last_at);
        self.first.extend(other.first);
        self.first.sort_by_key(|attempt| (attempt.at, attempt.exchange));
        self.first.truncate(EXAMPLES);
    }
}

/// Attempts with their operation and token.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub(super) operation: OperationNo,
    pub(super) token: TokenNo,
    pub(super) attempts: Attempts,
    pub(super) resolution: Option<Resolution>,
}

/// The resolved chains so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Chains(Vec<Chain>);

impl Chains {
    /// Adds the attempts that this call has resolved.
    pub(super) fn resolved(&mut self, operation: OperationNo, fact: &Fact, attempts: Attempts) {
        let after_ms = u64::try_from((fact.at - attempts.last_at) / 1000).unwrap_or(0);
        let resolution = Some(Resolution { exchange: fact.id, at: fact.recorded_at(), after_ms });
        self.0.push(Chain { operation, token: fact.access_token, attempts, resolution });
        // Seldom, so that it costs nothing.
        if self.0.len() >= 8 * MOST {
            longest(&mut self.0);
        }
    }

    /// The chains with the most attempts: unresolved ones first, the longest first among them.
    pub(super) fn report(
        &self,
        unresolved: impl Iterator<Item = Chain>,
        operations: &Operations,
        tokens: &Tokens,
    ) -> Vec<RetryChain> {
        // A call that was never repeated is no chain.
        let mut open: Vec<Chain> = unresolved.filter(|chain| chain.attempts.count > 1).collect();
        let mut resolved = self.0.clone();
        longest(&mut open);
        longest(&mut resolved);
        let chains = open.into_iter().chain(resolved);
        chains
            .map(|chain| RetryChain {
                operation: operations.name(chain.operation).to_owned(),
                access_token: tokens.token(chain.token),
                count: chain.attempts.count,
                attempts: chain.attempts.first,
                resolution: chain.resolution,
            })
            .collect()
    }
}

/// Keeps the [`MOST`] chains with the most attempts; of equal ones the later.
fn longest(chains: &mut Vec<Chain>) {
    let first = |chain: &Chain| -> Option<ExchangeId> { chain.attempts.first.first().map(|attempt| attempt.exchange) };
    chains.sort_by_key(|chain| (Reverse(chain.attempts.count), Reverse(chain.attempts.last_at), first(chain)));
    chains.truncate(MOST);
}
