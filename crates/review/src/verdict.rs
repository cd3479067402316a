//! The verdict of a review: a word, a headline and a summary.

use std::collections::BTreeMap;

use crate::{
    findings::count_of,
    review::{Counts, Finding, LeftOut, OriginStatus, Provenance, Verdict},
    rule::Rule,
};

/// The most of the partner's reasons quoted in the summary; all of them are listed with the findings.
const REASONS: usize = 5;
/// The most characters of a quoted reason.
const REASON: usize = 120;

/// Why a part of a session is never ready.
const FILTERED: &str = "Only exchanges that match a filter were reviewed: what depends on the others isn't judged.";

/// The input of the verdict.
pub(crate) struct VerdictInput<'a> {
    pub(crate) exchanges: u64,
    /// Whether only a part of the session was reviewed, as a filter left it.
    pub(crate) filtered: bool,
    pub(crate) counts: &'a Counts,
    pub(crate) provenance: &'a Provenance,
    pub(crate) findings: &'a [Finding],
    pub(crate) silenced: &'a [Finding],
    pub(crate) left_out: &'a [LeftOut],
}

impl VerdictInput<'_> {
    /// The verdict: origin first (without Mews there is none), then errors, then doubts, then warnings.
    pub(crate) fn verdict(&self) -> Verdict {
        if self.exchanges == 0 && self.left_out.iter().all(|own| own.at.is_none()) {
            return Verdict::Empty;
        }
        if self.provenance.standing == OriginStatus::NotMews {
            return Verdict::NotMews;
        }
        match self.counts {
            Counts { errors: 1.., .. } => Verdict::NotReady,
            _ if !self.provenance.doubts.is_empty() || self.filtered => Verdict::NotProven,
            Counts { warnings: 1.., .. } => Verdict::Questions,
            _ => Verdict::Ready,
        }
    }

    /// The verdict in one line, with the partner's changes.
    pub(crate) fn headline(&self) -> String {
        let base = match self.verdict() {
            Verdict::Empty => return "Nothing to review".to_owned(),
            Verdict::NotMews => self.provenance.statement.clone(),
            Verdict::NotReady => "Not ready".to_owned(),
            Verdict::NotProven => "Not proven".to_owned(),
            Verdict::Questions => "Nearly ready".to_owned(),
            Verdict::Ready => "Ready".to_owned(),
        };
        let (silenced, lowered) = self.changed();
        let mut changes = Vec::new();
        let mut add = |count: usize, what: &str, how: &str| {
            if count > 0 {
                changes.push(format!("{} {how}", count_of(count as u64, what)));
            }
        };
        add(silenced.len(), "rule", "silenced");
        add(lowered.len(), "rule", "lowered");
        add(self.left_out().count(), "exchange", "left out");
        match changes.split_last() {
            None => base,
            Some((last, [])) => format!("{base}, with {last} by the partner"),
            Some((last, others)) => format!("{base}, with {} and {last} by the partner", others.join(", ")),
        }
    }

    /// The headline and its reasons.
    pub(crate) fn summary(&self) -> String {
        let verdict = self.verdict();
        if verdict == Verdict::Empty {
            return "Nothing to review: the session has no exchange.".to_owned();
        }
        let mut reasons = self.reasons();
        let mut sentences = Vec::new();
        if !reasons.is_empty() {
            let more = reasons.len().saturating_sub(REASONS);
            reasons.truncate(REASONS);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            sentences.push(format!("{}{more}.", reasons.join("; ")));
        }
        if verdict == Verdict::NotMews {
            sentences.push("This is a rehearsal, not evidence.".to_owned());
        }
        let has_reasons = !reasons.is_empty();
        sentences.extend(self.found(verdict, has_reasons));
        let found = sentences.len();
        sentences.extend(self.provenance.doubts.iter().cloned());
        sentences.extend(self.filtered.then(|| FILTERED.to_owned()));
        if matches!(verdict, Verdict::NotProven) {
            // The doubts are the verdict; the findings come after them.
            sentences.rotate_left(found);
        }
        let end = if verdict == Verdict::NotMews && !has_reasons { "." } else { ":" };
        let text = sentences.join(" ");
        let text = if end == ":" && !has_reasons { lowercase(&text) } else { text };
        format!("{}{end} {text}", self.headline())
    }

    fn found(&self, verdict: Verdict, but: bool) -> Option<String> {
        let (errors, warnings) = (count_of(self.counts.errors, "error"), count_of(self.counts.warnings, "warning"));
        let both = format!("{errors} would fail the review, and {warnings} would raise questions.");
        Some(match (self.counts.errors, self.counts.warnings) {
            (0, 0) if verdict == Verdict::NotProven => return None,
            (0, 0) if but => "There is nothing else a reviewer would ask about.".to_owned(),
            (0, 0) => "There is nothing a reviewer would ask about.".to_owned(),
            (0, _) => format!("A reviewer would ask about {warnings}."),
            (_, 0) => format!("{errors} would fail the review."),
            _ => both,
        })
    }

    /// Rules silenced and rules lowered by the declaration, with the reasons.
    fn changed(&self) -> (BTreeMap<Rule, &str>, BTreeMap<Rule, &str>) {
        let mut silenced = BTreeMap::new();
        let mut lowered = BTreeMap::new();
        for finding in self.silenced {
            silenced.entry(finding.rule).or_insert(reason_of(finding));
        }
        for finding in self.findings {
            if finding.ruling.as_ref().is_some_and(|ruling| finding.severity < ruling.was) {
                lowered.entry(finding.rule).or_insert(reason_of(finding));
            }
        }
        (silenced, lowered)
    }

    fn reasons(&self) -> Vec<String> {
        let (silenced, lowered) = self.changed();
        let rules = silenced.into_iter().chain(lowered);
        let rules = rules.map(|(rule, reason)| format!("{rule} ({})", short(reason)));
        let exchanges = self.left_out().map(|own| format!("{} ({})", own.exchange, short(&own.reason)));
        rules.chain(exchanges).collect()
    }

    fn left_out(&self) -> impl Iterator<Item = &LeftOut> {
        // Ids that are not in the session leave nothing out.
        self.left_out.iter().filter(|own| own.at.is_some())
    }
}

fn reason_of(finding: &Finding) -> &str {
    finding.ruling.as_ref().map_or("", |ruling| &ruling.reason)
}

fn short(reason: &str) -> String {
    let reason = reason.trim().trim_end_matches('.');
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}

fn lowercase(text: &str) -> String {
    let mut letters = text.chars();
    // A leading name keeps its capital.
    if text.starts_with("Mews") {
        return text.to_owned();
    }
    let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
    format!("{first}{}", letters.as_str())
}
