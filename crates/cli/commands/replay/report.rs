//! What a replay came to, for a terminal.

use std::io::{self, Write};

use nightaudit_replay::{NotAsked, NotRecorded, Summary};
use nightaudit_text::plain;

/// The most lines of each list.
const MAX_LINES: usize = 50;

/// Prints the summary.
pub(super) fn print(summary: &Summary) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    write(&mut out, summary)?;
    out.flush()
}

fn write(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let Summary { requests, same, alike, again, incomplete, unrecorded, recordings, .. } = summary;
    writeln!(out, "requests      {requests}: {same} with the same body, {alike} alike, {unrecorded} not recorded")?;
    if *again > 0 {
        writeln!(out, "              {again} got the last recording again")?;
    }
    if *incomplete > 0 {
        writeln!(out, "              {incomplete} whose recorded response is not complete in the log")?;
    }
    for (number, NotRecorded { operation, requests, nearest, differs_in }) in
        summary.not_recorded.iter().take(MAX_LINES).enumerate()
    {
        let label = if number == 0 { "not recorded" } else { "" };
        write!(out, "{label:12}  {requests:>5}  {}", plain(operation))?;
        if let Some(nearest) = nearest {
            let places: Vec<&str> = differs_in.iter().take(3).map(String::as_str).collect();
            let more = if differs_in.len() > places.len() { ", …" } else { "" };
            let places = match places.join(", ") {
                places if places.is_empty() => "the whole body".to_owned(),
                places => places,
            };
            write!(out, "  differs from {nearest} in {}{more}", plain(&places))?;
        }
        writeln!(out)?;
    }
    more(out, summary.not_recorded.len().saturating_sub(MAX_LINES) as u64 + summary.unlisted)?;
    let unasked: u64 = summary.not_asked.iter().map(|one| one.unasked).sum();
    writeln!(out, "not asked     {unasked} of {recordings} recordings")?;
    for NotAsked { operation, recordings, unasked, first } in summary.not_asked.iter().take(MAX_LINES) {
        writeln!(out, "              {unasked:>5} of {recordings}  {}  first {first}", plain(operation))?;
    }
    more(out, summary.not_asked.len().saturating_sub(MAX_LINES) as u64)
}

fn more(out: &mut impl Write, lines: u64) -> io::Result<()> {
    if lines > 0 { writeln!(out, "              … and {lines} more") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_as_it_was() {
        let id = "01KAS3ZQ8G0000000700000005".parse().unwrap();
        let kind = |operation: &str, requests, differs_in: &[&str]| NotRecorded {
            operation: operation.to_owned(),
            requests,
            nearest: (!differs_in.is_empty()).then_some(id),
            differs_in: differs_in.iter().map(|pointer| (*pointer).to_owned()).collect(),
        };
        let summary = Summary {
            requests: 120,
            same: 100,
            alike: 10,
            again: 4,
            incomplete: 1,
            unrecorded: 10,
            not_recorded: vec![
                kind("reservations/getAll/2023-06-06", 7, &["/Limitation/Count", "/States/0", "/A", "/B"]),
                kind("bills/close", 2, &[]),
                kind("GET \u{1b}[2J", 1, &[""]),
            ],
            unlisted: 3,
            recordings: 500,
            not_asked: vec![NotAsked { operation: "rates/getAll".to_owned(), recordings: 9, unasked: 5, first: id }],
        };
        let mut text = Vec::new();
        write(&mut text, &summary).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r"
        requests      120: 100 with the same body, 10 alike, 10 not recorded
                      4 got the last recording again
                      1 whose recorded response is not complete in the log
        not recorded      7  reservations/getAll/2023-06-06  differs from 01KAS3ZQ8G0000000700000005 in /Limitation/Count, /States/0, /A, …
                          2  bills/close
                          1  GET �[2J  differs from 01KAS3ZQ8G0000000700000005 in the whole body
                      … and 3 more
        not asked     5 of 500 recordings
                          5 of 9  rates/getAll  first 01KAS3ZQ8G0000000700000005
        ");
    }
}
