//! `nightaudit console`

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::anyhow;
use clap::{Args, ValueHint};
use nightaudit_app::{
    BindError, StartError, Viewer,
    config::{Address, Flag, Settings},
};
use nightaudit_text::{counted, plain};
use tokio_util::sync::CancellationToken;
use toml::Value;

use crate::{
    commands::serve::{announce, open_page},
    place::place,
    signals::stop_on_signal,
};

/// Serve the page over a log that no `serve` has open
#[derive(Debug, Args)]
#[command(after_long_help = "\
Nothing is recorded. Exchanges can be read and exported; sessions can be renamed, noted, declared, imported and deleted. While
it runs, other commands use it as they use a `serve`, and none can start on the same log. A data folder that can't be written
is only read. Stop it with Ctrl-C.

Examples:
  nightaudit console
  nightaudit console --data /mnt/audit --open")]
pub(crate) struct Console {
    /// The address to listen on: 8081, localhost:8081; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Address>,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
    /// Let other machines reach the console in clear text
    #[arg(long)]
    insecure_console: bool,
    /// PEM file of a certificate chain, to serve TLS to other machines
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_cert: Option<String>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_key: Option<String>,
}

impl Console {
    /// The flags as configuration keys.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let text = |value: &str| Value::String(value.to_owned());
        // There is no proxy, so the console may have its address.
        let mut flags: Vec<Flag> = vec![("--listen", "listen", text("127.0.0.1:0"))];
        let texts = [
            ("--listen", "console", self.listen.map(|address| address.to_string())),
            ("--tls-cert", "tls_cert", self.tls_cert.clone()),
            ("--tls-key", "tls_key", self.tls_key.clone()),
        ];
        flags.extend(texts.into_iter().filter_map(|(flag, key, value)| Some((flag, key, Value::String(value?)))));
        if self.insecure_console {
            flags.push(("--insecure-console", "insecure_console", Value::Boolean(true)));
        }
        flags
    }

    pub(crate) fn run(&self, settings: Settings) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(async {
            let stop = CancellationToken::new();
            stop_on_signal(stop.clone())?;
            let viewer = Viewer::start(settings).await.map_err(named)?;
            let (viewer, lines) = tokio::task::spawn_blocking(move || {
                let lines = addresses(&viewer, io::stdout().is_terminal());
                (viewer, lines)
            })
            .await?;
            announce(&lines?);
            if self.open {
                open_page(viewer.ticket_url()?);
            }
            viewer.run(stop.cancelled()).await;
            Ok(ExitCode::SUCCESS)
        });
        // A thread that waits for a hanging disk must not delay the exit.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }
}

/// If the log is open elsewhere, where its page is.
fn named(error: StartError) -> anyhow::Error {
    if let StartError::Bind(error) = error {
        // Here the flag has another name than the key.
        return BindError { key: "listen", ..error }.into();
    }
    let Some((pid, Some(console))) = error.holder() else { return error.into() };
    let process = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
    anyhow!(
        "a running nightaudit{process} has this log open, and its page is {console}/: see it with `nightaudit open`"
    )
}

fn addresses(viewer: &Viewer, to_person: bool) -> anyhow::Result<Vec<String>> {
    let (exchanges, sessions) = viewer.contents()?;
    let data = place(viewer.settings()).to_string();
    let (exchanges, sessions) = (counted(exchanges, "exchange"), counted(sessions, "session"));
    let mut lines = vec![
        format!("console  {}", viewer.page_url()),
        format!("log      {}: {exchanges} in {sessions}", plain(&data)),
    ];
    if to_person {
        lines.push(String::new());
        lines.push(
            "The console's address opens a page that shows the log; nothing is recorded. Ctrl-C stops.".to_owned(),
        );
        lines.push(String::new());
    }
    Ok(lines)
}
