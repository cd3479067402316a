//! The exchanges of a file, whatever its format.

use std::io::{self, BufRead, BufReader};

use compact_str::CompactString;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use nightaudit_exchange::{Exchange, Incoming, SessionId, Timestamp};

use crate::{
    Error, Format, Place,
    error::{Damage, Failed},
    flows::{self, Flows},
    foreign::{Call, Maker},
    format::Compression,
    har::{self, Har},
    input::{Input, Progress},
    ndjson::Ndjson,
    order::Order,
    parts::Parts,
};

/// How much of a file is looked at to tell its format.
const BEGINNING: usize = 64 << 10;
/// The most damaged entries of which the reasons are kept.
const MAX_SKIPPED: usize = 20;

/// How a file is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether damaged entries are skipped, where that is possible, instead of ending the reading with an error.
    pub lenient: bool,
    /// Whether requests to other hosts than Mews', and to other paths than those of Mews' APIs, are read, too. Of
    /// nightaudit's own export everything is.
    pub all_hosts: bool,
    /// The session's name, if another tool recorded the exchanges; by default named after the first one's time.
    pub session: Option<String>,
}

/// What a file had, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The file's format.
    pub format: Format,
    /// The tool that wrote it, with its version, as the file says.
    pub tool: Option<String>,
    /// Entries read: requests with or without their response.
    pub entries: u64,
    /// Damaged entries that were skipped.
    pub skipped: u64,
    /// The first of these: each with the reason.
    pub reasons: Vec<Skipped>,
    /// Requests to other hosts that were left out.
    pub other_hosts: u64,
    /// Entries that aren't requests of HTTP, and were left out: tunnels, `data:` URLs, other protocols.
    pub not_http: u64,
}

/// A damaged entry that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Which one.
    pub place: Place,
    /// The cause.
    pub reason: String,
}

/// Reads exchanges from a file, in bounded memory.
///
/// Exchanges of other tools get a session and a sequence, in the order in which they ended, as far as they are less than
/// 8,192 exchanges or 32 MiB of memory apart. They aren't redacted yet; see [`Incoming::Foreign`].
///
/// ```
/// use nightaudit_exchange::Incoming;
/// use nightaudit_import::{Options, Reader};
///
/// let har = br#"{"log": {"creator": {"name": "Charles Proxy", "version": "4.6.3"}, "entries": [{
///   "startedDateTime": "2026-11-23T14:00:00.250+02:00",
///   "request": {"method": "POST", "url": "https://api.mews-demo.com/api/connector/v1/rates/getAll"},
///   "response": {"status": 200, "content": {"text": "{}"}}
/// }]}}"#;
/// let mut reader = Reader::open(&har[..], Options::default())?;
/// let Some(Ok(Incoming::Foreign(exchange))) = reader.next() else { panic!() };
/// assert_eq!(exchange.operation, "rates/getAll");
/// assert_eq!(exchange.started_at.to_string(), "2026-11-23T12:00:00.250000Z");
/// assert_eq!(exchange.recorded_by.as_deref(), Some("Charles Proxy 4.6.3"));
/// assert!(reader.next().is_none());
/// assert_eq!(reader.summary().entries, 1);
/// # Ok::<(), nightaudit_import::Error>(())
/// ```
#[must_use]
pub struct Reader<'a> {
    input: Input<'a>,
    entries: Entries,
    options: Options,
    maker: Maker,
    order: Order,
    /// The exchange of the entry read last, and the others that are made of it.
    made: Option<Exchange>,
    parts: Option<Parts>,
    session: Option<(SessionId, CompactString)>,
    sequence: u64,
    summary: Summary,
    ended: bool,
}

#[derive(Debug)]
enum Entries {
    Ndjson(Ndjson),
    Har(Har),
    Flows(Flows),
}

impl<'a> Reader<'a> {
    /// Tells the file's format, and reads what comes before its first entry.
    ///
    /// # Errors
    ///
    /// The file can't be read, is a bundle, or is of no known format.
    pub fn open(file: impl BufRead + 'a, options: Options) -> Result<Self, Error> {
        Self::open_with(file, options, |_| Ok(()))
    }

    /// As [`open`](Self::open), calling `progress` with the bytes read so far, which may end the reading with an error. Of
    /// a compressed file, these are after decompression.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(
        mut file: impl BufRead + 'a,
        options: Options,
        progress: impl FnMut(u64) -> io::Result<()> + 'a,
    ) -> Result<Self, Error> {
        let file: Box<dyn BufRead + 'a> = match Compression::of(file.fill_buf()?) {
            None => Box::new(file),
            Some(Compression::Gzip) => Box::new(BufReader::with_capacity(BEGINNING, MultiGzDecoder::new(file))),
            Some(Compression::Zlib) => Box::new(BufReader::with_capacity(BEGINNING, ZlibDecoder::new(file))),
        };
        let progress: Box<Progress<'a>> = Box::new(progress);
        let mut input = Input::new(file, progress);
        let mut format = None;
        while format.is_none() {
            let whole = !input.more()?;
            format = match Format::of(input.buffered()) {
                // The beginning of a HAR looks like anything else in braces.
                Ok(Format::Ndjson) | Err(Error::Empty | Error::Unknown)
                    if !whole && input.buffered().len() < BEGINNING =>
                {
                    None
                }
                known => Some(known?),
            };
        }
        let format = format.unwrap_or(Format::Ndjson);
        let mut maker = Maker::new();
        let entries = match format {
            Format::Ndjson => Entries::Ndjson(Ndjson::default()),
            Format::Har => Entries::Har(Har::open(&mut input)?),
            Format::Flows => {
                maker.set_tool("mitmproxy", "");
                Entries::Flows(Flows::default())
            }
        };
        if let Entries::Har(Har { creator: Some((name, version)), .. }) = &entries {
            maker.set_tool(name, version);
        }
        let summary = Summary {
            format,
            tool: (format != Format::Ndjson).then(|| maker.tool().to_owned()),
            entries: 0,
            skipped: 0,
            reasons: Vec::new(),
            other_hosts: 0,
            not_http: 0,
        };
        Ok(Self {
            input,
            entries,
            options,
            maker,
            order: Order::default(),
            made: None,
            parts: None,
            session: None,
            sequence: 0,
            summary,
            ended: false,
        })
    }

    /// What was read so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Reads an entry: `None` at the end, otherwise what it gives, unless that is held back to be put in order.
    fn read(&mut self) -> Option<Result<Option<Incoming>, Failed>> {
        let read = match &mut self.entries {
            Entries::Ndjson(lines) => match lines.next(&mut self.input)? {
                Ok(incoming) => {
                    self.summary.entries += u64::from(!matches!(incoming, Incoming::Missing(_)));
                    return Some(Ok(Some(incoming)));
                }
                Err(failed) => Err(failed),
            },
            Entries::Har(har) => match har.next(&mut self.input)? {
                Ok(har::Read::Call(call)) => Ok(Some((call, None))),
                Ok(har::Read::NotHttp) => Ok(None),
                Err(failed) => Err(failed),
            },
            Entries::Flows(flows) => {
                let offset = self.input.position();
                match flows.next(&mut self.input)? {
                    Ok(flows::Read::Call(call, id)) => Ok(Some((call, id))),
                    Ok(flows::Read::NotHttp) => Ok(None),
                    Ok(flows::Read::Messages { handshake, messages }) => match flows.take_handshake(&handshake) {
                        Some(exchange) => {
                            self.parts = Some(Parts::new(&exchange, messages));
                            return Some(Ok(None));
                        }
                        // Those of a handshake that was left out are left out, too.
                        None if flows.was_left_out(&handshake) => Ok(None),
                        None => {
                            let reason = "it has messages of a WebSocket whose handshake is not in the file before it";
                            Err(flows.damage(offset, reason.to_owned()))
                        }
                    },
                    Err(failed) => Err(failed),
                }
            }
        };
        Some(read.map(|read| {
            match read {
                Some((call, id)) => self.take(*call, id),
                None => self.summary.not_http += 1,
            }
            None
        }))
    }

    /// Makes exchanges of a call, if it is wanted.
    fn take(&mut self, call: Call, flow: Option<String>) {
        self.summary.entries += 1;
        if !self.options.all_hosts && !call.is_mews() {
            self.summary.other_hosts += 1;
            if let (Some(id), Entries::Flows(flows)) = (flow, &mut self.entries) {
                flows.leave_out(&id);
            }
            return;
        }
        let (exchange, messages) = self.maker.exchange(call);
        if let (Some(id), Entries::Flows(flows)) = (flow, &mut self.entries) {
            flows.note_handshake(&id, &exchange);
        }
        self.parts = messages.map(|messages| Parts::new(&exchange, messages));
        self.made = Some(exchange);
    }

    /// The next exchange of the entry read last.
    fn next_made(&mut self) -> Option<Exchange> {
        if let Some(exchange) = self.made.take() {
            return Some(exchange);
        }
        let made = self.parts.as_mut()?.next(&mut self.maker);
        if made.is_none() {
            self.parts = None;
        }
        made
    }

    fn skip(&mut self, damage: Damage) {
        self.summary.skipped += 1;
        if self.summary.reasons.len() < MAX_SKIPPED {
            self.summary.reasons.push(Skipped { place: damage.place, reason: damage.shown() });
        }
    }

    /// Gives the exchange its session and its place there.
    fn enrol(&mut self, mut exchange: Exchange) -> Incoming {
        let (session, name) = self.session.get_or_insert_with(|| {
            let name = self.options.session.clone();
            let name = name.unwrap_or_else(|| automatic_name(exchange.started_at));
            (self.maker.session_at(exchange.started_at), name.into())
        });
        self.sequence += 1;
        (exchange.session, exchange.session_name, exchange.sequence) = (*session, name.clone(), self.sequence);
        Incoming::Foreign(Box::new(exchange))
    }

    /// How much memory the exchanges take that were made and not yet given.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.order.held() + self.made.as_ref().map_or(0, Exchange::memory) + self.parts.as_ref().map_or(0, Parts::held)
    }

    /// Why there is nothing, if there is.
    fn emptiness(&self) -> Option<Error> {
        let Summary { format, entries, other_hosts, .. } = self.summary;
        let is_empty = if format == Format::Ndjson { entries == 0 } else { self.sequence == 0 };
        is_empty.then_some(if other_hosts > 0 { Error::OtherHosts(other_hosts) } else { Error::Empty })
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Incoming, Error>;

    /// The next exchange. After an error there is none. A file that has none at all is an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(exchange) = self.order.pop() {
                return Some(Ok(self.enrol(exchange)));
            }
            if let Some(exchange) = self.next_made() {
                self.order.push(exchange);
                continue;
            }
            match self.read() {
                Some(Ok(None)) => {}
                Some(Ok(Some(incoming))) => return Some(Ok(incoming)),
                Some(Err(Failed::Damage(damage))) if self.options.lenient => self.skip(damage),
                Some(Err(failed)) => {
                    self.ended = true;
                    return Some(Err(match failed {
                        Failed::Io(error) => error.into(),
                        Failed::Damage(damage) => damage.into(),
                    }));
                }
                None => {
                    if let Some(exchange) = self.order.take() {
                        return Some(Ok(self.enrol(exchange)));
                    }
                    self.ended = true;
                    return self.emptiness().map(Err);
                }
            }
        }
    }
}

/// The name of a session with the exchanges of this file: the file's name without folders and endings. `None` if nothing is
/// left.
///
/// ```
/// use nightaudit_import::session_of_file;
///
/// assert_eq!(session_of_file("/home/a/certification run.har.gz").as_deref(), Some("certification run"));
/// assert_eq!(session_of_file("-"), None);
/// ```
#[must_use]
pub fn session_of_file(name: &str) -> Option<String> {
    const ENDINGS: [&str; 11] =
        ["har", "zhar", "flow", "flows", "mitm", "dump", "json", "ndjson", "jsonl", "txt", "gz"];
    let mut name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    while let Some((stem, ending)) = name.rsplit_once('.')
        && ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
    {
        name = stem;
    }
    let name = name.trim();
    (!name.is_empty() && name != "-").then(|| name.to_owned())
}

/// `imported-2026-11-23T12-00-00Z`: a valid file name everywhere.
fn automatic_name(started: Timestamp) -> String {
    let text = started.to_string();
    format!("imported-{}Z", text.split('.').next().unwrap_or(&text).replace(':', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_all_parts_of_a_web_socket_were_made_at_once_each_with_the_long_url() {
        let url = format!("wss://ws.mews-demo.com/ws/connector?{}", "x".repeat(2 << 20));
        let messages = vec![r#"{"type":"send","opcode":1,"data":"{}"}"#; 50_000].join(",");
        let har = format!(
            r#"{{"log":{{"entries":[{{"startedDateTime":"2026-11-23T12:00:00Z","request":{{"method":"GET","url":"{url}"}},
            "response":{{"status":101}},"_webSocketMessages":[{messages}]}}]}}}}"#
        );
        let mut reader = Reader::open(har.as_bytes(), Options::default()).unwrap();
        let mut parts = 0;
        while let Some(incoming) = reader.next() {
            let Ok(Incoming::Foreign(_)) = incoming else { panic!("{incoming:?}") };
            parts += 1;
            assert!(reader.held() < 40 << 20, "{} after {parts}", reader.held());
        }
        assert_eq!(parts, 51);
    }
}
