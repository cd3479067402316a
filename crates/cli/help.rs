//! The command line as clap parses it: help that wraps at any width, and usage errors on one line.

use std::{env, ffi::OsString, io::Write as _, process::ExitCode};

use clap::{Command, CommandFactory as _, FromArgMatches as _};

use crate::args::Arguments;

/// Parses the arguments of the process.
///
/// # Errors
///
/// The exit code, when help or the error has been printed.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    let typed: Vec<OsString> = env::args_os().collect();
    let parsed = command().try_get_matches_from(&typed).and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map_err(|error| {
        if error.use_stderr() && error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            drop(writeln!(anstream::stderr(), "nightaudit: {}", one_line(&error, &typed)));
        } else {
            drop(error.print());
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// The commands, with long help whose paragraphs wrap at the terminal's width.
pub(crate) fn command() -> Command {
    wrapping(Arguments::command())
}

fn wrapping(command: Command) -> Command {
    let text = command.get_after_long_help().map(ToString::to_string);
    let command = match text {
        Some(text) => command.after_long_help(joined(&text)),
        None => command,
    };
    command.mut_subcommands(wrapping)
}

/// Joins the lines of each paragraph. Empty and indented lines, and the ones before indented lines, stay.
fn joined(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut in_paragraph = false;
    for line in text.lines() {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        if !joined.is_empty() {
            joined.push(if in_paragraph && is_prose { ' ' } else { '\n' });
        }
        joined.push_str(line);
        in_paragraph = is_prose;
    }
    joined
}

/// The message and its tips, without the usage, and where to read more.
fn one_line(error: &clap::Error, typed: &[OsString]) -> String {
    let text = error.render().to_string();
    let mut said: Vec<String> = Vec::new();
    for paragraph in text.trim().split("\n\n") {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        match words[..] {
            ["Usage:", ..] | ["For", "more", "information,", ..] => {}
            ["error:", ..] => said.push(words[1..].join(" ")),
            _ => said.push(words.join(" ")),
        }
    }
    format!("{} (see `{} --help`)", said.join("; "), name(typed))
}

/// The command that was meant, as far as the words that were typed are commands.
fn name(typed: &[OsString]) -> String {
    let whole = Arguments::command();
    let (mut command, mut name) = (&whole, whole.get_name().to_owned());
    for word in typed.iter().skip(1) {
        if let Some(found) = command.find_subcommand(word) {
            command = found;
            name = format!("{name} {}", found.get_name());
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(command: &Command) -> Vec<Command> {
        let subs = command.get_subcommands().flat_map(all);
        std::iter::once(command.clone()).chain(subs).collect()
    }

    #[test]
    fn the_help_of_every_command_fits_80_columns() {
        let mut whole = command();
        whole.build();
        let commands = all(&whole);
        assert!(commands.len() > 25, "{}", commands.len());
        for command in commands {
            let name = command.get_bin_name().unwrap_or("nightaudit").to_owned();
            let mut command = command.term_width(80);
            for help in [command.render_help(), command.render_long_help()] {
                for line in help.to_string().lines() {
                    assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{name}: {line}");
                }
            }
        }
    }

    #[test]
    fn no_example_is_wrapped_at_80_columns() {
        let mut whole = command();
        whole.build();
        for command in all(&whole) {
            let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            for line in text.lines().filter(|line| line.starts_with(' ')) {
                assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{}: {line}", command.get_name());
            }
        }
    }

    #[test]
    fn paragraphs_are_joined_and_examples_are_not() {
        let text = "One\ntwo.\n\nThree:\n  four\n  five\nsix\nseven";
        assert_eq!(joined(text), "One two.\n\nThree:\n  four\n  five\nsix seven");
    }

    #[test]
    fn an_error_of_usage_is_one_line_that_says_where_to_read_more() {
        for (typed, said, of) in [
            ("--nope", "unexpected argument '--nope'", "nightaudit"),
            ("serve --lisen 8080", "'--listen'", "nightaudit serve"),
            ("serve --listen example", "localhost:8080", "nightaudit serve"),
            ("show", "<ID>", "nightaudit show"),
            ("review --fail-on x", "never", "nightaudit review"),
            ("sessions note", "<SESSION>", "nightaudit sessions note"),
            ("tail --session", "a value is required", "nightaudit tail"),
            ("frobnicate", "unrecognized subcommand", "nightaudit"),
        ] {
            let words: Vec<OsString> = ["nightaudit"].into_iter().chain(typed.split(' ')).map(Into::into).collect();
            let error = command().try_get_matches_from(&words).unwrap_err();
            let line = one_line(&error, &words);
            assert!(line.contains(said) && line.ends_with(&format!("(see `{of} --help`)")), "{typed}: {line}");
            assert!(!line.contains('\n') && !line.contains("Usage"), "{typed}: {line}");
        }
    }
}
