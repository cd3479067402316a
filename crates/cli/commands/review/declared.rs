//! Reads and writes the declaration file, and prints `--explain`.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Read as _, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use nightaudit_mews::Contracts;
use nightaudit_review::{Declaration, Review, Rule, guess, template};
use nightaudit_store::Session;
use nightaudit_text::plain;

use super::{
    layout::{severity_style, wrapped},
    questions,
};
use crate::{error::Usage, signals::Unfinished};

/// The default file name of a declaration.
pub(crate) const FILE: &str = "certification.toml";

/// The largest declaration accepted, in bytes.
const LARGEST: u64 = 4 << 20;

/// A declaration that was found.
pub(crate) struct Found {
    /// Its text.
    pub(crate) text: String,
    /// The parsed declaration.
    pub(crate) declaration: Declaration,
    /// Its source, for messages.
    pub(crate) source: String,
}

/// Finds the declaration for a session: the named file, else the one stored with the session, else [`FILE`] in the current
/// folder if it exists.
pub(crate) fn find(
    named: Option<&Path>,
    session: Option<&Session>,
    contracts: &Contracts,
) -> anyhow::Result<Option<Found>> {
    let stored = session.and_then(|session| Some((session, session.declaration.as_deref()?)));
    let path = match (named, stored) {
        (Some(path), _) => path,
        (None, Some((session, text))) => {
            let source = format!("stored with session {}", plain(&session.name));
            if fs::read_to_string(FILE).is_ok_and(|file| file != text) {
                let name = plain(&session.name);
                let what = "differs from the declaration stored with the session, which is used";
                writeln!(
                    anstream::stderr().lock(),
                    "{FILE} {what}: `nightaudit sessions declare {name}` stores the file instead"
                )?;
            }
            let declaration = Declaration::read(text, contracts).with_context(|| source.clone()).map_err(Usage)?;
            return Ok(Some(Found { text: text.to_owned(), declaration, source }));
        }
        (None, None) if Path::new(FILE).is_file() => Path::new(FILE),
        (None, None) => return Ok(None),
    };
    let (text, declaration) = read(path, contracts)?;
    Ok(Some(Found { text, declaration, source: path.display().to_string() }))
}

/// The text of a valid declaration file.
pub(crate) fn text(path: &Path, contracts: &Contracts) -> anyhow::Result<String> {
    Ok(read(path, contracts)?.0)
}

/// Reads and parses a declaration file.
fn read(path: &Path, contracts: &Contracts) -> anyhow::Result<(String, Declaration)> {
    let unreadable = || format!("can't read the declaration {}", path.display());
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    read.with_context(unreadable).map_err(Usage)?;
    if text.len() as u64 > LARGEST {
        return Err(Usage::new(format!("the declaration {} is larger than 4 MiB", path.display())).into());
    }
    let declaration = Declaration::read(text.strip_prefix('\u{feff}').unwrap_or(&text), contracts);
    let declaration = declaration.with_context(|| format!("{}", path.display())).map_err(Usage)?;
    Ok((text, declaration))
}

/// Writes an initial declaration, asking on a terminal for what the session can't tell. Replaces an existing file only
/// with `force`.
pub(super) fn write(path: &Path, review: &Review, force: bool) -> anyhow::Result<()> {
    let taken = || Usage::new(format!("{} already exists: replace it with --force", path.display()));
    if !force && path.exists() {
        return Err(taken().into());
    }
    let guessed = guess(review);
    let known = if io::stdin().is_terminal() && io::stderr().is_terminal() {
        questions::ask(guessed, &mut io::stdin().lock(), &mut anstream::stderr().lock())?
    } else {
        guessed
    };
    let unwritable = || format!("can't write {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Temporary files are private to their owner; a declaration gets the umask's mode.
    let mode = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder).with_context(unwritable)?;
    let _unfinished = Unfinished::at(file.path())?;
    file.write_all(template(review, &known).as_bytes()).with_context(unwritable)?;
    if force {
        file.persist(path).with_context(unwritable)?;
    } else {
        file.persist_noclobber(path).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => anyhow::Error::from(taken()),
            _ => anyhow::Error::new(error).context(unwritable()),
        })?;
    }
    writeln!(
        anstream::stderr().lock(),
        "{} written: fill in what each operation is for and what the form asks, then run `nightaudit review` again",
        path.display()
    )?;
    Ok(())
}

/// Explains a rule, or lists all of them.
pub(super) fn explain(out: &mut impl Write, text: &str, width: usize) -> anyhow::Result<()> {
    if text == "all" {
        for rule in Rule::ALL {
            let style = severity_style(rule.severity());
            let severity = rule.severity();
            writeln!(out, "{style}{severity:7}{style:#}  {rule:27}  {}", rule.title())?;
        }
        return Ok(());
    }
    let rule = rule(text)?;
    let style = severity_style(rule.severity());
    writeln!(out, "{rule}  {style}{}{style:#}\n", rule.severity())?;
    writeln!(out, "{}.\n", rule.title())?;
    writeln!(out, "{}\n", wrapped(rule.why(), width, ""))?;
    writeln!(out, "{}", wrapped(rule.advice(), width, ""))?;
    Ok(())
}

/// Lists all rules, for an unknown one.
pub(super) fn rule(text: &str) -> anyhow::Result<Rule> {
    Ok(text.parse::<Rule>().map_err(|error| Usage(error.into()))?)
}
