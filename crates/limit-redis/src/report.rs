//! What counts, for all nodes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nightaudit_limit::{KeyState, NodeUsage, RuleState, Totals, Unavailable};
use tokio::time::timeout;

use crate::engine::Engine;
use crate::link::Up;
use crate::node::{FLEET, LIST, STATE};
use crate::plan::{Keys, Part};
use crate::scripts::{self, run};
use crate::wire::{Command, Fault, Reply};

/// The most keys that are listed; those used last.
const MOST_KEYS: usize = 1000;
/// The most requests of a key whose nodes are counted.
const MOST_COUNTED: u64 = 5000;
/// The longest that a report may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A key of the list.
struct Listed {
    kind: usize,
    letter: u8,
    keys: Keys,
    shown: String,
}

impl Engine {
    /// Usage of the windows in use, rule by rule, fullest first.
    pub(crate) async fn report(self: &Arc<Self>) -> Result<Vec<KeyState>, Unavailable> {
        let link = self.link();
        let asked = async {
            let up = link.up(&self.node).await;
            self.node.list_keys(&up.session).await;
            self.report_over(&up).await
        };
        // It isn't waited for again by everybody who looks.
        let patience = if self.node.outage().is_some() { PATIENCE / 10 } else { PATIENCE };
        match timeout(patience, asked).await {
            Ok(states) => states.map_err(|fault| self.node.unavailable(&fault.to_string())),
            Err(_) => {
                let cause =
                    link.failure().map_or_else(|| format!("no reply within {patience:?}"), |error| error.to_string());
                Err(self.node.unavailable(&cause))
            }
        }
    }

    async fn report_over(&self, up: &Up) -> Result<Vec<KeyState>, Fault> {
        let connection = up.session.at(FLEET);
        let nodes = connection.call(Command::of(&["HGETALL", STATE])).await?;
        let names = node_names(scripts::list(&nodes)?);
        let last = (MOST_KEYS - 1).to_string();
        let listed = connection.call(Command::of(&["ZREVRANGE", LIST, "0", &last])).await?;
        let listed: Vec<Listed> = scripts::list(&listed)?.iter().filter_map(|entry| self.listed(entry)).collect();
        // All at once: Redis answers one after the other.
        let replies: Vec<_> =
            listed.iter().map(|listed| up.session.at(listed.keys.tag()).call(self.question(up, listed))).collect();
        let mut states: Vec<Vec<KeyState>> = self.node.plan.rules.iter().map(|_| Vec::new()).collect();
        for (listed, reply) in listed.iter().zip(replies) {
            let reply = reply.await?;
            self.read(scripts::list(&reply)?, listed, &names, &mut states)?;
        }
        for of_rule in &mut states {
            of_rule.sort_by_key(|state| std::cmp::Reverse(state.used));
        }
        Ok(states.into_iter().flatten().collect())
    }

    fn listed(&self, entry: &Reply) -> Option<Listed> {
        let text = entry.text()?;
        let mut fields = text.splitn(4, '\t');
        let (tag, letter, digest, shown) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let letter = letter.parse().ok()?;
        // A node with other rules may count by what this one doesn't.
        let kind = self.node.plan.kind_of(letter)?;
        Some(Listed { kind, letter, keys: Keys::of_one(tag, digest)?, shown: shown.to_owned() })
    }

    fn question(&self, up: &Up, listed: &Listed) -> Command {
        let rules: Vec<_> = self.node.plan.rules.iter().filter(|rule| rule.kind == listed.kind).collect();
        let command = run(&up.session.scripts.report, 4, 7 + 6 * rules.len());
        let name = |part| listed.keys.name(0, listed.letter, part, &up.standing.generation);
        let command = Part::ALL.iter().fold(command, |command, part| command.word(name(*part).as_bytes()));
        let command = command
            .number(up.standing.unknown)
            .number(up.standing.missing)
            .number(self.node.share.as_ref().map_or(0, |share| share.nodes.into()))
            .number(self.node.plan.pages.into())
            .number(self.node.plan.kinds[listed.kind].keep)
            .number(MOST_COUNTED)
            .number(0);
        rules.iter().fold(command, |command, rule| {
            let command = command.word(rule.name.as_bytes());
            rule.figures().iter().fold(command, |command, figure| command.word(figure.as_bytes()))
        })
    }

    fn read(
        &self,
        reply: &[Reply],
        listed: &Listed,
        names: &HashMap<String, Arc<str>>,
        states: &mut [Vec<KeyState>],
    ) -> Result<(), Fault> {
        let [closed, rejected, of_rules @ ..] = reply else { return Err(Fault::Nonsense) };
        let length = |reply: &Reply| reply.length().ok_or(Fault::Nonsense);
        let (closed, rejected) = (length(closed)?, length(rejected)?);
        let rules = self.node.plan.rules.iter().enumerate().filter(|(_, rule)| rule.kind == listed.kind);
        for ((index, rule), of_rule) in rules.zip(of_rules.chunks_exact(5)) {
            let [used, next_free, refused, delayed, nodes] = of_rule else { return Err(Fault::Nonsense) };
            let used = rule.in_requests(length(used)?);
            let (refused, delayed) = (length(refused)?, length(delayed)?);
            if used == 0 && refused == 0 && delayed == 0 && rejected == 0 && closed == 0 {
                continue;
            }
            let mut by_node = Vec::new();
            for pair in scripts::list(nodes)?.chunks_exact(2) {
                let (id, units) = (pair[0].text().ok_or(Fault::Nonsense)?, length(&pair[1])?);
                let node = names.get(&id).cloned().unwrap_or_else(|| id.as_str().into());
                by_node.push(NodeUsage { node, used: rule.in_requests(units) });
            }
            by_node.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.node.cmp(&b.node)));
            states[index].push(KeyState {
                rule: Arc::clone(&rule.name),
                key: listed.shown.clone(),
                limit: rule.requests,
                window: rule.window,
                used,
                left: rule.requests.saturating_sub(used),
                next_free: Duration::from_micros(length(next_free)?),
                waiting: 0,
                refused,
                delayed,
                refused_by_host: rejected,
                closed_for: Duration::from_micros(closed),
                nodes: by_node,
            });
        }
        Ok(())
    }

    /// What this node refused and delayed, and how full the fleet's windows were.
    pub(crate) async fn totals(self: &Arc<Self>) -> Result<Totals, Unavailable> {
        let states = self.report().await?;
        let counts = &self.counts;
        let load = |counts: &[std::sync::atomic::AtomicU64], index: usize| counts[index].load(Ordering::Relaxed);
        let mut totals = Totals { refused_by_host: counts.rejected.load(Ordering::Relaxed), ..Totals::default() };
        for (index, rule) in self.node.plan.rules.iter().enumerate() {
            let of_rule = || states.iter().filter(|state| state.rule == rule.name);
            let peak = rule.in_requests(counts.peaks[index].swap(0, Ordering::Relaxed));
            totals.peaks.push(of_rule().map(|state| state.used).max().unwrap_or(0).max(peak));
            let refused = load(&counts.refused, index);
            totals.refused += refused;
            totals.rules.push(RuleState {
                rule: Arc::clone(&rule.name),
                requests: rule.requests,
                window: rule.window,
                keys: of_rule().count(),
                refused,
                delayed: load(&counts.delayed, index),
                refused_by_host: totals.refused_by_host,
            });
        }
        Ok(totals)
    }
}

/// The nodes' names by their ids.
fn node_names(state: &[Reply]) -> HashMap<String, Arc<str>> {
    let fields = state.chunks_exact(2).filter_map(|pair| Some((pair[0].text()?, pair[1].text()?)));
    fields.filter_map(|(field, value)| Some((field.strip_prefix("name ")?.to_owned(), value.into()))).collect()
}
