//! `nightaudit compare`

mod side;
mod text;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum, ValueHint};
use nightaudit_app::config::Settings;
use nightaudit_compare::{Differences, Ignore};
use nightaudit_exchange::Timestamp;
use nightaudit_export::comparison_page;
use nightaudit_review::Severity;
use nightaudit_text::terminal::{print_json, stdout};
use tempfile::NamedTempFile;

use self::{side::Sides, text::Text};
use crate::{
    commands::review::layout,
    complete,
    error::Usage,
    filters::{self, Filters},
};

/// Compare two recordings of the same integration, before and after
#[derive(Debug, Args)]
#[command(after_long_help = "\
A and B are sessions, or files: bundles, or what `nightaudit log import` reads (NDJSON exports, HARs of other tools, flow
files of mitmproxy). A session is named as everywhere; write ./NAME for a file that is named like one. What differs is listed by operation: whether and how often it is called, how calls end and with
which messages, latencies, properties that requests and responses gained, lost or changed in type, what contradicts Mews'
documentation, limits, and the pages of lists.

Differences that may be chance are marked, those of latencies left out; --html and --json say by which statistics. An
error is likely to break the integration, a warning is worth a look. --ignore leaves out kinds of differences (operation,
calls, statuses, errors, latency, requests, responses, messages, findings, limits, pages) and properties with all below
them. What reviewers would say of the two is compared by `nightaudit review --against`.

Examples:
  nightaudit compare run-1 run-2
  nightaudit compare before.ndjson last --fail-on warning
  nightaudit compare run-1 run-2 --ignore latency,/Reservations/*/UpdatedUtc
  nightaudit compare run-1 run-2 --operation 'bills/*' --html page.html
  nightaudit compare evidence.zip run-2 --json")]
pub(crate) struct Compare {
    /// The earlier recording
    #[arg(value_name = "A", add = complete::sessions(), value_hint = ValueHint::FilePath)]
    a: String,
    /// The later recording
    #[arg(value_name = "B", add = complete::sessions(), value_hint = ValueHint::FilePath)]
    b: String,
    /// Leave out kinds of differences, and properties by their JSON pointer; repeatable
    #[arg(long, value_name = "KIND|POINTER,…", value_parser = ignore)]
    ignore: Vec<Ignore>,
    /// Skip damaged entries of files, and list them
    #[arg(long)]
    lenient: bool,
    /// Also read another tool's requests to other hosts and paths than those of Mews' APIs
    #[arg(long)]
    all_hosts: bool,
    /// Exit with 1 if there is a difference as serious as this
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    fail_on: FailOn,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    /// Write an HTML page to this file, or - for standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
    /// With --html, replace an existing file
    #[arg(long, requires = "html")]
    force: bool,
    #[command(flatten)]
    filters: Filters,
}

/// The lowest severity that makes a comparison fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Note,
    Never,
}

fn ignore(text: &str) -> Result<Ignore, String> {
    text.parse().map_err(|error: nightaudit_compare::UnknownKind| error.to_string())
}

impl Compare {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from_system(SystemTime::now());
        let filter = self.filters.filter(now).map_err(|error| Usage(error.into()))?;
        if filter.session.is_some() || filter.except_session().is_some() {
            return Err(Usage::new("--session is not for compare: name the sessions as A and B").into());
        }
        let page = self.html.as_deref().filter(|path| *path != Path::new("-"));
        if let Some(path) = page.filter(|path| !self.force && path.exists()) {
            return Err(taken(path));
        }
        let basis = settings.basis()?;
        filters::warn(&filter, &basis.contracts);
        let (lenient, all_hosts) = (self.lenient, self.all_hosts);
        let sides = Sides { settings, filter: &filter, contracts: &basis.contracts, lenient, all_hosts };
        let (a, b, is_whole) = sides.read(&self.a, &self.b)?;
        let mut ignore = Ignore::default();
        self.ignore.iter().for_each(|own| ignore.add(own.clone()));
        let differences = Differences::of(&a, &b, &ignore);
        if let Some(path) = page {
            self.write_page(&differences, path)?;
        }
        if self.html.is_some() && page.is_none() {
            let mut out = stdout();
            out.write_all(comparison_page(&differences).as_bytes())?;
            out.flush()?;
        } else if self.json {
            print_json(&differences)?;
        } else {
            let text = Text { differences: &differences, width: layout::width() };
            write!(anstream::stdout().lock(), "{text}")?;
        }
        let fails = self.fails(&differences) || !is_whole;
        Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn fails(&self, differences: &Differences) -> bool {
        let from = match self.fail_on {
            FailOn::Error => Severity::Error,
            FailOn::Warning => Severity::Warning,
            FailOn::Note => Severity::Note,
            FailOn::Never => return false,
        };
        differences.severity().is_some_and(|severity| severity >= from)
    }

    /// Writes the page, never half.
    fn write_page(&self, differences: &Differences, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder).with_context(|| format!("can't write in {}", folder.display()))?;
        file.write_all(comparison_page(differences).as_bytes())?;
        file.as_file().sync_all().with_context(|| format!("writing {}", path.display()))?;
        if self.force {
            file.persist(path).with_context(|| format!("can't write {}", path.display()))?;
        } else {
            file.persist_noclobber(path).map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => taken(path),
                _ => anyhow::Error::new(error).context(format!("can't write {}", path.display())),
            })?;
        }
        let length = nightaudit_text::size(fs::metadata(path)?.len());
        writeln!(anstream::stderr().lock(), "comparison written to {} ({length})", path.display())?;
        Ok(())
    }
}

fn taken(path: &Path) -> anyhow::Error {
    Usage::new(format!("{} already exists: choose another with --html, or replace it with --force", path.display()))
        .into()
}
