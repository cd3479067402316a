//! What is said on standard error.

mod background;

use std::io::{self, IsTerminal as _, Write};

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt::writer::BoxMakeWriter};

pub(crate) use self::background::Background;
use crate::{
    args::Color,
    config::{LogFormat, Logging},
    error::Usage,
};

/// Sends what the crates say to standard error from here on: through `background` where it is given, or at once.
///
/// # Errors
///
/// [`Usage`] where the level is none.
pub(crate) fn start(logging: &Logging, color: Color, background: Option<&Background>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&logging.level)
        .with_context(|| format!("`log`: `{}` is neither a level such as info nor a directive", logging.level))
        .map_err(Usage)?;
    let ansi = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
    };
    let writer = match background {
        Some(background) => BoxMakeWriter::new(background.clone()),
        None => BoxMakeWriter::new(|| AtOnce),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(ansi);
    match logging.format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    if background.is_some() {
        // A panic is said as everything else is, and not by a writing of its own that may block.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    }
    Ok(())
}

/// Standard error, to which writing never fails: there is nowhere to say so.
struct AtOnce;

impl Write for AtOnce {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
