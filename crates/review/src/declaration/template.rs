//! A starting point for a declaration, generated from a session.

use std::{collections::BTreeSet, fmt::Write as _};

use nightaudit_mews::{Environment, UseCase, operation, use_cases};

use super::{Declaration, IntegrationKind, UNSAID};
use crate::review::Review;

/// What can be derived from a session: the integration's name and `Client`, the best matching use case, webhooks if there
/// were any, and WebSocket events if it opened a WebSocket.
#[must_use]
pub fn guess(review: &Review) -> Declaration {
    let client = review.identity.clients.first().map_or("", |client| name_of(&client.client));
    let client = Some(client.to_owned()).filter(|client| !client.is_empty());
    let opens_web_socket = review.operations.iter().any(|called| called.operation == Environment::EVENTS_PATH);
    Declaration {
        integration: client.clone(),
        client,
        use_case: likeliest(review).map(|case| case.name.to_string()),
        webhooks: (review.events.webhooks.received > 0).then_some(true),
        websocket: opens_web_socket.then_some(true),
        ..Declaration::default()
    }
}

/// A declaration as text, with known values, the operations that the session called, and a comment on every key.
/// [`Declaration::read`] accepts it once each operation has a purpose.
#[must_use]
pub fn template(review: &Review, known: &Declaration) -> String {
    let text = |value: &Option<String>| value.as_deref().map(toml::Value::from);
    let flag = |value: Option<bool>| value.map(toml::Value::Boolean);
    let kind = match known.kind {
        IntegrationKind::Public => "public",
        IntegrationKind::Private => "private",
    };
    let use_cases = use_cases_comment();
    let mut out = String::from(HEAD);
    for (comment, key, value, example) in [
        ("The partner's id at Mews.", "partner", text(&known.partner), "INT12345".into()),
        (
            "Contact for the reviewers: a name, an address.",
            "contact",
            text(&known.contact),
            "integrations@acme.example".into(),
        ),
        (KIND, "kind", Some(kind.into()), "public".into()),
        ("The property that will use it first.", "pilot", text(&known.pilot), "Hotel Acme, Prague".into()),
        ("Whether it receives Mews' webhooks.", "webhooks", flag(known.webhooks), true.into()),
        ("Whether it receives events over a WebSocket.", "websocket", flag(known.websocket), false.into()),
        (
            "The name of the integration, as listed in the Marketplace.",
            "integration",
            text(&known.integration),
            "Acme Kiosk".into(),
        ),
        (
            "The start of `Client` in every request, without its version. Reviewers find the activity by it.",
            "client",
            text(&known.client),
            "Acme Kiosk".into(),
        ),
        (&*use_cases, "use_case", text(&known.use_case), "kiosk".into()),
        (SCHEDULE, "every_hours", known.every_hours.map(|hours| i64::from(hours).into()), 24.into()),
    ] {
        key_line(&mut out, comment, key, value, example);
    }
    out.push_str(DOMAINS);
    out.push_str(OPERATIONS);
    for called in &review.operations {
        let Some(known) = operation(&called.operation) else { continue };
        let purpose = format!("{} — {UNSAID}", known.title);
        let _ = writeln!(out, "{} = {}", quoted(&called.operation), quoted(&purpose));
    }
    out.push_str(RULES);
    out
}

/// The comment on `use_case`, with all use cases.
fn use_cases_comment() -> String {
    let mut comment = String::from(
        "The documented use case that the integration follows; the review looks for its steps in the run. One of\n#",
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
    comment
}

const HEAD: &str = "\
# What this integration states when it applies for certification at Mews. `nightaudit review` compares the recorded
# session with it. Remove the `#` from a line to use it.

";

const KIND: &str = "\"public\" for an integration listed in the Marketplace, \"private\" for one made for a single \
    customer.\n# A private one needs no 48 hours, but must have called each operation listed below.";

const SCHEDULE: &str = "Hours from one run to the next, from 1 to 24, for an integration that runs on a schedule: 24 for a \
    nightly one.\n# Its pauses then don't count as gaps in the run.";

const DOMAINS: &str = "\
# Domains of the integration's own mail addresses. Addresses at other domains, except example.com and the like, count as
# those of real people.
# domains = [\"acme.example\"]

";

const OPERATIONS: &str = "\
# The operations that the integration uses, and what for. These are the ones that the session called; add missing ones,
# remove ones it should not have called, and say in your own words what each is for.
[operations]
";

const RULES: &str = "
# Exchanges to leave out of the review, by id, each with a reason, which is shown in the review.
# [leave_out]
# \"01KAS00000000000000000000A\" = \"sent by hand to look at the error page\"

# Rules to silence or to change in severity, each with a reason, which is shown in the verdict; a reason alone explains
# the findings.
# `nightaudit review --explain all` lists the rules.
[rules]
# \"habits/polling\" = { severity = \"note\", reason = \"runs where no webhook can reach it\" }
# \"errors/unresolved\" = { silence = true, operations = [\"customers/add\"], reason = \"a test of the error page\" }
";

fn key_line(text: &mut String, comment: &str, key: &str, value: Option<toml::Value>, example: toml::Value) {
    let off = if value.is_none() { "# " } else { "" };
    let _ = writeln!(text, "# {comment}\n{off}{key} = {}\n", value.unwrap_or(example));
}

/// The use case that best matches the session, by the share of its operations that were called and the share of calls
/// that belong to it: neither a small use case covered in passing nor a large one barely touched fits. `None` if fewer than
/// three of its operations were called, or both shares are low.
fn likeliest(review: &Review) -> Option<&'static UseCase> {
    let called: BTreeSet<&str> = review.operations.iter().map(|called| &*called.operation).collect();
    let known = called.iter().filter(|path| operation(path).is_some()).count();
    let fit = |case: &&UseCase| {
        let steps: BTreeSet<&str> =
            case.sections.iter().flat_map(|section| &section.operations).map(|step| &**step).collect();
        let common = steps.intersection(&called).count();
        // The harmonic mean of the two shares.
        if common < 3 { 0.0 } else { 2.0 * common as f64 / (steps.len() + known) as f64 }
    };
    use_cases().iter().max_by(|a, b| fit(a).total_cmp(&fit(b))).filter(|case| fit(case) > 0.3)
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

    /// A review of a session that has called these.
    fn calling(operations: &[&str]) -> Review {
        let line = |operation: &str| {
            format!(
                r#"{{"id": "01KAS00000000000000000000A", "session": "01KAS000000000000000000000", "sessionName": "s",
                    "sequence": 1, "environment": "demo", "operation": "{operation}", "startedAt": "2026-11-23T12:00:00Z",
                    "timesUs": {{"forwarded": 1, "responseHead": 1, "responseEnd": 1}}, "peer": null,
                    "envelope": {{"client": null, "clientToken": null, "accessToken": null, "paginated": false}},
                    "request": {{"method": "POST", "url": "/", "httpVersion": "HTTP/1.1", "headers": [],
                        "bodyLength": 0, "bodySha256": "{}", "truncated": false}},
                    "response": null, "limit": null, "outcome": "aborted", "error": null}}"#,
                "0".repeat(64)
            )
        };
        let mut reviewer = crate::Reviewer::new(crate::Declaration::default());
        operations.iter().for_each(|own| reviewer.push(&serde_json::from_str(&line(own)).unwrap()));
        reviewer.into_review()
    }

    #[test]
    fn the_best_matching_use_case_is_guessed() {
        let guess = |operations: &[&str]| likeliest(&calling(operations)).map(|case| &*case.name);
        let kiosk = [
            "configuration/get",
            "languages/getAll",
            "services/getAll",
            "products/getAll",
            "reservations/getAll/2023-06-06",
            "reservations/start",
            "reservations/process",
            "customers/add",
            "customers/update",
            "bills/getAll",
            "payments/getAll",
            "payments/addExternal",
        ];
        // All of customer-management was called, but most calls belong to a kiosk.
        assert_eq!(guess(&kiosk), Some("kiosk"));
        let housekeeping = [
            "configuration/get",
            "resources/getAll",
            "reservations/getAll/2023-06-06",
            "resources/update",
            "resourceBlocks/getAll",
            "resourceBlocks/add",
        ];
        assert_eq!(guess(&housekeeping), Some("housekeeping"));
        let payments = ["configuration/get", "paymentRequests/add", "paymentRequests/getAll", "payments/getAll"];
        assert_eq!(guess(&payments), Some("payment-automation"));
        assert_eq!(guess(&["configuration/get", "customers/getAll"]), None);
    }

    #[test]
    fn each_use_case_is_guessed_from_all_of_its_operations() {
        for case in use_cases() {
            let steps: BTreeSet<&str> =
                case.sections.iter().flat_map(|section| &section.operations).map(|step| &**step).collect();
            let guess = likeliest(&calling(&steps.iter().copied().collect::<Vec<_>>()));
            if steps.len() >= 3 {
                assert_eq!(guess.map(|case| &case.name), Some(&case.name));
            }
        }
    }

    #[test]
    fn known_values_are_set_and_others_commented_out() {
        let review = calling(&["configuration/get", "reservations/getAll/2023-06-06"]);
        let with_purposes = |text: &str| text.replace(UNSAID, "for the property");
        let contracts = nightaudit_mews::Contracts::built_in();
        let read =
            |known: &Declaration| Declaration::read(&with_purposes(&template(&review, known)), &contracts).unwrap();
        let known = Declaration {
            partner: Some("INT12345".into()),
            contact: Some("Ann \"Night\" O'Dit\n[rules]".into()),
            kind: IntegrationKind::Private,
            integration: Some("Acme Kiosk".into()),
            client: Some("Acme".into()),
            use_case: Some("kiosk".into()),
            pilot: Some("Hotel Acme".into()),
            webhooks: Some(false),
            websocket: Some(true),
            every_hours: Some(24),
            ..Declaration::default()
        };
        let operations = |declaration: Declaration| Declaration { operations: Default::default(), ..declaration };
        assert_eq!(operations(read(&known)), known);
        let nothing = template(&review, &Declaration::default());
        assert_eq!(operations(read(&Declaration::default())), Declaration::default());
        // Each key can be uncommented.
        let on = nothing.replace("\n# ", "\n");
        for line in ["partner = \"INT12345\"", "webhooks = true", "websocket = false", "every_hours = 24"] {
            assert!(on.lines().any(|own| own == line), "{line}: {nothing}");
        }
    }

    #[test]
    fn an_opened_web_socket_means_events() {
        assert_eq!(guess(&calling(&["configuration/get"])).websocket, None);
        assert_eq!(guess(&calling(&[Environment::EVENTS_PATH])).websocket, Some(true));
    }

    #[test]
    fn a_version_is_removed_from_a_name() {
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
