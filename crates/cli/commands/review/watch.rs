//! What is recorded while a review is watched.

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nightaudit_exchange::{Exchange, ExchangeId, Filter};

use crate::{client::Client, source::Source};

/// How long to wait before looking again for a `serve`.
const PAUSE: Duration = Duration::from_millis(500);

/// How long exchanges are gathered before there is a new review.
const GATHER: Duration = Duration::from_secs(1);

/// The most exchanges that wait to be reviewed.
const WAITING: usize = 1024;

/// Follows a session on a thread of its own, whoever has the log.
pub(super) struct Watch {
    exchanges: Receiver<Exchange>,
}

impl Watch {
    /// Begins after this exchange.
    pub(super) fn start(data: PathBuf, filter: Filter, last: Option<ExchangeId>) -> Self {
        let (sender, exchanges) = sync_channel(WAITING);
        thread::spawn(move || follow(&data, &filter, last, &sender));
        Self { exchanges }
    }

    /// Waits for exchanges, and gathers what comes together.
    pub(super) fn batch(&mut self) -> anyhow::Result<Vec<Exchange>> {
        let mut batch = vec![self.exchanges.recv().context("nothing can be followed any more")?];
        let end = Instant::now() + GATHER;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match self.exchanges.recv_timeout(left) {
                Ok(exchange) => batch.push(exchange),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(batch)
    }
}

/// Sends what is recorded until nobody wants it. Who waits for a `serve` must not open the log to look for it.
fn follow(data: &std::path::Path, filter: &Filter, mut last: Option<ExchangeId>, to: &SyncSender<Exchange>) {
    loop {
        if let Some(client) = Source::named_console(data) {
            match follow_once(&client, filter, &mut last, to) {
                Ok(Ended::ByServe) => {}
                Ok(Ended::ByUs) => return,
                Err(error) => tracing::debug!("{error:#}"),
            }
        }
        thread::sleep(PAUSE);
    }
}

enum Ended {
    ByServe,
    ByUs,
}

fn follow_once(
    client: &Client,
    filter: &Filter,
    last: &mut Option<ExchangeId>,
    to: &SyncSender<Exchange>,
) -> anyhow::Result<Ended> {
    let mut query = filter.to_query();
    query.extend(last.map(|id| ("after".to_owned(), id.to_string())));
    let mut is_exchange = false;
    for line in client.lines("/api/v1/follow", &query)? {
        let line = line?;
        if let Some(event) = line.strip_prefix(b"event: ") {
            is_exchange = event == b"exchange";
        } else if let (Some(data), true) = (line.strip_prefix(b"data: "), is_exchange) {
            let exchange: Exchange = serde_json::from_slice(data)?;
            *last = Some(exchange.id);
            if to.send(exchange).is_err() {
                return Ok(Ended::ByUs);
            }
        }
    }
    Ok(Ended::ByServe)
}
