//! `nightaudit log import`

use std::{
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use nightaudit_app::config::Settings;
use nightaudit_client::{Client, ImportOptions, ImportedFile, Source};
use nightaudit_exchange::Import as Found;
use nightaudit_import::{Options, Reader, check_beginning, session_of_file};
use nightaudit_log::is_session_name;
use nightaudit_store::{Log as Store, OpenError, SessionError, StoreConfig};
use nightaudit_text::counted;

use crate::{
    error::{Usage, open_input},
    progress::Bar,
};

/// How much of a file is read at once.
const BUFFER: usize = 256 << 10;

/// Import what nightaudit exported, or another tool recorded
///
/// FILE is an NDJSON export, a HAR (of Chromium, Firefox, Safari, mitmproxy, Charles, Proxyman, Fiddler, Insomnia, Postman
/// and others), or a flow file of mitmproxy; each may be compressed with gzip or zlib. It is redacted like live traffic.
/// The session stays marked as imported, since its times and bytes are somebody else's word. Nothing of a file that can't be
/// imported is kept.
#[derive(Debug, Args)]
#[command(after_long_help = "\
With a running `nightaudit serve`, it imports while it records.

Examples:
  nightaudit log import exchanges.ndjson
  nightaudit log import recording.har --session before
  nightaudit log import flows.mitm --lenient
  mitmdump -nr flows.mitm -w - | nightaudit log import - --session before")]
pub(crate) struct Import {
    /// The file, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The session's name; by default that of the file, or as exported
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Skip damaged entries, and list them
    #[arg(long)]
    lenient: bool,
    /// Also import another tool's requests to other hosts and paths than those of Mews' APIs
    #[arg(long)]
    all_hosts: bool,
}

/// What was done.
struct Done {
    exchanges: u64,
    sessions: usize,
    found: Found,
    rehashed: u64,
    tool: Option<String>,
    skipped: u64,
    reasons: Vec<String>,
    other_hosts: u64,
    not_http: u64,
}

impl Import {
    pub(crate) fn run(&self, settings: &Settings, out: &mut dyn Write, bar: &Bar) -> anyhow::Result<()> {
        if let Some(name) = self.session.as_deref().filter(|name| !is_session_name(name)) {
            return Err(Usage(SessionError::Name(name.to_owned()).into()).into());
        }
        let is_input = self.file.as_os_str() == "-";
        let (mut file, length): (Box<dyn BufRead + Send>, _) = if is_input {
            (Box::new(BufReader::with_capacity(BUFFER, io::stdin())), None)
        } else {
            let file = open_input(&self.file)?;
            let length = file.metadata().ok().map(|metadata| metadata.len());
            (Box::new(BufReader::with_capacity(BUFFER, file)), length)
        };
        let importing = || format!("importing {}", self.file.display());
        // Before a log is opened, which may create one.
        let begins = file.fill_buf().with_context(|| format!("can't read {}", self.file.display()))?;
        check_beginning(begins)?;
        let mut progress = |done: u64| bar.show_file(done, length);
        let opened = Store::open_with(own_config(settings), &mut |_| {});
        let done = match opened {
            Ok(log) => {
                let done = self.import_into(&log, file, &mut progress).with_context(importing)?;
                log.close();
                done
            }
            Err(OpenError::Locked { console: Some(_), .. }) => {
                let Some(client) = Source::console(&settings.data) else {
                    anyhow::bail!(
                        "the console of the running `nightaudit serve` can't be used: see `nightaudit limits`"
                    )
                };
                self.through_console(&client, file, &mut progress).with_context(importing)?
            }
            Err(error) => return Err(error.into()),
        };
        bar.clear();
        done.write(out)?;
        Ok(())
    }

    /// Imports into a log that this process owns.
    fn import_into(
        &self,
        log: &Store,
        file: Box<dyn BufRead + Send>,
        progress: &mut dyn FnMut(u64),
    ) -> anyhow::Result<Done> {
        let options = Options {
            lenient: self.lenient,
            all_hosts: self.all_hosts,
            session: self.session.clone().or_else(|| self.session_of_file()),
        };
        let mut reader = Reader::open_with(file, options, |done| {
            progress(done);
            Ok(())
        })?;
        let imported = log.import(&mut reader)?;
        let summary = reader.summary().clone();
        if let ([only], Some(name)) = (&imported.sessions[..], &self.session) {
            log.rename_session(&only.to_string(), name)?;
        }
        let reasons = summary.reasons.iter().map(|skipped| format!("{}: {}", skipped.place, skipped.reason));
        Ok(Done {
            exchanges: imported.exchanges,
            sessions: imported.sessions.len(),
            found: imported.import,
            rehashed: imported.rehashed,
            tool: summary.tool,
            skipped: summary.skipped,
            reasons: reasons.collect(),
            other_hosts: summary.other_hosts,
            not_http: summary.not_http,
        })
    }

    /// Imports through the `serve` that has the log open.
    fn through_console(
        &self,
        client: &Client,
        file: Box<dyn BufRead + Send>,
        progress: &mut dyn FnMut(u64),
    ) -> anyhow::Result<Done> {
        let options = ImportOptions {
            name: self.session.clone(),
            file: self.session_of_file(),
            lenient: self.lenient,
            all_hosts: self.all_hosts,
        };
        let ImportedFile { session, also, rehashed, file } = client.import(file, &options, progress)?;
        let mut found = Found::default();
        for import in std::iter::once(&session).chain(&also).filter_map(|session| session.imported) {
            found.exchanges += import.exchanges;
            found.edited += import.edited;
            found.masked += import.masked;
            found.foreign += import.foreign;
        }
        Ok(Done {
            exchanges: found.exchanges,
            sessions: 1 + also.len(),
            found,
            rehashed,
            tool: file.tool,
            skipped: file.skipped,
            reasons: file.reasons,
            other_hosts: file.other_hosts,
            not_http: file.not_http,
        })
    }

    fn session_of_file(&self) -> Option<String> {
        session_of_file(&self.file.to_string_lossy()).filter(|name| is_session_name(name))
    }
}

impl Done {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let sessions = counted(self.sessions as u64, "session");
        writeln!(out, "{} in {sessions} imported", counted(self.exchanges, "exchange"))?;
        if let Some(tool) = &self.tool {
            writeln!(out, "recorded by {}: the session stays marked as imported", nightaudit_text::plain(tool))?;
        }
        if self.found.altered() > 0 {
            writeln!(out, "{}: the session is marked", self.found)?;
        }
        if self.rehashed > 0 {
            let why = "they were altered, or follow altered or missing ones";
            writeln!(out, "{} of them have a different hash than when exported: {why}", self.rehashed)?;
        }
        if self.other_hosts > 0 {
            let requests = counted(self.other_hosts, "request");
            writeln!(out, "{requests} to other hosts or paths left out: `--all-hosts` imports them")?;
        }
        if self.not_http > 0 {
            writeln!(out, "{} entries left out that are not HTTP requests", self.not_http)?;
        }
        if self.skipped > 0 {
            writeln!(out, "{} damaged entries skipped", self.skipped)?;
            self.reasons.iter().try_for_each(|reason| writeln!(out, "  {}", nightaudit_text::plain(reason)))?;
            let more = self.skipped - self.reasons.len() as u64;
            if more > 0 {
                writeln!(out, "  and {more} more")?;
            }
        }
        Ok(())
    }
}

/// The log as its owner has it; quotas are for `serve`, and no session is begun.
pub(super) fn own_config(settings: &Settings) -> StoreConfig {
    StoreConfig { session: None, max_size: None, max_age: None, ..settings.store.clone() }
}
