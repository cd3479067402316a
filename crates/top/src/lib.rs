//! The full-screen view of recorded exchanges.
//!
//! `Model` is the state, `Model::update` its only transition; `view` draws it; `work` has the threads that produce
//! events. `run` ties them together and restores the terminal in all cases.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cursor;
mod document;
mod error;
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
    sync::mpsc::{RecvTimeoutError, channel, sync_channel},
    thread,
    time::{Duration, Instant, SystemTime},
};

use jiff::tz::TimeZone;
use nightaudit_client::Place;
use nightaudit_exchange::{Filter, Timestamp};
use nightaudit_mews::Contracts;
use ratatui::DefaultTerminal;

pub use self::error::Error;
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
    /// The exchanges to show at first.
    pub filter: Filter,
    /// The documentation that requests are checked against.
    pub contracts: Contracts,
    /// Whether to use colours.
    pub colors: bool,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The user or a signal ended it.
    Quit,
    /// A thread panicked; the panic has been printed.
    Panicked,
}

/// Shows this log on the terminal, until the user or a signal ends it.
///
/// # Errors
///
/// The terminal can't be used, or a thread can't be spawned.
pub fn run(place: &Place, Options { filter, contracts, colors }: Options) -> Result<Ended, Error> {
    let (heard, inbox) = sync_channel(WAITING);
    let (ask, requests) = channel();
    work::hear_signals(&heard)?;
    let mut screen = Screen::open()?;
    let terminal = &mut screen.terminal;
    let size = terminal.size().map_err(Error::Terminal)?;
    let mut model = Model::new((size.width, size.height), now(), filter.clone());
    let mut feed = work::feed(&heard, 0, place, filter, contracts.clone())?;
    let _unfinished = work::serve(&heard, place, requests)?;
    work::read_terminal(&heard)?;
    let zone = TimeZone::system();
    let mut drawn = Instant::now();
    terminal.draw(|frame| view::draw(&model, &zone, colors, frame)).map_err(Error::Terminal)?;
    loop {
        // Waits for an event, then takes all that follow until the next frame is due.
        let mut wait = TICK;
        loop {
            let event = match inbox.recv_timeout(wait) {
                Ok(Heard::Event(event)) => event,
                Ok(Heard::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(Ended::Quit),
                Ok(Heard::Panicked) => {
                    screen.is_restored = true;
                    return Ok(Ended::Panicked);
                }
                Err(RecvTimeoutError::Timeout) => break,
            };
            match model.update(event) {
                None => {}
                Some(Action::Quit) => return Ok(Ended::Quit),
                Some(Action::Redraw) => terminal.clear().map_err(Error::Terminal)?,
                Some(Action::Follow(number, filter)) => {
                    feed.cancel();
                    feed = work::feed(&heard, number, place, *filter, contracts.clone())?;
                }
                Some(Action::Load(id)) => ask.send(Request::Load(id)).map_err(|_| Error::LogThread)?,
                Some(Action::Export(ids, path)) => {
                    ask.send(Request::Export(ids, path)).map_err(|_| Error::LogThread)?;
                }
            }
            wait = FRAME.saturating_sub(drawn.elapsed());
            if wait.is_zero() {
                break;
            }
        }
        model.update(Event::Tick(now()));
        terminal.draw(|frame| view::draw(&model, &zone, colors, frame)).map_err(Error::Terminal)?;
        drawn = Instant::now();
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// The terminal in raw mode. It is restored on drop, and before a panic is reported.
struct Screen {
    terminal: DefaultTerminal,
    /// Whether a panic, on any thread, has restored it already: doing so again would move the cursor over the message.
    is_restored: bool,
}

impl Screen {
    fn open() -> Result<Self, Error> {
        let terminal = ratatui::try_init().map_err(Error::Terminal)?;
        Ok(Self { terminal, is_restored: false })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Fails if the terminal is gone; nothing to restore then.
        let _ = self.terminal.show_cursor();
        if !self.is_restored && !thread::panicking() {
            let _ = ratatui::try_restore();
        }
    }
}
