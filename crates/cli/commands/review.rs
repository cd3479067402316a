//! `nightaudit review`

mod changes;
pub(crate) mod declared;
pub(crate) mod layout;
mod questions;
mod sections;
mod summary;
mod watch;

use std::{
    collections::BTreeMap,
    io::{self, BufReader, IsTerminal as _, Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum, ValueHint};
use jiff::tz::TimeZone;
use nightaudit_app::config::Settings;
use nightaudit_client::{Losses, Source, Stream};
use nightaudit_exchange::{ExchangeId, Filter, Missing, SessionId};
use nightaudit_log::Candidate;
use nightaudit_review::{Basis, Comparison, Declaration, Review as Said, Reviewer, Rule, SessionFacts, Severity, form};
use nightaudit_store::{Order, Session};
use nightaudit_text::{counted, plain, plain_lines, terminal::print_json};

use self::{changes::Changes, declared::rule, layout::Summary};
use crate::{
    complete,
    error::{Usage, open_input},
    place::place,
    progress::Bar,
};

/// Review a session as Mews' reviewers would
#[derive(Debug, Args)]
#[command(after_long_help = "\
Checks a session the way Mews' Marketplace team does before it certifies an integration: how long it ran, which operations
were and weren't called, whether request limits and `Retry-After` were respected, which failed calls were never resolved,
and whether requests match the documentation. What to fix comes first, with the ids of exchanges that show it.

The declaration describes what the integration is meant to do. `--init` writes one from the operations called in the
session and, on a terminal, asks for the rest. It is read from the file given with --declaration, else from the session
(`nightaudit sessions declare`), else from certification.toml in the current folder.

The verdict applies to Mews Demo: a session is never ready if a simulator responded, if it was imported, or if no public
authority vouches for the host. --except affects the exit code only, not the verdict.

Exits with 1 if findings of the severity --fail-on or worse remain, for use in CI. --form prints the answers for Mews'
certification form, as text to paste.

Examples:
  nightaudit review
  nightaudit review --session certification --init
  nightaudit review --session suite-a --fail-on warning --except run/short
  nightaudit review --session certification --form
  nightaudit review --json | jq '.findings[] | .rule'
  nightaudit review --explain retry/no-backoff
  nightaudit review --watch
  nightaudit review --session run-2 --against run-1
  nightaudit review --json > before.json
  nightaudit review --against before.json")]
pub(crate) struct Review {
    /// The session: a name, an id, either end of an id, or last [default: the newest]
    #[arg(long, value_name = "NAME|ID", add = complete::sessions())]
    session: Option<String>,
    /// The declaration file [default: the one stored with the session, or certification.toml if it exists]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    declaration: Option<PathBuf>,
    /// The whole review as one JSON object
    #[arg(long)]
    json: bool,
    /// Exit with 1 if findings of this severity or worse remain
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    fail_on: FailOn,
    /// Rules that don't affect the exit code; the verdict doesn't change
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    except: Vec<String>,
    /// Print the answers for Mews' certification form, as text to paste
    #[arg(long, conflicts_with_all = ["json", "watch", "explain", "init", "against"])]
    form: bool,
    /// Write a declaration from the operations called in the session
    #[arg(long, conflicts_with_all = ["json", "watch", "explain"])]
    init: bool,
    /// With --init, replace an existing declaration
    #[arg(long, requires = "init")]
    force: bool,
    /// Explain a rule: why reviewers care, and how to fix it; `all` lists the rules
    #[arg(long, value_name = "RULE", add = complete::rules())]
    explain: Option<String>,
    /// Repeat the review whenever exchanges are recorded, and show what changed
    #[arg(long, conflicts_with = "explain")]
    watch: bool,
    /// Show what changed compared with another session, or with a file written by `review --json`
    #[arg(long, value_name = "NAME|ID|FILE", add = complete::sessions(), conflicts_with_all = ["init", "explain", "watch"])]
    against: Option<String>,
}

/// The largest review file that is read, in bytes.
const LARGEST_REVIEW: u64 = 64 << 20;

/// The lowest severity that fails a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Never,
}

impl Review {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let mut out = anstream::stdout().lock();
        if let Some(rule) = &self.explain {
            declared::explain(&mut out, rule, layout::width())?;
            return Ok(ExitCode::SUCCESS);
        }
        let basis = settings.basis()?;
        let except = self.except.iter().map(|text| rule(text)).collect::<anyhow::Result<Vec<Rule>>>()?;
        let source = Source::open(place(settings))?;
        let session = find(&source, self.session.as_deref())?;
        // What nodes ship late comes in another order than it is read in, so following begins before reading.
        let early = match settings.read_from.is_some() && self.watch {
            true => Some(watch::Watch::now(place(settings), of(&session))?),
            false => None,
        };
        let found = match self.init {
            true => None,
            false => declared::find(self.declaration.as_deref(), Some(&session), &basis.contracts)?,
        };
        let (declaration, declared_in) = found.map(|found| (found.declaration, found.source)).unzip();
        let declaration = declaration.unwrap_or_default();
        let judge = Judge { source: &source, declaration: &declaration, basis: &basis };
        let (reading, lost) = judge.read(&session)?;
        if reading.count == 0 && !self.watch {
            bail!(
                "session `{}` has no exchanges yet: point the integration at `nightaudit serve`",
                plain(&session.name)
            );
        }
        if self.init {
            let file = self.declaration.as_deref().unwrap_or(Path::new(declared::FILE));
            declared::write(file, &reading.reviewer.review(), self.force)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.watch {
            drop(source);
            let watch =
                early.unwrap_or_else(|| watch::Watch::start(place(settings), reading.filter.clone(), reading.last));
            return self.watch(watch, reading, declared_in.as_deref(), &mut out);
        }
        let review = reading.reviewer.into_review();
        if self.form {
            write!(out, "{}", plain_lines(&form(&review, &declaration)))?;
            return Ok(if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        if let Some(which) = &self.against {
            let (earlier, against) = judge.earlier(which)?;
            self.print_changes(&mut out, &review, &earlier, &against)?;
        } else {
            self.print(&mut out, &review, declared_in.as_deref())?;
        }
        // Missing exchanges can't be judged.
        Ok(if self.fails(&review, &except) || !lost.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Prints a review, and then each change: in place on a terminal, appended elsewhere.
    fn watch(
        &self,
        mut watch: watch::Watch,
        mut reading: Reading,
        declaration: Option<&str>,
        out: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let in_place = io::stdout().is_terminal() && !self.json;
        let begun = reading.reviewer.review();
        let mut last = begun.clone();
        if in_place {
            write!(out, "\u{1b}[2J")?;
            watch::draw(out, &begun, &begun, &begun)?;
        } else {
            self.print(out, &begun, declaration)?;
            out.flush()?;
        }
        loop {
            reading.take(Box::new(watch.batch()?.into_iter().map(Ok)))?;
            let review = reading.reviewer.review();
            if in_place {
                watch::draw(out, &review, &begun, &last)?;
            } else if self.json {
                self.print(out, &review, declaration)?;
            } else if !Comparison::of(&last, &review).is_empty() {
                writeln!(out)?;
                self.print_changes(out, &review, &last, "the review before")?;
            }
            out.flush()?;
            last = review;
        }
    }

    /// Prints what changed between two reviews.
    fn print_changes(&self, out: &mut impl Write, review: &Said, earlier: &Said, against: &str) -> anyhow::Result<()> {
        let comparison = Comparison::of(earlier, review);
        if self.json {
            serde_json::to_writer(&mut *out, &comparison)?;
            writeln!(out)?;
        } else {
            write!(out, "{}", Changes { review, comparison: &comparison, against, width: layout::width() })?;
        }
        Ok(())
    }

    fn print(&self, out: &mut impl Write, review: &Said, declaration: Option<&str>) -> anyhow::Result<()> {
        if self.json {
            print_json(review)?;
        } else {
            let summary = Summary { review, declaration, width: layout::width(), zone: &TimeZone::system() };
            write!(out, "{summary}")?;
        }
        Ok(())
    }

    fn fails(&self, review: &Said, except: &[Rule]) -> bool {
        let from = match self.fail_on {
            FailOn::Error => Severity::Error,
            FailOn::Warning => Severity::Warning,
            FailOn::Never => return false,
        };
        let decides = |finding: &&nightaudit_review::Finding| !except.contains(&finding.rule);
        review.findings.iter().filter(decides).any(|finding| finding.severity >= from)
    }
}

/// The review of a session without a declaration.
pub(crate) fn review_of(settings: &Settings, session: &str) -> anyhow::Result<Said> {
    let source = Source::open(place(settings))?;
    let session = find(&source, Some(session))?;
    let (declaration, basis) = (Declaration::default(), settings.basis()?);
    let judge = Judge { source: &source, declaration: &declaration, basis: &basis };
    Ok(judge.read(&session)?.0.reviewer.into_review())
}

/// What sessions are reviewed against.
struct Judge<'a> {
    source: &'a Source,
    declaration: &'a Declaration,
    basis: &'a Basis,
}

impl Judge<'_> {
    /// Reads a session and warns of exchanges that are missing.
    fn read(&self, session: &Session) -> anyhow::Result<(Reading, Vec<Missing>)> {
        let mut facts = SessionFacts::from(session);
        let reviewer = self.basis.reviewer(self.declaration.clone(), &facts);
        let own = std::slice::from_ref(session);
        let losses = Losses::new(own).expecting_all(own);
        let reached = (!session.chains.is_empty()).then(BTreeMap::new);
        let mut reading = Reading { reviewer, filter: of(session), last: None, count: 0, reached, losses };
        reading.take(self.source.exchanges(&reading.filter, Order::Oldest, None)?)?;
        reading.losses.end();
        let lost = std::mem::take(&mut reading.losses).tell();
        // Now with what couldn't be read.
        facts.set_missing(&lost);
        reading.reviewer.set_facts(&facts);
        Ok((reading, lost))
    }

    /// The review to compare with, and its source: a session, or else a file.
    fn earlier(&self, which: &str) -> anyhow::Result<(Said, String)> {
        match find(self.source, Some(which)) {
            Ok(session) => {
                let (reading, _) = self.read(&session)?;
                Ok((reading.reviewer.into_review(), format!("session {}", plain(&session.name))))
            }
            Err(error) if !Path::new(which).is_file() => {
                Err(Usage::new(format!("{error}, and no file has that name")).into())
            }
            Err(_) => {
                let unreadable = || format!("{} is not the output of `nightaudit review --json`", plain(which));
                let file = open_input(Path::new(which))?;
                let review =
                    serde_json::from_reader(BufReader::new(file.take(LARGEST_REVIEW))).with_context(unreadable)?;
                Ok((review, plain(which)))
            }
        }
    }
}

/// A reviewer and its position.
struct Reading {
    reviewer: Reviewer,
    filter: Filter,
    last: Option<ExchangeId>,
    count: u64,
    /// The last sequence of each chain of an archive: what is followed there may have been read before.
    reached: Option<BTreeMap<SessionId, u64>>,
    losses: Losses,
}

impl Reading {
    fn take(&mut self, exchanges: Stream) -> anyhow::Result<()> {
        let bar = Bar::new();
        for exchange in exchanges {
            let exchange = match exchange {
                Ok(exchange) => exchange,
                Err(error) => {
                    self.losses.note(error).with_context(|| format!("after {}", counted(self.count, "exchange")))?;
                    continue;
                }
            };
            if let Some(reached) = &mut self.reached {
                let reached = reached.entry(exchange.session).or_default();
                if exchange.sequence <= *reached {
                    continue;
                }
                *reached = exchange.sequence;
            }
            self.losses.read(&exchange);
            self.reviewer.push(&exchange);
            self.last = Some(exchange.id);
            self.count += 1;
            if self.count.is_multiple_of(256) {
                bar.show(self.count, None);
            }
        }
        bar.clear();
        Ok(())
    }
}

fn of(session: &Session) -> Filter {
    Filter { session: Some(session.filter_text()), ..Filter::default() }
}

/// The session that is meant by `which`, in an archive also one node's part of it.
pub(crate) fn find(source: &Source, which: Option<&str>) -> anyhow::Result<Session> {
    match (choose(source.sessions()?, which), which) {
        (Err(_), Some(which)) if which.contains('@') => Ok(source.session(which)?),
        (found, _) => found,
    }
}

/// The session that is meant by `which`, as everywhere; without it, the one that recorded last.
pub(crate) fn choose(sessions: Vec<Session>, which: Option<&str>) -> anyhow::Result<Session> {
    let Some(which) = which else {
        let newest = sessions.into_iter().max_by_key(|session| (session.last.is_some(), session.last, session.started));
        return newest.context("the log has no sessions yet: start `nightaudit serve` and send a request through it");
    };
    let named = sessions.iter().map(|session| Candidate { id: session.id, name: &session.name, open: session.open });
    let id = nightaudit_log::choose(which, named).map_err(|error| Usage(error.into()))?;
    Ok(sessions.into_iter().find(|session| session.id == id).expect("it was chosen among them"))
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::{SessionId, Timestamp};

    use super::*;

    fn session(number: u64, name: &str, last: Option<i64>) -> Session {
        let started = Timestamp::from_micros(i64::try_from(number).unwrap());
        Session {
            exchanges: 1,
            last: last.map(Timestamp::from_micros),
            open: name == "open",
            ..Session::new(SessionId::from_parts(number, number.into()), name, "demo", started)
        }
    }

    #[test]
    fn a_session_is_found_by_name_or_id_and_else_it_is_the_one_that_recorded_last() {
        let sessions = || {
            vec![
                session(1, "a", Some(50)),
                session(2, "a", Some(40)),
                session(1 << 47, "open", None),
                session(4, "b", None),
            ]
        };
        let chosen = |which: Option<&str>| choose(sessions(), which).map(|session| session.id.milliseconds());
        assert_eq!(chosen(None).unwrap(), 1);
        assert_eq!(chosen(Some("a")).unwrap(), 2);
        assert_eq!(chosen(Some("4")).unwrap(), 1 << 47);
        let id = SessionId::from_parts(1 << 47, 1 << 47).to_string();
        for which in [&id[..], &id[14..], &id[14..].to_lowercase(), "last"] {
            assert_eq!(chosen(Some(which)).unwrap(), 1 << 47, "{which}");
        }
        assert_eq!(chosen(Some("last")).unwrap(), 1 << 47);
        assert!(chosen(Some("0")).unwrap_err().to_string().contains("several sessions"));
        for nobody in ["x", ""] {
            assert!(chosen(Some(nobody)).unwrap_err().to_string().contains("there is no session"), "{nobody}");
        }
        assert!(choose(Vec::new(), None).unwrap_err().to_string().contains("no sessions yet"));
    }
}
