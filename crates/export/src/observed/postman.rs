//! A Postman collection 2.1, as observed.
//!
//! Follows <https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html>. Each operation is a request as it was
//! recorded: the one that shows most of what was ever sent, with responses likewise. Tokens are variables to be set.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write,
};

use nightaudit_exchange::{Envelope, Header};
use nightaudit_mews::API;
use nightaudit_shape::{Property, Shape};
use nightaudit_units::count;
use serde::{Serialize, Serializer, ser::SerializeSeq as _};

use super::{Example, Message, Observed, Operation, schema};
use crate::{
    curl::{Piece, pieces, variable},
    text::printable,
};

/// The version of the format.
const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";

/// The variable with the address of the API.
const BASE: &str = "baseUrl";

/// The most properties in a description.
const MOST_ROWS: usize = 200;

/// Writes the collection.
pub(crate) fn write(observed: &Observed, missing: u64, out: &mut dyn Write) -> serde_json::Result<()> {
    let info = Info { name: name(observed), description: description(observed, missing), schema: SCHEMA };
    serde_json::to_writer_pretty(out, &Collection { info, item: Folders(observed), variable: variables(observed) })
}

#[derive(Serialize)]
struct Collection<'c> {
    info: Info,
    item: Folders<'c>,
    variable: Vec<Variable>,
}

#[derive(Serialize)]
struct Info {
    name: String,
    description: String,
    schema: &'static str,
}

#[derive(Serialize)]
struct Variable {
    key: String,
    value: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

fn name(observed: &Observed) -> String {
    let sessions: Vec<String> = observed.sessions.iter().map(|name| printable(name)).collect();
    let of = if sessions.is_empty() { "nothing".to_owned() } else { sessions.join(", ") };
    format!("{} Connector API, as observed in {of}", API.name)
}

fn description(observed: &Observed, missing: u64) -> String {
    let mut text = format!(
        "What {} recorded exchanges looked like, written by nightaudit {}. This isn't {} documentation: each operation has \
         the recorded request that shows most of what was ever sent, and such a response for each status.\n\nTokens aren't \
         recorded: set the collection's variables.",
        count(observed.exchanges),
        env!("CARGO_PKG_VERSION"),
        API.possessive,
    );
    for (number, what) in [(observed.unlisted, "calls are not in it"), (missing, "exchanges are missing from the log")]
    {
        if number > 0 {
            let _ = write!(text, "\n\n{} {what}.", count(number));
        }
    }
    text
}

/// The address, and the tokens of the examples.
fn variables(observed: &Observed) -> Vec<Variable> {
    let mut tokens = BTreeMap::new();
    for operation in observed.operations.values() {
        let own = [&operation.request].into_iter().chain(operation.responses.values());
        for example in own.filter_map(|message| message.example.as_ref()) {
            let texts = [str::from_utf8(&example.body).unwrap_or_default(), &example.url];
            let values = example.headers.iter().map(|header| &*header.value);
            for piece in texts.into_iter().chain(values).flat_map(pieces) {
                if let Piece::Token(token) = piece {
                    tokens.insert(variable(token, &example.envelope), token);
                }
            }
        }
    }
    let base = Variable {
        key: BASE.to_owned(),
        value: observed.origin().unwrap_or_default().to_owned(),
        r#type: "string",
        description: None,
    };
    let token = |(key, token)| Variable {
        key,
        value: String::new(),
        r#type: "string",
        description: Some(format!("The token recorded as {token}.")),
    };
    std::iter::once(base).chain(tokens.into_iter().map(token)).collect()
}

/// The operations in folders by the first part of their names.
struct Folders<'f>(&'f Observed);

#[derive(Serialize)]
struct Folder<'f> {
    name: String,
    item: Vec<Item<'f>>,
}

impl Serialize for Folders<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut folders: BTreeMap<&str, Vec<(&str, &str, &Operation)>> = BTreeMap::new();
        for ((path, method), operation) in &self.0.operations {
            // A WebSocket is no request of a collection.
            if operation.origin().is_some_and(|origin| origin.starts_with("http")) {
                folders.entry(operation.group()).or_default().push((path, method, operation));
            }
        }
        let mut list = serializer.serialize_seq(Some(folders.len()))?;
        for (name, operations) in folders {
            let item = |(path, method, operation)| Item::of(path, method, operation, self.0.origin());
            let item = operations.into_iter().map(item).collect();
            list.serialize_element(&Folder { name: printable(name), item })?;
        }
        list.end()
    }
}

#[derive(Serialize)]
struct Item<'i> {
    name: String,
    request: Request,
    response: Vec<Response<'i>>,
}

#[derive(Serialize, Clone)]
struct Request {
    method: String,
    header: Vec<KeyValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Body>,
    url: Url,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

#[derive(Serialize, Clone)]
struct KeyValue {
    key: String,
    value: String,
}

#[derive(Serialize, Clone)]
struct Body {
    mode: &'static str,
    raw: String,
    options: Options,
}

#[derive(Serialize, Clone)]
struct Options {
    raw: Language,
}

#[derive(Serialize, Clone)]
struct Language {
    language: &'static str,
}

#[derive(Serialize, Clone)]
struct Url {
    raw: String,
    host: Vec<String>,
    path: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    query: Vec<KeyValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'r> {
    name: String,
    original_request: Request,
    status: &'r str,
    code: u16,
    #[serde(rename = "_postman_previewlanguage")]
    language: &'static str,
    header: Vec<KeyValue>,
    body: String,
}

impl<'i> Item<'i> {
    fn of(path: &str, method: &str, operation: &'i Operation, base: Option<&str>) -> Self {
        let request = Request::of(path, method, operation, base);
        let original = Request { description: String::new(), ..request.clone() };
        let response = operation.responses.iter().map(|(status, message)| {
            let example = message.example.as_ref();
            Response {
                name: format!("{status}, observed in {} of {} calls", count(message.count), count(operation.calls)),
                original_request: original.clone(),
                status: example.and_then(|example| example.reason.as_deref()).unwrap_or_default(),
                code: *status,
                language: if message.shape.bodies().json > 0 { "json" } else { "text" },
                header: example.map(headers).unwrap_or_default(),
                body: example.map(|example| text(&example.body, &example.envelope)).unwrap_or_default(),
            }
        });
        Self { name: printable(&operation.name), request, response: response.collect() }
    }
}

impl Request {
    fn of(path: &str, method: &str, operation: &Operation, base: Option<&str>) -> Self {
        let message = &operation.request;
        let example = message.example.as_ref();
        let body = example.filter(|example| !example.body.is_empty()).map(|example| Body {
            mode: "raw",
            raw: text(&example.body, &example.envelope),
            options: Options {
                raw: Language { language: if message.shape.bodies().json > 0 { "json" } else { "text" } },
            },
        });
        let header = example.map(headers).unwrap_or_default();
        let url = Url::of(path, operation, base, example);
        Self { method: method.to_ascii_uppercase(), header, body, url, description: observed(operation) }
    }
}

impl Url {
    fn of(path: &str, operation: &Operation, base: Option<&str>, example: Option<&Example>) -> Self {
        let origin = operation.origin();
        let host = if origin == base { format!("{{{{{BASE}}}}}") } else { origin.unwrap_or_default().to_owned() };
        let query = example.and_then(|example| Some((example.url.split_once('?')?.1, &example.envelope)));
        let query: Vec<KeyValue> = query.map_or_else(Vec::new, |(query, envelope)| {
            let query = query.split('#').next().unwrap_or_default();
            let pairs = form_urlencoded::parse(query.as_bytes());
            pairs
                .map(|(key, value)| KeyValue { key: key.into_owned(), value: text(value.as_bytes(), envelope) })
                .collect()
        });
        let said: Vec<String> = query.iter().map(|KeyValue { key, value }| format!("{key}={value}")).collect();
        let said = if said.is_empty() { String::new() } else { format!("?{}", said.join("&")) };
        Self {
            raw: format!("{host}{path}{said}"),
            host: vec![host],
            path: path.trim_start_matches('/').split('/').map(str::to_owned).collect(),
            query,
        }
    }
}

fn headers(example: &Example) -> Vec<KeyValue> {
    let value = |Header { name, value }: &Header| KeyValue {
        key: name.to_string(),
        value: text(value.as_bytes(), &example.envelope),
    };
    example.headers.iter().map(value).collect()
}

/// A text with its tokens as variables; what isn't text is left out.
fn text(bytes: &[u8], envelope: &Envelope) -> String {
    let Ok(recorded) = str::from_utf8(bytes) else { return String::new() };
    pieces(recorded).fold(String::new(), |text, piece| match piece {
        Piece::Text(piece) => text + piece,
        Piece::Token(token) => text + "{{" + &variable(token, envelope) + "}}",
    })
}

/// What was observed of an operation, in Markdown.
fn observed(operation: &Operation) -> String {
    let mut text = format!("Observed in {} calls", count(operation.calls));
    if operation.unanswered > 0 {
        let _ = write!(text, ", {} without a response from {}", count(operation.unanswered), API.name);
    }
    text.push('.');
    unfit(&mut text, "request", &operation.request);
    for (status, message) in &operation.responses {
        unfit(&mut text, &format!("response {status}"), message);
    }
    table(&mut text, "Requests", &operation.request.shape);
    for (status, message) in &operation.responses {
        table(&mut text, &format!("Responses {status}"), &message.shape);
    }
    text
}

/// Says where the message that shows most isn't the example: nobody must take what is shown for all that there is.
fn unfit(text: &mut String, what: &str, message: &Message) {
    let Some(why) = message.unfit() else { return };
    let shown = match message.example {
        None => format!("No recorded {what} is shown"),
        Some(_) => format!("A recorded {what} shows more than this one"),
    };
    let _ = write!(text, "\n\n{shown}: {why}.");
}

/// The properties of all bodies.
fn table(text: &mut String, title: &str, shape: &Shape) {
    let Some(root) = shape.root() else { return };
    let mut rows = Vec::new();
    list(root, &mut rows);
    if rows.is_empty() {
        return;
    }
    let _ = write!(text, "\n\n**{title}**\n\n| property | types | in |\n|---|---|---|");
    for (pointer, types, share) in rows.iter().take(MOST_ROWS) {
        let _ = write!(text, "\n| {} | {types} | {share} |", cell(pointer));
    }
    if rows.len() > MOST_ROWS {
        let _ = write!(text, "\n\n{} more are left out.", rows.len() - MOST_ROWS);
    }
}

/// Each property below this one: its place, its types, and how often it was there.
fn list(property: Property<'_>, rows: &mut Vec<(String, String, String)>) {
    for child in property.children() {
        // One more than is shown, so that it is seen that there are more.
        if rows.len() > 10 * MOST_ROWS {
            return;
        }
        let of = property.count_of(nightaudit_shape::Kind::Object);
        let is_named = matches!(child.step(), nightaudit_shape::Step::Property(_));
        if is_named {
            let types: BTreeSet<&str> = schema::types(child).into_iter().collect();
            let types = types.into_iter().collect::<Vec<_>>().join(", ");
            let number = child.count().min(of);
            let share = if number == of { "all".to_owned() } else { format!("{} of {}", count(number), count(of)) };
            rows.push((child.pointer(), if types.is_empty() { "redacted".to_owned() } else { types }, share));
        }
        list(child, rows);
    }
}

/// Text from the network in a cell of a table.
fn cell(text: &str) -> String {
    format!("`{}`", printable(text).replace('`', "'").replace('|', "\\|"))
}
