//! `nightaudit top`

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::SystemTime,
};

use clap::Args;
use nightaudit_app::config::Settings;
use nightaudit_exchange::Timestamp;
use nightaudit_top::{Ended, Options};

use crate::{error::Usage, filters::Filters, global::Color, place::place};

/// Watch exchanges, limits and findings on a full screen
#[derive(Debug, Args)]
#[command(after_long_help = "\
Follows what a running `nightaudit serve` records; without one it shows the log and waits. Press ? for the keys, which
are those of mitmproxy, vi and less.

Examples:
  nightaudit top
  nightaudit top --session certification --status 4xx,5xx")]
pub(crate) struct Top {
    #[command(flatten)]
    filters: Filters,
}

impl Top {
    pub(crate) fn run(&self, settings: &Settings, color: Color) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from_system(SystemTime::now());
        let filter = self.filters.filter(now).map_err(|error| Usage(error.into()))?;
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(Usage::new("top needs a terminal: use `nightaudit tail` otherwise").into());
        }
        let colors = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => Color::wanted(),
        };
        let ended =
            nightaudit_top::run(&place(settings), Options { filter, contracts: settings.contracts()?, colors })?;
        Ok(match ended {
            Ended::Quit => ExitCode::SUCCESS,
            Ended::Panicked => ExitCode::FAILURE,
        })
    }
}
