//! `nightaudit verify`

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use jiff::tz::TimeZone;
use nightaudit_app::config::Settings;
use nightaudit_client::Source;
use nightaudit_exchange::{Filter, Missing, SessionId};
use nightaudit_export::{
    Finding, FindingKind, Fingerprint, NodeRecord, SigningKey, Verification, VerifyOptions, verify, verify_exchanges,
};
use nightaudit_log::ReadLog;
use nightaudit_store::{Order, Session};
use nightaudit_text::{counted, local, plain};
use serde_json::json;

use crate::{error::open_input, place::place, progress::Bar};

/// The most sessions whose origins are printed.
const ORIGINS: usize = 20;
/// The most nodes that are printed.
const NODES: usize = 20;

/// Check that a bundle, an NDJSON or HAR export, or the log is unaltered
#[derive(Debug, Args)]
#[command(after_long_help = "\
For a bundle it checks every digest, the hash chain, the signature, and that report, review and HAR follow from the
exchanges. Without a file it checks the log. It lists what was altered, removed, inserted or moved, and then exits
with 1.

Examples:
  nightaudit verify nightaudit-certification-20261123T120000Z.zip
  nightaudit verify evidence.zip --key SHA256:…
  nightaudit verify exchanges.ndjson --json
  nightaudit verify")]
pub(crate) struct Verify {
    /// The file to check [default: the log]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Fingerprint of the key that must have signed the bundle
    #[arg(long, value_name = "FINGERPRINT", requires = "file")]
    key: Option<Fingerprint>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let bar = Bar::new();
        let result = match &self.file {
            Some(path) => {
                let file = open_input(path)?;
                let documentation = settings.documentation()?;
                let options = VerifyOptions { key: self.key.clone(), documentation, scratch: env::temp_dir() };
                verify(file, &options, &mut |progress| {
                    bar.show(progress.exchanges, Some(progress.total).filter(|total| *total > 0));
                })
                .with_context(|| path.display().to_string())
            }
            None => log(settings, &bar),
        };
        bar.clear();
        let verification = result?;
        let mut out = anstream::stdout().lock();
        if self.json {
            let mut object = json!(verification);
            object["good"] = json!(verification.is_good());
            object["proven"] = json!(verification.is_proven());
            writeln!(out, "{object}")?;
        } else {
            let own = SigningKey::load(&settings.data).ok().flatten();
            tell(&mut out, &verification, own.as_ref())?;
        }
        Ok(if verification.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Checks the log's files, or, while `serve` has the log open, the exchanges it returns.
fn log(settings: &Settings, bar: &Bar) -> anyhow::Result<Verification> {
    let mut extra = Vec::new();
    let source = Source::open(place(settings))?;
    if let Source::Log(log) = &source {
        extra = damage(&**log)?;
    }
    let sessions = source.sessions()?;
    let mut missing: Vec<Missing> = sessions.iter().flat_map(Session::all_missing).collect();
    let exchanges = source.exchanges(&Filter::default(), Order::Oldest, None)?;
    let (mut last, mut passed_over, mut unreadable) = (BTreeMap::new(), Vec::new(), Vec::new());
    let readable = exchanges.filter_map(|exchange| match exchange {
        Ok(exchange) => {
            let before = last.insert(exchange.session, (exchange.sequence, exchange.hash));
            // Chained to what is there, as after a loss, it hides from the chain what is known to be missing between them.
            if let Some((number, _)) = before.filter(|(_, hash)| hash.is_some() && *hash == exchange.previous_hash) {
                passed_over.extend(within(
                    &missing,
                    exchange.session,
                    (number.saturating_add(1), exchange.sequence.saturating_sub(1)),
                ));
            }
            Some(Ok(exchange))
        }
        Err(error @ nightaudit_client::Error::Unreadable(_)) => {
            if unreadable.len() < MOST_UNREADABLE {
                unreadable.push(finding(FindingKind::Unreadable, &error));
            }
            None
        }
        Err(error) => Some(Err(error)),
    });
    let mut verification = verify_exchanges(readable, &sessions, &mut |progress| bar.show(progress.exchanges, None))?;
    if extra.is_empty() {
        // The others follow from damage that was reported already.
        extra = unreadable;
    }
    // The chain has revealed gaps between exchanges.
    for missing in &mut missing {
        let last = last.get(&missing.session).map_or(0, |(number, _)| *number);
        keep_beyond(missing, last, &passed_over);
    }
    for node in &mut verification.nodes {
        let more = missing.iter().find(|missing| missing.session == node.chain).map_or(0, |missing| missing.count);
        node.missing += more;
    }
    extra.extend(missing.iter().filter(|m| m.count > 0).map(|missing| finding(FindingKind::Missing, missing)));
    if let Source::Console(_) = source {
        verification.notes.push(
            "`serve` has the log open: checked its exchanges, not its files; `nightaudit log check` checks those"
                .to_owned(),
        );
    }
    for session in sessions.iter().filter(|session| session.chains.len() > 1) {
        let nodes = session.chains.iter().map(|chain| format!("{} ({})", plain(&chain.node), chain.exchanges));
        let nodes = nodes.collect::<Vec<_>>().join(", ");
        verification.notes.push(format!("session {} has a chain for each node: {nodes}", plain(&session.name)));
    }
    verification.findings.extend(extra);
    Ok(verification)
}

/// The ranges of a session's missing exchanges that lie within these numbers.
fn within(missing: &[Missing], session: SessionId, (first, last): (u64, u64)) -> Vec<(SessionId, u64)> {
    let ranges = missing.iter().filter(|missing| missing.session == session).flat_map(|missing| &missing.ranges);
    ranges.filter(|(from, to)| first <= *from && *to <= last).map(|(from, _)| (session, *from)).collect()
}

/// Leaves what is missing after a session's last exchange, or was passed over by the chain. Where only its number is known, that
/// is kept: the chain doesn't show what is missing at its end.
fn keep_beyond(missing: &mut Missing, last: u64, passed_over: &[(SessionId, u64)]) {
    if missing.ranges.is_empty() || missing.whole_session {
        return;
    }
    let session = missing.session;
    missing.ranges.retain(|(first, _)| *first > last || passed_over.contains(&(session, *first)));
    missing.count = missing.ranges.iter().map(|(first, last)| last - first + 1).sum();
}

/// The most unreadable exchanges that are listed one by one.
const MOST_UNREADABLE: usize = 1000;

fn damage(log: &dyn ReadLog) -> anyhow::Result<Vec<Finding>> {
    let check = log.check(&mut |_| {})?;
    Ok(check.damage.iter().map(|damage| finding(FindingKind::Unreadable, damage)).collect())
}

fn finding(kind: FindingKind, what: &dyn std::fmt::Display) -> Finding {
    Finding { kind, file: None, exchange: None, what: what.to_string() }
}

/// Says of each node's record whether it is intact, those first that aren't.
fn tell_nodes(out: &mut impl Write, nodes: &[NodeRecord]) -> io::Result<()> {
    let mut sorted: Vec<&NodeRecord> = nodes.iter().collect();
    sorted.sort_by_key(|node| node.is_intact());
    for node in sorted.iter().take(NODES) {
        let mut parts = vec![counted(node.exchanges, "exchange")];
        if node.missing > 0 {
            parts.push(format!("{} missing", node.missing));
        }
        match node.problems {
            0 if node.missing == 0 => parts.push("intact".to_owned()),
            0 => {}
            1 => parts.push("tampered with: 1 problem".to_owned()),
            many => parts.push(format!("tampered with: {many} problems")),
        }
        let (session, name) = (plain(&node.session_name), plain(&node.node));
        writeln!(out, "node       {session} on {name} ({}): {}", node.chain, parts.join(", "))?;
    }
    if nodes.len() > NODES {
        writeln!(out, "node       {}, which --json has", counted((nodes.len() - NODES) as u64, "more node"))?;
    }
    Ok(())
}

fn tell(out: &mut impl Write, verification: &Verification, own: Option<&SigningKey>) -> io::Result<()> {
    let Verification { what, exchanges, sessions, signed_by, origins, nodes, notes, findings, cut } = verification;
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    if *cut {
        writeln!(out, "and more: the check stopped here")?;
    }
    if !findings.is_empty() {
        writeln!(out)?;
    }
    writeln!(out, "{what:<9}  {} in {}", counted(*exchanges, "exchange"), counted(*sessions, "session"))?;
    if let Some(signed) = signed_by {
        let whose = match own {
            Some(key) if key.fingerprint() == signed.key => "this installation's key",
            _ => "not this installation's key: compare it with the fingerprint its owner sent you",
        };
        let at = local(signed.at, &TimeZone::UTC, "%Y-%m-%d %H:%M:%S UTC");
        writeln!(out, "signed     {at} by {} ({whose})", signed.key)?;
    }
    for origin in origins.iter().take(ORIGINS) {
        let name = plain(&origin.name);
        writeln!(out, "origin     {name}: {}", plain(&origin.provenance.statement))?;
        for doubt in &origin.provenance.doubts {
            writeln!(out, "doubt      {name}: {}", plain(doubt))?;
        }
        if let Some(headline) = &origin.headline {
            writeln!(out, "verdict    {name}: {}", plain(headline))?;
        }
    }
    if origins.len() > ORIGINS {
        writeln!(out, "origin     {}, which --json has", counted((origins.len() - ORIGINS) as u64, "more session"))?;
    }
    tell_nodes(out, nodes)?;
    for note in notes {
        writeln!(out, "note       {note}")?;
    }
    match findings.len() {
        // A HAR's hashes cover data it doesn't contain: changing a URL or a time in it changes no hash.
        0 if *what == "har" => {
            writeln!(out, "fits       bodies and hash chain match; a HAR can't prove who responded, or when")
        }
        0 if verification.is_proven() => {
            writeln!(out, "good       nothing was altered, removed, inserted or moved")
        }
        0 => {
            writeln!(out, "intact     unchanged since it was written; not proof that Mews responded")
        }
        1 => writeln!(out, "not good   1 problem"),
        many => writeln!(out, "not good   {many} problems"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_a_log_of_which_an_unknown_part_was_gone_was_called_good() {
        let missing = |count, ranges: &[(u64, u64)]| Missing {
            session: SessionId::from_bytes([1; 16]),
            session_name: "suite".to_owned(),
            count,
            ranges: ranges.to_vec(),
            whole_session: false,
        };
        for (mut found, last, due) in [
            (missing(20, &[]), 0, (20, vec![])),
            (missing(20, &[]), 40, (20, vec![])),
            (missing(5, &[(3, 4), (8, 10)]), 7, (3, vec![(8, 10)])),
            (missing(2, &[(3, 4)]), 7, (0, vec![])),
        ] {
            keep_beyond(&mut found, last, &[]);
            assert_eq!((found.count, found.ranges), due);
        }
    }

    #[test]
    fn regression_what_the_chain_passes_over_was_called_whole() {
        let session = SessionId::from_bytes([1; 16]);
        let mut missing = [Missing {
            session,
            session_name: "suite".to_owned(),
            count: 13,
            ranges: vec![(3, 5), (11, 20)],
            whole_session: false,
        }];
        // Exchange 21 follows exchange 10 in the chain.
        assert_eq!(within(&missing, session, (11, 20)), [(session, 11)]);
        assert_eq!(within(&missing, SessionId::from_bytes([2; 16]), (11, 20)), []);
        assert_eq!(within(&missing, session, (12, 20)), []);
        keep_beyond(&mut missing[0], 21, &[(session, 11)]);
        assert_eq!((missing[0].count, &missing[0].ranges), (10, &vec![(11, 20)]));
    }
}
