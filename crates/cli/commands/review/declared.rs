//! The declaration's file, and what `--explain` says.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use nightaudit_mews::Contracts;
use nightaudit_review::{Declaration, Review, Rule, template};
use tempfile::NamedTempFile;

use super::{
    rule,
    summary::{severity_style, wrapped},
};
use crate::{error::Usage, signals::Unfinished};

/// Where a declaration is looked for, and written.
pub(super) const FILE: &str = "certification.toml";

/// The largest declaration that is read, in bytes.
const LARGEST: u64 = 4 << 20;

/// The declaration's file: the one that is named, or [`FILE`] if it is there.
pub(super) fn find(named: Option<&Path>, init: bool) -> Option<PathBuf> {
    match named {
        Some(path) => Some(path.to_owned()),
        None => Some(PathBuf::from(FILE)).filter(|path| init || path.is_file()),
    }
}

/// Reads a declaration.
pub(super) fn read(path: &Path, contracts: &Contracts) -> anyhow::Result<Declaration> {
    let unreadable = || format!("can't read the declaration {}", path.display());
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    read.with_context(unreadable).map_err(Usage)?;
    if text.len() as u64 > LARGEST {
        return Err(Usage::new(format!("the declaration {} is larger than 4 MiB", path.display())).into());
    }
    let declaration = Declaration::read(&text, contracts);
    Ok(declaration.with_context(|| format!("{}", path.display())).map_err(Usage)?)
}

/// Writes a declaration to begin with. One that is there stays, unless it is to be replaced.
pub(super) fn write(path: &Path, review: &Review, force: bool) -> anyhow::Result<()> {
    let taken = || Usage::new(format!("{} is there already: replace it with --force", path.display()));
    if !force && path.exists() {
        return Err(taken().into());
    }
    let unwritable = || format!("can't write {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).with_context(unwritable)?;
    let _unfinished = Unfinished::at(file.path())?;
    file.write_all(template(review).as_bytes()).with_context(unwritable)?;
    readable(file.path()).with_context(unwritable)?;
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
        "{} written: say in it what each operation is for, and run `nightaudit review` again",
        path.display()
    )?;
    Ok(())
}

/// A declaration is to be read by others; a temporary file is its owner's alone.
fn readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
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
