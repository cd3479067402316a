//! `nightaudit try`

mod morning;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use nightaudit_app::{
    Service, bind,
    config::{Layers, Period, Settings},
    logging,
};
use nightaudit_exchange::{Exchange, Filter, Outcome};
use nightaudit_mews::Contracts;
use nightaudit_simulator::{Config, Limit, Simulator};
use nightaudit_store::{FollowFrom, Follower};
use nightaudit_text::plain;
use tokio_util::sync::CancellationToken;

use self::morning::Morning;
use crate::{
    browser,
    commands::{export, review},
    global::GlobalArgs,
    requests::Requests,
    signals::stop_on_signal,
};

/// The name of the session.
const SESSION: &str = "try";

/// A free port of loopback.
const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// See what nightaudit does: a demonstration that needs nothing else
#[derive(Debug, Args)]
#[command(after_long_help = "\
Runs a simulated Mews, nightaudit in front of it, and a kiosk that checks guests in, on free ports of this machine. Some
requests are wrong on purpose, and once the kiosk exceeds the request limit. It leaves a log in a new folder, with a report,
which it opens if there is a browser, and prints commands to explore it. Ctrl-C stops it early.

Examples:
  nightaudit try
  nightaudit try --pace 0s")]
pub(crate) struct Try {
    /// The pause between two requests
    #[arg(long, value_name = "TIME", default_value = "80ms")]
    pace: Period,
    /// The request limit of both the simulated Mews and nightaudit
    #[arg(long, value_name = "COUNT/TIME", default_value = "60/5s")]
    limit: String,
    /// Don't open the report in a browser
    #[arg(long)]
    no_open: bool,
}

impl Try {
    pub(crate) fn run(&self, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
        let limit: Limit = self.limit.parse().map_err(|error| crate::error::Usage(anyhow::Error::new(error)))?;
        let mut folder = tempfile::Builder::new();
        folder.prefix("nightaudit-try-");
        #[cfg(unix)]
        folder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let folder = folder.tempdir()?.keep();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(self.tour(global, limit, &folder));
        runtime.shutdown_timeout(Duration::from_secs(1));
        let (seen, settings) = result?;
        seen.tell(&folder, &settings, !self.no_open && io::stdout().is_terminal())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn tour(&self, global: &GlobalArgs, limit: Limit, folder: &Path) -> anyhow::Result<(Seen, Settings)> {
        let port = bind(FREE, "listen").await?;
        let upstream = format!("http://{}", port.local_addr()?);
        let settings = settings(folder, &upstream, &self.limit)?;
        logging::start(&settings.log, global.color.on_standard_error(), None)?;
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;

        say(
            "A simulated Mews, nightaudit in front of it, and a kiosk that checks guests in. No response is from Mews.\n",
        )?;
        let simulator = Arc::new(Simulator::new(Config { limit: Some(limit), ..Config::default() }));
        let listen = nightaudit_listen::ListenConfig { drain: Duration::from_secs(2), ..Default::default() };
        let simulating = tokio::spawn(simulator.serve(port, listen, stop.clone().cancelled_owned()));

        let service = Service::start(settings.clone()).await?;
        let proxy = service.proxy_address();
        let follower = service.log().follow(Filter::default(), FollowFrom::Now)?;
        let serving = tokio::spawn(service.run(stop.clone().cancelled_owned()));
        let watching = tokio::spawn(watch(follower));
        let morning = Morning::new(proxy, self.pace.0).spend();
        let spent = stop.run_until_cancelled(morning).await;
        stop.cancel();
        serving.await??;
        simulating.await?;
        spent.transpose()?;
        Ok((watching.await??, settings))
    }
}

/// The settings for `serve`, independent of the configuration.
fn settings(folder: &Path, upstream: &str, limit: &str) -> anyhow::Result<Settings> {
    let mut layers = Layers::new();
    let text = |text: &str| toml::Value::String(text.to_owned());
    for (key, value) in [
        ("data", text(&folder.to_string_lossy())),
        ("upstream", text(upstream)),
        ("upstream_proxy", text("none")),
        ("listen", text(&FREE.to_string())),
        ("console", text(&FREE.to_string())),
        ("session", text(SESSION)),
        ("log", text("warn")),
        ("limit.rule", toml::Value::Array(vec![text(limit)])),
    ] {
        layers.flag("try", key, value);
    }
    Ok(Settings::new(&layers, Some(folder))?)
}

/// What was recorded.
#[derive(Debug, Default)]
struct Seen {
    requests: usize,
    refused: usize,
    wrong: usize,
}

/// Prints what is recorded until the log is closed.
async fn watch(follower: Follower) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    // Every line would say that the response isn't from Mews; the first and the last line of `try` do.
    Requests::new(Contracts::built_in())
        .without_origin()
        .follow(follower, |exchange| seen.count(exchange), say)
        .await?;
    Ok(seen)
}

impl Seen {
    fn count(&mut self, exchange: &Exchange) {
        self.requests += 1;
        if exchange.outcome == Outcome::Refused {
            self.refused += 1;
        } else if exchange.status().is_some_and(|status| status >= 400) {
            self.wrong += 1;
        }
    }

    /// Prints the verdict and commands to explore the log, ready to paste.
    fn tell(&self, folder: &Path, settings: &Settings, open: bool) -> anyhow::Result<()> {
        let program = env::args().next().unwrap_or_else(|| "nightaudit".to_owned());
        let (program, data) = (quoted(&program), quoted(&folder.to_string_lossy()));
        say(&format!(
            "\nRequests recorded: {}, {} of them refused by the limit, {} failed.",
            self.requests, self.refused, self.wrong
        ))?;
        if self.requests > 0 {
            let review = review::review_of(settings, SESSION)?;
            say(&format!("Verdict: {}", plain(&review.headline)))?;
            let report = folder.join("report.html");
            export::report(settings, SESSION, &report)?;
            let opened = open && browser::open(&report).is_ok();
            say(&format!("{} {}", if opened { "Opened: " } else { "Report: " }, report.display()))?;
        }
        say("\nExplore the log:\n")?;
        say(&format!("  export NIGHTAUDIT_DATA={data}"))?;
        for command in
            ["tail -n 20 --no-follow --status 4xx", "show last-error", &format!("review --session {SESSION}")]
        {
            say(&format!("  {program} {command}"))?;
        }
        say(&format!("\nSee it in a browser: {program} console --open --data {data}"))?;
        say(&format!("\nThe log stays until you delete it: rm -r {data}"))
    }
}

/// A word quoted for a shell.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:".contains(letter);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("can't write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_blanks_or_quotes_are_quoted() {
        assert_eq!(quoted("target/release/nightaudit"), "target/release/nightaudit");
        assert_eq!(quoted("/tmp/my folder"), "'/tmp/my folder'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn the_settings_of_the_tour_are_valid() {
        let settings = settings(Path::new("/data"), "http://127.0.0.1:1", "60/5s").unwrap();
        assert_eq!(settings.proxy.events.to_string(), "http://127.0.0.1:1");
        assert_eq!(settings.data, Path::new("/data"));
    }
}
