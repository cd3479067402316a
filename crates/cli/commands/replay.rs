//! `nightaudit replay`

mod forwarding;
mod report;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::bail;
use clap::{Args, ValueEnum};
use nightaudit_app::{
    bind,
    config::{Address, Settings},
    mask_key,
};
use nightaudit_client::{Fetching, Source};
use nightaudit_exchange::{Filter, PseudonymKey, Timestamp};
use nightaudit_listen::ListenConfig;
use nightaudit_log::Start;
use nightaudit_mews::API;
use nightaudit_replay::{Builder, Comparison, OpenReader, Otherwise, Pointer, Readers, Recordings, Replayer, Timing};
use nightaudit_store::Order;
use nightaudit_text::{counted, one_line, terminal::print_json};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::serve::announce,
    error::Usage,
    filters::{self, Filters},
    progress::Bar,
    self_signed::{SelfSignedTls, Served},
    signals::stop_on_signal,
};

/// Serve a recording as the upstream, for tests that run offline against what Mews responded
#[derive(Debug, Args)]
#[command(after_long_help = "\
A request gets the response that was recorded for the very same body, else for one that is the same but for tokens, Client,
order of properties, white space and what --ignore names. Of several recordings each is served once, in order, and then the
last one again. A response has the header X-Nightaudit-Replayed with the id of its exchange. WebSockets get the recorded
messages.

What was never recorded gets a 501 that says which recording came nearest and how it differs (--otherwise fail). At the end
it prints what was asked and not recorded, and what was recorded and not asked.

Examples:
  nightaudit replay --session certification
  nightaudit replay --ignore /UpdatedUtc,/Limitation/Cursor
  nightaudit replay --operation 'reservations/*' --timing recorded
  nightaudit replay --session certification --otherwise simulate
  nightaudit serve --upstream http://127.0.0.1:8090 --session again")]
pub(crate) struct Replay {
    /// The address to listen on: 8090, localhost:8090; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: Address,
    /// Don't compare these places of a body, as JSON pointers; * is any property or element; repeatable
    #[arg(long, value_name = "POINTER,…", value_delimiter = ',')]
    ignore: Vec<Pointer>,
    /// When responses are sent
    #[arg(long, value_enum, default_value_t = When::Immediate)]
    timing: When,
    /// What happens to a request that was not recorded
    #[arg(long, value_enum, default_value_t = Unrecorded::Fail)]
    otherwise: Unrecorded,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tls: SelfSignedTls,
    #[command(flatten)]
    filters: Filters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    /// At once
    Immediate,
    /// After the time that Mews took
    Recorded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Unrecorded {
    /// It gets a 501 that says what came nearest
    Fail,
    /// The simulator responds
    Simulate,
    /// It is sent to Mews through the running `serve`, within the limits, and recorded
    Forward,
}

/// Threads that read the log.
const READERS: usize = 2;

impl Replay {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from_system(SystemTime::now());
        let filter = self.filters.filter(now).map_err(|error| Usage(error.into()))?;
        filters::warn(&filter, &settings.contracts()?);
        let source = Source::open(&settings.data)?;
        let comparison = Comparison::new(self.ignore.clone(), &settings.store.redact_fields);
        let recordings = collect(&source, &filter, comparison)?;
        let readers = read_by(Fetching::of(source, settings.data.clone()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(self.serve(settings, recordings, readers));
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }

    async fn serve(&self, settings: &Settings, recordings: Recordings, readers: Readers) -> anyhow::Result<ExitCode> {
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        let listener = bind(self.listen.0, "listen").await?;
        let address = listener.local_addr()?;
        let otherwise = match self.otherwise {
            Unrecorded::Fail => Otherwise::Fail,
            Unrecorded::Simulate => Otherwise::Forward(forwarding::to_simulator(settings, &stop).await?),
            Unrecorded::Forward => Otherwise::Forward(forwarding::to_serve(settings, address).await?),
        };
        let Served { tls, authority, url } = self.tls.serve(settings, address)?;
        announce(&[format!("replay     {url}")]);
        advise(&recordings, &url, authority.as_deref());
        let replayer = Arc::new(Replayer::new(self.config(settings, otherwise), recordings, readers));
        let listen = ListenConfig { tls, drain: Duration::from_secs(2), ..settings.server.clone() };
        replayer.serve(listener, listen, stop.cancelled()).await;
        let summary = replayer.summary();
        if self.json {
            print_json(&summary)?;
        } else {
            report::print(&summary)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn config(&self, settings: &Settings, otherwise: Otherwise) -> nightaudit_replay::Config {
        let fields = settings.store.redact_fields.clone();
        nightaudit_replay::Config {
            api: &API,
            timing: match self.timing {
                When::Immediate => Timing::Immediate,
                When::Recorded => Timing::Recorded,
            },
            otherwise,
            // Without properties to redact there may be no key, and none is needed.
            key: if fields.is_empty() { PseudonymKey::ephemeral() } else { mask_key(&settings.data) },
            redacted_fields: fields,
            body_timeout: settings.proxy.timeouts.request_body,
            max_sockets: settings.proxy.max_tunnels,
        }
    }
}

/// Reads what matches, once.
fn collect(source: &Source, filter: &Filter, comparison: Comparison) -> anyhow::Result<Recordings> {
    let total = match source {
        Source::Log(log) if !filter.needs_body() => {
            Some(log.seek(filter, Start::At(0)).map_err(nightaudit_client::Error::from)?.total)
        }
        _ => None,
    };
    let mut builder = Builder::new(comparison, usize::try_from(total.unwrap_or(0)).unwrap_or(0));
    let bar = Bar::new();
    let mut read: u64 = 0;
    for exchange in source.exchanges(filter, Order::Oldest, None)? {
        match exchange {
            Ok(exchange) => builder.add(&exchange),
            Err(error) if error.is_argument() => return Err(error.into()),
            Err(error) => tracing::warn!("not replayed: {}", one_line(&error)),
        }
        read += 1;
        bar.show(read, total);
    }
    bar.clear();
    let recordings = builder.build();
    if recordings.count() == 0 {
        if read == 0 {
            bail!("no exchange matches: `nightaudit sessions` lists what was recorded");
        }
        bail!("none of the {read} exchanges that match has a response from Mews: there is nothing to replay");
    }
    Ok(recordings)
}

/// Threads that read responses when they are asked for.
fn read_by(fetching: Fetching) -> anyhow::Result<Readers> {
    let openers = (0..READERS).map(|_| -> OpenReader {
        let fetching = fetching.clone();
        Box::new(move || {
            let mut fetcher = fetching.open().map_err(|error| one_line(&error))?;
            Ok(Box::new(move |id| fetcher.fetch(id).map_err(|error| one_line(&error))))
        })
    });
    Ok(Readers::start(openers)?)
}

/// Logs what is replayed and what to do next.
fn advise(recordings: &Recordings, url: &str, authority: Option<&std::path::Path>) {
    let [number, operations] = [(recordings.count(), "recording"), (recordings.operations(), "operation")]
        .map(|(number, one)| counted(number as u64, one));
    tracing::info!("{number} of {operations}");
    let left_out = recordings.left_out();
    if left_out.unanswered > 0 {
        let number = counted(left_out.unanswered, "exchange");
        tracing::info!("{number} not replayed, without a complete response from Mews");
    }
    if left_out.surplus > 0 {
        let number = counted(left_out.surplus, "exchange");
        tracing::warn!("{number} not replayed, beyond the most that can be: choose fewer");
    }
    if let Some(file) = authority {
        tracing::info!("CA certificate: {}", file.display());
    }
    tracing::info!("point the integration's base URL at {url}, or at `nightaudit serve --upstream {url}`");
}
