//! A program in a terminal.

use std::{
    ffi::OsStr,
    io::{Read as _, Write},
    num::NonZeroU16,
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize};
use vt100::Screen;

/// How long a test waits for what a program should show.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program in a pseudo-terminal, with its screen; killed on drop.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    pty: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

struct Seen {
    parser: vt100::Parser,
    /// Every byte written.
    bytes: Vec<u8>,
    ended: bool,
}

impl Terminal {
    /// Starts a program on a terminal of this many columns and lines.
    pub fn start(program: &str, arguments: &[&OsStr], columns: u16, lines: u16) -> Self {
        let pair = portable_pty::native_pty_system().openpty(size(columns, lines)).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        command.env("TZ", "UTC");
        command.env_remove("NO_COLOR");
        command.cwd(std::env::current_dir().unwrap());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let (columns, lines) = dimensions(columns, lines);
        let parser = vt100::Parser::new(lines, columns, 0);
        let seen = Arc::new((Mutex::new(Seen { parser, bytes: Vec::new(), ended: false }), Condvar::new()));
        let mut output = pair.master.try_clone_reader().unwrap();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let read = output.read(&mut buffer).unwrap_or(0);
                let mut seen = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
                seen.parser.process(&buffer[..read]);
                seen.bytes.extend_from_slice(&buffer[..read]);
                seen.ended = read == 0;
                shared.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { child, pty: pair.master, keys, seen }
    }

    /// Like [`start`](Self::start), for this binary and data folder.
    pub fn nightaudit(binary: &str, data: &Path, arguments: &[&str], columns: u16, lines: u16) -> Self {
        let mut all: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        all.extend([OsStr::new("--data"), data.as_os_str()]);
        Self::start(binary, &all, columns, lines)
    }

    /// Types text.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Resizes the terminal.
    pub fn resize(&self, columns: u16, lines: u16) {
        {
            let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (columns, lines) = dimensions(columns, lines);
            seen.parser.set_size(lines, columns);
        }
        self.pty.resize(size(columns, lines)).unwrap();
    }

    /// Waits until the screen matches, and returns its text.
    ///
    /// # Panics
    ///
    /// If it never does; the message has the screen.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Screen) -> bool) -> String {
        let seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |seen: &mut Seen| !wanted(seen.parser.screen()) && !seen.ended;
        let (seen, _) = self.seen.1.wait_timeout_while(seen, PATIENCE, waiting).unwrap();
        let screen = seen.parser.screen();
        assert!(wanted(screen), "never {what}:\n{}", screen.contents());
        screen.contents()
    }

    /// Waits until the screen has this text.
    pub fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(text, |screen| screen.contents().contains(text))
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Waits for the program's end; returns its status and all that it wrote.
    pub fn wait(&mut self) -> (ExitStatus, Vec<u8>) {
        let status = self.child.wait().unwrap();
        let seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, _) = self.seen.1.wait_timeout_while(seen, PATIENCE, |seen| !seen.ended).unwrap();
        (status, seen.bytes.clone())
    }

    /// Whether the terminal is restored: the main screen, a cursor, and line editing.
    #[must_use]
    pub fn is_put_back(&self) -> bool {
        let seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = seen.parser.screen();
        // In raw mode there is no line editing.
        let lines = self.pty.get_termios().is_none_or(|modes| format!("{:?}", modes.local_flags).contains("ICANON"));
        lines && !screen.alternate_screen() && !screen.hide_cursor()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, lines: u16) -> PtySize {
    PtySize { rows: lines, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn dimensions(columns: u16, lines: u16) -> (NonZeroU16, NonZeroU16) {
    (NonZeroU16::new(columns).unwrap(), NonZeroU16::new(lines).unwrap())
}
