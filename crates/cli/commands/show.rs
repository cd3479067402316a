//! `nightaudit show`

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::{Args, ValueEnum, ValueHint};
use jiff::tz::TimeZone;
use nightaudit_app::config::Settings;
use nightaudit_client::{Source, session_of};
use nightaudit_exchange::{Alteration, Body, Destination, Direction, Exchange, Header, Import, WebSocket};
use nightaudit_export::{Format, Language, code};
use nightaudit_review::OriginStatus;
use nightaudit_text::{
    duration, findings,
    json::{indent, is_json},
    local, plain, plain_lines, size, status_style, terminal,
};

use crate::{complete, error::Usage, place::place};

/// Show one exchange
#[derive(Debug, Args)]
#[command(after_long_help = "\
Without flags, prints the outcome, violations of the operation's contract (lines with !), and request and response with
JSON indented. Tokens are shown as pseudonyms; the originals were never recorded.

Examples:
  nightaudit show 000A1C
  nightaudit show last-error
  nightaudit show 01KAS3Z --response --body -o reservations.json
  nightaudit show 01KAS3Z --request --wire
  nightaudit show 01KAS3Z --curl
  nightaudit show 01KAS3Z --as python
  nightaudit show 01KAS3Z --json | jq .limit")]
pub(crate) struct Show {
    /// An id, either end of an id, last, or last-error
    #[arg(add = complete::exchanges())]
    id: String,
    /// The request only
    #[arg(long, conflicts_with = "response")]
    request: bool,
    /// The response only
    #[arg(long)]
    response: bool,
    /// The bare body, decoded: the response's, or the request's with --request
    #[arg(long, conflicts_with_all = ["curl", "json"])]
    body: bool,
    /// As sent on the wire: not indented, not decoded
    #[arg(long, conflicts_with_all = ["curl", "json"])]
    wire: bool,
    /// Write to this new file instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// As a curl command that takes the tokens from environment variables
    #[arg(long, conflicts_with_all = ["json", "request", "response"])]
    curl: bool,
    /// As code that sends the request again, with the tokens from environment variables
    #[arg(
        long = "as",
        value_name = "LANGUAGE",
        conflicts_with_all = ["curl", "json", "request", "response", "body", "wire"]
    )]
    language: Option<As>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

/// Languages and programs that send a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum As {
    /// A curl command; the same as --curl
    Curl,
    /// An HTTPie command
    Httpie,
    /// JavaScript with fetch, for Node
    Fetch,
    /// C# with HttpClient
    Csharp,
    /// Python with requests
    Python,
}

impl From<As> for Language {
    fn from(chosen: As) -> Self {
        match chosen {
            As::Curl => Self::Curl,
            As::Httpie => Self::Httpie,
            As::Fetch => Self::Fetch,
            As::Csharp => Self::CSharp,
            As::Python => Self::Python,
        }
    }
}

/// What the log knows of where an exchange came from.
#[derive(Debug, Clone, Default)]
struct Origin {
    /// What the import of its session found.
    imported: Option<Import>,
    /// The node that recorded it, in an archive.
    node: Option<String>,
}

/// Which messages to show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    request: bool,
    response: bool,
}

impl Parts {
    pub(crate) const BOTH: Self = Self { request: true, response: true };
}

impl Show {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        if self.id.is_empty() {
            return Err(Usage::new("the id is empty").into());
        }
        let source = Source::open(place(settings))?;
        let exchange = source.find(&self.id)?;
        let sessions = source.sessions()?;
        let origin = match session_of(&sessions, exchange.session) {
            Some((_, Some(chain))) => Origin { imported: chain.imported, node: Some(chain.node.clone()) },
            Some((session, None)) => Origin { imported: session.imported, node: None },
            None => Origin::default(),
        };
        drop(source);
        let Some(path) = &self.output else {
            if self.body || self.wire || self.curl || self.json || self.language.is_some() {
                // Raw bytes must not go through the colour stripper. On a terminal, control characters are escaped.
                self.write(&mut terminal::stdout(), &exchange, &origin, settings)?;
            } else {
                self.write(&mut anstream::stdout().lock(), &exchange, &origin, settings)?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        let mut bytes = Vec::new();
        self.write(&mut bytes, &exchange, &origin, settings)?;
        if !self.body && !self.wire {
            bytes = anstream::adapter::strip_bytes(&bytes).into_vec();
        }
        let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
        let mut file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Usage::new(format!("{} already exists", path.display())).into(),
            _ => anyhow::Error::new(error).context(format!("can't write {}", path.display())),
        })?;
        file.write_all(&bytes).with_context(|| format!("can't write {}", path.display()))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Writes what was asked for.
    fn write(
        &self,
        out: &mut dyn Write,
        exchange: &Exchange,
        origin: &Origin,
        settings: &Settings,
    ) -> anyhow::Result<()> {
        let parts = Parts { request: !self.response, response: !self.request };
        if self.body {
            write_bare(out, exchange, self.request, self.wire)?;
        } else if self.wire {
            write_wire(out, exchange, parts)?;
        } else if self.curl {
            let mut script = Vec::new();
            let mut writer = Format::Curl.writer(&mut script);
            writer.write(exchange)?;
            writer.finish()?;
            out.write_all(&script)?;
        } else if let Some(language) = self.language {
            let id = exchange.id;
            let Some(code) = code(exchange, language.into()) else {
                anyhow::bail!("exchange {id} has messages of a WebSocket, which are no request: use --json");
            };
            out.write_all(code.as_bytes())?;
        } else if self.json {
            serde_json::to_writer(&mut *out, exchange)?;
            writeln!(out)?;
        } else {
            if parts.request && parts.response {
                let findings = findings(exchange, &settings.contracts()?);
                write_summary(out, exchange, origin, &findings, &TimeZone::system())?;
            }
            write_messages(out, exchange, parts, None)?;
        }
        Ok(out.flush()?)
    }
}

/// Why a body isn't there, and how long it was, if that is known.
fn withheld(body: &Body) -> Option<String> {
    let reason = body.withheld?.reason();
    Some(if body.length == 0 {
        format!("body not recorded: {reason}")
    } else {
        format!("{} withheld: {reason}", size(body.length))
    })
}

fn write_bare(out: &mut dyn Write, exchange: &Exchange, request: bool, wire: bool) -> anyhow::Result<()> {
    let body = match (request, &exchange.response) {
        (true, _) => &exchange.request.body,
        (false, Some(response)) => &response.body,
        (false, None) => anyhow::bail!("exchange {} has no response", exchange.id),
    };
    if let Some(withheld) = withheld(body) {
        tracing::warn!("{withheld}");
    } else if body.truncated {
        tracing::warn!(
            "truncated: only the first {} of {} were recorded",
            size(body.bytes.len() as u64),
            size(body.length)
        );
    }
    let bytes = if wire { body.bytes.clone() } else { body.decoded().0 };
    Ok(out.write_all(&bytes)?)
}

/// Writes both messages in HTTP/1 syntax, whatever their version.
fn write_wire(out: &mut dyn Write, exchange: &Exchange, parts: Parts) -> io::Result<()> {
    let mut message = |line: String, headers: &[Header], body: &Body| {
        write!(out, "{line}\r\n")?;
        headers.iter().try_for_each(|header| write!(out, "{}: {}\r\n", header.name, header.value))?;
        out.write_all(b"\r\n")?;
        out.write_all(&body.bytes)
    };
    if parts.request {
        let request = &exchange.request;
        let target = request.url.split_once("://").map_or(&*request.url, |(_, rest)| rest);
        let target = target.find('/').map_or("/", |start| &target[start..]);
        message(format!("{} {target} {}", request.method, request.http_version), &request.headers, &request.body)?;
    }
    if let (true, Some(response)) = (parts.response, &exchange.response) {
        // The response starts on a line of its own.
        let between = if parts.request { "\r\n" } else { "" };
        let reason = response.reason.as_deref().unwrap_or_default();
        let line = format!("{between}{} {} {reason}", response.http_version, response.status);
        message(line.trim_end().to_owned(), &response.headers, &response.body)?;
    }
    Ok(())
}

fn write_summary(
    out: &mut dyn Write,
    exchange: &Exchange,
    origin: &Origin,
    findings: &[String],
    zone: &TimeZone,
) -> io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "{bold}{}{bold:#}  {}", exchange.id, plain(&exchange.operation))?;
    writeln!(
        out,
        "{}, {} in {}, number {} of session {}{} ({})",
        local(exchange.started_at, zone, "%Y-%m-%d %H:%M:%S%.6f %:z"),
        exchange.outcome,
        duration(exchange.duration()),
        exchange.sequence,
        plain(&exchange.session_name),
        origin.node.as_ref().map_or_else(String::new, |node| format!(" on {}", plain(node))),
        plain(&exchange.environment),
    )?;
    if let Some(failure) = &exchange.error {
        writeln!(out, "{}: {}", failure.kind, plain(&failure.message))?;
    }
    if let Some(fault) = &exchange.fault {
        writeln!(out, "injected fault: {}, by {}", plain(&fault.to_string()), plain(&fault.rules.join("; ")))?;
        if let Some(status) = fault.upstream_status {
            writeln!(out, "the upstream had responded with {status}, which the client didn't get")?;
        }
    }
    if let Some(limit) = &exchange.limit {
        let decision = format!("{:?}", limit.decision).to_lowercase();
        write!(out, "limit {}: {decision}, {} of {} used", plain(&limit.rule), limit.used, limit.limit)?;
        if limit.waited_ms > 0 {
            write!(out, ", delayed by {} ms", limit.waited_ms)?;
        }
        if let Some(seconds) = limit.retry_after_s {
            write!(out, ", Retry-After {seconds} s")?;
        }
        writeln!(out)?;
    }
    if let Some(tool) = &exchange.recorded_by {
        writeln!(out, "imported: recorded by {}, whose word its times and bytes are", plain(tool))?;
    }
    match (exchange.alteration, origin.imported) {
        (Some(Alteration::Edited), _) => writeln!(out, "imported: altered since it was recorded")?,
        (Some(Alteration::Masked), _) => writeln!(out, "imported: values were masked before export")?,
        // Anyone can compute matching hashes.
        (None, Some(_)) if exchange.recorded_by.is_none() => {
            writeln!(out, "imported: the hash matches, which alone proves nothing")?
        }
        (None, _) => {}
    }
    exchange.notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
    let is_claim = origin.imported.is_some() || exchange.alteration.is_some() || exchange.recorded_by.is_some();
    let envelope = &exchange.envelope;
    for (name, value) in [
        ("client", envelope.client.as_deref().map(plain)),
        ("client token", envelope.client_token.map(|token| token.to_string())),
        ("access token", envelope.access_token.map(|token| token.to_string())),
        ("request id", exchange.request_id().map(plain)),
        ("webhook forwarded to", exchange.destination.as_ref().filter(|_| exchange.is_webhook()).map(forwarded_to)),
        ("sent to", exchange.destination.as_ref().filter(|_| !is_claim && !exchange.is_webhook()).map(sent_to)),
        (
            "sent to, as claimed",
            exchange.destination.as_ref().filter(|_| is_claim && !exchange.is_webhook()).map(sent_to),
        ),
        ("from", exchange.peer.map(|peer| peer.to_string())),
        ("sent again from", exchange.resent_from.map(|original| original.to_string())),
    ] {
        if let Some(value) = value {
            writeln!(out, "{name}: {value}")?;
        }
    }
    let style = Style::new().bold().fg_color(Some(AnsiColor::Magenta.into()));
    findings.iter().try_for_each(|finding| writeln!(out, "{style}! {finding}{style:#}"))?;
    writeln!(out)
}

/// Where a webhook went.
fn forwarded_to(destination: &Destination) -> String {
    plain(&destination.to_string())
}

/// Where a request went, who vouches for the host, and whether it is Mews.
fn sent_to(destination: &Destination) -> String {
    let is_mews = match OriginStatus::of(destination) {
        OriginStatus::NotMews => "not Mews: ",
        OriginStatus::NotVouched => "not proven to be Mews: ",
        _ => "",
    };
    let remote = destination.remote.map_or_else(String::new, |remote| format!(" ({remote})"));
    format!("{is_mews}{}{remote}", plain(&destination.to_string()))
}

/// Writes request and response with headers and bodies, JSON indented; at most `cut` characters of each body.
pub(crate) fn write_messages(
    out: &mut dyn Write,
    exchange: &Exchange,
    parts: Parts,
    cut: Option<usize>,
) -> io::Result<()> {
    if parts.request {
        let request = &exchange.request;
        let bold = Style::new().bold();
        let version = &request.http_version;
        writeln!(out, "{bold}{} {}{bold:#} {version}", plain(&request.method), plain(&request.url))?;
        write_message(out, &request.headers, &request.body, cut)?;
    }
    if let (true, Some(response)) = (parts.response, &exchange.response) {
        let style = status_style(Some(response.status)).bold();
        writeln!(out, "{style}{}{style:#} {}", response.status, response.http_version)?;
        write_message(out, &response.headers, &response.body, cut)?;
    }
    exchange.web_socket.as_ref().map_or(Ok(()), |said| write_web_socket(out, said, cut))
}

/// Writes one part of a WebSocket's messages: `>` from the client, `<` from the upstream.
fn write_web_socket(out: &mut dyn Write, said: &WebSocket, cut: Option<usize>) -> io::Result<()> {
    let dim = Style::new().dimmed();
    writeln!(out, "{dim}part {} of the WebSocket opened by {}{dim:#}\n", said.part, said.handshake)?;
    for message in &said.messages {
        let arrow = if message.direction == Direction::Send { '>' } else { '<' };
        let kind = match message.opcode {
            1 => "text".to_owned(),
            2 => "binary".to_owned(),
            8 => close(&message.body),
            9 => "ping".to_owned(),
            10 => "pong".to_owned(),
            opcode => format!("opcode {opcode}"),
        };
        let length = size(message.body.length);
        let coding = message.body.content_encoding.as_deref().map(|coding| format!(", {}", plain(coding)));
        writeln!(out, "{dim}{arrow} {} {kind}, {length}{}{dim:#}", message.time, coding.unwrap_or_default())?;
        if message.opcode != 8 {
            write_body(out, &message.body, cut, "use --json")?;
        }
    }
    if !said.omitted.is_none() {
        writeln!(out, "{dim}{} more, {}, not recorded{dim:#}", said.omitted.messages, size(said.omitted.bytes))?;
    }
    if said.unreadable_bytes > 0 {
        writeln!(out, "{dim}{} that aren't WebSocket frames{dim:#}", size(said.unreadable_bytes))?;
    }
    if said.ended {
        writeln!(out, "{dim}connection closed{dim:#}")?;
    }
    Ok(())
}

fn write_message(out: &mut dyn Write, headers: &[Header], body: &Body, cut: Option<usize>) -> io::Result<()> {
    let dim = Style::new().dimmed();
    for header in headers {
        writeln!(out, "{dim}{}:{dim:#} {}", plain(&header.name), plain(&header.value))?;
    }
    writeln!(out)?;
    write_body(out, body, cut, "use --body")
}

/// The code and reason of a close frame.
fn close(body: &Body) -> String {
    match body.bytes.split_first_chunk() {
        Some((code, reason)) => {
            let text = format!("close {} {}", u16::from_be_bytes(*code), plain(&String::from_utf8_lossy(reason)));
            text.trim_end().to_owned()
        }
        None => "close".to_owned(),
    }
}

fn write_body(out: &mut dyn Write, body: &Body, cut: Option<usize>, otherwise: &str) -> io::Result<()> {
    let dim = Style::new().dimmed();
    if let Some(withheld) = withheld(body) {
        return writeln!(out, "{dim}{withheld}{dim:#}\n");
    }
    if body.length == 0 {
        return Ok(());
    }
    let (bytes, complete) = body.decoded();
    let Some(text) = str::from_utf8(&bytes).ok().filter(|text| !text.is_empty()) else {
        return writeln!(out, "{dim}{} of binary data; {otherwise}{dim:#}\n", size(body.length));
    };
    let text = if is_json(text) { indent(text) } else { text.to_owned() };
    let shown: String = cut.map_or_else(|| text.clone(), |cut| text.chars().take(cut).collect());
    writeln!(out, "{}", plain_lines(&shown))?;
    if shown.len() < text.len() {
        writeln!(out, "{dim}… {} more{dim:#}", size((text.len() - shown.len()) as u64))?;
    }
    if let (false, Some(coding)) = (complete, &body.content_encoding) {
        writeln!(out, "{dim}not entirely valid {}{dim:#}", plain(coding))?;
    }
    if body.truncated {
        let kept = size(body.bytes.len() as u64);
        writeln!(out, "{dim}truncated: the first {kept} of {} were recorded{dim:#}", size(body.length))?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use nightaudit_testkit::sample::{exchange, web_socket};

    use super::*;

    #[test]
    fn a_web_socket_is_readable() {
        let mut out = Vec::new();
        write_web_socket(&mut out, &web_socket(), None).unwrap();
        let text = String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_exchange_is_readable() {
        let mut out = Vec::new();
        write_summary(
            &mut out,
            &exchange(),
            &Origin::default(),
            &["/Limitation/Count: expected 1 to 1000, found 5000".to_owned()],
            &TimeZone::UTC,
        )
        .unwrap();
        write_messages(&mut out, &exchange(), Parts::BOTH, None).unwrap();
        insta::assert_snapshot!(
            anstream::adapter::strip_bytes(&out)
                .into_vec()
                .escape_ascii()
                .to_string()
                .replace("\\n", "\n")
                .replace("\\\"", "\"")
        );
    }

    #[test]
    fn the_wire_form_is_not_reformatted() {
        let mut exchange = exchange();
        let mut out = Vec::new();
        write_wire(&mut out, &exchange, Parts::BOTH).unwrap();
        let expected = "POST /api/connector/v1/reservations/getAll/2023-06-06 HTTP/1.1\r\n\
            Content-Type: application/json\r\n\r\n{\"Limitation\":{\"Count\":10}}\r\n\
            HTTP/2 200\r\nrequest-id: r-1\r\n\r\n{\"Reservations\":[]}";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let response = exchange.response.as_mut().unwrap();
        (response.http_version, response.reason) = ("HTTP/1.1".into(), Some("Quite Fine".into()));
        let mut out = Vec::new();
        write_wire(&mut out, &exchange, Parts { request: false, response: true }).unwrap();
        assert!(out.starts_with(b"HTTP/1.1 200 Quite Fine\r\n"));
    }

    #[test]
    fn notes_and_undecodable_bodies_are_shown() {
        let mut exchange = exchange();
        exchange.notes = vec![nightaudit_exchange::Note::RedirectRewritten];
        let response = exchange.response.as_mut().unwrap();
        response.body.content_encoding = Some("utf-8".into());
        let mut out = Vec::new();
        write_summary(&mut out, &exchange, &Origin::default(), &[], &TimeZone::UTC).unwrap();
        write_messages(&mut out, &exchange, Parts::BOTH, None).unwrap();
        let text = String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap();
        assert!(text.contains("\nthe redirect to the host was rewritten to point to the proxy\n"), "{text}");
        assert!(text.contains("\"Reservations\"") && text.contains("not entirely valid utf-8"), "{text}");
    }

    #[test]
    fn the_destination_is_shown_and_marked_as_a_claim_if_imported() {
        let shown = |exchange: &Exchange, imported| {
            let mut out = Vec::new();
            let origin = Origin { imported, node: Some("kiosk\u{1b}".to_owned()) };
            write_summary(&mut out, exchange, &origin, &[], &TimeZone::UTC).unwrap();
            String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap()
        };
        let mews = exchange();
        let text = shown(&mews, None);
        let expected =
            "\nsent to: https://api.mews-demo.com, TLS with api.mews-demo.com, certificate from a public authority\n";
        assert!(text.contains(expected) && !text.contains("imported"), "{text}");
        // The node, in an archive.
        assert!(text.contains(" on kiosk\u{fffd} (demo)\n"), "{text}");
        let text = shown(&mews, Some(Import { exchanges: 1, ..Import::default() }));
        assert!(
            text.contains("\nimported: the hash matches") && text.contains("\nsent to, as claimed: https"),
            "{text}"
        );
        let altered = Exchange { alteration: Some(Alteration::Edited), ..mews.clone() };
        assert!(shown(&altered, None).contains("\nimported: altered since it was recorded\n"));
        let mut other = mews;
        let destination = other.destination.as_mut().unwrap();
        destination.tls.as_mut().unwrap().authority = nightaudit_exchange::Authority::Configured;
        let text = shown(&other, None);
        assert!(text.contains("\nsent to: not proven to be Mews: https://api.mews-demo.com, TLS"), "{text}");
        let destination = other.destination.as_mut().unwrap();
        (destination.address, destination.tls) = ("http://127.0.0.1:8090".into(), None);
        let text = shown(&other, None);
        assert!(text.contains("\nsent to: not Mews: http://127.0.0.1:8090, in clear text\n"), "{text}");
    }

    #[test]
    fn a_long_body_is_cut_with_a_mark() {
        let mut out = Vec::new();
        write_messages(&mut out, &exchange(), Parts::BOTH, Some(4)).unwrap();
        let text = String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap();
        assert_eq!(text.matches("… ").count(), 2, "{text}");
    }
}
