//! The input line at the bottom.

use std::path::Path;

use jiff::tz::TimeZone;
use nightaudit_exchange::{Filter, Statuses, Timestamp};
use nightaudit_export::Format;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::error::{FilterError, UnknownExtension, extensions};

/// The maximum length of an input, in characters.
const LONGEST: usize = 500;

/// The kind of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Search,
    Filter,
    Export,
}

/// An input line and its text.
#[derive(Debug)]
pub(super) struct Prompt {
    pub(super) asked: Asked,
    pub(super) text: String,
}

/// The effect of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    More,
    Done,
    Cancelled,
}

impl Prompt {
    pub(super) fn new(asked: Asked, text: String) -> Self {
        Self { asked, text }
    }

    /// The label before the text.
    pub(super) fn label(&self) -> &'static str {
        match self.asked {
            Asked::Search => "/",
            Asked::Filter => "filter: ",
            Asked::Export => "export to: ",
        }
    }

    /// A hint about the syntax.
    pub(super) fn hint(&self) -> String {
        match self.asked {
            Asked::Search => "text, ignoring case".to_owned(),
            Asked::Filter => {
                "4xx  rates/*  !5xx  outcome=failed  client='Acme*'  since=12:00  …  empty for all".to_owned()
            }
            Asked::Export => format!("format by extension: {}", extensions()),
        }
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Typed {
        match key.code {
            KeyCode::Enter => return Typed::Done,
            KeyCode::Esc => return Typed::Cancelled,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Typed::Cancelled,
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => self.text.clear(),
            KeyCode::Char('w') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                let kept = self.text.trim_end().rfind(' ').map_or(0, |blank| blank + 1);
                self.text.truncate(kept);
            }
            // As in vi, backspace on an empty line cancels.
            KeyCode::Backspace if self.text.is_empty() => return Typed::Cancelled,
            KeyCode::Backspace => {
                self.text.pop();
            }
            KeyCode::Char(letter) if self.text.chars().count() < LONGEST && !letter.is_control() => {
                self.text.push(letter)
            }
            _ => {}
        }
        Typed::More
    }
}

/// The format for a file's extension.
pub(super) fn format_of(path: &Path) -> Result<Format, UnknownExtension> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let found = Format::ALL.into_iter().find(|format| name.ends_with(&format!(".{}", format.extension())));
    found.ok_or(UnknownExtension(name))
}

/// Parses a filter: `name=value`, or just a status or an operation.
pub(super) fn parse_filter(text: &str, now: Timestamp) -> Result<Filter, FilterError> {
    let pairs = words(text)?.into_iter().map(|word| {
        if let Some((name, value)) = word.split_once('=') {
            return (name.trim_start_matches('-').to_owned(), value.to_owned());
        }
        let (mark, bare) = word.strip_prefix('!').map_or(("", &word[..]), |bare| ("!", bare));
        match bare {
            _ if bare.parse::<Statuses>().is_ok() => ("status".to_owned(), word),
            _ if bare.contains(['*', '?', ',']) => ("operation".to_owned(), word),
            _ => ("operation".to_owned(), format!("{mark}*{bare}*")),
        }
    });
    Ok(Filter::from_query_in(pairs, now, &TimeZone::system())?)
}

/// Formats a filter in the syntax of [`parse_filter`].
pub(super) fn write_filter(filter: &Filter) -> String {
    let words = filter.to_query().into_iter().map(|(name, value)| match value.contains([' ', '\'']) {
        true => format!("{name}=\"{value}\""),
        false => format!("{name}={value}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Splits at blanks, except within quotes.
fn words(text: &str) -> Result<Vec<String>, FilterError> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(FilterError::Quote);
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, FilterError> {
        parse_filter(text, Timestamp::from_micros(0)).map(|filter| filter.to_query())
    }

    #[test]
    fn a_filter_is_short_to_type() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("4xx rates/*").unwrap(), [pair("operation", "rates/*"), pair("status", "4xx")]);
        assert_eq!(parse("reserv").unwrap(), [pair("operation", "*reserv*")]);
        let typed = r#"client="Acme Kiosk*" --outcome=failed"#;
        assert_eq!(parse(typed).unwrap(), [pair("outcome", "failed"), pair("client", "Acme Kiosk*")]);
        for wrong in ["client='Acme", "colour=red", "status=often", "4xx 5xx"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_filter_can_be_typed_as_it_is_written() {
        for text in ["4xx,503 rates/* outcome=delayed", r#"client="Acme Kiosk*" contains="it's" slower-than=500ms"#] {
            let filter = parse_filter(text, Timestamp::from_micros(0)).unwrap();
            assert_eq!(parse_filter(&write_filter(&filter), Timestamp::from_micros(0)), Ok(filter), "{text}");
        }
    }

    #[test]
    fn the_ending_of_a_file_says_its_format() {
        for format in Format::ALL {
            assert_eq!(format_of(Path::new(&format!("/tmp/a.{}", format.extension()))), Ok(format));
        }
        assert_eq!(format_of(Path::new("a.pdf")), Err(UnknownExtension("a.pdf".to_owned())));
        assert!(UnknownExtension("a.pdf".to_owned()).to_string().contains("`a.pdf`: use .har "));
    }
}
