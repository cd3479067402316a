//! `nightaudit tail`

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
};

use anyhow::bail;
use clap::Args;
use jiff::tz::TimeZone;
use nightaudit_app::config::Settings;
use nightaudit_client::{Error, Follow, News, NodeNames, Source};
use nightaudit_exchange::{Exchange, Timestamp};
use nightaudit_mews::Contracts;
use nightaudit_store::Order;
use nightaudit_text::{Columns, Line, Row, counted, one_line, plain, terminal::print_json};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::show::{Parts, write_messages},
    error::Usage,
    filters::{self, Filters},
    place::place,
};

/// Show exchanges as they are recorded, one per line
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each line has the local time, the end of the exchange's id (`nightaudit show` accepts it), the status, the operation, the
duration, the sizes of request and response, the requests left under the limit, the access token's pseudonym, the session,
in an archive of several nodes the node, and marks for exchanges that were refused, delayed or failed. Marks with ! are violations of the operation's contract.
A narrow terminal shows fewer columns. `tail` continues where it was after `nightaudit serve` restarts.

Examples:
  nightaudit tail
  nightaudit tail -n 100 --no-follow --status 4xx,5xx
  nightaudit tail --operation 'reservations/*' -v
  nightaudit tail --operation '!languages/*,configuration/*' --since 12:00
  nightaudit tail --json | jq .outcome")]
pub(crate) struct Tail {
    /// Start with this many of the most recent exchanges
    #[arg(short = 'n', value_name = "COUNT", default_value_t = 10)]
    count: usize,
    /// Print those and exit
    #[arg(long)]
    no_follow: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
    /// Include headers and bodies, indented and shortened
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
    #[command(flatten)]
    filters: Filters,
}

impl Tail {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from_system(std::time::SystemTime::now());
        let filter = self.filters.filter(now).map_err(|error| Usage(error.into()))?;
        let mut printer = Printer {
            out: anstream::stdout().lock(),
            json: self.json,
            verbose: self.verbose,
            contracts: settings.contracts()?,
            zone: TimeZone::system(),
            nodes: NodeNames::open(&place(settings), &filter)?,
            last: None,
        };
        filters::warn(&filter, &printer.contracts);
        if self.no_follow {
            let source = Source::open(place(settings))?;
            let newest: Vec<_> = source.exchanges(&filter, Order::Newest, Some(self.count))?.collect();
            // Not held while a stalled reader doesn't take the lines.
            drop(source);
            let has_match = !newest.is_empty();
            let is_whole = printer.print_reversed(newest)?;
            if !has_match && self.count > 0 {
                // As grep's: whoever asks in a script whether there is one looks at the code.
                bail!("no exchange matches");
            }
            return Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let place = place(settings);
        // Collected before printing: a stalled reader must not hold the log and lock `serve` out.
        let mut newest = Vec::new();
        let never = CancellationToken::new();
        let mut follow = Follow::start(&place, filter, self.count, never, |exchange| newest.push(exchange))?;
        printer.print_reversed(newest)?;
        while let Some(news) = follow.next()? {
            match news {
                News::Exchange(exchange) => printer.print(&exchange)?,
                News::Missed(count) => {
                    tracing::warn!("{} deleted before being read", counted(count, "exchange"));
                }
                News::Waiting => tracing::info!("waiting for `nightaudit serve` on {place}"),
                News::Connected => {}
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// How many characters of a body `-v` shows.
const CUT: usize = 2000;

/// Prints exchanges in the requested form.
struct Printer<W> {
    out: W,
    json: bool,
    verbose: bool,
    contracts: Contracts,
    zone: TimeZone,
    nodes: NodeNames,
    /// The line before; values that repeat it make room for marks.
    last: Option<Row>,
}

impl<W: Write> Printer<W> {
    /// Prints all, the oldest first; `false` if one can't be read.
    fn print_reversed(&mut self, newest: Vec<Result<Exchange, Error>>) -> io::Result<bool> {
        let mut is_whole = true;
        for exchange in newest.into_iter().rev() {
            match exchange {
                Ok(exchange) => self.print(&exchange)?,
                Err(error) => {
                    is_whole = false;
                    tracing::warn!("{}", one_line(&error));
                }
            }
        }
        Ok(is_whole)
    }

    fn print(&mut self, exchange: &Exchange) -> io::Result<()> {
        if self.json {
            return print_json(exchange);
        }
        let mut row = Row::new(exchange, &self.contracts);
        row.node = self.nodes.of(exchange.session).map_or_else(String::new, plain);
        // Checked for each line: terminals get resized, and nodes join.
        let columns = match self.nodes.are_several() {
            true => width().map_or_else(Columns::all_with_node, Columns::fit_with_node),
            false => width().map_or_else(Columns::all_with_id, Columns::fit_with_id),
        };
        let columns = columns.for_marks(&row, self.last.as_ref());
        writeln!(self.out, "{}", Line { row: &row, columns: &columns, zone: &self.zone })?;
        self.last = Some(row);
        if self.verbose {
            write_messages(&mut self.out, exchange, Parts::BOTH, Some(CUT))?;
        }
        self.out.flush()
    }
}

/// The terminal's width in columns; `None` if standard output isn't one.
fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    terminal_size::terminal_size_of(stdout).map(|(width, _)| usize::from(width.0))
}
