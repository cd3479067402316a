//! `nightaudit log`

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::SystemTime,
};

use clap::{Args, Subcommand};
use nightaudit_app::config::{Period, Settings};
use nightaudit_client::{SessionChange, Source, change_session};
use nightaudit_exchange::{Import as Found, Timestamp};
use nightaudit_store::{DeleteTarget, Deleted, Log as Store, OpenError, Session};
use nightaudit_text::{by_number, counted, size};

use super::log_import::{Import, own_config};
use crate::{place::place, progress::Bar};

/// Maintain the log
#[derive(Debug, Args)]
#[command(after_long_help = "\
`info`, `check`, `delete` and `import` work while `nightaudit serve` runs. Stop it before the others.

Examples:
  nightaudit log info
  nightaudit log check
  nightaudit log delete --older-than 90d
  nightaudit log import exchanges.ndjson
  nightaudit log import recording.har --session before")]
pub(crate) struct Log {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what the log contains
    Info,
    /// Read everything and list damage; exits with 1 if there is any
    Check,
    /// Rebuild the index from the segments
    Reindex,
    /// Merge small blocks into large ones; no hash changes
    Compact,
    /// Delete old sessions: only whole, ended ones
    Delete {
        /// Sessions that ended longer ago than this
        #[arg(long, value_name = "TIME")]
        older_than: Period,
    },
    Import(Import),
}

impl Log {
    /// Whether it also works on an archive.
    pub(crate) fn reads_archives(&self) -> bool {
        matches!(self.action, Action::Info | Action::Check | Action::Delete { .. })
    }

    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let mut out = anstream::stdout().lock();
        let bar = Bar::new();
        let mut progress = |progress| bar.show_bytes(progress);
        let mut own = || Store::open_with(own_config(settings), &mut progress);
        // Only `import` creates a log if there is none.
        let there = || Store::require(&settings.data);
        match &self.action {
            Action::Info => {
                let source = Source::open(place(settings))?;
                let info = source.info()?;
                let imported = imported(source.sessions()?);
                let is_folder = settings.read_from.is_none();
                writeln!(out, "{}  {}", if is_folder { "folder   " } else { "archive  " }, place(settings))?;
                writeln!(out, "sessions   {} ({} open)", info.sessions, info.open_sessions)?;
                writeln!(out, "exchanges  {}", info.exchanges)?;
                if info.missing > 0 {
                    writeln!(out, "missing    {} (`nightaudit log check` lists them)", info.missing)?;
                }
                if let Some(imported) = imported {
                    writeln!(out, "imported   {imported}")?;
                }
                let parts = if is_folder { "segments " } else { "weeks    " };
                writeln!(out, "{parts}  {} ({})", info.segments, size(info.segment_bytes))?;
                writeln!(out, "index      {}", size(info.index_bytes))?;
            }
            Action::Check => {
                let source = Source::open(place(settings))?;
                let check = source.check(&mut progress)?;
                let imported = imported(source.sessions()?);
                bar.clear();
                for damage in &check.damage {
                    writeln!(out, "{damage}")?;
                }
                for missing in &check.missing {
                    writeln!(out, "{missing}")?;
                }
                if check.index_faults > 0 {
                    writeln!(
                        out,
                        "the index has {}: run `nightaudit log reindex`",
                        counted(check.index_faults, "fault")
                    )?;
                }
                let (exchanges, sessions) = (counted(check.exchanges, "exchange"), counted(check.sessions, "session"));
                let are = by_number(check.exchanges, "is", "are");
                writeln!(out, "{exchanges} in {sessions} {are} intact ({})", size(check.bytes))?;
                if let Some(imported) = imported {
                    writeln!(out, "of them {imported}")?;
                }
                if check.unfinished_imports > 0 {
                    let sessions = counted(check.unfinished_imports, "session");
                    writeln!(out, "{sessions} from an unfinished import: import the file again")?;
                }
                if check.interrupted > 0 {
                    let requests = counted(check.interrupted, "request");
                    let were = by_number(check.interrupted, "was", "were");
                    writeln!(out, "{requests} {were} in flight when `serve` was killed: shown as interrupted")?;
                }
                if !check.is_whole() {
                    writeln!(out, "incomplete: restore the damaged or missing files from a copy")?;
                    return Ok(ExitCode::FAILURE);
                }
            }
            Action::Reindex => {
                there()?;
                let log = own()?;
                let exchanges = log.reindex(&mut |progress| bar.show_bytes(progress))?;
                bar.clear();
                writeln!(out, "rebuilt the index for {}", counted(exchanges, "exchange"))?;
                log.close();
            }
            Action::Compact => {
                there()?;
                let log = own()?;
                let done = log.compact(&mut |progress| bar.show_bytes(progress))?;
                bar.clear();
                let segments = counted(done.segments, "segment");
                writeln!(out, "{segments}: {} before, {} now", size(done.before), size(done.after))?;
                log.close();
            }
            Action::Delete { older_than } => {
                let before = Timestamp::from_system(SystemTime::now()).minus(older_than.0);
                if let Some(address) = &settings.read_from {
                    delete_partitions(address, before, &mut out)?;
                    return Ok(ExitCode::SUCCESS);
                }
                there()?;
                let done = match own() {
                    Ok(log) => {
                        let done = log.delete_older_than(before)?;
                        log.close();
                        done
                    }
                    Err(OpenError::Locked { console: Some(_), .. }) => delete_by_serve(settings, before)?,
                    Err(error @ OpenError::Locked { .. }) => return Err(error.into()),
                    // On a full disk, only a deletion can make room.
                    Err(_) => Store::delete_unopened(&settings.store, DeleteTarget::EndedBefore(before))?,
                };
                let sessions = counted(done.sessions.len() as u64, "session");
                let exchanges = counted(done.exchanges, "exchange");
                writeln!(out, "{sessions} with {exchanges} deleted ({})", size(done.bytes))?;
            }
            Action::Import(import) => import.run(settings, &mut out, &bar)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Drops the weeks of an archive that ended before this instant.
fn delete_partitions(
    address: &nightaudit_archive::Address,
    before: Timestamp,
    out: &mut impl io::Write,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(nightaudit_archive::drop_older_than(address, before))?;
    let exchanges = counted(done.exchanges, "exchange");
    match done.before {
        None => writeln!(out, "nothing deleted: an archive is deleted by whole weeks, and none is older")?,
        Some(before) => {
            let weeks = counted(done.partitions, "week");
            writeln!(out, "{weeks} with {exchanges} deleted ({}): all before {before}", size(done.bytes))?;
        }
    }
    Ok(())
}

/// How many sessions were imported, and how much of them is altered; `None` if none were.
fn imported(sessions: Vec<Session>) -> Option<String> {
    let mut all = Found::default();
    let mut count = 0;
    for import in sessions.into_iter().filter_map(|session| session.imported) {
        count += 1;
        all.exchanges += import.exchanges;
        all.edited += import.edited;
        all.masked += import.masked;
        all.foreign += import.foreign;
    }
    let what = if count == 1 { "1 session was".to_owned() } else { format!("{count} sessions were") };
    (count > 0).then(|| format!("{what} {all}"))
}

/// Makes the running `serve` delete the sessions that ended before this instant.
fn delete_by_serve(settings: &Settings, before: Timestamp) -> anyhow::Result<Deleted> {
    let mut deleted = Deleted::default();
    let sessions = Source::open(place(settings))?.sessions()?;
    for session in sessions.into_iter().filter(|session| session.ended.is_some_and(|ended| ended < before)) {
        let done = change_session(&settings.store, &SessionChange::Delete(&session.id.to_string()))?;
        deleted.sessions.push(done.id);
        deleted.exchanges += done.exchanges;
        deleted.bytes += done.bytes;
    }
    Ok(deleted)
}
