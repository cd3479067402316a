//! `nightaudit man`

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Args, CommandFactory as _};

use crate::args::Arguments;

/// Print the manual page
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  nightaudit man > ~/.local/share/man/man1/nightaudit.1
  nightaudit man serve > ~/.local/share/man/man1/nightaudit-serve.1")]
pub(crate) struct Man {
    /// Of this command instead of the whole
    #[arg(value_name = "COMMAND")]
    of: Option<String>,
}

impl Man {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut command = Arguments::command();
        command.build();
        if let Some(of) = &self.of {
            let found = command.find_subcommand(of).cloned();
            let found = found.ok_or_else(|| crate::error::Usage::new(format!("there is no command `{of}`")))?;
            command = found;
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        io::stdout().write_all(&page)?;
        Ok(ExitCode::SUCCESS)
    }
}
