//! Writes to standard error on a separate thread, so that a stalled or closed reader blocks nothing.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

/// The most lines queued; further ones are dropped and counted.
const WAITING: usize = 1024;

/// The maximum length of a line, in bytes; longer ones are truncated.
const LONGEST: usize = 16 << 10;

/// How often to retry queuing a flush when the queue is full.
const GLANCE: Duration = Duration::from_millis(10);

/// A queue of lines to standard error. Writing never blocks and never fails.
#[derive(Debug, Clone)]
pub struct Background {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Acknowledged once everything before it is written.
    Flush(SyncSender<()>),
}

impl Background {
    /// Spawns the thread that writes to standard error.
    ///
    /// # Errors
    ///
    /// The thread can't be spawned.
    pub fn start() -> io::Result<Self> {
        Self::writing_to(io::stderr())
    }

    /// Starts a thread that writes to `out`.
    ///
    /// # Errors
    ///
    /// The thread can't be started.
    pub fn writing_to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let dropped = Arc::<AtomicU64>::default();
        let missing = Arc::clone(&dropped);
        thread::Builder::new().name("stderr".to_owned()).spawn(move || write(out, &waiting, &missing))?;
        Ok(Self { lines, dropped })
    }

    /// Queues a line, or drops it if the queue is full.
    pub fn say(&self, line: &[u8]) {
        let mut line = line.to_vec();
        if line.len() > LONGEST {
            line.truncate(LONGEST);
            line.extend_from_slice("…\n".as_bytes());
        }
        if self.lines.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits, at most for this long, until all queued lines are written.
    pub fn flush(&self, timeout: Duration) {
        let end = Instant::now() + timeout;
        let (done, written) = sync_channel(1);
        let mut flush = Message::Flush(done);
        while let Err(TrySendError::Full(again)) = self.lines.try_send(flush) {
            if Instant::now() >= end {
                return;
            }
            flush = again;
            thread::sleep(GLANCE);
        }
        // The reader is stalled or gone: don't wait.
        let _ = written.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

fn write(mut out: impl Write, waiting: &Receiver<Message>, dropped: &AtomicU64) {
    for message in waiting {
        // Write errors are ignored: there is nowhere left to report them.
        let _ = match message {
            Message::Line(line) => out.write_all(&line),
            Message::Flush(done) => {
                let _ = out.flush();
                done.try_send(()).map_err(io::Error::other)
            }
        };
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(out, "nightaudit: {lost} log lines were dropped because standard error was not read");
        }
    }
}

impl<'a> MakeWriter<'a> for Background {
    type Writer = Speaking<'a>;

    fn make_writer(&'a self) -> Speaking<'a> {
        Speaking(self)
    }
}

/// The subscriber writes one line per call.
#[derive(Debug)]
pub struct Speaking<'a>(&'a Background);

impl Write for Speaking<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.say(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_reader_that_never_reads_blocks_nothing_and_is_told_how_much_it_missed() {
        let (mut reader, writer) = io::pipe().unwrap();
        let background = Background::writing_to(writer).unwrap();
        let line = [&[b'x'; 999][..], b"\n"].concat();
        // Far more than the pipe and the queue hold.
        (0..5 * WAITING).for_each(|_| background.say(&line));
        background.flush(Duration::from_millis(50));
        let reading = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        background.flush(Duration::from_secs(60));
        drop(background);
        let text = reading.join().unwrap();
        let lost: Vec<usize> = text
            .lines()
            .filter_map(|line| line.strip_prefix("nightaudit: ")?.split(' ').next()?.parse().ok())
            .collect();
        let written = text.lines().filter(|line| line.starts_with('x')).count();
        assert_eq!(written + lost.iter().sum::<usize>(), 5 * WAITING);
        assert!(written >= WAITING && !lost.is_empty());
    }

    #[test]
    fn a_reader_that_is_gone_is_no_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let background = Background::writing_to(writer).unwrap();
        (0..10).for_each(|_| background.say(b"a line\n"));
        background.flush(Duration::from_secs(60));
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let (mut reader, writer) = io::pipe().unwrap();
        let background = Background::writing_to(writer).unwrap();
        background.say(&vec![b'x'; 1 << 20]);
        background.flush(Duration::from_secs(60));
        drop(background);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("{}…\n", "x".repeat(LONGEST)));
    }
}
