//! The documentation's list of deprecations, with dates and replacements.

use jiff::civil::Date;

use super::page::{code, links};

/// A row of the list.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// What is deprecated: names in backticks, or an operation's text.
    pub(super) names: Vec<String>,
    pub(super) title: String,
    /// The operations and types, by page and anchor.
    pub(super) targets: Vec<(String, String)>,
    /// Names of replacements.
    pub(super) instead: Vec<String>,
    /// Replacing operations, by page and anchor.
    pub(super) replaced_by: Vec<(String, String)>,
    pub(super) since: Option<Date>,
    pub(super) ends: Option<Date>,
}

/// Parses the list.
pub(super) fn read(text: &str) -> Vec<Row> {
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let [feature, comments, since, ends, ..] = cells[..] else { return None };
        let title = feature.trim_start_matches('[').split([']', '<', '(']).next().unwrap_or_default();
        let row = Row {
            names: code(feature).map(str::to_owned).collect(),
            title: title.trim().trim_matches('`').to_owned(),
            targets: links(feature),
            instead: code(comments).map(str::to_owned).collect(),
            replaced_by: links(comments),
            since: date(since),
            ends: date(ends),
        };
        (row.since.is_some() || row.ends.is_some()).then_some(row)
    });
    rows.collect()
}

/// A date as in the list: `10 Jan 2026`, also `9th Jan 2025`.
fn date(text: &str) -> Option<Date> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let text = text.to_ascii_lowercase();
    let mut words = text.split_whitespace();
    let day = words.next()?.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).parse().ok()?;
    let month = words.next()?.get(..3)?.to_owned();
    let month = MONTHS.iter().position(|known| *known == month)?;
    // The list has slips: a digit too many, a second month.
    let year = words.last()?.get(..4)?.parse().ok()?;
    Date::new(year, i8::try_from(month).ok()? + 1, day).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_with_the_slips_that_the_list_has() {
        for (text, day) in [
            ("10 Jan 2026", Some("2026-01-10")),
            ("9th Jan 2025", Some("2025-01-09")),
            ("9th Jan 20255", Some("2025-01-09")),
            ("10 Jan Feb 2025", Some("2025-01-10")),
            ("-", None),
            ("", None),
            ("Prior to 2021", None),
            ("31 Feb 2021", None),
        ] {
            assert_eq!(date(text).map(|day| day.to_string()).as_deref(), day, "{text}");
        }
    }

    #[test]
    fn a_row_names_fields_their_places_and_what_replaces_them() {
        let rows = read(
            "| Feature | Comments | Deprecated | Discontinued |\n| :-- | :-- | :-- | :-- |\n\
             | `A`, `B` <br>in [Get all xs](../operations/xs.md#get-all-xs) | Use `C` of [Y](ys.md#y) | 01 Feb 2024 | - |\n",
        );
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (&rows[0].names[..], &rows[0].instead[..]),
            (&["A".to_owned(), "B".to_owned()][..], &["C".to_owned()][..])
        );
        assert_eq!(rows[0].targets, [("xs.md".to_owned(), "get-all-xs".to_owned())]);
        assert_eq!(rows[0].replaced_by, [("ys.md".to_owned(), "y".to_owned())]);
        assert_eq!((rows[0].since.map(|day| day.to_string()), rows[0].ends), (Some("2024-02-01".to_owned()), None));
    }
}
