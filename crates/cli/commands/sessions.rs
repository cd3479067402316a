//! `nightaudit sessions`

use std::{io::Write as _, process::ExitCode};

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use nightaudit_store::Session;

use crate::{
    config::Settings,
    line::{local, plain, size},
    source::Source,
};

/// List the sessions
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  nightaudit sessions
  nightaudit sessions list --json | jq .name"
)]
pub(crate) struct Sessions {
    #[command(subcommand)]
    action: Option<Action>,
    /// One object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the sessions
    List {
        /// One object a line
        #[arg(long)]
        json: bool,
    },
}

impl Sessions {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let json = match self.action {
            Some(Action::List { json }) => json,
            None => self.json,
        };
        let sessions = Source::open(&settings.data)?.sessions()?;
        let mut out = anstream::stdout().lock();
        let zone = TimeZone::system();
        for session in &sessions {
            if json {
                serde_json::to_writer(&mut out, session)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{}", describe(session, &zone))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(session: &Session, zone: &TimeZone) -> String {
    let time = |time| local(time, zone, "%Y-%m-%d %H:%M");
    let state = match session.ended {
        None => "open".to_owned(),
        Some(ended) => format!("ended {}", time(ended)),
    };
    let mut line = format!(
        "{}  {:24}  {:10}  {}  {:>8} exchanges  {:>10}  {state}",
        session.id,
        plain(&session.name),
        plain(&session.environment),
        time(session.started),
        session.exchanges,
        size(session.bytes),
    );
    if session.current {
        line.push_str(", current");
    }
    if session.incomplete {
        line.push_str(", incomplete");
    }
    if let Some(note) = &session.note {
        line.push_str(&format!("  ({})", plain(note)));
    }
    line
}
