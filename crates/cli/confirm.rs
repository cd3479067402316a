//! Questions to the user.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::error::Usage;

/// Asks a question that is answered with yes or no, which is the default.
///
/// # Errors
///
/// There is nobody to ask: the remedy is `--yes`.
pub(crate) fn confirmed(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Usage::new("can't ask for confirmation without a terminal: use --yes").into());
    }
    let mut out = anstream::stderr().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
