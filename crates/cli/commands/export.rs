//! `nightaudit export`

use std::{
    fs,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum, ValueHint};
use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use nightaudit_exchange::{Filter, Timestamp};
use nightaudit_export::ExportError;
use nightaudit_store::Order;
use tempfile::NamedTempFile;

use crate::{
    config::Settings,
    error::Usage,
    filters::Filters,
    line::local,
    source::{Source, Stream},
};

/// Write exchanges to a file for other programs
#[derive(Debug, Args)]
#[command(after_long_help = "\
Without -o the file is called nightaudit-SESSION-TIME.EXTENSION and stands in the current folder. A file that is there
is left alone unless --force is given, and is never half written.

Examples:
  nightaudit export --format har --session certification
  nightaudit export --format ndjson -o - --since 1h | jq .operation
  nightaudit export --format csv -o calls.csv --force --status 4xx")]
pub(crate) struct Export {
    /// The format
    #[arg(long)]
    format: Format,
    /// The file, or - for standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    filters: Filters,
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For HTTP tools and browsers
    Har,
    /// One exchange a line, complete; `nightaudit log import` takes it
    Ndjson,
    /// For a spreadsheet, without headers and bodies
    Csv,
    /// A shell script that sends the requests again
    Curl,
}

impl From<Format> for nightaudit_export::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Har => Self::Har,
            Format::Ndjson => Self::Ndjson,
            Format::Csv => Self::Csv,
            Format::Curl => Self::Curl,
        }
    }
}

impl Export {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from_system(SystemTime::now());
        let filter = self.filters.filter(now).map_err(|error| Usage(error.into()))?;
        let format = nightaudit_export::Format::from(self.format);
        if self.output.as_deref() == Some(Path::new("-")) {
            let exchanges = exchanges(settings, &filter)?;
            write(format, BufWriter::new(io::stdout()), exchanges)?;
            return Ok(ExitCode::SUCCESS);
        }
        let path = self.output.clone().unwrap_or_else(|| {
            let time = local(now, &TimeZone::UTC, "%Y%m%dT%H%M%SZ");
            PathBuf::from(default_name(self.filters.session(), &time, format.extension()))
        });
        if !self.force && path.exists() {
            return Err(taken(&path));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let exchanges = exchanges(settings, &filter)?;
        let mut file = NamedTempFile::new_in(folder).with_context(|| format!("can't write in {}", folder.display()))?;
        let count = write(format, BufWriter::new(file.as_file_mut()), exchanges)?;
        file.as_file().sync_all().with_context(|| format!("writing {}", path.display()))?;
        if self.force {
            file.persist(&path).with_context(|| format!("can't write {}", path.display()))?;
        } else {
            file.persist_noclobber(&path).map_err(|error| match error.error.kind() {
                io::ErrorKind::AlreadyExists => taken(&path),
                _ => anyhow::Error::new(error).context(format!("can't write {}", path.display())),
            })?;
        }
        let length = fs::metadata(&path)?.len();
        writeln!(
            anstream::stderr().lock(),
            "{count} exchanges written to {} ({})",
            path.display(),
            crate::line::size(length)
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

fn taken(path: &Path) -> anyhow::Error {
    Usage::new(format!("{} is there already: choose another with -o, or replace it with --force", path.display()))
        .into()
}

fn exchanges(settings: &Settings, filter: &Filter) -> anyhow::Result<Stream> {
    Source::open(&settings.data)?.exchanges(filter, Order::Oldest, None)
}

/// Writes all there are; one that can't be read ends the export, because evidence with holes is none.
fn write(format: nightaudit_export::Format, out: impl Write + Send, exchanges: Stream) -> anyhow::Result<u64> {
    let bar = if io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    let mut writer = format.writer(out);
    let mut count = 0;
    for exchange in exchanges {
        let exchange = exchange.with_context(|| format!("after {count} exchanges"))?;
        writer.write(&exchange).map_err(plain)?;
        count += 1;
        if bar.elapsed() > Duration::from_secs(1) {
            bar.set_message("exchanges");
            bar.set_position(count);
        }
    }
    writer.finish().map_err(plain)?;
    bar.finish_and_clear();
    if count == 0 {
        bail!("no exchange matches: `nightaudit tail --no-follow` shows the last ones");
    }
    Ok(count)
}

/// The output's own error, which says best what is wrong with it.
fn plain(error: ExportError) -> anyhow::Error {
    match error {
        ExportError::Write(error) => error.into(),
        error => error.into(),
    }
}

/// A name that a file may have anywhere.
fn default_name(session: Option<&str>, time: &str, extension: &str) -> String {
    let session: String = session
        .unwrap_or("all")
        .chars()
        .map(|letter| if letter.is_alphanumeric() || "-_.".contains(letter) { letter } else { '-' })
        .take(80)
        .collect();
    format!("nightaudit-{session}-{time}.{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::tests::exchange;

    #[test]
    fn a_default_name_can_stand_anywhere() {
        assert_eq!(default_name(Some("a/b: c"), "20261123T120000Z", "har"), "nightaudit-a-b--c-20261123T120000Z.har");
        assert_eq!(default_name(None, "20261123T120000Z", "csv"), "nightaudit-all-20261123T120000Z.csv");
    }

    #[test]
    fn an_exchange_that_cant_be_read_ends_the_export() {
        let exchanges: Stream = Box::new([Ok(exchange()), Err(anyhow::Error::msg("damaged"))].into_iter());
        let mut out = Vec::new();
        let error = write(nightaudit_export::Format::Ndjson, &mut out, exchanges).unwrap_err();
        assert_eq!(format!("{error:#}"), "after 1 exchanges: damaged");
    }

    #[test]
    fn every_exchange_is_written() {
        let exchanges: Stream = Box::new([Ok(exchange()), Ok(exchange())].into_iter());
        let mut out = Vec::new();
        assert_eq!(write(nightaudit_export::Format::Ndjson, &mut out, exchanges).unwrap(), 2);
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 2);
    }
}
