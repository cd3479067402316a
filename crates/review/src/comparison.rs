//! Compares two reviews: what was fixed, what is new, what remains.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    review::{Finding, Review, Verdict},
    rule::Rule,
};

/// The changes from one review to a later one, of the same session or another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The earlier verdict.
    pub was: Verdict,
    /// The later verdict.
    pub is: Verdict,
    /// Findings that are gone, including ones that the declaration now silences.
    pub fixed: Vec<Finding>,
    /// Findings that were not there before.
    pub new: Vec<Finding>,
    /// Findings that remain, with their counts.
    pub standing: Vec<RemainingFinding>,
}

/// A finding that remains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemainingFinding {
    /// The finding in the later review.
    pub finding: Finding,
    /// Its count in the earlier review.
    pub was: u64,
}

impl Comparison {
    /// Compares two reviews. Two findings are the same if rule and operation are equal, and the messages are equal apart
    /// from figures; equal ones are paired one by one.
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
        // In the order of the earlier review.
        let gone: Vec<&Finding> = before.into_values().flatten().collect();
        let is_gone = |finding: &&Finding| gone.iter().any(|own| std::ptr::eq(*own, *finding));
        let fixed = earlier.findings.iter().filter(is_gone).cloned().collect();
        Self { was: earlier.verdict, is: later.verdict, fixed, new, standing }
    }

    /// Whether only figures have changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.new.is_empty() && self.was == self.is
    }
}

/// `3 fixed, 1 new, 5 remain`
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remain = if self.standing.len() == 1 { "remains" } else { "remain" };
        write!(f, "{} fixed, {} new, {} {remain}", self.fixed.len(), self.new.len(), self.standing.len())
    }
}

type Key = (Rule, Option<String>, String);

fn key(finding: &Finding) -> Key {
    (finding.rule, finding.operation.clone(), without_figures(finding))
}

/// What a finding says apart from figures, which change with the length of a session. Where a rule is raised once for an
/// operation nothing more is needed, as what it says may change with the figures: `all 3 calls`, `its only call`.
fn without_figures(finding: &Finding) -> String {
    let group = finding.rule.id().split('/').next().unwrap_or_default();
    if matches!(group, "run" | "coverage" | "habits" | "record") {
        return String::new();
    }
    let mut text = String::new();
    for word in finding.message.split_whitespace() {
        let word = word.trim_end_matches(['.', ',', ';', ')']).trim_start_matches('(');
        // Tokens contain digits too; only words that begin with one are figures.
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
    fn fixed_and_new_findings_are_recognised_whatever_the_figures() {
        let failed = |what: &str, count: u64| {
            let calls = if count == 1 { "call" } else { "calls" };
            let message = format!("customers/add: {count} failed {calls} not resolved: 400, Invalid {what}.");
            finding(Rule::ErrorsUnresolved, Some("customers/add"), &message, count)
        };
        let unpaged = |count: u64, said: &str| finding(Rule::Unpaged, Some("rates/getAll"), said, count);
        let earlier =
            review(vec![failed("Phone", 1), failed("Email", 3), unpaged(1, "rates/getAll: its only call without")]);
        let later =
            review(vec![failed("Phone", 2), failed("Name", 3), unpaged(9, "rates/getAll: all 9 calls without")]);
        let comparison = Comparison::of(&earlier, &later);
        assert_eq!(comparison.to_string(), "1 fixed, 1 new, 2 remain");
        assert_eq!((&comparison.fixed, &comparison.new), (&vec![failed("Email", 3)], &vec![failed("Name", 3)]));
        let counts: Vec<_> = comparison.standing.iter().map(|own| (own.was, own.finding.count)).collect();
        assert_eq!(counts, [(1, 2), (1, 9)]);
        assert!(Comparison::of(&earlier, &earlier).is_empty());
    }

    #[test]
    fn equal_findings_are_paired_one_by_one() {
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
