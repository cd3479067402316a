//! Python with `requests`.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    literal::{expression, literal},
    parts::Parts,
};

pub(super) fn code(parts: &Parts<'_>) -> String {
    let secret = |name: &str| format!("os.environ[\"{name}\"]");
    let text = |text: &str| expression(text, parts.envelope, secret);
    let mut code = parts.comments("#");
    let body = match parts.text() {
        Some("") => None,
        Some(body) => Some(format!("({}).encode()", text(body))),
        None => Some(format!("base64.b64decode({})", literal(&BASE64_STANDARD.encode(&parts.body)))),
    };
    let mut call = String::new();
    let _ = write!(call, "response = requests.request(\n    {},\n    {},\n", literal(parts.method), text(parts.url));
    call.push_str("    headers={\n");
    for (name, value) in parts.joined() {
        // `requests` sends text as Latin-1.
        let encoded = if value.is_ascii() { text(&value) } else { format!("({}).encode()", text(&value)) };
        let _ = writeln!(call, "        {}: {encoded},", literal(name));
    }
    call.push_str("    },\n");
    if let Some(body) = body {
        let _ = writeln!(call, "    data={body},");
    }
    call.push_str("    allow_redirects=False,\n)\n");
    for (module, is_used) in [("base64", call.contains("base64.")), ("os", call.contains("os.environ["))] {
        if is_used {
            let _ = writeln!(code, "import {module}");
        }
    }
    code + "import requests\n\n" + &call + "print(response.status_code)\nprint(response.text)\n"
}
