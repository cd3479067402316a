//! `nightaudit try`

mod morning;

use std::{
    env,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use jiff::tz::TimeZone;
use nightaudit_app::{
    Service, bind,
    config::{Layers, Period, Settings},
    logging,
};
use nightaudit_exchange::{Exchange, ExchangeId, Filter, Outcome};
use nightaudit_mews::Contracts;
use nightaudit_simulator::{Config, Limit, Simulator};
use nightaudit_store::{FollowFrom, Followed, Follower};
use nightaudit_text::{Columns, Line, Row};
use tokio_util::sync::CancellationToken;

use self::morning::Morning;
use crate::{
    args::{Arguments, GlobalArgs},
    signals::stop_on_signal,
};

/// The name of the session.
const SESSION: &str = "try";

/// A free port of loopback.
const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// See what nightaudit does, in half a minute and without anything else
#[derive(Debug, Args)]
#[command(after_long_help = "\
A simulated Mews, nightaudit before it, and a kiosk that checks guests in through both, on free ports of this machine.
Some requests are wrong on purpose, and once the kiosk is too fast. What it leaves is a log in a folder of its own, and
the commands to look at it.

Examples:
  nightaudit try
  nightaudit try --pace 0s")]
pub(crate) struct Try {
    /// The pause between two requests
    #[arg(long, value_name = "TIME", default_value = "80ms")]
    pace: Period,
    /// The request limit, of the simulated Mews as of nightaudit
    #[arg(long, value_name = "COUNT/TIME", default_value = "60/5s")]
    limit: String,
}

impl Try {
    pub(crate) fn run(&self, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
        let limit: Limit = self.limit.parse().map_err(|error| crate::error::Usage(anyhow::Error::new(error)))?;
        let folder = tempfile::Builder::new().prefix("nightaudit-try-").tempdir()?.keep();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(self.tour(global, limit, &folder));
        runtime.shutdown_timeout(Duration::from_secs(1));
        let seen = result?;
        seen.tell(&folder)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn tour(&self, global: &GlobalArgs, limit: Limit, folder: &Path) -> anyhow::Result<Seen> {
        let port = bind(FREE, "listen").await?;
        let upstream = format!("http://{}", port.local_addr()?);
        let settings = settings(folder, &upstream, &self.limit)?;
        logging::start(&settings.log, global.color.on_standard_error(), None)?;
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;

        say("A simulated Mews, nightaudit before it, and a kiosk that checks guests in. Ctrl-C ends it sooner.\n")?;
        let simulator = Arc::new(Simulator::new(Config { limit: Some(limit), ..Config::default() }));
        let listen = nightaudit_listen::ListenConfig { drain: Duration::from_secs(2), ..Default::default() };
        let simulating = tokio::spawn(simulator.serve(port, listen, stop.clone().cancelled_owned()));

        let service = Service::start(settings).await?;
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
        watching.await?
    }
}

/// What `serve` needs to know, whatever else is configured.
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
    /// An exchange that is worth a look.
    example: Option<ExchangeId>,
}

/// Prints what is recorded until the log is closed.
async fn watch(mut follower: Follower) -> anyhow::Result<Seen> {
    let width = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    let columns = width.map_or_else(Columns::all, Columns::fit);
    let (zone, contracts) = (TimeZone::system(), Contracts::built_in());
    let mut seen = Seen::default();
    while let Some(followed) = follower.next().await {
        let Followed::Exchange(exchange) = followed else { continue };
        let row = Row::new(&exchange, &contracts);
        say(&Line { row: &row, columns: &columns, zone: &zone }.to_string())?;
        seen.count(&exchange);
    }
    Ok(seen)
}

impl Seen {
    fn count(&mut self, exchange: &Exchange) {
        self.requests += 1;
        if exchange.outcome == Outcome::Refused {
            self.refused += 1;
        } else if exchange.status().is_some_and(|status| status >= 400) {
            self.wrong += 1;
            self.example = Some(exchange.id);
        }
    }

    /// Says how to go on, with commands that can be typed as they stand.
    fn tell(&self, folder: &Path) -> anyhow::Result<()> {
        let program = env::args().next().unwrap_or_else(|| "nightaudit".to_owned());
        let (program, data) = (quoted(&program), quoted(&folder.to_string_lossy()));
        say(&format!(
            "\n{} requests were recorded: {} were refused by the limit, {} went wrong. Look at them:\n",
            self.requests, self.refused, self.wrong
        ))?;
        let example = self.example.map(|id| format!("show {id}"));
        let review = Arguments::command().find_subcommand("review").map(|_| format!("review --session {SESSION}"));
        let commands = [
            Some("tail -n 20 --no-follow --status 4xx".to_owned()),
            example,
            Some("sessions".to_owned()),
            review,
            Some(format!("export --session {SESSION} --format har")),
        ];
        for command in commands.into_iter().flatten() {
            say(&format!("  {program} {command} --data {data}"))?;
        }
        say(&format!("\nThe log stays until you delete it: rm -r {data}"))
    }
}

/// A word as a shell takes it.
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
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        assert_eq!(quoted("target/release/nightaudit"), "target/release/nightaudit");
        assert_eq!(quoted("/tmp/my folder"), "'/tmp/my folder'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn the_configuration_of_the_tour_is_good() {
        let settings = settings(Path::new("/data"), "http://127.0.0.1:1", "60/5s").unwrap();
        assert_eq!(settings.proxy.events.to_string(), "http://127.0.0.1:1");
        assert_eq!(settings.data, Path::new("/data"));
    }
}
