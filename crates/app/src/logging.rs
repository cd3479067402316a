//! What is said on standard error.

mod background;

use std::io::{self, Write};

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt::writer::BoxMakeWriter};

pub use self::background::Background;
use crate::config::{LogFormat, Logging};

/// Why the log lines can't be chosen so.
#[derive(Debug, thiserror::Error)]
#[error("`log`: `{level}` is neither a level such as info nor a directive")]
pub struct InvalidLevel {
    level: String,
    source: ParseError,
}

/// Sends what the crates say to standard error from here on: through `background` where it is given, or at once.
///
/// # Errors
///
/// [`InvalidLevel`] where the level is none.
pub fn start(logging: &Logging, colors: bool, background: Option<&Background>) -> Result<(), InvalidLevel> {
    let filter =
        EnvFilter::try_new(&logging.level).map_err(|source| InvalidLevel { level: logging.level.clone(), source })?;
    let writer = match background {
        Some(background) => BoxMakeWriter::new(background.clone()),
        None => BoxMakeWriter::new(|| AtOnce),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colors);
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
