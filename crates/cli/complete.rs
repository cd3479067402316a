//! Shell completion of values known only at run time.

use std::{env, ffi::OsStr, path::PathBuf};

use clap_complete::{
    CompletionCandidate,
    engine::{ArgValueCandidates, ArgValueCompleter},
};
use nightaudit_app::config;
use nightaudit_client::Source;
use nightaudit_exchange::Filter;
use nightaudit_store::Order;
use nightaudit_text::{counted, plain};

/// Set by the completion script when it asks for candidates.
pub(crate) const VARIABLE: &str = "_NIGHTAUDIT_COMPLETE";

/// How many exchange ids are offered.
const EXCHANGES: usize = 20;

/// Prints candidates for `command` and exits if the shell asked for completion; otherwise does nothing.
pub(crate) fn run(command: fn() -> clap::Command) {
    clap_complete::CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// The names of the sessions.
pub(crate) fn sessions() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let sessions = source().and_then(|source| source.sessions().ok()).unwrap_or_default();
        // Newest first.
        let offered = sessions.into_iter().rev().map(|session| {
            let state = if session.open { "open" } else { "closed" };
            let help = format!("{state}, {}", counted(session.exchanges, "exchange"));
            CompletionCandidate::new(plain(&session.name)).help(Some(help.into()))
        });
        offered.collect()
    })
}

/// The documented operations, and a pattern for each resource.
pub(crate) fn operations() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = typed.to_string_lossy();
        let mut offered: Vec<String> =
            nightaudit_mews::operations().iter().map(|operation| operation.path.to_string()).collect();
        let groups: Vec<String> =
            offered.iter().filter_map(|name| Some(format!("{}/*", name.split_once('/')?.0))).collect();
        offered.extend(groups);
        offered.sort_unstable();
        offered.dedup();
        offered.into_iter().filter(|name| name.starts_with(&*typed)).map(CompletionCandidate::new).collect()
    })
}

/// The numbers of the running `serve`'s fault rules.
pub(crate) fn faults() -> ArgValueCandidates {
    #[derive(serde::Deserialize)]
    struct Listed {
        faults: Vec<nightaudit_fault::FaultState>,
    }

    ArgValueCandidates::new(|| {
        let listed = match source() {
            Some(Source::Console(client)) => client.get::<Listed>("/api/v1/faults", &[]).ok(),
            _ => None,
        };
        let offered = listed
            .into_iter()
            .flat_map(|listed| listed.faults)
            .map(|fault| CompletionCandidate::new(fault.number.to_string()).help(Some(plain(&fault.rule).into())));
        offered.collect()
    })
}

/// The review's rules, and `all`.
pub(crate) fn rules() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let all = CompletionCandidate::new("all").help(Some("list the rules".into()));
        let rules = nightaudit_review::Rule::ALL
            .iter()
            .map(|rule| CompletionCandidate::new(rule.id()).help(Some(rule.title().into())));
        std::iter::once(all).chain(rules).collect()
    })
}

/// The ids of the most recent exchanges.
pub(crate) fn exchanges() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let newest =
            source().and_then(|source| source.exchanges(&Filter::default(), Order::Newest, Some(EXCHANGES)).ok());
        let exchanges = newest.into_iter().flatten().filter_map(Result::ok);
        let offered = exchanges.map(|exchange| {
            let status = exchange.status().map_or_else(|| exchange.outcome.to_string(), |status| status.to_string());
            let help = format!("{status} {}", plain(&exchange.operation));
            CompletionCandidate::new(exchange.id.to_string()).help(Some(help.into()))
        });
        offered.collect()
    })
}

/// The log that the command line refers to, if it can be opened without waiting: completion never blocks.
fn source() -> Option<Source> {
    let data = match typed("--data") {
        Some(data) => data,
        None => config::load(typed("--config").as_deref(), Vec::new()).ok()?.settings.data,
    };
    Source::open_now(&data).ok()
}

/// The value of a flag typed before the cursor.
fn typed(flag: &str) -> Option<PathBuf> {
    let words: Vec<_> = env::args_os().skip_while(|word| word != "--").collect();
    let pairs = words.windows(2).find(|pair| pair[0] == flag).map(|pair| PathBuf::from(&pair[1]));
    pairs.or_else(|| {
        let joined = words.iter().filter_map(|word| word.to_str()?.strip_prefix(flag)?.strip_prefix('='));
        joined.map(PathBuf::from).next()
    })
}
