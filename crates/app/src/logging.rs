//! Logging to standard error.

mod background;

use std::io::{self, Write};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::writer::BoxMakeWriter,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub use self::background::Background;
use crate::config::{LogFormat, Logging};

/// An invalid log level or directive.
#[derive(Debug, thiserror::Error)]
#[error("`log`: `{0}` is not a level: use error, warn, info, debug, trace or off, or TARGET=LEVEL")]
pub struct InvalidLevel(String);

/// Installs a subscriber that writes to standard error, through `background` if given.
///
/// # Errors
///
/// [`InvalidLevel`] if the level can't be parsed.
pub fn start(logging: &Logging, colors: bool, background: Option<&Background>) -> Result<(), InvalidLevel> {
    let filter = targets(&logging.level)?;
    let writer = match background {
        Some(background) => BoxMakeWriter::new(background.clone()),
        None => BoxMakeWriter::new(|| AtOnce),
    };
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer).with_ansi(colors);
    match logging.format {
        LogFormat::Text => builder.with_target(false).finish().with(filter).init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().with(filter).init(),
    }
    if background.is_some() {
        // Panics are logged like everything else; the default hook could block on standard error.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    }
    Ok(())
}

/// Checks a level, as [`start`] would.
///
/// # Errors
///
/// [`InvalidLevel`] if it can't be parsed.
pub fn check(level: &str) -> Result<(), InvalidLevel> {
    targets(level).map(|_| ())
}

/// Parses a level, or levels by target: `info,hyper=debug`.
///
/// `Targets` takes an unknown word for a target, so a mistyped level would silence everything else.
fn targets(level: &str) -> Result<Targets, InvalidLevel> {
    let is_invalid = |part: &&str| match part.contains('=') {
        true => part.parse::<Targets>().is_err(),
        false => part.parse::<LevelFilter>().is_err(),
    };
    if let Some(part) = level.split(',').find(is_invalid) {
        return Err(InvalidLevel(part.to_owned()));
    }
    level.parse().map_err(|_| InvalidLevel(level.to_owned()))
}

/// Standard error, with write errors ignored: there is nowhere left to report them.
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

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::targets;

    #[test]
    fn a_level_by_target_overrides_the_general_one() {
        let filter = targets("info,hyper=debug,h2=off").unwrap();
        for (target, level, enabled) in [
            ("nightaudit_proxy", Level::INFO, true),
            ("nightaudit_proxy", Level::DEBUG, false),
            ("hyper::client", Level::DEBUG, true),
            ("hyper::client", Level::TRACE, false),
            ("h2", Level::ERROR, false),
        ] {
            assert_eq!(filter.would_enable(target, &level), enabled, "{target} {level}");
        }
        assert!(targets("OFF").is_ok());
        assert!(!targets("").unwrap().would_enable("nightaudit_proxy", &Level::WARN));
    }

    #[test]
    fn a_mistyped_level_is_an_error_that_names_it() {
        for (given, named) in [("inof", "`inof`"), ("info,hyper", "`hyper`"), ("info,hyper=debg", "`hyper=debg`")] {
            let error = targets(given).unwrap_err().to_string();
            assert!(error.contains(named), "{given}: {error}");
        }
    }
}
