//! JavaScript with `fetch`, for Node.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    literal::{expression, expression_of, literal},
    parts::Parts,
};

/// Reads a variable, and says which one is missing.
const SECRET: &str = "\
const secret = (name) => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`set the variable ${name} first`);
  return value;
};
";

pub(super) fn code(parts: &Parts<'_>) -> String {
    let secret = |name: &str| format!("secret(\"{name}\")");
    let text = |text: &str| expression(text, parts.envelope, secret);
    let mut comments = parts.comments("//");
    // The standard forbids a body here.
    let has_no_body = ["GET", "HEAD"].contains(&parts.method);
    let body = match parts.text() {
        Some("") => None,
        _ if has_no_body => {
            comments.push_str("// fetch sends no body with GET and HEAD; the recorded one is left out.\n");
            None
        }
        // Text would be sent with a type of its own.
        Some(body) if !parts.has("content-type") => Some(format!("new TextEncoder().encode({})", text(body))),
        Some(body) => Some(text(body)),
        None => Some(format!("Buffer.from({}, \"base64\")", literal(&BASE64_STANDARD.encode(&parts.body)))),
    };
    let mut call = String::new();
    let _ = writeln!(call, "const response = await fetch({}, {{", text(parts.url));
    let _ = writeln!(call, "  method: {},", literal(parts.method));
    call.push_str("  headers: [\n");
    for (name, value) in &parts.headers {
        let value = expression_of(value, parts.envelope, bytes, secret);
        let _ = writeln!(call, "    [{}, {value}],", literal(name));
    }
    call.push_str("  ],\n");
    if let Some(body) = body {
        let _ = writeln!(call, "  body: {body},");
    }
    call.push_str("  redirect: \"manual\",\n});\n");
    let helper = if call.contains("secret(\"") { SECRET } else { "" };
    comments + helper + &call + "console.log(response.status);\nconsole.log(await response.text());\n"
}

/// The value of a header, a character for each byte, which is what `fetch` sends.
fn bytes(value: &str) -> String {
    literal(&value.bytes().map(char::from).collect::<String>())
}
