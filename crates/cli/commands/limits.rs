//! `nightaudit limits`

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::Args;
use nightaudit_app::config::Settings;
use nightaudit_client::Source;
use nightaudit_text::{duration, plain, terminal::print_json};

/// Show usage of each request limit
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  nightaudit limits
  nightaudit limits --json | jq 'select(.left == 0)'")]
pub(crate) struct Limits {
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

impl Limits {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let source = Source::open(&settings.data)?;
        let Some(limits) = source.limits()? else {
            anyhow::bail!(
                "limits exist only while `nightaudit serve` runs; none is running on {}",
                settings.data.display()
            );
        };
        if let Some(told) = source.limit_store()?.and_then(|store| store.told()) {
            writeln!(anstream::stderr(), "{}", plain(&told))?;
        }
        let mut out = anstream::stdout().lock();
        for limit in &limits {
            if self.json {
                print_json(limit)?;
                continue;
            }
            let next = match limit.next_free_ms {
                0 => "now".to_owned(),
                wait => format!("in {}", duration(Duration::from_millis(wait))),
            };
            write!(
                out,
                "{:16}  {}  {} used, {} left, next {next}, {} refused, {} delayed",
                plain(&limit.rule),
                plain(&limit.key),
                limit.used,
                limit.left,
                limit.refused,
                limit.delayed,
            )?;
            if let Some(closed) = limit.closed_for_ms {
                write!(out, ", blocked by Mews for {}", duration(Duration::from_millis(closed)))?;
            }
            // Which of several machines used it.
            let mut between = "; ";
            for of in &limit.nodes {
                write!(out, "{between}{} by {}", of.used, plain(&of.node))?;
                between = ", ";
            }
            writeln!(out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
