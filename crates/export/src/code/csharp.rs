//! C# with `HttpClient`: a program of top-level statements.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    literal::{expression, literal},
    parts::Parts,
};

/// Headers that belong to the content in .NET.
const OF_CONTENT: [&str; 10] = [
    "allow",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "expires",
    "last-modified",
];

/// Reads a variable, and says which one is missing.
const SECRET: &str = "
static string Secret(string name) =>
    Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($\"set the variable {name} first\");
";

pub(super) fn code(parts: &Parts<'_>) -> String {
    let secret = |name: &str| format!("Secret(\"{name}\")");
    let text = |text: &str| expression(text, parts.envelope, secret);
    let is_of_content = |name: &str| OF_CONTENT.iter().any(|known| name.eq_ignore_ascii_case(known));
    let mut code = parts.comments("//");
    code.push_str("using System;\nusing System.Net.Http;\nusing System.Text;\n\n");
    code.push_str("using var handler = new SocketsHttpHandler\n{\n    AllowAutoRedirect = false,\n");
    code.push_str("    RequestHeaderEncodingSelector = (_, _) => Encoding.UTF8,\n};\n");
    code.push_str("using var client = new HttpClient(handler);\n");
    let (method, url) = (literal(parts.method), text(parts.url));
    let _ = writeln!(code, "using var request = new HttpRequestMessage(new HttpMethod({method}), {url});");
    let add = |code: &mut String, to: &str, headers: &mut dyn Iterator<Item = &(&str, &str)>| {
        for (name, value) in headers {
            let _ = writeln!(code, "{to}.TryAddWithoutValidation({}, {});", literal(name), text(value));
        }
    };
    add(&mut code, "request.Headers", &mut parts.headers.iter().filter(|(name, _)| !is_of_content(name)));
    let mut of_content = parts.headers.iter().filter(|(name, _)| is_of_content(name)).peekable();
    if !parts.body.is_empty() || of_content.peek().is_some() {
        let content = match parts.text() {
            Some(body) => format!("Encoding.UTF8.GetBytes({})", text(body)),
            None => format!("Convert.FromBase64String({})", literal(&BASE64_STANDARD.encode(&parts.body))),
        };
        let _ = writeln!(code, "request.Content = new ByteArrayContent({content});");
        add(&mut code, "request.Content.Headers", &mut of_content);
    }
    code.push_str("using var response = await client.SendAsync(request);\n");
    code.push_str("Console.WriteLine((int)response.StatusCode);\n");
    code.push_str("Console.WriteLine(await response.Content.ReadAsStringAsync());\n");
    if code.contains("Secret(\"") { code + SECRET } else { code }
}
