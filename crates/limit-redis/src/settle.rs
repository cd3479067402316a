//! Tells Redis what became of admitted requests, in batches and in the background.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::clock;
use crate::link::Link;
use crate::node::Node;
use crate::scripts;
use crate::settlements::Settlement;
use crate::wire::Fault;

/// So many are told at once as happen in this time.
const PAUSE: Duration = Duration::from_millis(3);
/// Redis hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells Redis, until the budget is gone.
pub(crate) async fn run(node: Weak<Node>, link: Weak<Link>) {
    loop {
        let Some(waiting) = link.upgrade() else { return };
        // A link is kept alive by its budget, not by those who wait on it.
        if !waiting.settlements.some().await {
            continue;
        }
        drop(waiting);
        sleep(PAUSE).await;
        let Some((node, link)) = node.upgrade().zip(link.upgrade()) else { return };
        tell(&node, &link).await;
    }
}

async fn tell(node: &Arc<Node>, link: &Arc<Link>) {
    let mut batch = link.settlements.take();
    if batch.is_empty() {
        return;
    }
    let observed = clock::now();
    let slack = u64::try_from(node.plan.slack.as_nanos()).unwrap_or(u64::MAX);
    for settlement in &mut batch {
        if let Settlement::Sent(_, at) = settlement {
            // Held up by more than the slack allows for: sent at the latest by now.
            if observed.saturating_sub(*at) > slack / 2 {
                *at = observed;
            }
        }
    }
    let Ok(up) = timeout(PATIENCE, link.up(node)).await else {
        link.settlements.put_back(batch);
        return;
    };
    let mut entries: Vec<(String, [String; 3])> = Vec::new();
    let now = clock::now();
    for settlement in &batch {
        match settlement {
            Settlement::Sent(place, at) => {
                // Rounded down: earlier instants than the true one would count too little.
                let ago = now.saturating_sub(*at) / 1000;
                let words = ["sent".to_owned(), ago.to_string(), place.member.clone()];
                entries.extend(node.sets(place).map(|set| (set, words.clone())));
            }
            Settlement::Unsent(place) => {
                let words = ["unsent".to_owned(), "0".to_owned(), place.member.clone()];
                entries.extend(node.sets(place).map(|set| (set, words.clone())));
                entries.extend(node.refills(place));
            }
            Settlement::Count(key, field, lives) => {
                entries.push((key.clone(), ["count".to_owned(), lives.to_string(), field.clone()]));
            }
        }
    }
    // In a cluster a script has keys of one slot only.
    let mut groups: BTreeMap<&str, Vec<&(String, [String; 3])>> = BTreeMap::new();
    for entry in &entries {
        groups.entry(if up.session.is_cluster() { tag(&entry.0) } else { "" }).or_default().push(entry);
    }
    let told: Vec<_> = groups
        .into_iter()
        .map(|(tag, entries)| {
            let command = scripts::run(&up.session.scripts.settle, entries.len(), 3 * entries.len());
            let command = entries.iter().fold(command, |command, (key, _)| command.word(key.as_bytes()));
            let words = entries.iter().flat_map(|(_, words)| words);
            up.session.at(tag).call(words.fold(command, |command, word| command.word(word.as_bytes())))
        })
        .collect();
    let all = async {
        for told in told {
            told.await?;
        }
        Ok(())
    };
    match timeout(PATIENCE, all).await {
        Ok(Ok(())) => {}
        Ok(Err(Fault::Server(text))) if !RETRIED.iter().any(|code| text.starts_with(code)) => {
            tracing::warn!("Redis doesn't take what became of requests, which count for longer: {text}");
            link.close(&up.session);
        }
        Ok(Err(_)) | Err(_) => {
            link.close(&up.session);
            link.settlements.put_back(batch);
        }
    }
}

/// Another server, or the same one later, may take it.
const RETRIED: [&str; 5] = ["NOSCRIPT", "READONLY", "MOVED", "CLUSTERDOWN", "TRYAGAIN"];

/// What a key has in braces.
fn tag(key: &str) -> &str {
    key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(tag, _)| tag)
}
