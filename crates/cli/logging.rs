//! What is said on standard error.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::{
    args::Color,
    config::{LogFormat, Logging},
    error::Usage,
};

/// Sends what the crates say to standard error from here on.
///
/// # Errors
///
/// [`Usage`] where the level is none.
pub(crate) fn start(logging: &Logging, color: Color) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&logging.level)
        .with_context(|| format!("`log`: `{}` is neither a level such as info nor a directive", logging.level))
        .map_err(Usage)?;
    let ansi = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    match logging.format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
