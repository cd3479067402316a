//! Prints recorded requests, one per line, for `serve` and `try`.

use std::time::Duration;

use anstyle::Style;
use jiff::tz::TimeZone;
use nightaudit_exchange::{Exchange, Outcome};
use nightaudit_mews::Contracts;
use nightaudit_store::{Followed, Follower};
use nightaudit_text::{Columns, Line, Row, status_style};

/// How long a row of equal lines may wait for the next one of them.
const PATIENCE: Duration = Duration::from_millis(500);

/// Makes lines of exchanges, with a row of equal refusals as one line.
pub(crate) struct Requests {
    contracts: Contracts,
    zone: TimeZone,
    last: Option<Row>,
    /// Refusals like `last` that came after it and were not shown.
    more: usize,
    /// Whether lines are marked if the response isn't from Mews.
    marks_origin: bool,
}

impl Requests {
    pub(crate) fn new(contracts: Contracts) -> Self {
        Self { contracts, zone: TimeZone::system(), last: None, more: 0, marks_origin: true }
    }

    /// Leaves out the mark of responses that aren't from Mews, when none can be.
    pub(crate) fn without_origin(self) -> Self {
        Self { marks_origin: false, ..self }
    }

    /// Says each exchange of the follower with `say`, until the log is closed; `seen` is told of each, too.
    ///
    /// # Errors
    ///
    /// That of `say`, which ends it.
    pub(crate) async fn follow<E>(
        mut self,
        mut follower: Follower,
        mut seen: impl FnMut(&Exchange),
        mut say: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let next = match self.more {
                0 => follower.next().await,
                _ => match tokio::time::timeout(PATIENCE, follower.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.folded().iter().try_for_each(|line| say(line))?;
                        continue;
                    }
                },
            };
            match next {
                Some(Followed::Exchange(exchange)) => {
                    seen(&exchange);
                    self.lines(&exchange).iter().try_for_each(|line| say(line))?;
                }
                Some(_) => {}
                None => return self.folded().iter().try_for_each(|line| say(line)),
            }
        }
    }

    /// The lines that this exchange makes due: none while it is like the refusal before it.
    fn lines(&mut self, exchange: &Exchange) -> Vec<String> {
        let mut row = Row::new(exchange, &self.contracts);
        row.origin = row.origin.filter(|_| self.marks_origin);
        if exchange.outcome == Outcome::Refused && self.last.as_ref().is_some_and(|last| is_like(&row, last)) {
            self.more += 1;
            return Vec::new();
        }
        let mut lines: Vec<String> = self.folded().into_iter().collect();
        let columns = columns().for_marks(&row, self.last.as_ref());
        lines.push(Line { row: &row, columns: &columns, zone: &self.zone }.to_string());
        self.last = Some(row);
        lines
    }

    /// What was not shown of a row of equal lines: `429 × 27`.
    fn folded(&mut self) -> Option<String> {
        let more = std::mem::take(&mut self.more);
        let row = self.last.as_ref().filter(|_| more > 0)?;
        let status = row.status.map_or_else(String::new, |status| status.to_string());
        let (style, dim) = (status_style(row.status), Style::new().dimmed());
        Some(format!("{:14}{style}{status} × {more}{style:#}{dim} more like this{dim:#}", ""))
    }
}

/// Whether two refusals say the same.
fn is_like(row: &Row, last: &Row) -> bool {
    (row.status, &row.operation, &row.events, &row.token, &row.session)
        == (last.status, &last.operation, &last.events, &last.token, &last.session)
}

/// The columns that the terminal has room for.
fn columns() -> Columns {
    let width = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    width.map_or_else(Columns::all_with_id, Columns::fit_with_id)
}

#[cfg(test)]
mod tests {
    use nightaudit_testkit::sample::exchange;

    use super::*;

    #[test]
    fn equal_refusals_are_one_line() {
        let mut refused = exchange();
        refused.outcome = Outcome::Refused;
        let mut requests = Requests::new(Contracts::built_in());
        let mut said = Vec::new();
        let mut say = |requests: &mut Requests, exchange: &Exchange| {
            let lines = requests.lines(exchange);
            said.extend(lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()));
        };
        say(&mut requests, &exchange());
        say(&mut requests, &exchange());
        for _ in 0..28 {
            say(&mut requests, &refused);
        }
        say(&mut requests, &Exchange { operation: "rates/getAll".into(), ..refused.clone() });
        say(&mut requests, &exchange());
        // Two answers, the first refusal, the count of the others, the refusal of something else, an answer.
        assert_eq!(said.len(), 6, "{said:#?}");
        assert_eq!(said[3].trim(), "200 × 27 more like this");
        assert!(said[4].contains("rates/getAll"));
    }

    #[test]
    fn a_mark_that_every_line_would_have_can_be_left_out() {
        let mut elsewhere = exchange();
        elsewhere.destination.as_mut().unwrap().address = "http://127.0.0.1:8090".into();
        let line = |mut requests: Requests| anstream::adapter::strip_str(&requests.lines(&elsewhere)[0]).to_string();
        assert!(line(Requests::new(Contracts::built_in())).contains("not Mews"));
        assert!(!line(Requests::new(Contracts::built_in()).without_origin()).contains("not Mews"));
    }
}
