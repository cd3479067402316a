//! `nightaudit tail`

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

use clap::Args;
use jiff::tz::TimeZone;
use nightaudit_exchange::{Exchange, ExchangeId, Filter, Timestamp};
use nightaudit_store::OpenError;

use crate::{
    client::{Client, Stranger},
    commands::show::{Parts, write_messages},
    config::Settings,
    error::Usage,
    filters::Filters,
    line::Line,
    source::Source,
};

/// How long to wait before looking again for a `serve`.
const PAUSE: Duration = Duration::from_millis(300);

/// Show exchanges as they are recorded, one on a line
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each line has the local time, the status, the operation, how long it took, the sizes of request and answer, what is left
of the limit, the pseudonym of the access token, the session, and marks for what was refused, delayed or went wrong.
It goes on where it was when `nightaudit serve` is restarted.

Examples:
  nightaudit tail
  nightaudit tail -n 100 --no-follow --status 4xx,5xx
  nightaudit tail --operation 'reservations/*' -v
  nightaudit tail --json | jq .outcome")]
pub(crate) struct Tail {
    /// How many of the last ones to begin with
    #[arg(short = 'n', value_name = "COUNT", default_value_t = 10)]
    count: usize,
    /// Stop after those
    #[arg(long)]
    no_follow: bool,
    /// One object a line
    #[arg(long)]
    json: bool,
    /// With headers and bodies
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
    #[command(flatten)]
    filters: Filters,
}

impl Tail {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from_system(std::time::SystemTime::now());
        let filter = self.filters.filter(now).map_err(|error| Usage(error.into()))?;
        let out = anstream::stdout().lock();
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let printer = Printer { out, json: self.json, verbose: self.verbose, width, zone: TimeZone::system() };
        let mut following = Following { filter, count: self.count, last: None, printer, told: false };
        if self.no_follow {
            following.history(&Source::open(&settings.data)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        following.forever(&settings.data)
    }
}

/// Prints exchanges in the form that was asked for.
struct Printer<W> {
    out: W,
    json: bool,
    verbose: bool,
    width: Option<usize>,
    zone: TimeZone,
}

impl<W: Write> Printer<W> {
    fn print(&mut self, exchange: &Exchange) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.out, exchange)?;
            return self.out.write_all(b"\n").and_then(|()| self.out.flush());
        }
        writeln!(self.out, "{}", Line { exchange, zone: &self.zone, width: self.width })?;
        if self.verbose {
            write_messages(&mut self.out, exchange, Parts::BOTH, Some(CUT))?;
        }
        self.out.flush()
    }
}

/// Letters of a body that `-v` shows.
const CUT: usize = 2000;

/// Goes on after the exchange that was printed last, whoever has the log.
struct Following<W> {
    filter: Filter,
    count: usize,
    last: Option<ExchangeId>,
    printer: Printer<W>,
    told: bool,
}

impl<W: Write> Following<W> {
    fn forever(&mut self, data: &Path) -> anyhow::Result<ExitCode> {
        let mut console = match Source::open(data) {
            Ok(Source::Console(client)) => Some(client),
            Ok(source @ Source::Log(_)) => {
                self.history(&source)?;
                None
            }
            Err(error) if is_passing(&error) => None,
            Err(error) => return Err(error),
        };
        loop {
            if let Some(client) = console.take() {
                match self.follow(&client) {
                    Ok(()) => self.told = false,
                    // Our own output, or a filter that the console refuses: neither gets better.
                    Err(error) if is_final(&error) => return Err(error),
                    Err(error) => tracing::debug!("{error:#}"),
                }
            }
            if !self.told {
                tracing::info!("waiting for `nightaudit serve` on {}", data.display());
                self.told = true;
            }
            thread::sleep(PAUSE);
            console = Source::named_console(data);
        }
    }

    /// Prints the last exchanges that are in the log.
    fn history(&mut self, source: &Source) -> anyhow::Result<()> {
        for exchange in source.newest(&self.filter, self.count)? {
            match exchange {
                Ok(exchange) => self.print(&exchange)?,
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
        Ok(())
    }

    /// Prints what the console sends until it ends.
    fn follow(&mut self, client: &Client) -> anyhow::Result<()> {
        let mut query = self.filter.to_query();
        // Where nothing was printed yet, what came in the meantime is among the last ones.
        query.push(match self.last {
            Some(id) => ("after".to_owned(), id.to_string()),
            None => ("last".to_owned(), self.count.to_string()),
        });
        let (mut event, mut data) = (Vec::new(), Vec::new());
        for line in client.lines("/api/v1/follow", &query)? {
            let line = line?;
            if let Some(name) = line.strip_prefix(b"event: ") {
                event = name.to_vec();
            } else if let Some(text) = line.strip_prefix(b"data: ") {
                data = text.to_vec();
            } else if line.is_empty() && !data.is_empty() {
                match &event[..] {
                    b"exchange" => self.print(&serde_json::from_slice(&data)?)?,
                    b"missed" => tracing::warn!("{} exchanges were missed", String::from_utf8_lossy(&data)),
                    _ => {}
                }
                data.clear();
            }
        }
        Ok(())
    }

    fn print(&mut self, exchange: &Exchange) -> io::Result<()> {
        self.last = Some(exchange.id);
        self.printer.print(exchange)
    }
}

/// Whether there may be a log later.
fn is_passing(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::Missing(_) | OpenError::Locked { .. }))
}

/// Errors of the connection pass when `serve` is back.
fn is_final(error: &anyhow::Error) -> bool {
    let of_connection = error.chain().any(|cause| cause.is::<hyper::Error>());
    let of_socket = |cause: &io::Error| cause.kind() != io::ErrorKind::BrokenPipe;
    let connecting = error.chain().any(|cause| cause.downcast_ref().is_some_and(of_socket));
    // A stranger at an old address makes room, or a new address is written, when `serve` is back.
    !of_connection && !connecting && !error.is::<Stranger>()
}
