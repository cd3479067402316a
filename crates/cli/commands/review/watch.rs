//! Follows a session for `--watch`.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nightaudit_client::{Error, Follow, News, Place};
use nightaudit_exchange::{Exchange, ExchangeId, Filter};
use nightaudit_review::{Comparison, Review};
use nightaudit_text::counted;
use tokio_util::sync::CancellationToken;

use super::changes::Screen;

/// How long exchanges are batched before the next review.
const GATHER: Duration = Duration::from_secs(1);

/// The most exchanges queued for review.
const WAITING: usize = 1024;

/// Follows a session on its own thread.
pub(super) struct Watch {
    exchanges: Receiver<Result<Exchange, Error>>,
}

impl Watch {
    /// Starts after the exchange `last`.
    pub(super) fn start(place: Place, filter: Filter, last: Option<ExchangeId>) -> Self {
        let (sender, exchanges) = sync_channel(WAITING);
        thread::spawn(move || follow(&place, filter, last, &sender));
        Self { exchanges }
    }

    /// Starts at what is recorded next.
    pub(super) fn now(place: Place, filter: Filter) -> anyhow::Result<Self> {
        let (sender, exchanges) = sync_channel(WAITING);
        let (ready, started) = sync_channel(1);
        thread::spawn(move || match Follow::start(&place, filter, 0, CancellationToken::new(), |_| {}) {
            Ok(follow) => {
                let _ = ready.send(Ok(()));
                send(follow, &sender);
            }
            Err(error) => drop(ready.send(Err(error))),
        });
        started.recv().context("the session can't be followed")??;
        Ok(Self { exchanges })
    }

    /// Waits for exchanges and batches those that arrive together.
    pub(super) fn batch(&mut self) -> anyhow::Result<Vec<Exchange>> {
        let mut batch = vec![self.exchanges.recv().context("the session can't be followed any more")??];
        let end = Instant::now() + GATHER;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match self.exchanges.recv_timeout(left) {
                Ok(exchange) => batch.push(exchange?),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(batch)
    }
}

/// Redraws the screen without flicker.
pub(super) fn draw(out: &mut impl Write, review: &Review, first: &Review, last: &Review) -> io::Result<()> {
    let (width, height) = terminal_size::terminal_size()
        .map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)));
    let (since_start, last) = (Comparison::of(first, review), Comparison::of(last, review));
    // Home; then clear to the end of each line, and below the last one.
    write!(out, "\u{1b}[H")?;
    for line in (Screen { review, since_start: &since_start, last: &last, width, height }).lines() {
        writeln!(out, "{line}\u{1b}[K")?;
    }
    write!(out, "\u{1b}[J")?;
    out.flush()
}

/// Sends exchanges until the receiver is dropped or the log can't be followed.
fn follow(place: &Place, filter: Filter, last: Option<ExchangeId>, to: &SyncSender<Result<Exchange, Error>>) {
    let follow = match Follow::after(place, filter, last, CancellationToken::new()) {
        Ok(follow) => follow,
        Err(error) => {
            let _ = to.send(Err(error));
            return;
        }
    };
    send(follow, to);
}

fn send(mut follow: Follow, to: &SyncSender<Result<Exchange, Error>>) {
    loop {
        let sent = match follow.next() {
            Ok(Some(News::Exchange(exchange))) => to.send(Ok(*exchange)),
            Ok(Some(News::Missed(count))) => {
                tracing::warn!("{} deleted or damaged before being reviewed", counted(count, "exchange"));
                Ok(())
            }
            Ok(Some(News::Connected | News::Waiting)) => Ok(()),
            Ok(None) => return,
            Err(error) => {
                let _ = to.send(Err(error));
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}
