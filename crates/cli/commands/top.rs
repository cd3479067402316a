//! `nightaudit top`
//!
//! [`Model`] is what there is to see and [`Model::update`] how it changes; [`view`] draws it; [`work`] has the threads that
//! bring what happens. Here they are held together, over a terminal that is put back whatever happens.

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
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::mpsc::{RecvTimeoutError, channel, sync_channel},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use clap::Args;
use jiff::tz::TimeZone;
use nightaudit_exchange::Timestamp;
use ratatui::DefaultTerminal;

use self::{
    model::{Action, Event, Model},
    work::{Heard, Request},
};
use crate::{args::Color, config::Settings, error::Usage, filters::Filters};

/// Watch exchanges, limits and findings full screen
#[derive(Debug, Args)]
#[command(after_long_help = "\
Follows what a running `nightaudit serve` records; without one it shows what the log has, and waits. Press ? for the keys:
they are those of mitmproxy, vi and less.

Examples:
  nightaudit top
  nightaudit top --session certification --status 4xx,5xx")]
pub(crate) struct Top {
    #[command(flatten)]
    filters: Filters,
}

/// Events that wait for the screen at most; whoever brings more waits, and the log keeps it for them.
const WAITING: usize = 256;

/// The shortest time between two pictures: faster nobody sees, and a slow line could not carry it.
const FRAME: Duration = Duration::from_millis(50);

/// How often the clock moves on.
const TICK: Duration = Duration::from_millis(500);

impl Top {
    pub(crate) fn run(&self, settings: &Settings, color: Color) -> anyhow::Result<ExitCode> {
        let filter = self.filters.filter(now()).map_err(|error| Usage(error.into()))?;
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(Usage::new("top needs a terminal: `nightaudit tail` writes lines to anything").into());
        }
        let contracts = settings.contracts()?;
        let colors = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let (heard, inbox) = sync_channel(WAITING);
        let (ask, requests) = channel();
        work::hear_signals(&heard)?;
        let mut screen = Screen::open()?;
        let terminal = &mut screen.0;
        let size = terminal.size()?;
        let mut model = Model::new((size.width, size.height), now(), filter.clone());
        let data = &settings.data;
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
                    Ok(Heard::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(ExitCode::SUCCESS),
                    Ok(Heard::Panicked) => return Ok(ExitCode::FAILURE),
                    Err(RecvTimeoutError::Timeout) => break,
                };
                match model.update(event) {
                    None => {}
                    Some(Action::Quit) => return Ok(ExitCode::SUCCESS),
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
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// The terminal while it is ours. It is put back when this is dropped, and before a panic is told.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> anyhow::Result<Self> {
        Ok(Self(ratatui::try_init().context("the terminal can't be used")?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone away needs nothing put back.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}
