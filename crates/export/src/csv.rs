//! One row per exchange, for spreadsheets.

use std::{borrow::Cow, io::Write};

use nightaudit_exchange::{Alteration, Decision, Direction, Exchange, Missing};

use crate::{ExchangeWriter, ExportError, Format, text::message_bytes};

/// The columns, in their order.
const COLUMNS: [&str; 33] = [
    "sequence",
    "id",
    "startedAt",
    "session",
    "sessionName",
    "environment",
    "operation",
    "method",
    "url",
    "status",
    "outcome",
    "requestId",
    "client",
    "clientToken",
    "accessToken",
    "paginated",
    "durationMs",
    "requestBytes",
    "responseBytes",
    "limitDecision",
    "limitRule",
    "limitUsed",
    "limit",
    "waitedMs",
    "errorKind",
    "errorMessage",
    "webSocketPart",
    "destination",
    "authority",
    "alteration",
    "recordedBy",
    "fault",
    "direction",
];

pub(crate) struct CsvWriter<W: Write> {
    out: csv::Writer<W>,
    begun: bool,
}

impl<W: Write> CsvWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        // RFC 4180 ends lines with CR LF.
        let out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        Self { out, begun: false }
    }

    fn begin(&mut self) -> Result<(), csv::Error> {
        if !std::mem::replace(&mut self.begun, true) {
            // The byte order mark makes Excel read UTF-8.
            let first = format!("\u{feff}{}", COLUMNS[0]);
            self.out.write_record([&first].into_iter().map(String::as_str).chain(COLUMNS[1..].iter().copied()))?;
        }
        Ok(())
    }
}

impl<W: Write> ExchangeWriter for CsvWriter<W> {
    fn write(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        let error = |error: csv::Error| match error.into_kind() {
            csv::ErrorKind::Io(error) => ExportError::Write(error),
            other => ExportError::Encode { id: exchange.id, format: Format::Csv, source: format!("{other:?}").into() },
        };
        self.begin().map_err(error)?;
        self.out.write_record(record(exchange).iter().map(|field| defused(field).into_owned())).map_err(error)
    }

    /// One row per missing range, with the outcome `missing`, the first sequence number, and a description as the error
    /// message.
    fn missing(&mut self, missing: &[Missing]) -> Result<(), ExportError> {
        let error = |error: csv::Error| ExportError::Write(error.into());
        self.begin().map_err(error)?;
        for missing in missing {
            let ranges: &[(u64, u64)] = &missing.ranges;
            for range in ranges.chunks(1).chain(ranges.is_empty().then_some(ranges)) {
                let row = missing_record(missing, range);
                self.out.write_record(row.iter().map(|field| defused(field).into_owned())).map_err(error)?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        self.begin().map_err(std::io::Error::from)?;
        Ok(self.out.flush()?)
    }
}

fn record(exchange: &Exchange) -> [String; COLUMNS.len()] {
    fn text(value: Option<impl ToString>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    let (request, response) = (&exchange.request, exchange.response.as_ref());
    let part = exchange.web_socket.as_ref();
    // A WebSocket part has no bodies; its messages are what was sent and received.
    let (sent, received) = match part {
        Some(part) => (message_bytes(part, Direction::Send), Some(message_bytes(part, Direction::Receive))),
        None => (request.body.length, response.map(|response| response.body.length)),
    };
    let (envelope, limit, error) = (&exchange.envelope, exchange.limit.as_ref(), exchange.error.as_ref());
    let destination = exchange.destination.as_ref();
    [
        exchange.sequence.to_string(),
        exchange.id.to_string(),
        exchange.started_at.to_string(),
        exchange.session.to_string(),
        exchange.session_name.to_string(),
        exchange.environment.to_string(),
        exchange.operation.clone(),
        request.method.to_string(),
        request.url.clone(),
        text(exchange.status()),
        exchange.outcome.to_string(),
        text(exchange.request_id()),
        text(envelope.client.as_ref()),
        text(envelope.client_token),
        text(envelope.access_token),
        envelope.paginated.to_string(),
        format!("{:.3}", exchange.duration().as_secs_f64() * 1e3),
        sent.to_string(),
        text(received),
        text(limit.map(|limit| decision(limit.decision))),
        text(limit.map(|limit| &limit.rule)),
        text(limit.map(|limit| limit.used)),
        text(limit.map(|limit| limit.limit)),
        text(limit.map(|limit| limit.waited_ms)),
        text(error.map(|error| error.kind)),
        text(error.map(|error| &error.message)),
        text(part.map(|part| part.part)),
        text(destination.map(|destination| &destination.address)),
        text(destination.and_then(|destination| destination.tls.as_ref()).map(|tls| tls.authority.as_str())),
        text(exchange.alteration.map(alteration)),
        text(exchange.recorded_by.as_ref()),
        text(exchange.fault.as_ref()),
        if exchange.is_webhook() { "incoming" } else { "outgoing" }.to_owned(),
    ]
}

/// The row of a missing range; `range` is empty if the exact exchanges are unknown.
fn missing_record(missing: &Missing, range: &[(u64, u64)]) -> [String; COLUMNS.len()] {
    let (first, count) =
        range.first().map_or((String::new(), missing.count), |(first, last)| (first.to_string(), last - first + 1));
    let part = Missing { count, ranges: range.to_vec(), ..missing.clone() };
    COLUMNS.map(|column| match column {
        "sequence" => first.clone(),
        "session" => missing.session.to_string(),
        "sessionName" => missing.session_name.clone(),
        "outcome" => "missing".to_owned(),
        "errorMessage" => part.to_string(),
        _ => String::new(),
    })
}

const fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Admitted => "admitted",
        Decision::Refused => "refused",
        Decision::Delayed => "delayed",
        Decision::Observed => "observed",
    }
}

const fn alteration(alteration: Alteration) -> &'static str {
    match alteration {
        Alteration::Edited => "edited",
        Alteration::Masked => "masked",
    }
}

/// The field, prefixed with an apostrophe if a spreadsheet would take it for a formula.
///
/// Leading white space doesn't protect, since some programs trim it.
fn defused(field: &str) -> Cow<'_, str> {
    let formula = field.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if formula || field.starts_with(['\t', '\r', '\n']) { format!("'{field}").into() } else { field.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_ranges_have_their_own_rows() {
        let missing = |ranges: Vec<(u64, u64)>, count, whole_session| Missing {
            session: nightaudit_exchange::SessionId::from_parts(1, 1),
            session_name: "=certification".to_owned(),
            count,
            ranges,
            whole_session,
        };
        let mut out = Vec::new();
        let mut writer: Box<dyn ExchangeWriter + '_> = Box::new(CsvWriter::new(&mut out));
        let all =
            [missing(vec![(3, 7), (9, 9)], 6, false), missing(Vec::new(), 5, false), missing(vec![(1, 24)], 24, true)];
        writer.missing(&all).unwrap();
        writer.finish().unwrap();
        let mut reader = csv::Reader::from_reader(&out[..]);
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let column = |name: &str| COLUMNS.iter().position(|column| *column == name).unwrap();
        let of = |name: &str| rows.iter().map(|row| row[column(name)].to_owned()).collect::<Vec<_>>();
        assert_eq!(of("sequence"), ["3", "9", "", "1"]);
        assert!(of("outcome").iter().all(|outcome| outcome == "missing"));
        assert!(of("sessionName").iter().all(|name| name == "'=certification"));
        let said = of("errorMessage");
        assert!(said[0].contains("exchanges 3 to 7") && said[1].contains("exchange 9"), "{said:?}");
        assert!(said[2].contains("5 exchanges") && said[3].contains("with its 24 exchanges"), "{said:?}");
    }

    #[test]
    fn formulas_are_defused_and_nothing_else_is_touched() {
        for formula in ["=1+1", "+1", "-2+3", "@SUM(A1)", " =1", "\t=1", "\r", "\u{a0}=1", "＝1"] {
            assert_eq!(defused(formula), format!("'{formula}"));
        }
        for text in ["", "a=1", "'", "200", "0.5", "https://x/?a=-1"] {
            assert_eq!(defused(text), text);
        }
    }
}
