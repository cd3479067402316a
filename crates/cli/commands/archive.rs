//! `nightaudit archive`

use std::{io::Write as _, process::ExitCode};

use clap::{Args, Subcommand};
use nightaudit_app::config::Settings;

use crate::error::Usage;

/// Make the archive that several machines ship to
#[derive(Debug, Args)]
#[command(after_long_help = "\
An archive is a PostgreSQL database (encoding UTF8) to which each machine that has `archive = \"postgres://…\"` in its
configuration ships what it records. `--log postgres://…` makes tail, top, show, sessions, review, compare, export, verify,
console and log read it. Passwords are also taken from PGPASSWORD, and from the file in PGPASSFILE or `?passfile=`.

Examples:
  nightaudit archive setup --log postgres://admin@db.example.com/audit
  nightaudit sessions --log postgres://anna@db.example.com/audit")]
pub(crate) struct Archive {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the archive and its roles in an empty database, or bring them up to date
    ///
    /// Needs a user who owns the database and may create roles. Running it again changes nothing.
    Setup,
}

impl Archive {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let Some(address) = &settings.read_from else {
            return Err(Usage::new("name the database: --log postgres://admin@host/database").into());
        };
        let Action::Setup = self.action;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let done = runtime.block_on(nightaudit_archive::setup(address))?;
        let mut out = anstream::stdout().lock();
        match done.from {
            0 => writeln!(out, "{address} is an archive now (schema {})", done.to)?,
            from if from == done.to => writeln!(out, "{address} is up to date (schema {from})")?,
            from => writeln!(out, "{address} is brought from schema {from} to {}", done.to)?,
        }
        writeln!(
            out,
            "a login for a node, which may only append:  CREATE ROLE kiosk LOGIN PASSWORD '…' IN ROLE nightaudit_node;"
        )?;
        writeln!(
            out,
            "a login for a reader, who may only read:    CREATE ROLE anna LOGIN PASSWORD '…' IN ROLE nightaudit_reader;"
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
