//! A comparison as text.

use std::{collections::BTreeMap, fmt};

use anstyle::Style;
use nightaudit_compare::{Difference, Differences, Side};
use nightaudit_text::{counted, plain};

use crate::commands::review::layout::{severity_style, thousands, wrapped};

/// The most differences printed of one operation; `--json` has all.
const MOST: usize = 40;

/// A comparison, for a terminal of this width.
pub(super) struct Text<'a> {
    pub(super) differences: &'a Differences,
    pub(super) width: usize,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Differences { a, b, counts, differences, operations, bounds, .. } = self.differences;
        let bold = Style::new().bold();
        self.side(f, "a", a)?;
        self.side(f, "b", b)?;
        writeln!(f, "{bold}{counts}{bold:#}")?;
        let mut groups: BTreeMap<Option<&str>, Vec<&Difference>> = BTreeMap::new();
        for difference in differences {
            groups.entry(difference.operation.as_deref()).or_default().push(difference);
        }
        for (operation, own) in &groups {
            writeln!(f, "\n{bold}{}{bold:#}", plain(operation.unwrap_or("all operations")))?;
            for difference in own.iter().take(MOST) {
                self.difference(f, difference)?;
            }
            if own.len() > MOST {
                writeln!(f, "  and {} more, which --json has", own.len() - MOST)?;
            }
        }
        let same = operations.len() - groups.keys().flatten().count().min(operations.len());
        if !groups.is_empty() && same > 0 {
            writeln!(f, "\nno difference in {same} other {}", if same == 1 { "operation" } else { "operations" })?;
        }
        if !bounds.is_empty() {
            writeln!(f)?;
        }
        for bound in bounds {
            writeln!(f, "{}", wrapped(&format!("left out: {bound}"), self.width, ""))?;
        }
        Ok(())
    }
}

impl Text<'_> {
    /// `a  run-1: 1,000 exchanges, answered by https://api.mews-demo.com`
    fn side(&self, f: &mut fmt::Formatter<'_>, letter: &str, side: &Side) -> fmt::Result {
        let mut text = format!("{}: {}", side.name, counted(side.exchanges, "exchange"));
        let hosts: Vec<&str> = side.hosts.keys().map(|host| &**host).collect();
        if !hosts.is_empty() {
            text.push_str(&format!(", answered by {}", hosts.join(" and ")));
        }
        if side.altered > 0 {
            text.push_str(&format!(", {} altered before they were imported", thousands(side.altered)));
        }
        if side.foreign > 0 {
            text.push_str(&format!(", {} recorded by another tool", thousands(side.foreign)));
        }
        if side.unread > 0 {
            let bodies = if side.unread == 1 { "body" } else { "bodies" };
            text.push_str(&format!(", {} {bodies} not read", thousands(side.unread)));
        }
        let lines = wrapped(&text, self.width, "   ");
        writeln!(f, "{letter}  {}", lines.trim_start())
    }

    fn difference(&self, f: &mut fmt::Formatter<'_>, own: &Difference) -> fmt::Result {
        let (style, severity) = (severity_style(own.severity), own.severity);
        write!(f, "  {style}{severity:7}{style:#} {} {}", own.kind.name(), own.change.name())?;
        match own.place {
            Some(place) => writeln!(f, " ({place})")?,
            None => writeln!(f)?,
        }
        writeln!(f, "{}", wrapped(&own.message, self.width, "    "))?;
        if !own.examples.is_empty() {
            let examples: Vec<String> =
                own.examples.iter().map(|example| format!("{} {}", example.side, example.exchange)).collect();
            let dim = Style::new().dimmed();
            writeln!(f, "    {dim}{}{dim:#}", examples.join("  "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_compare::{Ignore, Recording};
    use nightaudit_mews::Contracts;
    use nightaudit_testkit::sample::exchange;

    use super::*;

    fn text(change: impl Fn(&mut nightaudit_exchange::Exchange)) -> String {
        let recording = |name: &str, change: &dyn Fn(&mut nightaudit_exchange::Exchange)| {
            let mut recording = Recording::new(name, Contracts::built_in());
            for _ in 0..5 {
                let mut exchange = exchange();
                change(&mut exchange);
                recording.push(&exchange);
            }
            recording
        };
        let differences =
            Differences::of(&recording("run-1", &|_| {}), &recording("run-2", &change), &Ignore::default());
        let text = Text { differences: &differences, width: 80 }.to_string();
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn two_equal_recordings_have_no_difference() {
        insta::assert_snapshot!(text(|_| {}));
    }

    #[test]
    fn a_difference_has_severity_figures_and_an_example() {
        insta::assert_snapshot!(text(|exchange| {
            exchange.operation = "reservations/getAll/2023-06-06".into();
            let response = exchange.response.as_mut().unwrap();
            response.body = nightaudit_exchange::Body::whole("{\"Reservations\":{},\"Cursor\":null}".into());
        }));
    }

    #[test]
    fn regression_a_recording_had_1_exchanges() {
        let one = || {
            let mut recording = Recording::new("run-1", Contracts::built_in());
            recording.push(&exchange());
            recording
        };
        let differences = Differences::of(&one(), &one(), &Ignore::default());
        let text = Text { differences: &differences, width: 80 }.to_string();
        assert!(text.contains("run-1: 1 exchange, answered by"), "{text}");
    }

    #[test]
    fn nothing_recorded_controls_the_terminal() {
        let text = text(|exchange| {
            exchange.operation = "\u{1b}[2J\u{202e}".into();
            exchange.response.as_mut().unwrap().body =
                nightaudit_exchange::Body::whole("{\"\u{1b}]0;x\u{7}\":1}".into());
        });
        assert!(
            !text.chars().any(|letter| letter != '\n' && nightaudit_text::terminal::is_terminal_control(letter)),
            "{text:?}"
        );
    }
}
