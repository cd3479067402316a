//! `nightaudit export`

use std::{
    env, fs,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum, ValueHint};
use nightaudit_app::{config::Settings, mask_key, signing_key};
use nightaudit_client::{Losses, Source, Stream};
use nightaudit_exchange::{Filter, Timestamp};
use nightaudit_export::{Evidence, ExchangeWriter, ExportError, ExportMask, Made, default_name};
use nightaudit_mews::Contracts;
use nightaudit_review::Basis;
use nightaudit_store::{Order, Session};
use nightaudit_text::{counted, terminal};
use tempfile::NamedTempFile;

use crate::{
    commands::review::declared,
    error::Usage,
    filters::{self, Filters},
    place::place,
    progress::Bar,
    signals::Unfinished,
};

/// Export exchanges for other tools or for Mews' reviewers
#[derive(Debug, Args)]
#[command(after_long_help = "\
Without -o the file is nightaudit-SESSION-TIME.EXTENSION in the current folder. An existing file is replaced only with
--force, and never left half written. Without --format the file's extension selects it: .har, .ndjson, .csv, .sh, .html,
.zip, .postman_collection.json or .openapi.json.

Postman collections and OpenAPI documents merge all requests and responses of an operation. They say what was observed,
which isn't what Mews documents: other requests may be valid, and what was always there may be optional.

Reports and bundles are reviewed against the file given with --declaration, else the declaration stored with the session
(`nightaudit sessions declare`), else certification.toml in the current folder.

Examples:
  nightaudit export --format bundle --session certification
  nightaudit export --session certification -o report.html
  nightaudit export --format html --session certification --redact-field Email
  nightaudit export --format har --session certification
  nightaudit export --format openapi --session certification
  nightaudit export --format ndjson -o - --since 1h | jq .operation
  nightaudit export --format csv -o calls.csv --force --status 4xx")]
pub(crate) struct Export {
    /// The format [default: by the file's extension]
    #[arg(long, required_unless_present = "output")]
    format: Option<Format>,
    /// The output file, or - for standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    /// Mask the values of this JSON property in exported bodies; repeatable
    #[arg(long, value_name = "NAME")]
    redact_field: Vec<String>,
    /// The integration's declaration, for reports and bundles [default: the one stored with the session, or
    /// certification.toml if it exists]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    declaration: Option<PathBuf>,
    #[command(flatten)]
    filters: Filters,
    /// Don't say what was written.
    #[arg(skip)]
    silent: bool,
}

/// Export formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// HTTP archive, for browsers and HTTP tools
    Har,
    /// Complete, one exchange per line; `nightaudit log import` reads it
    Ndjson,
    /// For spreadsheets, without headers and bodies
    Csv,
    /// A shell script that repeats the requests
    Curl,
    /// A Postman collection of the operations as they were called, with tokens as variables
    Postman,
    /// An OpenAPI document of what was observed, which isn't Mews' documentation
    #[value(name = "openapi")]
    OpenApi,
    /// A report for the reviewers, as one HTML page
    Html,
    /// Report, HAR, exchanges and review in one signed file; `nightaudit verify` checks it
    Bundle,
}

impl Format {
    /// The format for this file's extension.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let is_it = |format: &Self| name.strip_suffix(format.extension()).is_some_and(|stem| stem.ends_with('.'));
        Self::value_variants().iter().copied().find(is_it)
    }

    /// The file extension, without the dot.
    const fn extension(self) -> &'static str {
        match self {
            Self::Har => nightaudit_export::Format::Har.extension(),
            Self::Ndjson => nightaudit_export::Format::Ndjson.extension(),
            Self::Csv => nightaudit_export::Format::Csv.extension(),
            Self::Curl => nightaudit_export::Format::Curl.extension(),
            Self::Postman => nightaudit_export::Format::Postman.extension(),
            Self::OpenApi => nightaudit_export::Format::OpenApi.extension(),
            Self::Html => "html",
            Self::Bundle => "zip",
        }
    }
}

/// Writes the report of a session to a file.
pub(crate) fn report(settings: &Settings, session: &str, file: &Path) -> anyhow::Result<ExitCode> {
    let export = Export {
        format: Some(Format::Html),
        output: Some(file.to_owned()),
        force: true,
        redact_field: Vec::new(),
        declaration: None,
        filters: Filters::of_session(session),
        silent: true,
    };
    export.run(settings)
}

impl Export {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from_system(SystemTime::now());
        let filter = self.filters.filter(now).map_err(|error| Usage(error.into()))?;
        let format = self.format()?;
        let is_evidence = matches!(format, Format::Html | Format::Bundle);
        if self.declaration.is_some() && !is_evidence {
            return Err(Usage::new("--declaration is only for --format html and --format bundle").into());
        }
        let mask = self.mask(settings)?;
        let basis = if is_evidence { settings.basis()? } else { Basis::default() };
        filters::warn(&filter, &basis.contracts);
        let (declaration, made) = match is_evidence {
            true => {
                let key = signing_key(&settings.data)?.fingerprint();
                (self.declaration(settings, &basis.contracts)?, Some(Made { at: now, key }))
            }
            false => (None, None),
        };
        let evidence =
            Evidence { declaration, filter, masked_fields: mask.fields().to_vec(), basis, made, ..Evidence::default() };
        if self.output.as_deref() == Some(Path::new("-")) {
            let exchanges = Exchanges::open(settings, &evidence.filter)?;
            let folder = env::temp_dir();
            let evidence = Evidence { scratch: folder.clone(), ..evidence }.with_sessions(&exchanges.sessions);
            let written;
            if let Format::Bundle = format {
                // Writing a zip needs to seek.
                let mut file = NamedTempFile::new_in(&folder)?;
                let _unfinished = Unfinished::at(file.path())?;
                written = write_as(format, file.as_file_mut(), exchanges, &mask, &evidence, settings)?;
                file.as_file_mut().seek(SeekFrom::Start(0))?;
                io::copy(file.as_file_mut(), &mut terminal::stdout())?;
                tell_key(&mut anstream::stderr().lock(), settings)?;
            } else {
                written = write_as(format, &mut NoSeek(terminal::stdout()), exchanges, &mask, &evidence, settings)?;
            }
            let mut err = anstream::stderr().lock();
            written.tell_left_out(&mut err)?;
            return written.end(&mut err, "output");
        }
        let path = self
            .output
            .clone()
            .unwrap_or_else(|| PathBuf::from(default_name(self.filters.session(), now, format.extension())));
        if !self.force && path.exists() {
            return Err(taken(&path));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let exchanges = Exchanges::open(settings, &evidence.filter)?;
        let evidence = Evidence { scratch: folder.to_owned(), ..evidence }.with_sessions(&exchanges.sessions);
        let mut file = NamedTempFile::new_in(folder).with_context(|| format!("can't write in {}", folder.display()))?;
        let _unfinished = Unfinished::at(file.path())?;
        let written = write_as(format, file.as_file_mut(), exchanges, &mask, &evidence, settings)?;
        file.as_file().sync_all().with_context(|| format!("writing {}", path.display()))?;
        if self.force {
            file.persist(&path).with_context(|| format!("can't write {}", path.display()))?;
        } else {
            file.persist_noclobber(&path).map_err(|error| match error.error.kind() {
                io::ErrorKind::AlreadyExists => taken(&path),
                _ => anyhow::Error::new(error).context(format!("can't write {}", path.display())),
            })?;
        }
        let mut err = anstream::stderr().lock();
        if !self.silent {
            let length = nightaudit_text::size(fs::metadata(&path)?.len());
            writeln!(err, "{} written to {} ({length})", counted(written.count, "exchange"), path.display())?;
            written.tell_left_out(&mut err)?;
        }
        if let Format::Bundle = format {
            tell_key(&mut err, settings)?;
        }
        written.end(&mut err, "file")
    }

    /// The format given, or the one for the file's extension.
    fn format(&self) -> anyhow::Result<Format> {
        let named = || self.output.as_deref().and_then(Format::of);
        self.format.or_else(named).ok_or_else(|| {
            let path = self.output.as_deref().unwrap_or(Path::new("-")).display();
            let known = "use --format, or one of .har, .ndjson, .csv, .sh, .html, .zip, .postman_collection.json and .openapi.json";
            Usage::new(format!("no format has the extension of {path}: {known}")).into()
        })
    }

    /// The declaration's text, checked before anything is written.
    fn declaration(&self, settings: &Settings, contracts: &Contracts) -> anyhow::Result<Option<String>> {
        let session = match self.filters.session() {
            Some(which) => Source::open(place(settings))?.session(which).ok(),
            None => None,
        };
        let found = declared::find(self.declaration.as_deref(), session.as_ref(), contracts)?;
        if let Some(found) = &found {
            writeln!(anstream::stderr().lock(), "reviewed against the declaration {}", found.source)?;
        }
        Ok(found.map(|found| found.text))
    }

    /// The properties to mask, from the configuration and the flags.
    fn mask(&self, settings: &Settings) -> anyhow::Result<ExportMask> {
        let mut fields = settings.export_mask.clone();
        fields.extend(self.redact_field.iter().cloned());
        if fields.iter().any(|field| field.trim().is_empty()) {
            return Err(Usage::new("--redact-field is empty: give a property's name").into());
        }
        Ok(ExportMask::new(fields, || mask_key(&settings.data)))
    }
}

/// Why exchanges are left out.
const LEFT_OUT: &str = "webhooks and WebSocket messages are no requests to send again";

/// Names the key that signed a bundle.
fn tell_key(err: &mut impl Write, settings: &Settings) -> anyhow::Result<()> {
    let key = signing_key(&settings.data)?.fingerprint();
    Ok(writeln!(err, "key fingerprint {key}: send it to the reviewers separately")?)
}

/// Writes all exchanges; unreadable ones are listed in the output and on standard error.
fn write_as(
    format: Format,
    out: &mut (impl Write + Seek + Send),
    exchanges: Exchanges,
    mask: &ExportMask,
    evidence: &Evidence,
    settings: &Settings,
) -> anyhow::Result<Written> {
    let out = BufWriter::with_capacity(64 << 10, out);
    let signed = || evidence.made.as_ref().map_or_else(|| Timestamp::from_system(SystemTime::now()), |made| made.at);
    let writer = match format {
        Format::Har => nightaudit_export::Format::Har.writer(out),
        Format::Ndjson => nightaudit_export::Format::Ndjson.writer(out),
        Format::Csv => nightaudit_export::Format::Csv.writer(out),
        Format::Curl => nightaudit_export::Format::Curl.writer(out),
        Format::Postman => nightaudit_export::Format::Postman.writer(out),
        Format::OpenApi => nightaudit_export::Format::OpenApi.writer(out),
        Format::Html => evidence.report(out).map_err(plain)?,
        Format::Bundle => evidence.bundle(out, signing_key(&settings.data)?, signed()).map_err(plain)?,
    };
    write(writer, exchanges, mask)
}

/// A stream of exchanges, with their number if known beforehand.
struct Exchanges {
    stream: Stream,
    total: Option<u64>,
    losses: Losses,
    /// The sessions that they may be of.
    sessions: Vec<Session>,
}

impl Exchanges {
    fn open(settings: &Settings, filter: &Filter) -> anyhow::Result<Self> {
        let source = Source::open(place(settings))?;
        let sessions = match &filter.session {
            Some(which) => vec![source.session(which)?],
            None => source.sessions()?,
        };
        let all = Filter { session: filter.session.clone(), ..Filter::default() } == *filter;
        let total = Some(sessions.iter().map(|session| session.exchanges).sum()).filter(|total| all && *total > 0);
        let losses = Losses::new(&sessions);
        let losses = if all { losses.expecting_all(&sessions) } else { losses };
        Ok(Self { stream: source.exchanges(filter, Order::Oldest, None)?, total, losses, sessions })
    }
}

/// What was written.
struct Written {
    count: u64,
    /// Exchanges that the format has no place for.
    left_out: u64,
    /// Whether no recorded exchange is missing.
    is_whole: bool,
}

impl Written {
    /// Says what is left out, if anything is.
    fn tell_left_out(&self, err: &mut impl Write) -> io::Result<()> {
        match self.left_out {
            0 => Ok(()),
            left_out => writeln!(err, "{} left out: {LEFT_OUT}", counted(left_out, "exchange")),
        }
    }

    /// Says whether something is missing; `place` lists it, too.
    fn end(&self, err: &mut impl Write, place: &str) -> anyhow::Result<ExitCode> {
        if self.is_whole {
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(err, "incomplete: the warnings above and the {place} list what is missing")?;
        Ok(ExitCode::FAILURE)
    }
}

/// Standard output, which can't seek.
struct NoSeek<W>(W);

impl<W: Write> Write for NoSeek<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W> Seek for NoSeek<W> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::NotSeekable.into())
    }
}

fn taken(path: &Path) -> anyhow::Error {
    Usage::new(format!("{} already exists: choose another with -o, or replace it with --force", path.display())).into()
}

fn write(
    mut writer: Box<dyn ExchangeWriter + Send + '_>,
    exchanges: Exchanges,
    mask: &ExportMask,
) -> anyhow::Result<Written> {
    let bar = Bar::new();
    let (mut count, mut losses) = (0, exchanges.losses);
    for exchange in exchanges.stream {
        let mut exchange = match exchange {
            Ok(exchange) => exchange,
            Err(error) => {
                losses.note(error).with_context(|| format!("after {}", counted(count, "exchange")))?;
                continue;
            }
        };
        losses.read(&exchange);
        mask.apply(&mut exchange);
        writer.write(&exchange).map_err(plain)?;
        count += 1;
        bar.show(count, exchanges.total);
    }
    bar.clear();
    losses.end();
    let is_whole = losses.is_empty();
    let missing = losses.tell();
    if count == 0 {
        bail!("no readable exchange matches: `nightaudit tail --no-follow` shows the most recent ones");
    }
    if !is_whole {
        writer.missing(&missing).map_err(plain)?;
    }
    let left_out = writer.left_out();
    writer.finish().map_err(plain)?;
    Ok(Written { count: count - left_out, left_out, is_whole })
}

/// Unwraps the output's own error, which is the most specific.
fn plain(error: ExportError) -> anyhow::Error {
    match error {
        ExportError::Write(error) => error.into(),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_client::{ConsoleError, Error, Unreadable};
    use nightaudit_exchange::{Exchange, PseudonymKey};
    use nightaudit_testkit::sample::{exchange, web_socket};

    use super::*;

    fn written(exchanges: Vec<Result<Exchange, Error>>, fields: &[&str]) -> (anyhow::Result<Written>, String) {
        let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
        let mask = ExportMask::new(fields, || PseudonymKey([7; 32]));
        let mut out = Vec::new();
        let (stream, losses) = (Box::new(exchanges.into_iter()), Losses::default());
        let exchanges = Exchanges { stream, total: None, losses, sessions: Vec::new() };
        let result = write(nightaudit_export::Format::Ndjson.writer(&mut out), exchanges, &mask);
        (result, String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_exchange_that_cant_be_read_is_named_and_those_after_it_are_written() {
        let damaged = Unreadable { session: exchange().session, first: 2, last: 2, message: "damaged".to_owned() };
        let (result, text) = written(vec![Ok(exchange()), Err(damaged.into()), Ok(exchange())], &[]);
        let Written { count, is_whole, .. } = result.unwrap();
        assert_eq!((count, is_whole, text.lines().count()), (2, false, 3));
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["missing"]["ranges"], serde_json::json!([[2, 2]]));
    }

    #[test]
    fn a_source_that_breaks_off_ends_the_export() {
        let (result, _) = written(vec![Ok(exchange()), Err(ConsoleError::Failed("broke off".to_owned()).into())], &[]);
        assert_eq!(format!("{:#}", result.err().unwrap()), "after 1 exchange: broke off");
    }

    #[test]
    fn every_exchange_is_written() {
        let (result, text) = written(vec![Ok(exchange()), Ok(exchange())], &[]);
        let Written { count, is_whole, .. } = result.unwrap();
        assert_eq!((count, is_whole, text.lines().count()), (2, true, 2));
    }

    #[test]
    fn fields_are_masked_in_what_was_said_over_a_websocket() {
        let mut part = exchange();
        let mut said = web_socket();
        said.messages[0].body = nightaudit_exchange::Body::whole(r#"{"Email":"ann@example.com"}"#.into());
        part.web_socket = Some(said);
        let (_, text) = written(vec![Ok(part.clone())], &["Email"]);
        assert!(text.contains("\"masked\":true") && !text.contains("ann@example.com"), "{text}");
        assert!(written(vec![Ok(part)], &[]).1.contains("ann@example.com"));
    }

    #[test]
    fn fields_are_masked_on_both_sides() {
        let mut private = exchange();
        let body = || nightaudit_exchange::Body::whole(r#"{"Email":"ann@example.com"}"#.into());
        private.request.body = body();
        private.response.as_mut().unwrap().body = body();
        let (_, text) = written(vec![Ok(private.clone())], &["email"]);
        assert!(!text.contains("ann@example.com"), "{text}");
        assert_eq!(text.matches("\"masked\":true").count(), 2, "{text}");
        assert_eq!(written(vec![Ok(private)], &[]).1.matches("ann@example.com").count(), 2);
    }
}
