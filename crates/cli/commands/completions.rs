//! `nightaudit completions`

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use clap_complete::{Shell, env::Shells};

use crate::complete;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
The script completes commands, flags, sessions, operations and ids; it asks nightaudit for candidates.

Examples:
  nightaudit completions bash \\
    > ~/.local/share/bash-completion/completions/nightaudit
  nightaudit completions zsh > ~/.zfunc/_nightaudit
  nightaudit completions fish > ~/.config/fish/completions/nightaudit.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let shells = Shells::builtins();
        let shell = shells.completer(&self.shell.to_string());
        let shell = shell.with_context(|| format!("there are no completions for {}", self.shell))?;
        let mut script = Vec::new();
        shell.write_registration(complete::VARIABLE, "nightaudit", "nightaudit", "nightaudit", &mut script)?;
        io::stdout().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
