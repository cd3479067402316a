//! A declaration to begin with, written from what a session has called.

use std::{collections::BTreeSet, fmt::Write as _};

use nightaudit_mews::{UseCase, operation, use_cases};

use crate::review::Review;

/// The text of a declaration for the session of this review: the operations that it has called, and a comment on every
/// key. [`Declaration::read`](super::Declaration::read) takes it as it is.
#[must_use]
pub fn template(review: &Review) -> String {
    let mut text = String::from(HEAD);
    let client = review.identity.clients.first().map_or("", |client| name_of(&client.client));
    key(
        &mut text,
        "The name of the integration, as it is to stand in the Marketplace.",
        "integration",
        Some(client).filter(|client| !client.is_empty()),
        "Acme Kiosk",
    );
    key(
        &mut text,
        "What `Client` begins with in every request, without its version. Reviewers find the activity by it.",
        "client",
        Some(client).filter(|client| !client.is_empty()),
        "Acme Kiosk",
    );
    let mut comment = String::from(
        "The documented use case that the integration follows; its steps are looked for in the run. One of\n#",
    );
    let mut column = 1;
    for (index, case) in use_cases().iter().enumerate() {
        let name = format!(" {}{}", case.name, if index + 1 < use_cases().len() { "," } else { "." });
        if column + name.len() > 110 {
            comment.push_str("\n#");
            column = 1;
        }
        column += name.len();
        comment.push_str(&name);
    }
    key(&mut text, &comment, "use_case", None, likeliest(review).map_or("kiosk", |case| &case.name));
    text.push_str(DOMAINS);
    text.push_str(OPERATIONS);
    for called in &review.operations {
        let Some(known) = operation(&called.operation) else { continue };
        let purpose = format!("{} — say what for", known.title);
        let _ = writeln!(text, "{} = {}", quoted(&called.operation), quoted(&purpose));
    }
    text.push_str(RULES);
    text
}

const HEAD: &str = "\
# What this integration tells Mews when it applies for certification. `nightaudit review` holds the recorded session
# against it. Take the `#` off a line to use it.

# The partner's id at Mews.
# partner = \"INT12345\"

";

const DOMAINS: &str = "\
# Domains of the integration's own mail addresses. Any others, but for example.com and the like, are taken for those of
# real people.
# domains = [\"acme.example\"]

";

const OPERATIONS: &str = "\
# The operations that the integration uses, and what for. The ones that the session has called stand here; add what it
# is to call, take out what it should not have called, and say in your own words what each is for.
[operations]
";

const RULES: &str = "
# Exchanges that are not to be judged, by their ids, each with the reason, which is shown in the review.
# [leave_out]
# \"01KAS00000000000000000000A\" = \"sent by hand to look at the error page\"

# Rules that are to weigh otherwise, each with the reason, which is shown in the review. `nightaudit review --explain all`
# lists the rules.
[rules]
# \"habits/polling\" = { severity = \"note\", reason = \"runs where no webhook can reach it\" }
# \"errors/unresolved\" = { silence = true, operations = [\"customers/add\"], reason = \"a test of the error page\" }
";

fn key(text: &mut String, comment: &str, key: &str, value: Option<&str>, example: &str) {
    let off = if value.is_none() { "# " } else { "" };
    let _ = writeln!(text, "# {comment}\n{off}{key} = {}\n", quoted(value.unwrap_or(example)));
}

/// The use case of which the session has called the largest share, more than half of it and three operations.
fn likeliest(review: &Review) -> Option<&'static UseCase> {
    let share = |case: &&UseCase| {
        let steps: BTreeSet<&str> =
            case.sections.iter().flat_map(|section| &section.operations).map(|step| &**step).collect();
        let called = steps.iter().filter(|step| review.operations.iter().any(|called| called.operation == **step));
        let called = called.count();
        if called < 3 { 0.0 } else { called as f64 / steps.len() as f64 }
    };
    use_cases().iter().max_by(|a, b| share(a).total_cmp(&share(b))).filter(|case| share(case) > 0.5)
}

/// `Acme Kiosk 2.1.0` without its version.
pub(crate) fn name_of(client: &str) -> &str {
    let is_version = |word: &str| {
        let word = word.strip_prefix(['v', 'V']).unwrap_or(word);
        word.starts_with(|letter: char| letter.is_ascii_digit())
    };
    match client.trim().rsplit_once([' ', '/']) {
        Some((name, version)) if is_version(version) => name.trim_end(),
        _ => client.trim(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_taken_off_a_name() {
        for (client, name) in [
            ("Acme Kiosk 2.1.0", "Acme Kiosk"),
            ("Acme/v3", "Acme"),
            ("Acme", "Acme"),
            ("Acme Kiosk", "Acme Kiosk"),
            ("", ""),
        ] {
            assert_eq!(name_of(client), name);
        }
    }
}
