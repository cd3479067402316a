//! The full-screen view of recorded exchanges.
//!
//! `Model` is the state, `Model::update` its only transition; `view` draws it; `work` has the threads that produce
//! events. `run` ties them together and restores the terminal in all cases.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod document;
mod keys;
mod layout;
mod model;
mod prompt;
mod rates;
#[cfg(test)]
mod tests;
mod view;
mod work;

use std::{
    path::Path,
    sync::mpsc::{RecvTimeoutError, channel, sync_channel},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use jiff::tz::TimeZone;
use nightaudit_exchange::{Filter, Timestamp};
use nightaudit_mews::Contracts;
use ratatui::DefaultTerminal;

use self::{
    model::{Action, Event, Model},
    work::{Heard, Request},
};

/// The maximum number of queued events; producers wait, and the log keeps the exchanges.
const WAITING: usize = 256;

/// The minimum time between two frames: more would be invisible, and too much for a slow connection.
const FRAME: Duration = Duration::from_millis(50);

/// How often the clock moves on.
const TICK: Duration = Duration::from_millis(500);

/// What is shown.
#[derive(Debug, Clone)]
pub struct Options {
    /// The exchanges to begin with.
    pub filter: Filter,
    /// What requests are held against.
    pub contracts: Contracts,
    /// Whether there are colours.
    pub colors: bool,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A person or a signal ended it.
    Quit,
    /// A part of it panicked, which was told.
    Panicked,
}

/// Shows the log of this data folder in the terminal that standard input and output are, until it is left.
///
/// # Errors
///
/// The terminal can't be used, or a thread can't be started.
pub fn run(data: &Path, Options { filter, contracts, colors }: Options) -> anyhow::Result<Ended> {
    let (heard, inbox) = sync_channel(WAITING);
    let (ask, requests) = channel();
    work::hear_signals(&heard)?;
    let mut screen = Screen::open()?;
    let terminal = &mut screen.terminal;
    let size = terminal.size()?;
    let mut model = Model::new((size.width, size.height), now(), filter.clone());
    let mut feed = work::feed(&heard, 0, data, filter, contracts.clone())?;
    let _unfinished = work::serve(&heard, data, requests)?;
    work::read_terminal(&heard)?;
    let zone = TimeZone::system();
    let mut drawn = Instant::now();
    terminal.draw(|frame| view::draw(&model, &zone, colors, frame))?;
    loop {
        // Wait for something, and then for what comes with it, until it is time for a picture.
        let mut wait = TICK;
        loop {
            let event = match inbox.recv_timeout(wait) {
                Ok(Heard::Event(event)) => event,
                Ok(Heard::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(Ended::Quit),
                Ok(Heard::Panicked) => {
                    screen.is_put_back = true;
                    return Ok(Ended::Panicked);
                }
                Err(RecvTimeoutError::Timeout) => break,
            };
            match model.update(event) {
                None => {}
                Some(Action::Quit) => return Ok(Ended::Quit),
                Some(Action::Redraw) => terminal.clear()?,
                Some(Action::Follow(number, filter)) => {
                    feed.cancel();
                    feed = work::feed(&heard, number, data, *filter, contracts.clone())?;
                }
                Some(Action::Load(id)) => ask.send(Request::Load(id)).context("the log's thread has ended")?,
                Some(Action::Export(ids, path)) => {
                    ask.send(Request::Export(ids, path)).context("the log's thread has ended")?;
                }
            }
            wait = FRAME.saturating_sub(drawn.elapsed());
            if wait.is_zero() {
                break;
            }
        }
        model.update(Event::Tick(now()));
        terminal.draw(|frame| view::draw(&model, &zone, colors, frame))?;
        drawn = Instant::now();
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// The terminal in raw mode. It is restored on drop, and before a panic is reported.
struct Screen {
    terminal: DefaultTerminal,
    /// A panic, of whatever thread, has put it back already: doing so again would put the cursor onto what was told.
    is_put_back: bool,
}

impl Screen {
    fn open() -> anyhow::Result<Self> {
        let terminal = ratatui::try_init().context("the terminal can't be used")?;
        Ok(Self { terminal, is_put_back: false })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone away needs nothing put back.
        let _ = self.terminal.show_cursor();
        if !self.is_put_back && !thread::panicking() {
            let _ = ratatui::try_restore();
        }
    }
}
