//! The integration's declaration: `certification.toml`.

mod error;
mod keys;
mod kind;
mod template;

use std::collections::BTreeMap;

use nightaudit_exchange::ExchangeId;
use nightaudit_mews::{Contracts, suggest, use_cases};
use serde::{Deserialize, Serialize};

use crate::{
    review::Declared,
    rule::{Rule, Severity},
};
pub use error::DeclarationError;
pub use kind::IntegrationKind;
pub use template::{guess, template};

/// Marks a purpose that is still to be written; such a declaration is rejected.
const UNSAID: &str = "say what for";

/// What a partner states in its application for certification, and its overrides of the review's rules.
///
/// The default declares nothing.
///
/// ```
/// use nightaudit_mews::Contracts;
/// use nightaudit_review::{Declaration, Rule};
///
/// let contracts = Contracts::built_in();
/// let declaration = Declaration::read(r#"
///     integration = "Acme Kiosk"
///     use_case = "kiosk"
///
///     [operations]
///     "configuration/get" = "the property's time zone and currency"
///
///     [rules]
///     "habits/polling" = { silence = true, reason = "no webhook can reach it" }
///     "run/short" = { reason = "a rehearsal" }
/// "#, &contracts)?;
/// assert_eq!(declaration.operations.len(), 1);
/// assert!(declaration.rules[&Rule::Polling].silence);
///
/// let error = Declaration::read("partner = 'INT12345'\nclent = 'Acme'", &contracts).unwrap_err();
/// assert_eq!(error.to_string(), "line 2: `clent` is not a key of a declaration: did you mean `client`?");
/// # Ok::<(), nightaudit_review::DeclarationError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Declaration {
    /// The partner's id at Mews: `INT12345`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
    /// The reviewers' contact: a name, an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Whether the integration is listed in the Marketplace.
    #[serde(skip_serializing_if = "is_public")]
    pub kind: IntegrationKind,
    /// The integration's name: `Acme Kiosk`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// The start of the integration's `Client`, without its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The use case it follows, by its name in the catalogue: `kiosk`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_case: Option<String>,
    /// The property that will use it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot: Option<String>,
    /// Whether it receives webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<bool>,
    /// Whether it receives events over a WebSocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket: Option<bool>,
    /// Hours from the start of one run to the start of the next, from 1 to 24, for an integration that runs on a
    /// schedule: 24 for a nightly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_hours: Option<u8>,
    /// Domains of the integration's own mail addresses, which are not guests'.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// The operations it uses, with their purposes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub operations: BTreeMap<String, String>,
    /// Exchanges to leave out of the review, by id, each with a reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub leave_out: BTreeMap<ExchangeId, String>,
    /// Overrides of rules.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<Rule, RuleChange>,
}

/// A declaration's override of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleChange {
    /// The severity that replaces the rule's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Whether its findings are silenced. They are still shown, but don't count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub silence: bool,
    /// The operations it applies to; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
    /// The reason; required.
    pub reason: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "required by serde")]
fn is_public(kind: &IntegrationKind) -> bool {
    *kind == IntegrationKind::Public
}

impl RuleChange {
    /// Whether it applies to a finding about this operation.
    pub(crate) fn concerns(&self, operation: Option<&str>) -> bool {
        self.operations.is_empty()
            || operation.is_some_and(|operation| self.operations.iter().any(|own| own == operation))
    }
}

impl Declaration {
    /// Parses a declaration from TOML. Operations are looked up in `contracts`.
    ///
    /// # Errors
    ///
    /// [`DeclarationError`] for invalid TOML, an unknown key, rule, use case or operation, and an override without a
    /// reason.
    pub fn read(text: &str, contracts: &Contracts) -> Result<Self, DeclarationError> {
        keys::check(text)?;
        let declaration: Self = toml::from_str(text).map_err(|error| DeclarationError {
            line: error.span().map(|span| keys::line_of(text, span.start)),
            message: error.message().trim_end().replace('\n', " "),
        })?;
        let wrong = |key: &str, message: String| Err(DeclarationError { line: keys::line_with(text, key), message });
        if let Some(name) = &declaration.use_case
            && !use_cases().iter().any(|case| *case.name == **name)
        {
            let names: Vec<&str> = use_cases().iter().map(|case| &*case.name).collect();
            return wrong("use_case", format!("unknown use case `{name}`; valid ones are {}", names.join(", ")));
        }
        if let Some(hours) = declaration.every_hours.filter(|hours| !(1..=24).contains(hours)) {
            let message = format!(
                "`every_hours` is {hours} but must be from 1 to 24: a run of 48 hours can't show a longer schedule"
            );
            return wrong("every_hours", message);
        }
        for name in declaration.operations.keys() {
            if !contracts.has(name) {
                let meant = suggest(name).map(|meant| format!(": did you mean `{}`?", meant.operation.path));
                return wrong(name, format!("Mews has no operation `{name}`{}", meant.unwrap_or_default()));
            }
        }
        declaration.check_purposes(text)?;
        for (id, reason) in &declaration.leave_out {
            if reason.trim().is_empty() {
                let message = format!("`{id}` is left out without a reason: add one, it is shown in the review");
                return wrong(&id.to_string(), message);
            }
        }
        for (rule, change) in &declaration.rules {
            if change.reason.trim().is_empty() {
                let message = format!("`{rule}` is changed without a `reason`: add one, it is shown in the review");
                return wrong(rule.id(), message);
            }
            if !rule.can_be_changed() && (change.silence || change.severity.is_some()) {
                let message = format!(
                    "`{rule}` can only be explained, not silenced or changed in severity: keep only its `reason`"
                );
                return wrong(rule.id(), message);
            }
        }
        Ok(declaration)
    }

    /// Checks that each operation has a purpose in the partner's own words.
    fn check_purposes(&self, text: &str) -> Result<(), DeclarationError> {
        let lacks = |purpose: &str| purpose.trim().is_empty() || purpose.contains(UNSAID);
        let mut lacking = self.operations.iter().filter(|(_, purpose)| lacks(purpose)).map(|(name, _)| name);
        let Some(first) = lacking.next() else { return Ok(()) };
        let more = match lacking.count() {
            0 => String::new(),
            1 => ", and 1 more operation".to_owned(),
            more => format!(", and {more} more operations"),
        };
        let message = format!(
            "say what `{first}` is used for in your own words{more}: the reviewers compare it with the requests"
        );
        Err(DeclarationError { line: keys::line_with(text, first), message })
    }

    /// The part that is shown in a review.
    pub(crate) fn declared(&self) -> Option<Declared> {
        (*self != Self::default()).then(|| Declared {
            partner: self.partner.clone(),
            integration: self.integration.clone(),
            client: self.client.clone(),
            contact: self.contact.clone(),
            kind: self.kind,
            use_case: self.use_case.clone(),
            every_hours: self.every_hours,
            operations: self.operations.len() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Declaration::read(text, &Contracts::built_in()).unwrap_err().to_string()
    }

    #[test]
    fn a_declaration_round_trips() {
        let declaration = Declaration {
            partner: Some("INT12345".into()),
            contact: Some("Acme, integrations@acme.example".into()),
            kind: IntegrationKind::Private,
            pilot: Some("Hotel Acme".into()),
            webhooks: Some(true),
            websocket: Some(false),
            use_case: Some("kiosk".into()),
            every_hours: Some(24),
            domains: vec!["acme.travel".into()],
            operations: [("configuration/get".into(), "time zone".into())].into(),
            leave_out: [(ExchangeId::from_parts(1, 1), "a test of our own".into())].into(),
            rules: [(
                Rule::Polling,
                RuleChange {
                    severity: Some(Severity::Note),
                    operations: vec!["commands/getAllActive".into()],
                    reason: "no public address".into(),
                    ..RuleChange::default()
                },
            )]
            .into(),
            ..Declaration::default()
        };
        let text = toml::to_string(&declaration).unwrap();
        let contracts = Contracts::built_in();
        assert_eq!(Declaration::read(&text, &contracts), Ok(declaration), "{text}");
        assert_eq!(Declaration::read("", &contracts), Ok(Declaration::default()));
    }

    #[test]
    fn errors_name_the_line_and_the_valid_values() {
        for (text, expected) in [
            ("\npartnr = 'x'", "line 2: `partnr` is not a key of a declaration: did you mean `partner`?"),
            (
                "colour = 'red'",
                "line 1: `colour` is not a key of a declaration; valid ones are partner, contact, kind, integration, client, use_case, pilot, webhooks, websocket, every_hours, domains, operations, leave_out, rules",
            ),
            (
                "[rules]\n'habits/poling' = { silence = true, reason = 'x' }",
                "line 2: unknown rule `habits/poling`: did you mean `habits/polling`? `nightaudit review --explain all` lists them",
            ),
            (
                "[rules]\n'habits/polling' = { silenced = true, reason = 'x' }",
                "line 2: `silenced` is not a key of a rule: did you mean `silence`?",
            ),
            (
                "[rules]\n'habits/polling' = { silence = true }",
                "line 2: `habits/polling` is changed without a `reason`: add one, it is shown in the review",
            ),
            (
                "[rules]\n'run/short' = { silence = true, reason = 'x' }",
                "line 2: `run/short` can only be explained, not silenced or changed in severity: keep only its `reason`",
            ),
            (
                "[rules]\n'record/altered' = { severity = 'note', reason = 'x' }",
                "line 2: `record/altered` can only be explained, not silenced or changed in severity: keep only its `reason`",
            ),
            (
                "\nevery_hours = 48",
                "line 2: `every_hours` is 48 but must be from 1 to 24: a run of 48 hours can't show a longer schedule",
            ),
            (
                "every_hours = 0",
                "line 1: `every_hours` is 0 but must be from 1 to 24: a run of 48 hours can't show a longer schedule",
            ),
            ("[operations]\n'nothing/ofTheKind' = 'x'", "line 2: Mews has no operation `nothing/ofTheKind`"),
            (
                "[operations]\n'customers/add' = ' '",
                "line 2: say what `customers/add` is used for in your own words: the reviewers compare it with the requests",
            ),
            (
                "[operations]\n'bills/getAll' = 'Get all bills — say what for'\n'customers/add' = ''\n'rates/getAll' = ''",
                "line 2: say what `bills/getAll` is used for in your own words, and 2 more operations: the reviewers compare it with the requests",
            ),
            (
                "[leave_out]\n'01KAS00000000000000000000A' = ' '",
                "line 2: `01KAS00000000000000000000A` is left out without a reason: add one, it is shown in the review",
            ),
            (
                "[operations]\n'customers/getall' = 'x'",
                "line 2: Mews has no operation `customers/getall`: did you mean `customers/getAll`?",
            ),
        ] {
            assert_eq!(error(text), expected);
        }
        assert!(
            error("use_case = 'kiosks'").starts_with("line 1: unknown use case `kiosks`; valid ones are accounting, ")
        );
        assert!(error("every_hours = 300").starts_with("line 1: invalid value: integer `300`"));
        assert!(error("partner = 5").starts_with("line 1: invalid type: integer"));
        assert!(error("partner = ").starts_with("line 1: "));
        assert!(
            error("[rules]\n'habits/polling' = { severity = 'fatal', reason = 'x' }")
                .starts_with("line 2: unknown variant `fatal`")
        );
    }
}
