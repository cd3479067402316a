//! Background threads: the feed, keys, signals, and queries of the log.

use std::{
    fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use nightaudit_client::{ConsoleError, Error as LogError, Follow, News, Place, Source};
use nightaudit_console::{ArchiveState, LimitState};
use nightaudit_exchange::{Exchange, ExchangeId, Filter};
use nightaudit_mews::Contracts;
use nightaudit_text::{Row, counted, size};
use ratatui::crossterm::event;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::{
    error::{Error, WriteError},
    model::{Event, Fed},
    prompt::format_of,
};

/// How many exchanges of the log a feed starts with.
const HISTORY: usize = 1_000;

/// How often the limits are polled.
const LIMITS: Duration = Duration::from_secs(1);

/// An event for the main loop.
#[derive(Debug)]
pub(super) enum Heard {
    Event(Event),
    /// A signal: restore the terminal and exit.
    Stop,
    /// A thread panicked; the panic has been logged.
    Panicked,
}

/// A query of the log.
#[derive(Debug)]
pub(super) enum Request {
    Load(ExchangeId),
    Export(Vec<ExchangeId>, PathBuf),
}

/// Notifies the main loop if a thread panics, so that it doesn't go on without it.
struct Guard(SyncSender<Heard>);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.send(Heard::Panicked);
        }
    }
}

fn spawn(name: &str, heard: &SyncSender<Heard>, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let guard = Guard(heard.clone());
    let body = move || {
        let _guard = guard;
        work();
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(Error::Thread)?;
    Ok(())
}

/// Reads keys and resizes until the terminal is gone.
pub(super) fn read_terminal(heard: &SyncSender<Heard>) -> Result<(), Error> {
    let events = heard.clone();
    spawn("top-keys", heard, move || {
        loop {
            let sent = match event::read() {
                Ok(event::Event::Key(key)) => events.send(Heard::Event(Event::Key(key))),
                Ok(event::Event::Resize(columns, lines)) => events.send(Heard::Event(Event::Size(columns, lines))),
                Ok(_) => Ok(()),
                Err(_) => events.send(Heard::Stop),
            };
            if sent.is_err() {
                return;
            }
        }
    })
}

/// Waits for a termination signal.
pub(super) fn hear_signals(heard: &SyncSender<Heard>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
    let stop = heard.clone();
    let (ready, listening) = channel();
    spawn("top-signals", heard, move || {
        runtime.block_on(async {
            #[cfg(unix)]
            {
                use tokio::signal::unix::{SignalKind, signal};
                let hear = |kind| signal(kind).ok();
                let (mut terminate, mut hang_up) = (hear(SignalKind::terminate()), hear(SignalKind::hangup()));
                let _ = ready.send(());
                let of = async |signal: &mut Option<tokio::signal::unix::Signal>| match signal {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                };
                tokio::select! {
                    _ = of(&mut terminate) => {}
                    _ = of(&mut hang_up) => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
            }
            #[cfg(not(unix))]
            {
                let _ = ready.send(());
                let _ = tokio::signal::ctrl_c().await;
            }
            let _ = stop.send(Heard::Stop);
        });
    })?;
    let _ = listening.recv();
    Ok(())
}

/// Starts a feed, which ends when the token is cancelled.
pub(super) fn feed(
    heard: &SyncSender<Heard>,
    number: u64,
    place: &Place,
    filter: Filter,
    contracts: Contracts,
) -> Result<CancellationToken, Error> {
    let stop = CancellationToken::new();
    let (events, stopped, place) = (heard.clone(), stop.clone(), place.clone());
    spawn("top-feed", heard, move || {
        // Whether the view is still there.
        let send = |fed| events.send(Heard::Event(Event::Feed(number, fed))).is_ok();
        let result = (|| -> Result<(), LogError> {
            let mut history = Vec::new();
            let take = |exchange: Result<Exchange, LogError>| {
                // Unreadable exchanges are reported by `log check`.
                history.extend(exchange.ok().map(|exchange| Row::new(&exchange, &contracts)));
            };
            let mut follow = Follow::start(&place, filter, HISTORY, stopped, take)?;
            let mut sent = send(Fed::History(history));
            while let (true, Some(news)) = (sent, follow.next()?) {
                sent = send(match news {
                    News::Exchange(exchange) => Fed::Row(Box::new(Row::new(&exchange, &contracts))),
                    News::Missed(count) => Fed::Missed(count),
                    News::Connected => Fed::Connected,
                    News::Waiting => Fed::Waiting,
                });
            }
            Ok(())
        })();
        if let Err(error) = result {
            send(Fed::Failed(error));
        }
    })?;
    Ok(stop)
}

/// The temporary file of an unfinished export. Dropping this removes it, because `top` doesn't wait for its threads on
/// exit.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Arc<Mutex<Option<PathBuf>>>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let path = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(path) = path {
            // An export that finished just now has been renamed already.
            let _ = fs::remove_file(path);
        }
    }
}

/// Runs queries of the log one after the other, and polls the limits in between.
pub(super) fn serve(
    heard: &SyncSender<Heard>,
    place: &Place,
    requests: Receiver<Request>,
) -> Result<Unfinished, Error> {
    let (events, place) = (heard.clone(), place.clone());
    let unfinished = Unfinished::default();
    let writing = Arc::clone(&unfinished.0);
    spawn("top-log", heard, move || {
        let mut due = Instant::now();
        loop {
            let event = match requests.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Request::Load(id)) => Event::Loaded(id, load(&place, id)),
                Ok(Request::Export(ids, path)) => Event::Exported(export(&place, &ids, &path, &writing)),
                Err(RecvTimeoutError::Timeout) => {
                    due = Instant::now() + LIMITS;
                    if events.send(Heard::Event(Event::Archive(shipping(&place)))).is_err() {
                        return;
                    }
                    let (limits, alert) = limits(&place);
                    Event::Limits(limits, alert)
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if events.send(Heard::Event(event)).is_err() {
                return;
            }
        }
    })?;
    Ok(unfinished)
}

fn load(place: &Place, id: ExchangeId) -> Result<Box<Exchange>, LogError> {
    Ok(Box::new(Source::open(place)?.find(&id.to_string())?))
}

/// The limits of the running `serve`, and what is wrong with them.
fn limits(place: &Place) -> (Option<Vec<LimitState>>, Option<String>) {
    let Place::Folder(data) = place else { return (None, None) };
    let Some(source) = Source::console(data).map(Source::Console) else { return (None, None) };
    let alert = source.limit_store().ok().flatten().and_then(|store| store.told());
    match source.limits() {
        Ok(limits) => (limits, alert),
        Err(error @ LogError::Console(ConsoleError::Refused { .. })) => {
            (None, alert.or_else(|| Some(error.to_string())))
        }
        // That nothing serves any more is told of by the feed.
        Err(_) => (None, alert),
    }
}

/// How the running `serve` ships to its archive.
fn shipping(place: &Place) -> Option<ArchiveState> {
    let Place::Folder(data) = place else { return None };
    Source::Console(Source::console(data)?).shipping().ok()?
}

/// Writes exchanges to a new file atomically, and says so. `writing` names the temporary file meanwhile.
fn export(
    place: &Place,
    ids: &[ExchangeId],
    path: &Path,
    writing: &Mutex<Option<PathBuf>>,
) -> Result<String, WriteError> {
    let note = |path: Option<PathBuf>| *writing.lock().unwrap_or_else(PoisonError::into_inner) = path;
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| WriteError::Io { path, source }
    };
    let format = format_of(path)?;
    if path.exists() {
        return Err(WriteError::Exists(path.to_owned()));
    }
    let write = || -> Result<u64, WriteError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder).map_err(failed(folder))?;
        note(Some(file.path().to_owned()));
        let mut out = BufWriter::new(file.as_file_mut());
        let source = Source::open(place)?;
        let mut writer = format.writer(&mut out);
        for id in ids {
            writer.write(&source.find(&id.to_string())?)?;
        }
        writer.finish()?;
        out.flush().map_err(failed(path))?;
        drop(out);
        file.persist_noclobber(path).map_err(|error| failed(path)(error.error))?;
        Ok(fs::metadata(path).map_err(failed(path))?.len())
    };
    let written = write();
    note(None);
    let exchanges = counted(ids.len() as u64, "exchange");
    Ok(format!("{exchanges} written to {} ({})", path.display(), size(written?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_an_export_that_top_was_left_in_the_middle_of_stayed_as_a_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".tmpX");
        fs::write(&file, "half").unwrap();
        let unfinished = Unfinished::default();
        *unfinished.0.lock().unwrap() = Some(file.clone());
        drop(unfinished);
        assert!(!file.exists());
    }

    #[test]
    fn an_export_that_fails_or_ends_leaves_nothing_to_remove() {
        let folder = tempfile::tempdir().unwrap();
        let writing = Mutex::new(None);
        let no_log = folder.path().join("no log");
        let failed = export(&Place::from(&no_log), &[], &folder.path().join("a.ndjson"), &writing);
        assert!(failed.is_err() && writing.lock().unwrap().is_none(), "{failed:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
