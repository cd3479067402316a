//! Arguments that every command takes.

use std::{
    env,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use clap::{
    Args, ValueEnum, ValueHint,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use nightaudit_app::config::{Choice, Flag, LogFormat};
use nightaudit_archive::{Address, InvalidAddress};
use toml::Value;

use crate::error::Usage;

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
    /// Log level on standard error: error, warn, info, debug, trace, or directives; or the archive to read instead of the
    /// data folder: postgres://user@host/database
    #[arg(long, global = true, value_name = "LEVEL|ARCHIVE")]
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

    /// The archive given with `--log`.
    pub(crate) fn archive(&self) -> anyhow::Result<Option<Address>> {
        let given = self.log.as_deref().filter(|log| Address::is_meant(log));
        Ok(given.map(str::parse).transpose().map_err(|error: InvalidAddress| Usage::new(format!("--log: {error}")))?)
    }

    /// The flags that override configuration keys.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let log_format = self.log_format.map(|format| format.to_string());
        [
            ("--data", "data", self.data.clone()),
            ("--openapi", "openapi", self.openapi.clone()),
            ("--log", "log", self.log.clone().filter(|log| !Address::is_meant(log))),
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
