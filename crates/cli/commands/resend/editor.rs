//! Editing a body in the user's editor.

use std::{
    env, fs,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use nightaudit_text::json::{indent, is_json};

use crate::error::Usage;

/// What POSIX systems have.
const DEFAULT: &str = "vi";

/// Opens the text in the editor that VISUAL or EDITOR names, and returns it as it was saved. Only its owner can read the file
/// meanwhile.
pub(super) fn edit(text: &str) -> anyhow::Result<String> {
    let editor =
        ["VISUAL", "EDITOR"].iter().filter_map(|name| env::var(name).ok()).find(|editor| !editor.trim().is_empty());
    let editor = editor.unwrap_or_else(|| DEFAULT.to_owned());
    let mut file = tempfile::Builder::new().prefix("nightaudit-body-").suffix(".json").tempfile()?;
    let shown = if is_json(text) { indent(text) } else { text.to_owned() };
    file.write_all(shown.as_bytes())?;
    file.flush()?;
    // EDITOR may have arguments, as for git and crontab; the file's path is passed as it is.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file.path())
        .stdin(Stdio::inherit())
        .status()
        .context("can't start a shell for the editor")?;
    if !status.success() {
        bail!("nothing was sent: the editor `{editor}` ended with {status}");
    }
    let edited = fs::read_to_string(file.path()).context("the edited body can't be read as UTF-8 text")?;
    if edited.trim().is_empty() && !text.is_empty() {
        return Err(Usage::new("nothing was sent: the edited body is empty").into());
    }
    if edited == shown {
        return Ok(text.to_owned());
    }
    // Editors end the last line.
    Ok(edited.strip_suffix('\n').unwrap_or(&edited).to_owned())
}
