//! `nightaudit`: a recording reverse proxy for the Mews Connector API.
//!
//! Parses arguments, loads the configuration, runs one of the [`commands`] and maps its result to an exit code ([`error`]).
//! Commands that read the log go through `nightaudit_client::Source`: the log itself, or the console of the `serve` that
//! has it open.

mod args;
mod browser;
mod commands;
mod complete;
mod confirm;
mod error;
mod filters;
mod global;
mod help;
mod place;
mod progress;
mod requests;
mod self_signed;
mod signals;

use std::process::ExitCode;

use clap::CommandFactory as _;
use nightaudit_app::{config::Settings, logging::Background};

use crate::{
    args::{Arguments, Command},
    error::{LAST_WORDS, Usage},
};

fn main() -> ExitCode {
    complete::run(Arguments::command);
    let arguments = match help::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    signals::survive_file_limits();
    // Long-running commands must not block on a stalled standard error.
    let long_running = matches!(
        arguments.command,
        Command::Serve(_) | Command::Console(_) | Command::Simulate(_) | Command::Replay(_)
    );
    let background = if long_running { Background::start().ok() } else { None };
    let code = match run(arguments, background.as_ref()) {
        Ok(code) => code,
        Err(error) => error::report(&error, background.as_ref()),
    };
    if let Some(background) = background {
        background.flush(LAST_WORDS);
    }
    code
}

fn run(Arguments { command, global }: Arguments, background: Option<&Background>) -> anyhow::Result<ExitCode> {
    anstream::ColorChoice::from(global.color).write_global();
    match command {
        // These must work with a broken configuration.
        Command::Completions(completions) => return completions.run(),
        Command::Man(man) => return man.run(help::command()),
        Command::Config(config) => return config.run(&global),
        // `try` has its own configuration.
        Command::Try(tour) => return tour.run(&global),
        _ => {}
    }
    let mut flags = global.flags();
    match &command {
        Command::Serve(serve) => flags.extend(serve.flags()),
        Command::Console(console) => flags.extend(console.flags()),
        _ => {}
    }
    let loaded = nightaudit_app::config::load(global.config(), flags).map_err(|error| Usage(error.into()))?;
    let settings = Settings { read_from: global.archive()?, ..loaded.settings };
    if settings.read_from.is_some() {
        command.check_reads_archives()?;
    }
    if let Command::Top(top) = &command {
        // Log lines on standard error would garble the screen.
        return top.run(&settings, global.color);
    }
    nightaudit_app::logging::start(&settings.log, global.color.on_standard_error(), background)?;
    for name in loaded.unknown_variables {
        tracing::warn!("{name} is not a configuration key: `nightaudit config show` lists them");
    }
    warn_of_unknown_zone();
    match command {
        Command::Serve(serve) => serve.run(settings),
        Command::Console(console) => console.run(settings),
        Command::Open(open) => open.run(&settings),
        Command::Tail(tail) => tail.run(&settings),
        Command::Show(show) => show.run(&settings),
        Command::Sessions(sessions) => sessions.run(&settings),
        Command::Limits(limits) => limits.run(&settings),
        Command::Fault(fault) => fault.run(&settings),
        Command::Review(review) => review.run(&settings),
        Command::Compare(compare) => compare.run(&settings),
        Command::Export(export) => export.run(&settings),
        Command::Verify(verify) => verify.run(&settings),
        Command::Log(log) => log.run(&settings),
        Command::Simulate(simulate) => simulate.run(&settings),
        Command::Replay(replay) => replay.run(&settings),
        Command::Resend(resend) => resend.run(&settings),
        Command::Mews(mews) => mews.run(&settings),
        Command::Archive(archive) => archive.run(&settings),
        Command::Completions(_) | Command::Man(_) | Command::Config(_) | Command::Top(_) | Command::Try(_) => {
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Warns that times are shown in UTC because `TZ` is unknown.
fn warn_of_unknown_zone() {
    if let Some(name) = std::env::var_os("TZ").filter(|name| !name.is_empty())
        && jiff::tz::TimeZone::try_system().is_err()
    {
        tracing::warn!("TZ={} is not a known time zone: times are in UTC", name.to_string_lossy());
    }
}
