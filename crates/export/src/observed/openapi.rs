//! OpenAPI 3.1, as observed.
//!
//! Follows <https://spec.openapis.org/oas/v3.1.1.html>; extensions are properties that start with `x-`, as it requires.

use std::{collections::BTreeMap, io::Write};

use nightaudit_exchange::Timestamp;
use nightaudit_mews::API;
use nightaudit_units::count;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::value::RawValue;

use super::{Message, Observed, Operation, schema::Schema};

/// The methods that a path of OpenAPI can have.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Writes the document.
pub(crate) fn write(observed: &Observed, missing: u64, out: &mut dyn Write) -> serde_json::Result<()> {
    serde_json::to_writer_pretty(out, &Document { observed, missing })
}

/// What the document is made of, in an extension.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Origin<'o> {
    nightaudit: &'static str,
    observed: bool,
    exchanges: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    sessions: Vec<&'o str>,
    #[serde(skip_serializing_if = "is_zero")]
    unlisted: u64,
    #[serde(skip_serializing_if = "is_zero")]
    missing: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "required by serde")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct Info {
    title: String,
    version: &'static str,
    description: String,
}

#[derive(Serialize)]
struct Server<'s> {
    url: &'s str,
}

struct Document<'d> {
    observed: &'d Observed,
    missing: u64,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let observed = self.observed;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("openapi", "3.1.1")?;
        map.serialize_entry("info", &info(observed))?;
        let origin = Origin {
            nightaudit: env!("CARGO_PKG_VERSION"),
            observed: true,
            exchanges: observed.exchanges,
            first: observed.first,
            last: observed.last,
            sessions: observed.sessions.iter().map(|name| &**name).collect(),
            unlisted: observed.unlisted + of_other_methods(observed),
            missing: self.missing,
        };
        map.serialize_entry("x-nightaudit", &origin)?;
        let servers: Vec<_> = observed.origins.keys().map(|url| Server { url }).collect();
        if !servers.is_empty() {
            map.serialize_entry("servers", &servers)?;
        }
        map.serialize_entry("paths", &Paths(observed))?;
        map.end()
    }
}

fn info(observed: &Observed) -> Info {
    let mut description = format!(
        "What {} recorded exchanges looked like, merged by nightaudit. It isn't {} documentation: other requests may be \
         valid, responses may have other properties, and what is required here was merely always there.",
        count(observed.exchanges),
        API.possessive,
    );
    let without = without_example(observed);
    if without > 0 {
        let without = count(without as u64);
        description.push_str(&format!(
            " Examples that are left out, or aren't the fullest: {without}; `{NO_EXAMPLE}` says why."
        ));
    }
    Info { title: format!("{} Connector API, as observed", API.name), version: "observed", description }
}

/// Calls of methods that a path of OpenAPI can't have.
fn of_other_methods(observed: &Observed) -> u64 {
    let others = observed.operations.iter().filter(|((_, method), _)| !METHODS.contains(&&**method));
    others.map(|(_, operation)| operation.calls).sum()
}

/// Bodies without an example, or without the one that shows most.
fn without_example(observed: &Observed) -> usize {
    let operations = observed.operations.iter().filter(|((_, method), _)| METHODS.contains(&&**method));
    let messages = operations.flat_map(|(_, operation)| {
        std::iter::once(&operation.request).chain(Responses(operation).all().map(|(_, message)| message))
    });
    messages.filter(|message| message.with_body() > 0 && why_no_example(message).is_some()).count()
}

struct Paths<'p>(&'p Observed);

impl Serialize for Paths<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut paths: BTreeMap<&str, BTreeMap<&str, &Operation>> = BTreeMap::new();
        for ((path, method), operation) in &self.0.operations {
            if METHODS.contains(&&**method) {
                paths.entry(path).or_default().insert(method, operation);
            }
        }
        let mut map = serializer.serialize_map(None)?;
        for (path, methods) in paths {
            // Braces would be parameters of the path.
            let path = path.replace('{', "%7B").replace('}', "%7D");
            map.serialize_entry(&path, &Methods { path: &path, methods })?;
        }
        map.end()
    }
}

struct Methods<'m> {
    path: &'m str,
    methods: BTreeMap<&'m str, &'m Operation>,
}

impl Serialize for Methods<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (method, operation) in &self.methods {
            map.serialize_entry(method, &Call { id: format!("{method} {}", self.path), operation })?;
        }
        map.end()
    }
}

struct Call<'c> {
    id: String,
    operation: &'c Operation,
}

#[derive(Serialize)]
struct Parameter<'p> {
    name: &'p str,
    r#in: &'static str,
    required: bool,
    schema: StringSchema,
}

#[derive(Serialize)]
struct StringSchema {
    r#type: &'static str,
}

/// So many calls, in an extension.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calls {
    calls: u64,
    unanswered: u64,
    #[serde(skip_serializing_if = "is_zero")]
    unlisted_responses: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestBody<'r> {
    required: bool,
    content: Content<'r>,
}

impl Serialize for Call<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { id, operation } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("operationId", id)?;
        map.serialize_entry("tags", &[operation.group()])?;
        map.serialize_entry(
            "x-nightaudit-observed",
            &Calls {
                calls: operation.calls,
                unanswered: operation.unanswered,
                unlisted_responses: Responses(operation).unlisted(),
            },
        )?;
        let parameters = operation.parameters.iter().map(|(name, calls)| Parameter {
            name,
            r#in: "query",
            required: *calls == operation.calls,
            schema: StringSchema { r#type: "string" },
        });
        let parameters: Vec<Parameter<'_>> = parameters.collect();
        if !parameters.is_empty() {
            map.serialize_entry("parameters", &parameters)?;
        }
        let request = &operation.request;
        if let Some(media_type) = request.media_type().filter(|_| request.with_body() > 0) {
            let body = RequestBody {
                required: request.with_body() == request.count,
                content: Content { media_type, message: request },
            };
            map.serialize_entry("requestBody", &body)?;
        }
        let responses = Responses(operation);
        if responses.all().next().is_some() {
            map.serialize_entry("responses", &responses)?;
        }
        map.end()
    }
}

struct Responses<'r>(&'r Operation);

impl<'r> Responses<'r> {
    /// Those with a status that HTTP has.
    fn all(&self) -> impl Iterator<Item = (u16, &'r Message)> + use<'r> {
        self.0
            .responses
            .iter()
            .map(|(status, message)| (*status, message))
            .filter(|(status, _)| (100..600).contains(status))
    }

    /// How many aren't among these.
    fn unlisted(&self) -> u64 {
        let others = self.0.responses.iter().filter(|(status, _)| !(100..600).contains(*status));
        self.0.unlisted_responses + others.map(|(_, message)| message.count).sum::<u64>()
    }
}

impl Serialize for Responses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (status, message) in self.all() {
            map.serialize_entry(&status.to_string(), &Response { message, calls: self.0.calls })?;
        }
        map.end()
    }
}

struct Response<'r> {
    message: &'r Message,
    calls: u64,
}

impl Serialize for Response<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { message, calls } = self;
        let mut map = serializer.serialize_map(None)?;
        let description = format!("Observed in {} of {} calls.", count(message.count), count(*calls));
        map.serialize_entry("description", &description)?;
        if let Some(media_type) = message.media_type().filter(|_| message.with_body() > 0) {
            map.serialize_entry("content", &Content { media_type, message })?;
        }
        map.end()
    }
}

/// Bodies of one media type: where there were several, the one of most.
struct Content<'c> {
    media_type: &'c str,
    message: &'c Message,
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.media_type, &MediaType(self.message))?;
        map.end()
    }
}

struct MediaType<'m>(&'m Message);

impl Serialize for MediaType<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(property) = self.0.shape.root() {
            map.serialize_entry("schema", &Schema { property, share: None })?;
        }
        if let Some(example) = example(self.0) {
            map.serialize_entry("example", example)?;
        }
        if let Some(why) = why_no_example(self.0) {
            map.serialize_entry(NO_EXAMPLE, &why)?;
        }
        map.end()
    }
}

/// The extension that says why there is no example, or not the one that shows most.
const NO_EXAMPLE: &str = "x-nightaudit-example";

/// The example, if it is JSON.
fn example(message: &Message) -> Option<&RawValue> {
    serde_json::from_slice(&message.example.as_ref()?.body).ok()
}

/// Why there is no example, or not the one that shows most: nobody must take what is shown for all that there is.
fn why_no_example(message: &Message) -> Option<String> {
    let shown = if example(message).is_some() { "Another shows more than this one" } else { "None is shown" };
    match message.unfit() {
        Some(why) => Some(format!("{shown}: {why}.")),
        None if example(message).is_none() => Some(format!("{shown}: it is not JSON.")),
        None => None,
    }
}
