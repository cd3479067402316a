//! An exchange as a row of the page's list.

use nightaudit_exchange::{CallDirection, Exchange, ExchangeId, Outcome, Pseudonym, SessionId, Timestamp};
use nightaudit_log::ReadError;
use nightaudit_mews::Contracts;
use serde::Serialize;

/// Longer texts are cut, in characters: a row is to be looked at, and the exchange has the whole of them.
const MAX_TEXT: usize = 512;

/// What a list shows of an exchange. The marks, figures and findings are those of `tail` and `top`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row<'e> {
    id: ExchangeId,
    session: SessionId,
    session_name: &'e str,
    sequence: u64,
    started_at: Timestamp,
    method: &'e str,
    path: String,
    operation: String,
    environment: &'e str,
    status: Option<u16>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "CallDirection::is_outgoing")]
    direction: CallDirection,
    duration_us: u128,
    waited_ms: u64,
    request_bytes: u64,
    response_bytes: u64,
    limit: Option<Limit<'e>>,
    client: Option<String>,
    token: Option<Pseudonym>,
    marks: Vec<String>,
    origin: Option<&'static str>,
    findings: usize,
    first_finding: Option<String>,
    web_socket: Option<Messages>,
}

#[derive(Debug, Serialize)]
struct Limit<'e> {
    left: u32,
    limit: u32,
    rule: &'e str,
}

#[derive(Debug, Serialize)]
struct Messages {
    messages: usize,
}

impl<'e> Row<'e> {
    pub(crate) fn new(exchange: &'e Exchange, contracts: &Contracts) -> Self {
        let row = nightaudit_text::Row::new(exchange, contracts);
        let rule = exchange.limit.as_ref().map_or("", |limit| &limit.rule);
        Self {
            id: exchange.id,
            session: exchange.session,
            session_name: &exchange.session_name,
            sequence: exchange.sequence,
            started_at: exchange.started_at,
            method: &exchange.request.method,
            path: cut(path(&exchange.request.url)),
            operation: cut(&exchange.operation),
            environment: &exchange.environment,
            status: row.status,
            outcome: exchange.outcome,
            direction: exchange.direction,
            duration_us: row.took.as_micros(),
            waited_ms: exchange.limit.as_ref().map_or(0, |limit| limit.waited_ms),
            request_bytes: row.request,
            response_bytes: row.response,
            limit: row.limit.map(|(left, limit)| Limit { left, limit, rule }),
            client: exchange.envelope.client.as_deref().map(cut),
            token: exchange.envelope.access_token,
            marks: row.events,
            origin: row.origin,
            findings: row.found,
            first_finding: row.findings.first().map(|finding| cut(finding)),
            web_socket: exchange.web_socket.as_ref().map(|part| Messages { messages: part.messages.len() }),
        }
    }
}

/// The place of an exchange that can't be read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unreadable {
    id: Option<ExchangeId>,
    session: SessionId,
    sequence: u64,
    unreadable: String,
}

impl Unreadable {
    /// `None` if the error isn't that of one exchange.
    pub(crate) fn of(error: &ReadError) -> Option<Self> {
        let ReadError::Exchange { session, sequence, .. } = error else { return None };
        Some(Self { id: None, session: *session, sequence: *sequence, unreadable: error.to_string() })
    }
}

/// The path of a URL, with its query.
fn path(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    url[after_scheme..].find('/').map_or(url, |at| &url[after_scheme + at..])
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::EXCHANGE;

    fn row(exchange: &Exchange) -> serde_json::Value {
        serde_json::to_value(Row::new(exchange, &Contracts::built_in())).unwrap()
    }

    #[test]
    fn a_row_has_what_the_list_shows() {
        let exchange: Exchange = serde_json::from_str(EXCHANGE).unwrap();
        insta::assert_json_snapshot!(row(&exchange));
    }

    #[test]
    fn marks_are_those_of_tail_and_long_texts_are_cut() {
        let mut exchange: Exchange = serde_json::from_str(EXCHANGE).unwrap();
        exchange.outcome = Outcome::Refused;
        exchange.request.url = format!("https://api.mews-demo.com/{}", "é".repeat(5000));
        exchange.operation = "o".repeat(5000);
        exchange.envelope.client = Some("\u{1b}[2J".repeat(5000));
        let row = row(&exchange);
        let seen = nightaudit_text::Row::new(&exchange, &Contracts::built_in());
        assert_eq!(row["marks"], serde_json::json!(seen.events));
        assert_eq!(row["marks"][0], "refused by published");
        for name in ["path", "operation", "client"] {
            let text = row[name].as_str().unwrap();
            assert!(text.chars().count() == MAX_TEXT + 1 && text.ends_with('…'), "{name}: {text}");
        }
        assert!(row["path"].as_str().unwrap().starts_with("/éé"));
    }

    #[test]
    fn the_path_of_an_url_has_its_query() {
        for (url, expected) in [
            ("https://api.mews-demo.com/api/connector/v1/a?b=/c", "/api/connector/v1/a?b=/c"),
            ("https://api.mews-demo.com", "https://api.mews-demo.com"),
            ("/only", "/only"),
            ("", ""),
        ] {
            assert_eq!(path(url), expected);
        }
    }
}
