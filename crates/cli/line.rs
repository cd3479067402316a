//! Exchanges and figures as a person reads them in a terminal.

use std::{fmt, time::Duration};

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use nightaudit_exchange::{Decision, Direction, Exchange, Outcome, Timestamp};

/// Room for what stands beside the operation on a line.
const REST: usize = 76;

/// An exchange on one line: local time, status, operation, duration, sizes, limit left, pseudonym, session, marks.
pub(crate) struct Line<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) zone: &'a TimeZone,
    /// Columns of the terminal; none where the output is none.
    pub(crate) width: Option<usize>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exchange = self.exchange;
        let style = status_style(exchange.status());
        let status = exchange.status().map_or_else(|| "---".to_owned(), |status| status.to_string());
        let room = self.width.map_or(44, |width| width.saturating_sub(REST).clamp(16, 60));
        let operation = plain(&exchange.operation);
        let operation = if self.width.is_some() { cut(&operation, room) } else { operation };
        let response = exchange.response.as_ref().map_or(0, |response| response.body.length);
        let said = |direction| {
            let messages = exchange.web_socket.iter().flat_map(|part| &part.messages);
            messages.filter(|message| message.direction == direction).map(|message| message.body.length).sum::<u64>()
        };
        let left = exchange
            .limit
            .as_ref()
            .map_or_else(String::new, |limit| format!("{}/{}", limit.limit.saturating_sub(limit.used), limit.limit));
        let token = exchange.envelope.access_token.map_or_else(String::new, |token| token.to_string());
        let token = token.trim_start_matches("REDACTED:");
        write!(
            f,
            "{}  {style}{status}{style:#}  {operation:room$}  {:>8}  {:>8} {:>8}  {left:>9}  {token:12}  {}",
            local(exchange.started_at, self.zone, "%H:%M:%S%.3f"),
            duration(exchange.duration()),
            size(exchange.request.body.length + said(Direction::Send)),
            size(response + said(Direction::Receive)),
            plain(&exchange.session_name),
        )?;
        if let Some(part) = &exchange.web_socket {
            let (sent, received) = part.counts();
            write!(f, "  websocket: {sent} sent, {received} received")?;
        }
        marks(exchange).iter().try_for_each(|mark| {
            let style = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
            write!(f, "  {style}{mark}{style:#}")
        })
    }
}

/// What is worth a second look.
fn marks(exchange: &Exchange) -> Vec<String> {
    let mut marks = Vec::new();
    match exchange.outcome {
        Outcome::Answered => {}
        Outcome::Refused => {
            let rule = exchange.limit.as_ref().map_or("", |limit| &limit.rule);
            marks.push(format!("refused by {}", plain(rule)));
        }
        outcome => marks.push(match &exchange.error {
            Some(failure) => format!("{outcome}: {}", failure.kind),
            None => outcome.to_string(),
        }),
    }
    if let Some(part) = exchange.web_socket.as_ref().filter(|part| !part.omitted.is_none()) {
        marks.push(format!("{} messages not kept", part.omitted.messages));
    }
    match exchange.limit.as_ref().map(|limit| (limit.decision, limit.waited_ms)) {
        Some((Decision::Delayed, waited)) => marks.push(format!("delayed {}", duration(Duration::from_millis(waited)))),
        Some((Decision::Observed, _)) => marks.push("over the limit".to_owned()),
        _ => {}
    }
    marks
}

/// The colour of a status.
pub(crate) fn status_style(status: Option<u16>) -> Style {
    let color = match status {
        Some(200..=299) => AnsiColor::Green,
        Some(100..=199 | 300..=399) => AnsiColor::Cyan,
        Some(400..=499) => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    Style::new().fg_color(Some(color.into()))
}

/// A time in the local zone, by a `strftime` pattern.
pub(crate) fn local(time: Timestamp, zone: &TimeZone, pattern: &str) -> String {
    match jiff::Timestamp::from_microsecond(time.micros()) {
        Ok(instant) => instant.to_zoned_datetime(zone.clone()).strftime(pattern).to_string(),
        Err(_) => time.to_string(),
    }
}

/// A duration in three figures: `84.3 ms`, `1.25 s`, `3m 20s`.
pub(crate) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let seconds = duration.as_secs_f64();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..100_000 => format!("{:.1} ms", seconds * 1e3),
        100_000..1_000_000 => format!("{:.0} ms", seconds * 1e3),
        1_000_000..60_000_000 => format!("{seconds:.2} s"),
        _ => format!("{}m {:02}s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

/// A number of bytes: `412 B`, `2.0 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// A text without what a terminal would obey: it came over the network.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

/// The same of a text of several lines.
pub(crate) fn plain_lines(text: &str) -> String {
    let keep = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t');
    text.chars().map(|letter| if keep(letter) { letter } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// The text if it has room, else its end, which tells operations apart better than their beginning.
fn cut(text: &str, room: usize) -> String {
    let letters = text.chars().count();
    if letters <= room {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(letters + 1 - room)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn exchange() -> Exchange {
        let json = r#"{"id": "01KAS00000000000000000000A", "session": "01KAS000000000000000000000",
            "sessionName": "certification", "sequence": 42, "environment": "demo",
            "operation": "reservations/getAll/2023-06-06", "startedAt": "2026-11-23T12:00:00.123456Z",
            "timesUs": {"forwarded": 210, "responseHead": 84312, "responseEnd": 85120}, "peer": "127.0.0.1:51234",
            "envelope": {"client": "Acme Kiosk 2.1.0", "clientToken": null, "accessToken": "REDACTED:b1946ac92492",
                "paginated": true},
            "request": {"method": "POST",
                "url": "https://api.mews-demo.com/api/connector/v1/reservations/getAll/2023-06-06",
                "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}],
                "body": "{\"Limitation\":{\"Count\":10}}", "bodyEncoding": "utf-8", "bodyLength": 27,
                "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "truncated": false},
            "response": {"status": 200, "httpVersion": "HTTP/2", "headers": [{"name": "request-id", "value": "r-1"}],
                "requestId": "r-1", "body": "{\"Reservations\":[]}", "bodyEncoding": "utf-8", "bodyLength": 2088,
                "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "truncated": false},
            "limit": {"decision": "admitted", "rule": "published", "used": 12, "limit": 200, "waitedMs": 0,
                "retryAfterS": null},
            "outcome": "answered", "error": null}"#;
        serde_json::from_str(json).unwrap()
    }

    fn line(exchange: &Exchange, width: Option<usize>) -> String {
        anstream::adapter::strip_str(&Line { exchange, zone: &TimeZone::UTC, width }.to_string()).to_string()
    }

    #[test]
    fn a_line_tells_the_whole_story() {
        let mut exchange = exchange();
        insta::assert_snapshot!(line(&exchange, Some(120)), @"12:00:00.123  200  reservations/getAll/2023-06-06                 85.1 ms      27 B  2.0 KiB    188/200  b1946ac92492  certification");
        exchange.outcome = Outcome::Refused;
        exchange.limit.as_mut().unwrap().used = 200;
        assert!(line(&exchange, None).ends_with("0/200  b1946ac92492  certification  refused by published"));
        exchange.outcome = Outcome::Answered;
        let limit = exchange.limit.as_mut().unwrap();
        (limit.decision, limit.waited_ms) = (Decision::Delayed, 1500);
        assert!(line(&exchange, None).ends_with("delayed 1.50 s"));
    }

    #[test]
    fn a_part_of_a_websocket_tells_how_much_was_said() {
        let mut exchange = exchange();
        exchange.response = None;
        exchange.web_socket = Some(crate::commands::show::tests::said());
        assert!(line(&exchange, None).ends_with("certification  websocket: 1 sent, 2 received  7 messages not kept"));
        assert!(line(&exchange, None).contains("  29 B     14 B  "), "{}", line(&exchange, None));
    }

    #[test]
    fn a_narrow_terminal_cuts_the_operation_at_its_beginning() {
        let line = line(&exchange(), Some(80));
        assert!(line.contains("  …tAll/2023-06-06  "), "{line}");
    }

    #[test]
    fn what_came_over_the_network_cant_drive_the_terminal() {
        let mut exchange = exchange();
        exchange.operation = "\u{1b}]0;owned\u{7}\r\nfake line".to_owned();
        let line = line(&exchange, None);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert_eq!(plain_lines("a\tb\n\u{1b}[2J"), "a\tb\n\u{fffd}[2J");
    }

    #[test]
    fn durations_have_three_figures() {
        let of = |micros| duration(Duration::from_micros(micros));
        assert_eq!(
            [of(0), of(999), of(84_312), of(843_120), of(1_250_000), of(200_000_000)],
            ["0 us", "999 us", "84.3 ms", "843 ms", "1.25 s", "3m 20s"]
        );
    }
}
