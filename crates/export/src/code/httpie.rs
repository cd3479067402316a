//! An HTTPie command.

use std::fmt::Write as _;

use super::parts::Parts;
use crate::{
    curl::{octal, quoted},
    text::printable,
};

pub(super) fn code(parts: &Parts<'_>) -> String {
    let mut items = Vec::new();
    let mut comments = String::from("#!/bin/sh\n") + &parts.comments("#");
    for (name, value) in &parts.headers {
        // A backslash before one of these would be taken for an escape, and can't be escaped itself.
        let is_misread = [":", ";", "=", "@"].iter().any(|special| value.contains(&format!("\\{special}")));
        match value.is_empty() {
            _ if is_misread => {
                let _ = writeln!(comments, "# Skipped, HTTPie can't send its value: {}", printable(name));
            }
            true => items.push(format!("{name};")),
            // With a blank, as the value could begin with `=` or `@`, which HTTPie reads as JSON or a file.
            false => items.push(format!("{name}: {value}")),
        }
    }
    // What HTTPie would add by itself.
    let defaults = [("accept", true), ("content-type", !parts.body.is_empty()), ("user-agent", false)];
    items.extend(
        defaults.iter().filter(|(name, is_added)| *is_added && !parts.has(name)).map(|(name, _)| format!("{name}:")),
    );
    let quoted = |text: &str| quoted(text, parts.envelope);
    let mut script = comments;
    match parts.text() {
        Some("") => {}
        Some(body) if !body.contains('\0') => {
            let _ = writeln!(script, "printf %s {} |", quoted(body));
        }
        _ => {
            let _ = writeln!(script, "printf '{}' |", octal(&parts.body));
        }
    }
    let input = if parts.body.is_empty() { " --ignore-stdin" } else { "" };
    let _ = write!(script, "http{input} -- {} {}", quoted(parts.method), quoted(parts.url));
    items.iter().for_each(|item| {
        let _ = write!(script, " \\\n  {}", quoted(item));
    });
    script + "\n"
}
