//! The declaration's file, and what `--explain` says.

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
    questions, rule,
    summary::{severity_style, wrapped},
};
use crate::{error::Usage, signals::Unfinished};

/// Where a declaration is looked for, and written.
pub(crate) const FILE: &str = "certification.toml";

/// The largest declaration that is read, in bytes.
const LARGEST: u64 = 4 << 20;

/// A declaration that was found.
pub(crate) struct Found {
    /// Its text.
    pub(crate) text: String,
    /// What it means.
    pub(crate) declaration: Declaration,
    /// Where it is from, for a person.
    pub(crate) place: String,
}

/// The declaration that holds for a session: the file that is named, else the one that is kept with the session, else
/// [`FILE`] in the current folder if it is there.
pub(crate) fn find(
    named: Option<&Path>,
    session: Option<&Session>,
    contracts: &Contracts,
) -> anyhow::Result<Option<Found>> {
    let kept = session.and_then(|session| Some((session, session.declaration.as_deref()?)));
    let path = match (named, kept) {
        (Some(path), _) => path,
        (None, Some((session, text))) => {
            let place = format!("kept with session {}", plain(&session.name));
            if fs::read_to_string(FILE).is_ok_and(|file| file != text) {
                let name = plain(&session.name);
                let what = "is another than the declaration that is kept with the session, which holds";
                writeln!(
                    anstream::stderr().lock(),
                    "{FILE} {what}: `nightaudit sessions declare {name}` keeps the file in its place"
                )?;
            }
            let declaration = Declaration::read(text, contracts).with_context(|| place.clone()).map_err(Usage)?;
            return Ok(Some(Found { text: text.to_owned(), declaration, place }));
        }
        (None, None) if Path::new(FILE).is_file() => Path::new(FILE),
        (None, None) => return Ok(None),
    };
    let (text, declaration) = read(path, contracts)?;
    Ok(Some(Found { text, declaration, place: path.display().to_string() }))
}

/// The text of a declaration in which nothing is wrong.
pub(crate) fn text(path: &Path, contracts: &Contracts) -> anyhow::Result<String> {
    Ok(read(path, contracts)?.0)
}

/// Reads a declaration.
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

/// Writes a declaration to begin with, after asking on a terminal what no session tells. One that is there stays, unless
/// it is to be replaced.
pub(super) fn write(path: &Path, review: &Review, force: bool) -> anyhow::Result<()> {
    let taken = || Usage::new(format!("{} is there already: replace it with --force", path.display()));
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
    // A declaration is to be read by others, as far as the umask has it; a temporary file is its owner's alone.
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
        "{} written: say in it what each operation is for, and what the form asks; then run `nightaudit review` again",
        path.display()
    )?;
    Ok(())
}

/// Says why a rule is there, or lists all of them.
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
