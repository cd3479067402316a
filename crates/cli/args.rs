//! What can be typed.

use std::{
    env,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use clap::{
    Args, Parser, Subcommand, ValueEnum, ValueHint,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use nightaudit_app::config::{Choice, Flag, LogFormat};
use toml::Value;

use crate::commands::{
    completions, config, export, limits, log, man, mews, review, serve, sessions, show, simulate, tail, top, tour,
    verify,
};

/// Records what an integration says to the Mews Connector API, and keeps it inside the request limits.
#[derive(Debug, Parser)]
#[command(
    name = "nightaudit",
    version,
    disable_help_subcommand = true,
    infer_subcommands = true,
    after_help = "`nightaudit COMMAND --help` says more of each, with examples.",
    after_long_help = "\
Examples:
  nightaudit try                                 see what it does, in half a minute
  nightaudit serve                               in front of Mews Demo, on http://127.0.0.1:8080
  nightaudit tail --status 4xx,5xx               watch what goes wrong
  nightaudit show last-error                     what went wrong last; also by either end of an id
  nightaudit export --format har --since 1h      a file for any HAR viewer
  nightaudit simulate                            a Mews to test against, on http://127.0.0.1:8090
  nightaudit export --format bundle              the evidence, in one signed file

Every key of the configuration is also a variable: NIGHTAUDIT_LISTEN, NIGHTAUDIT_TIMEOUTS_CONNECT.
`nightaudit config show` lists them all with their values."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) everywhere: Everywhere,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Try(tour::Try),
    Serve(Box<serve::Serve>),
    Tail(Box<tail::Tail>),
    Top(Box<top::Top>),
    Show(show::Show),
    Sessions(sessions::Sessions),
    Limits(limits::Limits),
    Review(Box<review::Review>),
    Export(Box<export::Export>),
    Verify(verify::Verify),
    Log(log::Log),
    Simulate(Box<simulate::Simulate>),
    Mews(mews::Mews),
    Config(config::Config),
    Completions(completions::Completions),
    Man(man::Man),
}

/// The flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Everywhere {
    /// The data folder, with the log in it
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data: Option<String>,
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Mews' OpenAPI document, to hold requests against: it adds to what is built in and replaces what it describes
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    openapi: Option<String>,
    /// Colours, which NO_COLOR turns off too
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// What is said on standard error: error, warn, info, debug, trace, or directives
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
    /// How it is said
    #[arg(long, global = true, value_name = "FORMAT", value_parser = choice::<LogFormat>())]
    log_format: Option<LogFormat>,
}

impl Everywhere {
    /// The file that was named.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The flags that are keys of the configuration.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let log_format = self.log_format.map(|format| format.to_string());
        [
            ("--data", "data", self.data.clone()),
            ("--openapi", "openapi", self.openapi.clone()),
            ("--log", "log", self.log.clone()),
            ("--log-format", "log_format", log_format),
        ]
        .into_iter()
        .filter_map(|(flag, key, value)| Some((flag, key, Value::String(value?))))
        .collect()
    }
}

/// Takes one of the words that a key of the configuration takes.
pub(crate) fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    let words = T::ALL.iter().map(|(_, word, meaning)| PossibleValue::new(*word).help(meaning.trim()));
    PossibleValuesParser::new(words).map(|word| {
        let chosen = T::ALL.iter().find(|(_, known, _)| *known == word);
        chosen.expect("the parser takes no other words").0
    })
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    Auto,
    /// In any case
    Always,
    /// Not at all
    Never,
}

impl Color {
    /// Whether what is said on standard error has colours.
    pub(crate) fn on_standard_error(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => io::stderr().is_terminal() && Self::wanted(),
        }
    }

    /// Whether nobody has turned colours off for all programs.
    pub(crate) fn wanted() -> bool {
        env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }
}

impl From<Color> for anstream::ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_is_as_it_was() {
        let mut whole = String::new();
        let mut command = Arguments::command().term_width(100);
        command.build();
        whole.push_str(&command.render_long_help().to_string());
        for sub in command.get_subcommands_mut() {
            let help = sub.render_long_help();
            whole.push_str(&format!("\n\n######## {} ########\n\n{help}", sub.get_name()));
        }
        insta::assert_snapshot!(whole);
    }

    /// The words of a line, as a shell takes them; the only quotes are single ones around a whole word.
    fn words(line: &str) -> Vec<String> {
        let quoted = line.split('\'').enumerate();
        let pieces = quoted.map(|(place, piece)| match place % 2 {
            1 => vec![piece.to_owned()],
            _ => piece.split_whitespace().map(str::to_owned).collect(),
        });
        pieces.flatten().collect()
    }

    #[test]
    fn every_example_can_be_typed() {
        let mut examples = 0;
        let mut command = Arguments::command();
        command.build();
        let mut pages: Vec<String> = command.get_after_long_help().map(ToString::to_string).into_iter().collect();
        pages.extend(command.get_subcommands().filter_map(|sub| Some(sub.get_after_long_help()?.to_string())));
        for line in pages.iter().flat_map(|page| page.lines()).filter(|line| line.starts_with("  nightaudit ")) {
            // What explains an example stands after two spaces, and what takes its output after a sign of the shell.
            let typed = line.trim().split("  ").next().unwrap();
            let typed = typed.split([';', '|', '>']).next().unwrap();
            let parsed = Arguments::try_parse_from(words(typed));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            examples += 1;
        }
        assert!(examples > 15, "only {examples} examples");
    }
}
