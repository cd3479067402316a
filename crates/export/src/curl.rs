//! `curl` commands that resend the requests.

use std::{fmt::Write as _, io::Write};

use nightaudit_exchange::{Envelope, Exchange, Header, Missing, Pseudonym};
use nightaudit_mews::API;

use crate::{ExchangeWriter, ExportError, text::printable};

/// The top of the script.
const INTRODUCTION: &str = "\
#!/bin/sh
# Requests recorded by nightaudit, to resend with curl.
# Tokens are not recorded. Before running a command, set the tokens it needs, for example:
#   ACCESS_TOKEN_3f9a1c0b7d24='the token recorded as REDACTED:3f9a1c0b7d24'
";

/// Longer bodies are piped to curl: Linux limits an argument to 128 KiB.
const MAX_ARGUMENT: usize = 100 << 10;

/// Headers that curl sets itself or that applied only to the recorded connection.
const SKIPPED_HEADERS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-nightaudit-session",
];

pub(crate) struct CurlWriter<W> {
    out: W,
    begun: bool,
    left_out: u64,
}

impl<W: Write> CurlWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, begun: false, left_out: 0 }
    }

    fn begin(&mut self) -> Result<(), ExportError> {
        if !std::mem::replace(&mut self.begun, true) {
            self.out.write_all(INTRODUCTION.as_bytes())?;
        }
        Ok(())
    }
}

impl<W: Write> ExchangeWriter for CurlWriter<W> {
    fn write(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        self.begin()?;
        // WebSocket messages are not requests.
        if exchange.web_socket.is_some() {
            self.left_out += 1;
            return Ok(());
        }
        // Mews sent it: the integration would handle the event a second time.
        if exchange.is_webhook() {
            self.left_out += 1;
            let mut script = String::new();
            let summary = printable(&summary(exchange));
            comment(&mut script, &format!("\n# Left out, a webhook of {}: {summary}", API.name));
            return Ok(self.out.write_all(script.as_bytes())?);
        }
        Ok(self.out.write_all(command(exchange).as_bytes())?)
    }

    fn missing(&mut self, missing: &[Missing]) -> Result<(), ExportError> {
        self.begin()?;
        for missing in missing {
            let mut script = String::new();
            comment(&mut script, &format!("\n# missing: {}", printable(&missing.to_string())));
            self.out.write_all(script.as_bytes())?;
        }
        Ok(())
    }

    fn left_out(&self) -> u64 {
        self.left_out
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        self.begin()?;
        Ok(self.out.flush()?)
    }
}

/// The script for one exchange.
pub(crate) fn script(exchange: &Exchange) -> String {
    INTRODUCTION.to_owned() + &command(exchange)
}

/// An exchange in one line.
pub(crate) fn summary(exchange: &Exchange) -> String {
    let status = exchange.status().map_or_else(|| "no response".to_owned(), |status| status.to_string());
    format!(
        "{}  {}  {}  {}  {}  {}",
        exchange.sequence, exchange.id, exchange.started_at, exchange.operation, status, exchange.outcome
    )
}

/// Whether a header is not to be sent again: the client sets it itself, or it applied only to the recorded connection.
pub(crate) fn is_skipped(name: &str) -> bool {
    SKIPPED_HEADERS.iter().any(|skipped| name.eq_ignore_ascii_case(skipped))
}

fn command(exchange: &Exchange) -> String {
    let Exchange { request, envelope, .. } = exchange;
    let mut script = String::new();
    comment(&mut script, &format!("\n# {}", printable(&summary(exchange))));
    let (body, decoded) = request.body.decoded();
    if request.body.truncated || !decoded {
        comment(&mut script, "# The body was recorded only in part; this sends that part.");
    }

    let mut arguments = Arguments { envelope, text: String::new() };
    // Keep curl from globbing brackets in the URL, removing `..`, or opening files.
    arguments.text.push_str("curl --globoff --path-as-is --proto '=http,https' --compressed");
    if request.method == "HEAD" {
        arguments.text.push_str(" \\\n  --head");
    } else {
        arguments.add("--request", &request.method);
    }
    for header in &request.headers {
        if is_skipped(&header.name) {
            continue;
        }
        match header_argument(header) {
            Some(argument) => arguments.add("--header", &argument),
            None => comment(&mut script, &format!("# Skipped, not a valid header: {}", printable(&header.name))),
        }
    }
    if !body.is_empty() && !request.headers.iter().any(|header| header.name.eq_ignore_ascii_case("content-type")) {
        // Otherwise curl would send the type of a form.
        arguments.add("--header", "Content-Type:");
    }
    match str::from_utf8(&body) {
        Ok("") => {}
        Ok(text) if !text.contains('\0') && text.len() <= MAX_ARGUMENT => arguments.add("--data-raw", text),
        Ok(text) if !text.contains('\0') => {
            let _ = writeln!(script, "printf %s {} |", quoted(text, envelope));
            arguments.add("--data-binary", "@-");
        }
        _ => {
            let _ = writeln!(script, "printf '{}' |", octal(&body));
            arguments.add("--data-binary", "@-");
        }
    }
    arguments.add("--url", &request.url);
    script + &arguments.text + "\n"
}

struct Arguments<'e> {
    envelope: &'e Envelope,
    text: String,
}

impl Arguments<'_> {
    fn add(&mut self, option: &str, value: &str) {
        let _ = write!(self.text, " \\\n  {option} {}", quoted(value, self.envelope));
    }
}

/// The argument for curl's `--header`; `None` if curl would misread it.
fn header_argument(header: &Header) -> Option<String> {
    let is_name = http::HeaderName::from_bytes(header.name.as_bytes()).is_ok();
    if !is_name || header.value.contains(['\0', '\r', '\n']) {
        return None;
    }
    // With a colon and no value curl would remove the header.
    Some(if header.value.trim().is_empty() {
        format!("{};", header.name)
    } else {
        format!("{}: {}", header.name, header.value)
    })
}

/// A part of a recorded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    Text(&'t str),
    /// The place of a token.
    Token(Pseudonym),
}

/// The parts of a text between and at its tokens' pseudonyms; none of them is empty.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let token_at = |at: usize| rest.get(at..at + Pseudonym::LEN)?.parse().ok();
        if let Some(token) = token_at(0) {
            rest = &rest[Pseudonym::LEN..];
            return Some(Piece::Token(token));
        }
        let next = rest.match_indices(Pseudonym::PREFIX).map(|(at, _)| at).find(|at| token_at(*at).is_some());
        let (text, after) = rest.split_at(next.unwrap_or(rest.len()));
        rest = after;
        (!text.is_empty()).then_some(Piece::Text(text))
    })
}

/// The text as one quoted shell word, with every token's pseudonym replaced by a variable that must be set.
pub(crate) fn quoted(text: &str, envelope: &Envelope) -> String {
    let mut word = String::with_capacity(text.len() + 16);
    word.push('\'');
    for piece in pieces(text) {
        match piece {
            // Arguments can't contain NUL; bodies with NUL are piped.
            Piece::Text(text) => word.push_str(&text.replace('\'', "'\\''").replace('\0', "%00")),
            Piece::Token(token) => {
                let _ = write!(word, "'\"${{{}:?}}\"'", variable(token, envelope));
            }
        }
    }
    word.push('\'');
    word
}

pub(crate) fn variable(pseudonym: Pseudonym, envelope: &Envelope) -> String {
    let kind = match Some(pseudonym) {
        token if token == envelope.access_token => "ACCESS_TOKEN",
        token if token == envelope.client_token => "CLIENT_TOKEN",
        _ => "SECRET",
    };
    format!("{kind}_{}", &pseudonym.to_string()[Pseudonym::PREFIX.len()..])
}

/// The bytes as a `printf` format string.
pub(crate) fn octal(bytes: &[u8]) -> String {
    let mut format = String::with_capacity(bytes.len() * 4);
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b' ' | b'{' | b'}' | b':' | b',' | b'"' | b'.' | b'/' => {
                format.push(byte.into())
            }
            _ => {
                let _ = write!(format, "\\{byte:03o}");
            }
        }
    }
    format
}

fn comment(script: &mut String, line: &str) {
    script.push_str(line);
    script.push('\n');
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn shell(script: &str) -> Vec<u8> {
        let output = Command::new("sh").args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[test]
    fn octal_escapes_round_trip_through_a_shell() {
        let bytes: Vec<u8> = (0..=255).chain(*b"%s\\n'$(id)`id`7").collect();
        assert_eq!(shell(&format!("printf '{}'", octal(&bytes))), bytes);
    }

    #[test]
    fn pseudonyms_become_required_variables() {
        let token = Pseudonym::of(b"hello");
        let envelope = Envelope { access_token: Some(token), ..Envelope::default() };
        let word = quoted(&format!("a'{token}'REDACTED:x{}", Pseudonym::of(b"other")), &envelope);
        let set = "ACCESS_TOKEN_2cf24dba5fb0='$(id)'; SECRET_d9298a10d1b0=s;";
        assert_eq!(shell(&format!("{set} printf %s {word}")), b"a'$(id)'REDACTED:xs");
        let unset = Command::new("sh").args(["-c", &format!("printf %s {word}")]).output().unwrap();
        assert!(!unset.status.success() && unset.stdout.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn quoted_words_round_trip_through_a_shell(text in "[^\0]{0,60}|['\"$`\\\\;&|<>() \n!*?~#-]{0,40}") {
            let word = quoted(&text, &Envelope::default());
            prop_assert_eq!(shell(&format!("printf %s {word}")), text.as_bytes());
        }

        #[test]
        fn a_comment_stays_one_line(text: String) {
            prop_assert!(!printable(&text).contains(['\n', '\r']));
        }
    }
}
