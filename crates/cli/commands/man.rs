//! `nightaudit man`

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Command, ValueHint};

use crate::error::Usage;

/// Print the manual pages
#[derive(Debug, Args)]
#[command(after_long_help = "\
There is one page for nightaudit itself and one for each command.

Examples:
  nightaudit man > ~/.local/share/man/man1/nightaudit.1
  nightaudit man sessions start > nightaudit-sessions-start.1
  nightaudit man --all ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The page of this command [default: nightaudit itself]
    #[arg(value_name = "COMMAND", conflicts_with = "all")]
    of: Vec<String>,
    /// Write all pages to this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    all: Option<PathBuf>,
}

impl Man {
    /// Prints the pages of this command and its subcommands.
    pub(crate) fn run(&self, mut whole: Command) -> anyhow::Result<ExitCode> {
        whole.build();
        if let Some(folder) = &self.all {
            fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
            let pages = write_all(&whole, "nightaudit", folder)?;
            writeln!(io::stderr(), "{pages} pages written to {}", folder.display())?;
            return Ok(ExitCode::SUCCESS);
        }
        let (mut command, mut title) = (&whole, "nightaudit".to_owned());
        for of in &self.of {
            let found = command.find_subcommand(of);
            command = found.ok_or_else(|| Usage::new(format!("`{title}` has no command `{of}`")))?;
            title = format!("{title}-{}", command.get_name());
        }
        io::stdout().write_all(&page(command, &title)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the pages of a command and its subcommands; returns how many.
fn write_all(command: &Command, title: &str, folder: &Path) -> anyhow::Result<usize> {
    let path = folder.join(format!("{title}.1"));
    fs::write(&path, page(command, title)?).with_context(|| format!("can't write {}", path.display()))?;
    command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
        .try_fold(1, |pages, sub| Ok(pages + write_all(sub, &format!("{title}-{}", sub.get_name()), folder)?))
}

fn page(command: &Command, title: &str) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let source = concat!("nightaudit ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command.clone()).title(title).source(source).render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::help;

    #[test]
    fn every_command_has_a_page() {
        fn count(command: &Command) -> usize {
            1 + command.get_subcommands().filter(|sub| sub.get_name() != "help").map(count).sum::<usize>()
        }

        let folder = tempfile::tempdir().unwrap();
        let mut whole = help::command();
        whole.build();
        let pages = write_all(&whole, "nightaudit", folder.path()).unwrap();
        assert_eq!(pages, count(&whole));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), pages);
        let page = fs::read_to_string(folder.path().join("nightaudit-sessions-delete.1")).unwrap();
        assert!(page.contains(".TH nightaudit-sessions-delete 1") && page.contains("\\-\\-yes"), "{page}");
        assert!(page.contains("Delete a session"));
        // The source at the foot of the page: the program and its version, not the last word of the command.
        let version = env!("CARGO_PKG_VERSION");
        assert!(page.contains(&format!(".TH nightaudit-sessions-delete 1  \"nightaudit {version}\"")), "{page}");
        // Each value that a flag takes.
        for (page, values) in [("review", &["error", "warning", "never"][..]), ("serve", &["sync", "write", "batch"])] {
            let page = fs::read_to_string(folder.path().join(format!("nightaudit-{page}.1"))).unwrap();
            for value in values {
                assert!(page.contains(&format!(".IP \\(bu 2\n{value}")), "{value}: {page}");
            }
        }
    }
}
