//! What changed between two reviews, as text.

use std::fmt;

use anstyle::Style;
use nightaudit_review::{Comparison, Finding, Review};
use nightaudit_text::{counted, plain};

use super::layout::{severity_style, thousands, wrapped};

/// The most findings printed per list; `--json` has all.
const MOST: usize = 40;

/// A comparison, with the verdict of the later review.
pub(super) struct Changes<'a> {
    pub(super) review: &'a Review,
    pub(super) comparison: &'a Comparison,
    /// The earlier review's source, such as `session suite-a`.
    pub(super) against: &'a str,
    pub(super) width: usize,
}

impl fmt::Display for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bold = Style::new().bold();
        writeln!(f, "{bold}{}{bold:#}", wrapped(&self.review.summary, self.width, ""))?;
        let against = format!("{} (against {})", self.comparison, self.against);
        writeln!(f, "{}", wrapped(&against, self.width, ""))?;
        self.list(f, "Fixed", self.comparison.fixed.iter().map(|finding| (finding, None)))?;
        self.list(f, "New", self.comparison.new.iter().map(|finding| (finding, None)))?;
        self.list(f, "Still there", self.comparison.standing.iter().map(|own| (&own.finding, Some(own.was))))
    }
}

impl Changes<'_> {
    fn list<'f>(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        findings: impl ExactSizeIterator<Item = (&'f Finding, Option<u64>)>,
    ) -> fmt::Result {
        let count = findings.len();
        if count == 0 {
            return Ok(());
        }
        let bold = Style::new().bold();
        writeln!(f, "\n{bold}{title}{bold:#}")?;
        for (finding, was) in findings.take(MOST) {
            let (style, severity) = (severity_style(finding.severity), finding.severity);
            writeln!(f, "  {style}{severity:7}{style:#} {}", finding.rule)?;
            let was = was.filter(|was| *was != finding.count);
            let was = was.map_or_else(String::new, |was| format!(" (was found {} times)", thousands(was)));
            writeln!(f, "{}", wrapped(&format!("{}{was}", finding.message), self.width, "    "))?;
        }
        if count > MOST {
            writeln!(f, "  and {} more, which --json has", count - MOST)?;
        }
        Ok(())
    }
}

/// `--watch` on one screen: the verdict, what changed, and what remains.
pub(super) struct Screen<'a> {
    pub(super) review: &'a Review,
    /// Compared with the first review.
    pub(super) since_start: &'a Comparison,
    /// Compared with the previous screen.
    pub(super) last: &'a Comparison,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Screen<'_> {
    /// The lines, cut to the terminal's width and height.
    pub(super) fn lines(&self) -> Vec<String> {
        let bold = Style::new().bold();
        let run = &self.review.run;
        let mut lines = Vec::new();
        for line in wrapped(&self.review.summary, self.width, "").lines() {
            lines.push(format!("{bold}{line}{bold:#}"));
        }
        let about = format!("session {}, {}", plain(&run.session_name), counted(run.exchanges, "exchange"));
        lines.push(cut(&about, self.width));
        lines.push(cut(&format!("since the start: {}", self.since_start), self.width));
        lines.push(String::new());
        let is_new = |finding: &Finding| self.last.new.contains(finding);
        let was_new = |finding: &Finding| self.since_start.new.contains(finding);
        let fixed = self.since_start.fixed.iter().map(|finding| ("fixed", finding));
        let (new, rest): (Vec<_>, Vec<_>) = self.review.findings.iter().partition(|finding| was_new(finding));
        let new = new.into_iter().map(|finding| (if is_new(finding) { "NEW" } else { "new" }, finding));
        let rows: Vec<_> = new.chain(fixed).chain(rest.into_iter().map(|finding| ("", finding))).collect();
        // One line is reserved for the count of the rest.
        let room = self.height.saturating_sub(lines.len() + 2);
        for (mark, finding) in rows.iter().take(room) {
            let style = severity_style(finding.severity);
            let severity = finding.severity;
            let rest = cut(&format!("{} {}", finding.rule, finding.message), self.width.saturating_sub(14));
            lines.push(format!("{mark:5} {style}{severity:7}{style:#} {rest}"));
        }
        if rows.len() > room {
            lines.push(cut(&format!("and {} more", rows.len() - room), self.width));
        }
        // The final newline takes a line, too.
        lines.truncate(self.height.saturating_sub(1));
        lines
    }
}

/// Text without control characters, cut to fit a line.
fn cut(text: &str, room: usize) -> String {
    let text = plain(text);
    match text.char_indices().nth(room) {
        Some(_) => text.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_review::{Declaration, Reviewer};
    use nightaudit_testkit::sample::exchange;

    use super::*;

    fn reviews() -> (Review, Review) {
        let mut reviewer = Reviewer::new(Declaration::default());
        reviewer.push(&exchange());
        let before = reviewer.review();
        let mut failed = exchange();
        failed.sequence = 2;
        failed.operation = "customers/\u{1b}[2Jget".into();
        let response = failed.response.as_mut().unwrap();
        response.status = 404;
        reviewer.push(&failed);
        (before, reviewer.into_review())
    }

    fn bare(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_comparison_lists_new_and_fixed_findings() {
        let (before, after) = reviews();
        let shown = |comparison: &Comparison, review: &Review| {
            bare(&Changes { review, comparison, against: "session a", width: 80 }.to_string())
        };
        let worse = shown(&Comparison::of(&before, &after), &after);
        assert!(worse.contains("0 fixed, 2 new, 5 remain (against session a)"), "{worse}");
        assert!(worse.contains("\nNew\n  error   errors/unresolved\n"), "{worse}");
        let better = shown(&Comparison::of(&after, &before), &before);
        assert!(better.contains("2 fixed, 0 new, 5 remain") && better.contains("\nFixed\n"), "{better}");
        assert!(!worse.chars().any(|letter| letter.is_control() && letter != '\n'), "{worse:?}");
    }

    #[test]
    fn a_screen_fits_the_terminal_and_marks_new_findings() {
        let (before, after) = reviews();
        let comparison = Comparison::of(&before, &after);
        for (width, height) in [(80, 24), (60, 8), (120, 6), (20, 3)] {
            let screen = Screen { review: &after, since_start: &comparison, last: &comparison, width, height };
            let lines = screen.lines();
            assert!(lines.len() < height, "{width}x{height}: {lines:?}");
            for line in lines.iter().map(|line| bare(line)) {
                assert!(line.chars().count() <= width, "{width}x{height}: {line}");
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
        let unchanged = Comparison::of(&after, &after);
        let marks = |last: &Comparison| {
            let screen = Screen { review: &after, since_start: &comparison, last, width: 80, height: 24 };
            screen.lines().iter().filter(|line| line.starts_with("NEW")).count()
        };
        assert_eq!((marks(&comparison), marks(&unchanged)), (2, 0));
    }
}
