//! Command-line arguments.

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

/// A recording reverse proxy for the Mews Connector API that keeps an integration within the request limits.
#[derive(Debug, Parser)]
#[command(
    name = "nightaudit",
    version,
    disable_help_subcommand = true,
    infer_subcommands = true,
    after_help = "`nightaudit COMMAND --help` has details and examples.",
    after_long_help = "\
Examples:
  nightaudit try                             a demonstration, in half a minute
  nightaudit serve                           proxy Mews Demo on 127.0.0.1:8080
  nightaudit tail --status 4xx,5xx           watch failed requests
  nightaudit show last-error                 the last failure
  nightaudit export --format har --since 1h  a file for any HAR viewer
  nightaudit simulate                        a simulated Mews on 127.0.0.1:8090
  nightaudit export --format bundle          the evidence, in one signed file

Every configuration key is also an environment variable: NIGHTAUDIT_LISTEN, NIGHTAUDIT_TIMEOUTS_CONNECT.
`nightaudit config show` lists all keys and their values."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
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

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The data folder, which holds the log
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data: Option<String>,
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// An OpenAPI document to check requests against, in addition to what is built in
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    openapi: Option<String>,
    /// When to use colours; NO_COLOR turns them off, too
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// Log level on standard error: error, warn, info, debug, trace, or directives
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
    /// Log format on standard error
    #[arg(long, global = true, value_name = "FORMAT", value_parser = choice::<LogFormat>())]
    log_format: Option<LogFormat>,
}

impl GlobalArgs {
    /// The configuration file given with `--config`.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The flags that override configuration keys.
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

/// Parses one of the values that a configuration key accepts.
pub(crate) fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    let words = T::ALL.iter().map(|(_, word, meaning)| PossibleValue::new(*word).help(meaning.trim()));
    PossibleValuesParser::new(words).map(|word| {
        let chosen = T::ALL.iter().find(|(_, known, _)| *known == word);
        chosen.expect("the parser accepts only known values").0
    })
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// Only on a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether standard error gets colours.
    pub(crate) fn on_standard_error(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => io::stderr().is_terminal() && Self::wanted(),
        }
    }

    /// Whether `NO_COLOR` is unset or empty.
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
            // Explanations follow two spaces; pipes, redirections and continued lines aren't ours.
            let typed = line.trim().split("  ").next().unwrap();
            let typed = typed.split([';', '|', '>', '\\']).next().unwrap();
            let parsed = Arguments::try_parse_from(words(typed));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            examples += 1;
        }
        assert!(examples > 15, "only {examples} examples");
    }
}
