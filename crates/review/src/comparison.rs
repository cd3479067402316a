//! Two reviews side by side: what is fixed, what is new, what still stands.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    review::{Finding, Review, Verdict},
    rule::Rule,
};

/// What has changed from one review to a later one, of the same session or of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// What the earlier one came to.
    pub was: Verdict,
    /// What the later one comes to.
    pub is: Verdict,
    /// Findings that stood and don't any more. Those that the declaration silences by now are among them.
    pub fixed: Vec<Finding>,
    /// Findings that didn't stand.
    pub new: Vec<Finding>,
    /// Findings that still stand, and how often they were and are found.
    pub standing: Vec<RemainingFinding>,
}

/// A finding that still stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemainingFinding {
    /// The finding, as the later review has it.
    pub finding: Finding,
    /// How often it was found in the earlier one.
    pub was: u64,
}

impl Comparison {
    /// Compares two reviews. Two findings are the same if they are of one rule and operation and say the same but for
    /// figures; of several of those each is paired with one.
    #[must_use]
    pub fn of(earlier: &Review, later: &Review) -> Self {
        let mut before: BTreeMap<Key, Vec<&Finding>> = BTreeMap::new();
        for finding in earlier.findings.iter().rev() {
            before.entry(key(finding)).or_default().push(finding);
        }
        let (mut new, mut standing) = (Vec::new(), Vec::new());
        for finding in &later.findings {
            match before.get_mut(&key(finding)).and_then(Vec::pop) {
                Some(own) => standing.push(RemainingFinding { finding: finding.clone(), was: own.count }),
                None => new.push(finding.clone()),
            }
        }
        // In the order in which the earlier review has them.
        let gone: Vec<&Finding> = before.into_values().flatten().collect();
        let is_gone = |finding: &&Finding| gone.iter().any(|own| std::ptr::eq(*own, *finding));
        let fixed = earlier.findings.iter().filter(is_gone).cloned().collect();
        Self { was: earlier.verdict, is: later.verdict, fixed, new, standing }
    }

    /// Whether nothing has changed but figures.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.new.is_empty() && self.was == self.is
    }
}

/// `3 fixed, 1 new, 5 still stand`
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stand = if self.standing.len() == 1 { "still stands" } else { "still stand" };
        write!(f, "{} fixed, {} new, {} {stand}", self.fixed.len(), self.new.len(), self.standing.len())
    }
}

type Key = (Rule, Option<String>, String);

fn key(finding: &Finding) -> Key {
    (finding.rule, finding.operation.clone(), without_figures(finding))
}

/// What a finding says apart from figures, which change with the length of a session. Where a rule is raised once for an
/// operation nothing more is needed, as what it says may change with the figures: `all 3 calls`, `its one call`.
fn without_figures(finding: &Finding) -> String {
    let group = finding.rule.id().split('/').next().unwrap_or_default();
    if matches!(group, "run" | "coverage" | "habits" | "record") {
        return String::new();
    }
    let mut text = String::new();
    for word in finding.message.split_whitespace() {
        let word = word.trim_end_matches(['.', ',', ';', ')']).trim_start_matches('(');
        // Tokens have digits, too; only what begins with one is a figure.
        let is_figure = word.starts_with(|letter: char| letter.is_ascii_digit()) && word.len() < 12;
        let word = match word {
            _ if is_figure => continue,
            "were" => "was",
            "are" => "is",
            "%" => continue,
            word => word.strip_suffix('s').unwrap_or(word),
        };
        text.push_str(word);
        text.push(' ');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Declaration, Reviewer, rule::Severity};

    fn finding(rule: Rule, operation: Option<&str>, message: &str, count: u64) -> Finding {
        Finding {
            rule,
            severity: rule.severity(),
            message: message.to_owned(),
            operation: operation.map(str::to_owned),
            count,
            exchanges: Vec::new(),
            first: None,
            last: None,
            advice: String::new(),
            ruling: None,
        }
    }

    fn review(findings: Vec<Finding>) -> Review {
        let verdict =
            if findings.iter().any(|own| own.severity == Severity::Error) { Verdict::NotReady } else { Verdict::Ready };
        Review { verdict, findings, ..Reviewer::new(Declaration::default()).into_review() }
    }

    #[test]
    fn what_is_fixed_and_what_is_new_is_told_whatever_the_figures() {
        let failed = |what: &str, count: u64| {
            let calls = if count == 1 { "call" } else { "calls" };
            let message = format!("customers/add: {count} failed {calls} not made good: 400, Invalid {what}.");
            finding(Rule::ErrorsUnresolved, Some("customers/add"), &message, count)
        };
        let unpaged = |count: u64, said: &str| finding(Rule::Unpaged, Some("rates/getAll"), said, count);
        let earlier =
            review(vec![failed("Phone", 1), failed("Email", 3), unpaged(1, "rates/getAll: its one call without")]);
        let later =
            review(vec![failed("Phone", 2), failed("Name", 3), unpaged(9, "rates/getAll: all 9 calls without")]);
        let comparison = Comparison::of(&earlier, &later);
        assert_eq!(comparison.to_string(), "1 fixed, 1 new, 2 still stand");
        assert_eq!((&comparison.fixed, &comparison.new), (&vec![failed("Email", 3)], &vec![failed("Name", 3)]));
        let counts: Vec<_> = comparison.standing.iter().map(|own| (own.was, own.finding.count)).collect();
        assert_eq!(counts, [(1, 2), (1, 9)]);
        assert!(Comparison::of(&earlier, &earlier).is_empty());
    }

    #[test]
    fn several_that_say_the_same_are_paired_one_by_one() {
        let over = |token: &str| {
            let message = format!(
                "230 requests in 30 s where `published` allows 200, token {token}; 30 were sent above the limit."
            );
            finding(Rule::LimitsOver, None, &message, 30)
        };
        let comparison = Comparison::of(
            &review(vec![over("8d53a3e36729"), over("ab53a3e36729")]),
            &review(vec![over("ab53a3e36729"), over("ab53a3e36729")]),
        );
        assert_eq!((comparison.fixed, comparison.new), (vec![over("8d53a3e36729")], vec![over("ab53a3e36729")]));
    }

    #[test]
    fn an_empty_review_and_the_same_one_again() {
        let none = review(Vec::new());
        let one = review(vec![finding(Rule::RunShort, None, "The run took 5 s; Mews asks for 48 hours.", 1)]);
        assert_eq!(Comparison::of(&none, &one).new.len(), 1);
        assert_eq!(Comparison::of(&one, &none).fixed.len(), 1);
        assert_eq!(
            (Comparison::of(&one, &none).was, Comparison::of(&one, &none).is),
            (Verdict::NotReady, Verdict::Ready)
        );
    }
}
