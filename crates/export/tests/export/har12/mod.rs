//! HAR 1.2, typed as its specification has it: every required field, no field that is neither its own nor begins with `_`.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use nightaudit_exchange::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// Fields beyond the specification: all of them have to begin with an underscore.
type Custom = BTreeMap<String, Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    version: String,
    creator: Program,
    #[serde(default)]
    browser: Option<Program>,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    name: String,
    #[serde(rename = "version")]
    _version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    started_date_time: Timestamp,
    time: f64,
    request: Request,
    response: Response,
    cache: BTreeMap<(), ()>,
    timings: Timings,
    #[serde(flatten)]
    custom: Custom,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    #[serde(rename = "method")]
    _method: String,
    #[serde(rename = "url")]
    _url: String,
    #[serde(rename = "httpVersion")]
    _http_version: String,
    cookies: Vec<Cookie>,
    #[serde(rename = "headers")]
    _headers: Vec<Pair>,
    #[serde(rename = "queryString")]
    _query_string: Vec<Pair>,
    #[serde(default)]
    post_data: Option<PostData>,
    headers_size: i64,
    body_size: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    #[serde(rename = "mimeType")]
    _mime_type: String,
    #[serde(rename = "text")]
    _text: String,
    #[serde(flatten)]
    custom: Custom,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Response {
    status: i64,
    #[serde(rename = "statusText")]
    _status_text: String,
    #[serde(rename = "httpVersion")]
    _http_version: String,
    cookies: Vec<Cookie>,
    #[serde(rename = "headers")]
    _headers: Vec<Pair>,
    content: Content,
    #[serde(rename = "redirectURL")]
    _redirect_url: String,
    headers_size: i64,
    body_size: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    size: i64,
    #[serde(default, rename = "compression")]
    _compression: Option<i64>,
    #[serde(rename = "mimeType")]
    _mime_type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "value")]
    _value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cookie {
    name: String,
    #[serde(rename = "value")]
    _value: String,
    #[serde(default, rename = "path")]
    _path: Option<String>,
    #[serde(default, rename = "domain")]
    _domain: Option<String>,
    #[serde(default, rename = "expires")]
    _expires: Option<Timestamp>,
    #[serde(default, rename = "httpOnly")]
    _http_only: bool,
    #[serde(default, rename = "secure")]
    _secure: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Timings {
    blocked: f64,
    dns: f64,
    connect: f64,
    ssl: f64,
    send: f64,
    wait: f64,
    receive: f64,
}

/// Holds an archive against the specification and returns how many entries it has.
pub(crate) fn check(har: &str) -> usize {
    let Log { version, creator, browser, entries } = serde_json::from_str::<Har>(har).unwrap().log;
    assert_eq!(version, "1.2");
    assert_eq!(creator.name, "nightaudit");
    assert!(entries.is_empty() || browser.is_some());
    for entry in &entries {
        let Timings { blocked, dns, connect, ssl, send, wait, receive } = entry.timings;
        // These three are required of every entry, the others are -1 where they do not apply.
        assert!(send >= 0.0 && wait >= 0.0 && receive >= 0.0);
        assert!([blocked, dns, connect, ssl].iter().all(|&time| time == -1.0 || time >= 0.0));
        let sum: f64 = [blocked, dns, connect, send, wait, receive].iter().filter(|&&time| time > 0.0).sum();
        assert!((entry.time - sum).abs() <= sum * 1e-9, "{} is not {sum}", entry.time);
        assert!(entry.cache.is_empty() && entry.started_date_time.micros() > 0);

        let (request, response) = (&entry.request, &entry.response);
        assert_eq!((request.headers_size, response.headers_size), (-1, -1));
        assert!(request.body_size >= 0 && response.body_size >= -1);
        assert!(request.cookies.iter().chain(&response.cookies).all(|cookie| !cookie.name.contains('=')));
        let post_data = request.post_data.iter().flat_map(|data| data.custom.keys());
        assert!(entry.custom.keys().chain(post_data).all(|name| name.starts_with('_')));
        assert_eq!(entry.custom.contains_key("_error"), entry.custom["_nightaudit"]["error"].is_object());

        let content = &response.content;
        assert!(content.size >= 0 && (0..=999).contains(&response.status));
        match (content.encoding.as_deref(), &content.text) {
            (None, _) => {}
            (Some("base64"), Some(text)) => assert!(BASE64_STANDARD.decode(text).is_ok()),
            other => panic!("{other:?} is no encoding"),
        }
    }
    entries.len()
}
