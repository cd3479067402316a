//! Progress bars for long operations, on a terminal only.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use nightaudit_store::Progress;
use nightaudit_text::counted;

/// A progress bar on standard error that counts exchanges or bytes and estimates the time left.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Shorter operations show no bar.
    const AFTER: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Self(if io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() })
    }

    /// Counts exchanges, out of `total` if known.
    pub(crate) fn show(&self, done: u64, total: Option<u64>) {
        if self.0.is_hidden() || self.0.elapsed() < Self::AFTER {
            return;
        }
        if self.0.position() == 0 {
            let template = match total {
                Some(_) => "{bar:30} {human_pos}/{human_len} exchanges  {per_sec}  {eta} left",
                None => "{spinner} {human_pos} exchanges  {per_sec}  {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.0.set_style(style);
            }
        }
        if let Some(total) = total {
            // More may be recorded meanwhile.
            self.0.set_length(total.max(done));
        }
        self.0.set_position(done);
    }

    /// Counts the bytes of a log, and the exchanges in them.
    pub(crate) fn show_bytes(&self, progress: Progress) {
        if self.0.is_hidden() || self.0.elapsed() < Self::AFTER {
            return;
        }
        if self.0.position() == 0
            && let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg} {eta}")
        {
            self.0.set_style(style);
        }
        self.0.set_length(progress.total);
        self.0.set_position(progress.done);
        self.0.set_message(counted(progress.exchanges, "exchange"));
    }

    /// Counts the bytes of a file, out of `total` if known.
    pub(crate) fn show_file(&self, done: u64, total: Option<u64>) {
        if self.0.is_hidden() || self.0.elapsed() < Self::AFTER {
            return;
        }
        if self.0.position() == 0 {
            let template = match total {
                Some(_) => "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
                None => "{spinner} {bytes}  {bytes_per_sec}  {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.0.set_style(style);
            }
        }
        if let Some(total) = total {
            // A compressed file has more in it.
            self.0.set_length(total.max(done));
        }
        self.0.set_position(done);
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
