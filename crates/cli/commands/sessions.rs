//! `nightaudit sessions`

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use anyhow::bail;
use clap::{Args, Subcommand, ValueHint};
use jiff::tz::TimeZone;
use nightaudit_app::config::Settings;
use nightaudit_client::{Losses, SessionChange, Source, change_session};
use nightaudit_store::Session;
use nightaudit_text::{counted, local, pad, plain, size, span, terminal::print_json};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    commands::review::{choose, declared},
    complete,
    confirm::confirmed,
    place::place,
};

/// List, start, end, rename, annotate, declare and delete sessions
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
A session is a named span of recording. These commands work whether or not `nightaudit serve` is running.
SESSION is a name, an id, either end of an id, or last. If several share a name, the open one is used, else the newest.

Examples:
  nightaudit sessions
  nightaudit sessions list --json | jq .name
  nightaudit sessions start certification
  nightaudit sessions note certification 'second run, after the fix'
  nightaudit sessions end
  nightaudit sessions declare certification certification.toml
  nightaudit sessions delete rehearsal --yes"
)]
pub(crate) struct Sessions {
    #[command(subcommand)]
    action: Option<Action>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the sessions
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Start a session, or continue the open one of that name; new exchanges are recorded into it
    Start {
        /// Its name
        name: String,
    },
    /// End a session for good; it can't be continued
    End {
        /// The session [default: the one being recorded]
        #[arg(add = complete::sessions())]
        session: Option<String>,
    },
    /// Rename a session; exchanges recorded before keep the old name
    Rename {
        /// The session
        #[arg(add = complete::sessions())]
        session: String,
        /// The new name
        name: String,
    },
    /// Attach a note to a session
    Note {
        /// The session
        #[arg(add = complete::sessions())]
        session: String,
        /// The note; an empty one removes the existing note
        text: String,
    },
    /// Store the integration's declaration with a session, for `review` and `export`
    Declare {
        /// The session
        #[arg(add = complete::sessions())]
        session: String,
        /// The declaration file
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, default_value = declared::FILE)]
        file: PathBuf,
        /// Remove the stored declaration
        #[arg(long)]
        remove: bool,
    },
    /// Delete a session and everything recorded in it
    Delete {
        /// The session
        #[arg(add = complete::sessions())]
        session: String,
        /// Don't ask for confirmation
        #[arg(short, long)]
        yes: bool,
    },
}

impl Sessions {
    /// Whether it only lists.
    pub(crate) fn lists(&self) -> bool {
        matches!(self.action, None | Some(Action::List { .. }))
    }

    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let change = match &self.action {
            None => return list(settings, self.json),
            Some(Action::List { json }) => return list(settings, *json),
            Some(Action::Start { name }) => SessionChange::Start(name),
            Some(Action::End { session }) => SessionChange::End(session.as_deref()),
            Some(Action::Rename { session, name }) => SessionChange::Rename(session, name),
            Some(Action::Note { session, text }) => SessionChange::Note(session, text),
            Some(Action::Declare { session, file, remove }) => {
                let declaration = match remove {
                    true => String::new(),
                    false => declared::text(file, &settings.contracts()?)?,
                };
                let done = change_session(&settings.store, &SessionChange::Declare(session, &declaration))?;
                let name = plain(&done.name);
                return print(&match remove {
                    true => format!("removed the declaration of session {name}"),
                    false => format!("stored {} with session {name}", file.display()),
                });
            }
            Some(Action::Delete { session, yes }) => {
                // From the list, which has sessions whose folder was removed, too.
                let target = choose(Source::open(place(settings))?.sessions()?, Some(session))?;
                if !yes && !confirmed(&format!("Permanently delete {}?", described(&target)))? {
                    bail!("session {} was not deleted", plain(&target.name));
                }
                // By id: the name may belong to another session by now.
                let done = change_session(&settings.store, &SessionChange::Delete(&target.id.to_string()))?;
                return print(&format!("deleted {}", described(&done)));
            }
        };
        let session = change_session(&settings.store, &change)?;
        let name = plain(&session.name);
        print(&match change {
            SessionChange::Start(_) if session.current && Source::console(&settings.data).is_some() => {
                format!("session {name} is being recorded")
            }
            SessionChange::Start(_) => {
                format!("session {name} is open: `nightaudit serve --session {name}` records into it")
            }
            SessionChange::End(_) => format!("ended {}", described(&session)),
            SessionChange::Rename(..) => format!("renamed session {} to {name}", session.id),
            SessionChange::Note(..) => match &session.note {
                Some(note) => format!("session {name}: {}", plain(note)),
                None => format!("removed the note of session {name}"),
            },
            SessionChange::Declare(..) | SessionChange::Delete(_) => described(&session),
        })
    }
}

fn print(line: &str) -> anyhow::Result<ExitCode> {
    writeln!(anstream::stdout().lock(), "{line}")?;
    Ok(ExitCode::SUCCESS)
}

/// A session's name, exchanges and size, for messages.
fn described(session: &Session) -> String {
    let exchanges = counted(session.exchanges, "exchange");
    format!("session {} with {exchanges} ({})", plain(&session.name), size(session.bytes))
}

fn list(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let source = Source::open(place(settings))?;
    let sessions = source.sessions()?;
    if let Some(archive) = source.shipping()?
        && let Some(cause) = archive.failing
    {
        match archive.behind {
            0 => tracing::warn!("nothing can be shipped to the archive: {}", plain(&cause)),
            behind => tracing::warn!("the archive lacks {}: {}", counted(behind, "exchange"), plain(&cause)),
        }
    }
    let mut out = anstream::stdout().lock();
    if json {
        for session in &sessions {
            print_json(session)?;
        }
    } else {
        write_table(&mut out, &sessions, &TimeZone::system())?;
    }
    // The table has the counts; the warning names the missing exchanges.
    let missing = Losses::new(&sessions).tell();
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the sessions as a table, its columns as wide as their contents.
fn write_table(out: &mut dyn Write, sessions: &[Session], zone: &TimeZone) -> io::Result<()> {
    const HEAD: [&str; 7] = ["SESSION", "STATE", "EXCHANGES", "STARTED", "SPAN", "SIZE", "ID"];
    const RIGHT: [bool; 7] = [false, false, true, false, true, true, false];

    if sessions.is_empty() {
        return writeln!(out, "no sessions yet: `nightaudit serve` records one");
    }
    let rows: Vec<[String; 7]> = sessions.iter().map(|session| cells(session, zone)).collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].width()).chain([HEAD[column].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let dim = Style::new().dimmed();
    let pad = |text: &str, column: usize| pad(text, widths[column], RIGHT[column]);
    let head: Vec<String> = HEAD.iter().enumerate().map(|(column, text)| pad(text, column)).collect();
    writeln!(out, "{dim}{}{dim:#}", head.join("  ").trim_end())?;
    for (row, session) in rows.iter().zip(sessions) {
        let style = match (session.current, session.open) {
            (true, _) => Style::new().fg_color(Some(AnsiColor::Green.into())),
            (_, true) => Style::new(),
            _ => dim,
        };
        let cells: Vec<String> = row.iter().enumerate().map(|(column, text)| pad(text, column)).collect();
        write!(out, "{}  {style}{}{style:#}  {}", cells[0], cells[1], cells[2..].join("  "))?;
        if let Some(note) = &session.note {
            write!(out, "  {dim}# {}{dim:#}", plain(note))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn cells(session: &Session, zone: &TimeZone) -> [String; 7] {
    let mut state = match (session.current, session.open) {
        (true, _) => "recording",
        (_, true) => "open",
        _ => "closed",
    }
    .to_owned();
    match session.imported {
        Some(import) if import.altered() > 0 => {
            let _ = write!(state, ", imported, {} of {} altered", import.altered(), import.exchanges);
        }
        Some(import) if import.foreign > 0 => state.push_str(", imported from another tool"),
        Some(_) => state.push_str(", imported"),
        None => {}
    }
    if session.importing {
        state = "import unfinished".to_owned();
    } else if session.missing > 0 && session.exchanges == 0 {
        state = format!("{} missing", session.missing);
    } else if session.missing > 0 {
        let _ = write!(state, ", {} missing", session.missing);
    } else if session.incomplete {
        state.push_str(", incomplete");
    }
    let took = match (session.first, session.last) {
        (Some(first), Some(last)) => span(last.since(first)),
        _ => span(Duration::ZERO),
    };
    [
        plain(&session.name),
        state,
        session.exchanges.to_string(),
        local(session.started, zone, "%Y-%m-%d %H:%M"),
        took,
        size(session.bytes),
        session.id.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str, current: bool, open: bool) -> Session {
        let (id, started) = ("01KAS000000000000000000000".parse().unwrap(), "2026-11-23T12:00:00Z".parse().unwrap());
        Session {
            ended: (!open).then(|| "2026-11-23T13:00:00Z".parse().unwrap()),
            exchanges: 12_345,
            first: Some("2026-11-23T12:00:01Z".parse().unwrap()),
            last: Some("2026-11-25T11:30:00Z".parse().unwrap()),
            bytes: 3 << 20,
            open,
            current,
            ..Session::new(id, name, "demo", started)
        }
    }

    #[test]
    fn a_list_of_sessions() {
        let noted = Session { note: Some("second run".to_owned()), ..session("certification", true, true) };
        let empty = Session {
            exchanges: 0,
            first: None,
            last: None,
            bytes: 0,
            incomplete: true,
            ..session("a rather long name of a suite", false, false)
        };
        let import = |edited| Some(nightaudit_exchange::Import { exchanges: 99, edited, masked: 0, foreign: 0 });
        let altered = Session { exchanges: 99, imported: import(99), ..session("from elsewhere", false, false) };
        let fits = Session { exchanges: 99, imported: import(0), ..session("moved", false, false) };
        let cut = Session { missing: 1227, ..session("cut", false, false) };
        let gone = Session {
            missing: 3,
            ..Session { exchanges: 0, first: None, last: None, ..session("gone", false, false) }
        };
        let half = Session { importing: true, incomplete: true, ..session("half", false, false) };
        let all = [session("2026-11-22T08-00-00Z", false, true), noted, empty, cut, gone, half, altered, fits];
        let mut out = Vec::new();
        write_table(&mut out, &all, &TimeZone::UTC).unwrap();
        insta::assert_snapshot!(String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap());
    }
}
