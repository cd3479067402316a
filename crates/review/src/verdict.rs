//! What a review comes to, in a word, a line and a sentence.

use std::collections::BTreeMap;

use crate::{
    findings::count_of,
    review::{Counts, Finding, LeftOut, OriginStatus, Provenance, Verdict},
    rule::Rule,
};

/// The most reasons of the partner that stand in the verdict; the others stand further down.
const REASONS: usize = 5;
/// The most letters of a reason that stand there.
const REASON: usize = 120;

/// What the verdict is made of.
pub(crate) struct Grounds<'a> {
    pub(crate) exchanges: u64,
    pub(crate) counts: &'a Counts,
    pub(crate) provenance: &'a Provenance,
    pub(crate) findings: &'a [Finding],
    pub(crate) silenced: &'a [Finding],
    pub(crate) left_out: &'a [LeftOut],
}

impl Grounds<'_> {
    /// A verdict is about Mews or it is none: who answered comes first, then what was found, then whether it is proven.
    pub(crate) fn verdict(&self) -> Verdict {
        if self.exchanges == 0 && self.left_out.iter().all(|own| own.at.is_none()) {
            return Verdict::Empty;
        }
        if self.provenance.standing == OriginStatus::NotMews {
            return Verdict::NotMews;
        }
        match self.counts {
            Counts { errors: 1.., .. } => Verdict::NotReady,
            _ if !self.provenance.doubts.is_empty() => Verdict::NotProven,
            Counts { warnings: 1.., .. } => Verdict::Questions,
            _ => Verdict::Ready,
        }
    }

    /// The verdict's line: what it is, and what the partner has taken out of it.
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

    /// The headline, and the grounds.
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
            sentences.push("This is a rehearsal, and no evidence.".to_owned());
        }
        let has_silence = !reasons.is_empty();
        sentences.extend(self.found(verdict, has_silence));
        sentences.extend(self.provenance.doubts.iter().cloned());
        if matches!(verdict, Verdict::NotProven) {
            // What cannot be believed is the verdict; what was found comes after it.
            let found = sentences.len() - self.provenance.doubts.len();
            sentences.rotate_left(found);
        }
        let end = if verdict == Verdict::NotMews && !has_silence { "." } else { ":" };
        let text = sentences.join(" ");
        let text = if end == ":" && !has_silence { lowercase(&text) } else { text };
        format!("{}{end} {text}", self.headline())
    }

    fn found(&self, verdict: Verdict, but: bool) -> Option<String> {
        let (errors, warnings) = (count_of(self.counts.errors, "error"), count_of(self.counts.warnings, "warning"));
        let both = format!("{errors} would not pass the review, and {warnings} would be asked about.");
        Some(match (self.counts.errors, self.counts.warnings) {
            (0, 0) if verdict == Verdict::NotProven => return None,
            (0, 0) if but => "Nothing else stands that a reviewer would ask about.".to_owned(),
            (0, 0) => "Nothing stands that a reviewer would ask about.".to_owned(),
            (0, _) => format!("A reviewer would ask about {warnings}."),
            (_, 0) => format!("{errors} would not pass the review."),
            _ => both,
        })
    }

    /// The rules that the declaration silenced, and those that it made lighter, each with its reason.
    fn changed(&self) -> (BTreeMap<Rule, &str>, BTreeMap<Rule, &str>) {
        let mut silenced = BTreeMap::new();
        let mut lowered = BTreeMap::new();
        for finding in self.silenced {
            silenced.entry(finding.rule).or_insert(said(finding));
        }
        for finding in self.findings {
            if finding.ruling.as_ref().is_some_and(|ruling| finding.severity < ruling.was) {
                lowered.entry(finding.rule).or_insert(said(finding));
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
        // What the session doesn't have takes nothing out of it.
        self.left_out.iter().filter(|own| own.at.is_some())
    }
}

fn said(finding: &Finding) -> &str {
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
    // A name at the beginning stays one.
    if text.starts_with("Mews") {
        return text.to_owned();
    }
    let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
    format!("{first}{}", letters.as_str())
}
