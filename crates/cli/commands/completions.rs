//! `nightaudit completions`

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Arguments;

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  nightaudit completions bash > ~/.local/share/bash-completion/completions/nightaudit
  nightaudit completions zsh > ~/.zfunc/_nightaudit
  nightaudit completions fish > ~/.config/fish/completions/nightaudit.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        // Written at once, because clap_complete panics where its output can't be written.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "nightaudit", &mut script);
        io::stdout().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
