//! A review as text: the verdict, what to fix by severity, then the figures.

use std::fmt;

use anstyle::{AnsiColor, Style};
use nightaudit_review::{CheckState, Finding, Rule, Severity, Verdict};

use super::{
    layout::{Summary, heading, severity_style, thousands, wrapped},
    sections,
};

/// The most findings that are printed; `--json` has all.
const MOST: usize = 40;

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let review = self.review;
        let style = match review.verdict {
            Verdict::Ready => Style::new().bold().fg_color(Some(AnsiColor::Green.into())),
            Verdict::Questions => severity_style(Severity::Warning).bold(),
            Verdict::NotReady | Verdict::NotMews | Verdict::NotProven => severity_style(Severity::Error).bold(),
            Verdict::Empty => Style::new().bold(),
        };
        writeln!(f, "{style}{}{style:#}\n", wrapped(&review.summary, self.width, ""))?;
        sections::overview(f, self)?;
        self.checklist(f)?;
        self.findings(f)?;
        sections::limits(f, self)?;
        sections::operations(f, self)?;
        sections::retries(f, self)?;
        sections::errors(f, self)?;
        sections::events(f, self)?;
        sections::use_case(f, self)?;
        self.silenced(f)?;
        sections::left_out(f, self)
    }
}

impl Summary<'_> {
    /// What Mews judges, point by point.
    fn checklist(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STATE: usize = 13;
        const TITLE: usize = 26;
        heading(f, "Certification checklist")?;
        for check in &self.review.checklist {
            let (style, state) = match check.state {
                CheckState::Passed => (Style::new().fg_color(Some(AnsiColor::Green.into())), "passed"),
                CheckState::Failed => (severity_style(Severity::Error), "failed"),
                CheckState::NotJudged => (Style::new().dimmed(), "not judged"),
            };
            let mut figure = check.figure.clone();
            // The figure alone doesn't always explain a failure.
            let (silenced, standing): (Vec<Rule>, _) =
                check.rules.iter().partition(|rule| check.silenced.contains(rule));
            let ids = |rules: &[Rule]| rules.iter().map(|rule| rule.id()).collect::<Vec<_>>().join(", ");
            if !standing.is_empty() {
                figure.push_str(&format!(" ({})", ids(&standing)));
            }
            if !silenced.is_empty() {
                figure.push_str(&format!("; silenced by the partner: {}", ids(&silenced)));
            }
            let figure = wrapped(&figure, self.width, &" ".repeat(STATE + TITLE));
            writeln!(f, "  {style}{state:11}{style:#}{:TITLE$}{}", check.title, figure.trim_start())?;
        }
        Ok(())
    }

    fn findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let findings = &self.review.findings;
        if findings.is_empty() {
            return Ok(());
        }
        heading(f, "What to fix, most serious first")?;
        for finding in findings.iter().take(MOST) {
            self.finding(f, finding)?;
            writeln!(f, "{}", wrapped(&format!("> {}", finding.advice), self.width, "    "))?;
            if let Some(ruling) = &finding.ruling {
                let ruling = match ruling.was == finding.severity {
                    true => format!("(the partner says: {})", ruling.reason),
                    false => format!("({} by default; the partner says: {})", ruling.was, ruling.reason),
                };
                writeln!(f, "{}", wrapped(&ruling, self.width, "    "))?;
            }
        }
        if findings.len() > MOST {
            writeln!(f, "  and {} more, which --json has", findings.len() - MOST)?;
        }
        Ok(())
    }

    /// Writes a finding's rule, message and example exchanges.
    fn finding(&self, f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
        let style = severity_style(finding.severity);
        let severity = finding.severity;
        writeln!(f, "  {style}{severity:7}{style:#} {}", finding.rule)?;
        writeln!(f, "{}", wrapped(&finding.message, self.width, "    "))?;
        if let Some(first) = finding.exchanges.first() {
            // As many ids as fit the line.
            let room = (self.width.saturating_sub(4 + 14) / 27).clamp(1, 3);
            let mut line = format!("    {first}");
            for id in finding.exchanges.iter().skip(1).take(room - 1) {
                line.push_str(&format!(" {id}"));
            }
            let shown = finding.exchanges.len().min(room) as u64;
            if finding.count > shown {
                line.push_str(&format!(" of {}", thousands(finding.count)));
            }
            writeln!(f, "{line}")?;
        }
        Ok(())
    }

    fn silenced(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.review.silenced.is_empty() {
            return Ok(());
        }
        heading(f, "Silenced by the declaration")?;
        for finding in self.review.silenced.iter().take(MOST) {
            self.finding(f, finding)?;
            let reason = finding.ruling.as_ref().map_or("", |ruling| &ruling.reason);
            writeln!(f, "{}", wrapped(&format!("silenced: {reason}"), self.width, "    "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use nightaudit_exchange::{Exchange, ExchangeId, Timestamp};
    use nightaudit_review::{Declaration, EventChannel, EventReview, Review, Reviewer, SocketReview};
    use nightaudit_testkit::sample::exchange;

    use super::*;

    /// A short session with an error, a warning and a silenced finding.
    fn review() -> Review {
        let declaration = r#"
            use_case = "customer-management"
            [operations]
            "configuration/get" = "time zone"
            "reservations/getAll/2023-06-06" = "arrivals"
            [rules]
            "habits/unfiltered" = { silence = true, reason = "a sample that is so long that it needs more than a line of the terminal" }
        "#;
        let declaration = Declaration::read(declaration, &nightaudit_mews::Contracts::built_in()).unwrap();
        let mut reviewer = Reviewer::new(declaration);
        let exchange = |number: u64, seconds: i64| -> Exchange {
            let mut exchange = exchange();
            exchange.sequence = number;
            let at = exchange.started_at.micros() + seconds * 1_000_000;
            exchange.started_at = Timestamp::from_micros(at);
            exchange.id = ExchangeId::from_parts(u64::try_from(at / 1000).unwrap(), 7 << 40 | u128::from(number));
            exchange
        };
        for number in 1..=4 {
            reviewer.push(&exchange(number, 100 * i64::try_from(number).unwrap()));
        }
        let mut failed = exchange(5, 500);
        failed.operation = "customers/\u{1b}[2Jget".into();
        let response = failed.response.as_mut().unwrap();
        response.status = 404;
        response.body.bytes = "{\"Message\":\"No such\\u001b[31m address.\"}".into();
        reviewer.push(&failed);
        reviewer.into_review()
    }

    fn shown(review: &Review, width: usize) -> String {
        let summary = Summary { review, declaration: Some("certification.toml"), width, zone: &TimeZone::UTC };
        anstream::adapter::strip_str(&summary.to_string()).to_string()
    }

    #[test]
    fn a_review_is_readable() {
        insta::assert_snapshot!(shown(&review(), 80));
    }

    /// The same with webhooks and a WebSocket.
    fn with_events() -> Review {
        let mut review = review();
        let kind = |event: &str, channel, fetched_by: Option<&str>| EventReview {
            event: event.to_owned(),
            channel,
            fetched_by: fetched_by.map(str::to_owned),
            received: 12_345,
            accepted: 12_300,
            late: 40,
            failed: 5,
            followed: 12_000,
            not_followed: 345,
            fetched_again: 3,
        };
        review.events.kinds = vec![
            kind("ServiceOrderUpdated", EventChannel::Webhook, Some("reservations/getAll")),
            kind("IntegrationCreated\u{1b}[2J", EventChannel::Webhook, None),
            kind("DeviceCommand", EventChannel::WebSocket, Some("commands/getAllByIds")),
        ];
        review.events.sockets = vec![SocketReview {
            access_token: None,
            connections: 3,
            open_s: 172_000,
            closed_s: 700,
            gaps: 1,
            longest_gap_s: 690,
        }];
        review
    }

    #[test]
    fn webhooks_and_events_are_readable() {
        let shown = shown(&with_events(), 80);
        let (_, events) = shown.split_once("Webhooks and WebSocket events").unwrap();
        insta::assert_snapshot!(events.split("\n\n").next().unwrap());
    }

    #[test]
    fn a_review_fits_the_width_and_has_no_control_characters() {
        for width in [80, 100, 120] {
            let shown = shown(&with_events(), width);
            let too_long: Vec<_> = shown.lines().filter(|line| line.chars().count() > width).collect();
            assert!(too_long.is_empty(), "{width}: {too_long:?}");
            assert!(!shown.chars().any(|letter| letter.is_control() && letter != '\n'), "{shown:?}");
        }
    }
}
