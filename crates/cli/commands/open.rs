//! `nightaudit open`

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Args;
use http::Method;
use nightaudit_app::config::Settings;
use nightaudit_client::{Client, Source};
use serde::Deserialize;

use crate::browser;

/// Open the page of the running `serve` in the browser
#[derive(Debug, Args)]
#[command(after_long_help = "\
Uses the programs in BROWSER, or the system's browser. If there is none, it prints the page's address, which has the
console's token: whoever has it can read the log. The browser itself is started with an address that works once, for a minute
and for the same user, because all users can see a program's arguments.

Examples:
  nightaudit open
  nightaudit open --print")]
pub(crate) struct Open {
    /// Print the page's address instead
    #[arg(long)]
    print: bool,
}

/// See `POST /api/v1/tickets`.
#[derive(Deserialize)]
struct Ticket {
    path: String,
}

impl Open {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let Some(client) = Source::console(&settings.data) else {
            anyhow::bail!(
                "no `nightaudit serve` runs on {}: start one, or see the log with `nightaudit console`",
                settings.data.display()
            );
        };
        if self.print {
            say(&client.page_url())?;
        } else {
            shown(&client, browser::open(ticket(&client)?))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An address that opens the page once.
fn ticket(client: &Client) -> anyhow::Result<String> {
    let Ticket { path } = client.change(Method::POST, "/api/v1/tickets", None)?;
    Ok(format!("{}{path}", client.url()))
}

fn shown(client: &Client, opened: Result<(), browser::NoBrowser>) -> io::Result<()> {
    match opened {
        Ok(()) => say(&format!("Opened {}/ in the browser.", client.url())),
        Err(reason) => say(&format!("No browser was opened: {reason}. The page's address:\n{}", client.page_url())),
    }
}

fn say(text: &str) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{text}")
}
