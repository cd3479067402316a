//! `nightaudit log`

use std::{
    fs::File,
    io::{self, BufRead, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use nightaudit_app::config::{Period, Settings};
use nightaudit_exchange::Timestamp;
use nightaudit_store::{Config, Doomed, Log as Store, OpenError, Progress};
use nightaudit_text::size;

/// Look after the log
#[derive(Debug, Args)]
#[command(after_long_help = "\
What changes the log needs it for itself: stop `nightaudit serve` first.

Examples:
  nightaudit log info
  nightaudit log check
  nightaudit log delete --older-than 90d
  nightaudit log import exchanges.ndjson")]
pub(crate) struct Log {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what the log consists of
    Info,
    /// Read everything, and say what is damaged; exit code 1 if anything is
    Check,
    /// Make the index again from the segments
    Reindex,
    /// Rewrite small blocks into large ones; no hash changes
    Compact,
    /// Delete old sessions; only ended ones, and only whole
    Delete {
        /// Those that ended longer ago than this
        #[arg(long, value_name = "TIME")]
        older_than: Period,
    },
    /// Add the sessions of an NDJSON export
    Import {
        /// The file, or - for standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

impl Log {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let mut out = anstream::stdout().lock();
        let bar = Bar::new();
        let mut progress = |progress| bar.show(progress);
        let read = || Store::open_read_only(&settings.data);
        let mut own = || Store::open_with(own_config(settings), &mut progress);
        // What looks after a log begins none where there isn't one; only `import` does.
        let there = || match settings.data.join("sessions").is_dir() {
            true => Ok(()),
            false => Err(OpenError::Missing(settings.data.clone())),
        };
        match &self.action {
            Action::Info => {
                let info = read()?.info();
                writeln!(out, "folder     {}", settings.data.display())?;
                writeln!(out, "sessions   {} ({} open)", info.sessions, info.open_sessions)?;
                writeln!(out, "exchanges  {}", info.exchanges)?;
                if info.missing > 0 {
                    writeln!(out, "missing    {} (`nightaudit log check` says which)", info.missing)?;
                }
                writeln!(out, "segments   {} ({})", info.segments, size(info.segment_bytes))?;
                writeln!(out, "index      {}", size(info.index_bytes))?;
            }
            Action::Check => {
                let check = read()?.check(&mut progress)?;
                bar.clear();
                for damage in &check.damage {
                    writeln!(out, "{damage}")?;
                }
                for missing in &check.missing {
                    writeln!(out, "{missing}")?;
                }
                if check.index_faults > 0 {
                    writeln!(out, "the index has {} faults: `nightaudit log reindex`", check.index_faults)?;
                }
                let (exchanges, sessions) = (check.exchanges, check.sessions);
                writeln!(out, "{exchanges} exchanges in {sessions} sessions are whole ({})", size(check.bytes))?;
                if check.unfinished_imports > 0 {
                    let count = check.unfinished_imports;
                    writeln!(out, "{count} sessions are of an import that was not finished: import the file again")?;
                }
                if check.interrupted > 0 {
                    let count = check.interrupted;
                    writeln!(out, "{count} requests were under way when `serve` was killed: they show as interrupted")?;
                }
                if !check.is_whole() {
                    writeln!(out, "not whole: put the files that are damaged or missing back from a copy")?;
                    return Ok(ExitCode::FAILURE);
                }
            }
            Action::Reindex => {
                there()?;
                let log = own()?;
                let exchanges = log.reindex(&mut |progress| bar.show(progress))?;
                bar.clear();
                writeln!(out, "the index was made again for {exchanges} exchanges")?;
                log.close();
            }
            Action::Compact => {
                there()?;
                let log = own()?;
                let done = log.compact(&mut |progress| bar.show(progress))?;
                bar.clear();
                writeln!(out, "{} segments: {} before, {} now", done.segments, size(done.before), size(done.after))?;
                log.close();
            }
            Action::Delete { older_than } => {
                there()?;
                let before = Timestamp::from_system(SystemTime::now()).minus(older_than.0);
                let done = match own() {
                    Ok(log) => {
                        let done = log.delete_older_than(before)?;
                        log.close();
                        done
                    }
                    Err(error @ OpenError::Locked { .. }) => return Err(error.into()),
                    // A full disk takes nothing, and has room once something is deleted.
                    Err(_) => Store::delete_unopened(&settings.store, Doomed::EndedBefore(before))?,
                };
                let sessions = done.sessions.len();
                writeln!(out, "{sessions} sessions with {} exchanges deleted ({})", done.exchanges, size(done.bytes))?;
            }
            Action::Import { file } => {
                let mut lines: Box<dyn BufRead> = if file.as_os_str() == "-" {
                    Box::new(io::stdin().lock())
                } else {
                    let open = File::open(file).with_context(|| format!("can't read {}", file.display()))?;
                    Box::new(io::BufReader::new(open))
                };
                let log = own()?;
                let done = log.import(&mut *lines).with_context(|| format!("importing {}", file.display()))?;
                writeln!(out, "{} exchanges in {} sessions imported", done.exchanges, done.sessions.len())?;
                if done.import.altered() > 0 {
                    writeln!(out, "{}: the session says so from now on", done.import)?;
                }
                if done.rehashed > 0 {
                    let why = "they are altered, or come after what is altered or missing";
                    writeln!(out, "{} of them have another hash than they were exported with: {why}", done.rehashed)?;
                }
                log.close();
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The log as its owner has it; quotas are for `serve`, and no session is begun.
fn own_config(settings: &Settings) -> Config {
    Config { session: None, max_size: None, max_age: None, ..settings.store.clone() }
}

/// Shows on a terminal how far something is that lasts.
struct Bar(ProgressBar);

impl Bar {
    /// What is done sooner needs no bar.
    const AFTER: Duration = Duration::from_secs(1);

    fn new() -> Self {
        let bar = if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg} {eta}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn show(&self, progress: Progress) {
        if self.0.elapsed() < Self::AFTER {
            return;
        }
        self.0.set_length(progress.total);
        self.0.set_position(progress.done);
        self.0.set_message(format!("{} exchanges", progress.exchanges));
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}
