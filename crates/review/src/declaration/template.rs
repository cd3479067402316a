//! A declaration to begin with, written from what a session has called.

use std::{collections::BTreeSet, fmt::Write as _};

use nightaudit_mews::{Environment, UseCase, operation, use_cases};

use super::{Declaration, IntegrationKind};
use crate::review::Review;

/// What of a declaration can be told from a session: the integration's name and `Client`, the use case that fits, and
/// that it takes events by WebSocket where it has opened one.
#[must_use]
pub fn guess(review: &Review) -> Declaration {
    let client = review.identity.clients.first().map_or("", |client| name_of(&client.client));
    let client = Some(client.to_owned()).filter(|client| !client.is_empty());
    let opens_web_socket = review.operations.iter().any(|called| called.operation == Environment::EVENTS_PATH);
    Declaration {
        integration: client.clone(),
        client,
        use_case: likeliest(review).map(|case| case.name.to_string()),
        websocket: opens_web_socket.then_some(true),
        ..Declaration::default()
    }
}

/// The text of a declaration for the session of this review, with what is known: the operations that the session has
/// called, and a comment on every key. [`Declaration::read`] takes it once each operation has a purpose.
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
            "Whom the reviewers may ask: a name, an address.",
            "contact",
            text(&known.contact),
            "integrations@acme.example".into(),
        ),
        (KIND, "kind", Some(kind.into()), "public".into()),
        ("The property that will use it first.", "pilot", text(&known.pilot), "Hotel Acme, Prague".into()),
        ("Whether it takes Mews' webhooks.", "webhooks", flag(known.webhooks), true.into()),
        ("Whether it takes events by WebSocket.", "websocket", flag(known.websocket), false.into()),
        (
            "The name of the integration, as it is to stand in the Marketplace.",
            "integration",
            text(&known.integration),
            "Acme Kiosk".into(),
        ),
        (
            "What `Client` begins with in every request, without its version. Reviewers find the activity by it.",
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

/// What the use case is, and which there are.
fn use_cases_comment() -> String {
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
    comment
}

/// What stands in a purpose that nobody has written yet; a declaration with it is refused.
pub(super) const UNSAID: &str = "say what for";

const HEAD: &str = "\
# What this integration tells Mews when it applies for certification. `nightaudit review` holds the recorded session
# against it. Take the `#` off a line to use it.

";

const KIND: &str = "\"public\" for an integration that will stand in the Marketplace, \"private\" for one that is for one \
    customer.\n# For a private one no 48 hours are asked, but each operation listed below must have been called.";

const SCHEDULE: &str = "Hours from one run to the next, from 1 to 24, for an integration that runs on a schedule: 24 for a \
    nightly one.\n# Its pauses are then no gaps in the run.";

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

# Rules that are to weigh otherwise, each with the reason, which is shown in the verdict; a reason alone explains.
# `nightaudit review --explain all` lists the rules.
[rules]
# \"habits/polling\" = { severity = \"note\", reason = \"runs where no webhook can reach it\" }
# \"errors/unresolved\" = { silence = true, operations = [\"customers/add\"], reason = \"a test of the error page\" }
";

fn key_line(text: &mut String, comment: &str, key: &str, value: Option<toml::Value>, example: toml::Value) {
    let off = if value.is_none() { "# " } else { "" };
    let _ = writeln!(text, "# {comment}\n{off}{key} = {}\n", value.unwrap_or(example));
}

/// The use case that fits what the session has called best: by how much of it was called, and by how much of what was
/// called belongs to it. A small one of which everything was called by the way doesn't fit a session that calls much
/// more; a large one of which little was called doesn't either. None where fewer than three of its operations were called,
/// or neither share is worth speaking of.
fn likeliest(review: &Review) -> Option<&'static UseCase> {
    let called: BTreeSet<&str> = review.operations.iter().map(|called| &*called.operation).collect();
    let known = called.iter().filter(|path| operation(path).is_some()).count();
    let fit = |case: &&UseCase| {
        let steps: BTreeSet<&str> =
            case.sections.iter().flat_map(|section| &section.operations).map(|step| &**step).collect();
        let both = steps.intersection(&called).count();
        // The harmonic mean of the two shares.
        if both < 3 { 0.0 } else { 2.0 * both as f64 / (steps.len() + known) as f64 }
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
    fn the_use_case_is_the_one_of_which_most_was_called() {
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
        // All of customer-management was called, and most of what was called is a kiosk's.
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
    fn what_is_known_stands_in_the_template_and_all_else_as_a_comment() {
        let review = calling(&["configuration/get", "reservations/getAll/2023-06-06"]);
        let said = |text: &str| text.replace(UNSAID, "for the property");
        let contracts = nightaudit_mews::Contracts::built_in();
        let read = |known: &Declaration| Declaration::read(&said(&template(&review, known)), &contracts).unwrap();
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
        // Each key is there to be taken on.
        let on = nothing.replace("\n# ", "\n");
        for line in ["partner = \"INT12345\"", "webhooks = true", "websocket = false", "every_hours = 24"] {
            assert!(on.lines().any(|own| own == line), "{line}: {nothing}");
        }
    }

    #[test]
    fn whoever_has_opened_a_websocket_takes_events_by_it() {
        assert_eq!(guess(&calling(&["configuration/get"])).websocket, None);
        assert_eq!(guess(&calling(&[Environment::EVENTS_PATH])).websocket, Some(true));
    }

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
