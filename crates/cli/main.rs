//! `nightaudit`: a recording reverse proxy for the Mews Connector API.
//!
//! This is the only place that reads flags, files and the environment ([`config`]), and the only one that decides how the
//! program ends ([`error`]). Each command has a file under [`commands`]; those that look at the log go through a
//! [`source`], which is the log itself or the console of the `serve` that has it.

mod args;
mod commands;
mod complete;
mod error;
mod filters;
mod progress;
mod signals;

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;
use nightaudit_app::logging::Background;

use crate::{
    args::{Arguments, Command},
    error::Usage,
};

/// How long the last lines may take to be written before the program ends without them.
const LAST_WORDS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    complete::answer();
    let arguments = Arguments::parse();
    signals::survive_file_limits();
    // What is to run for days must not depend on who reads what it says.
    let stays = matches!(arguments.command, Command::Serve(_) | Command::Simulate(_));
    let background = if stays { Background::start().ok() } else { None };
    let code = match run(arguments, background.as_ref()) {
        Ok(code) => code,
        Err(error) => error::report(&error, background.as_ref()),
    };
    if let Some(background) = background {
        background.flush(LAST_WORDS);
    }
    code
}

fn run(Arguments { command, everywhere }: Arguments, background: Option<&Background>) -> anyhow::Result<ExitCode> {
    anstream::ColorChoice::from(everywhere.color).write_global();
    match command {
        // These need no configuration, and must work where it is broken.
        Command::Completions(completions) => return completions.run(),
        Command::Man(man) => return man.run(),
        Command::Config(config) => return config.run(&everywhere),
        // The tour has a configuration of its own.
        Command::Try(tour) => return tour.run(&everywhere),
        _ => {}
    }
    let mut flags = everywhere.flags();
    if let Command::Serve(serve) = &command {
        flags.extend(serve.flags());
    }
    let loaded = nightaudit_app::config::load(everywhere.config(), flags).map_err(|error| Usage(error.into()))?;
    let settings = loaded.settings;
    if let Command::Top(top) = &command {
        // What is said on standard error would stand across its screen.
        return top.run(&settings, everywhere.color);
    }
    nightaudit_app::logging::start(&settings.log, everywhere.color.on_standard_error(), background)?;
    for name in loaded.unknown_variables {
        tracing::warn!("{name} is set and is no key of the configuration: `nightaudit config show` lists them");
    }
    warn_of_unknown_zone();
    match command {
        Command::Serve(serve) => serve.run(settings),
        Command::Tail(tail) => tail.run(&settings),
        Command::Show(show) => show.run(&settings),
        Command::Sessions(sessions) => sessions.run(&settings),
        Command::Limits(limits) => limits.run(&settings),
        Command::Review(review) => review.run(&settings),
        Command::Export(export) => export.run(&settings),
        Command::Verify(verify) => verify.run(&settings),
        Command::Log(log) => log.run(&settings),
        Command::Simulate(simulate) => simulate.run(&settings),
        Command::Mews(mews) => mews.run(&settings),
        Command::Completions(_) | Command::Man(_) | Command::Config(_) | Command::Top(_) | Command::Try(_) => {
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Times would be shown in UTC without a word.
fn warn_of_unknown_zone() {
    if let Some(name) = std::env::var_os("TZ").filter(|name| !name.is_empty())
        && jiff::tz::TimeZone::try_system().is_err()
    {
        tracing::warn!("TZ={} is not a known time zone: times are in UTC", name.to_string_lossy());
    }
}
