//! A message formatted for a pane: its start line, its headers, and its body as foldable JSON.

use std::{collections::BTreeSet, ops::Range};

use nightaudit_exchange::{Body, Exchange, Header};
use nightaudit_text::{
    json::{indent, is_json},
    plain, plain_lines, size,
};

/// How many characters of a body are shown; `nightaudit show` has the rest.
const MAX_TEXT: usize = 1 << 20;
/// The maximum number of lines.
const MAX_LINES: usize = 50_000;

/// The kind of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Head,
    Header,
    Body,
    Note,
}

#[derive(Debug)]
struct Line {
    text: Range<usize>,
    kind: Kind,
    /// The line that closes the block opened here.
    end: Option<usize>,
    /// How many items the block has.
    holds: usize,
}

/// A message with a cursor and folded blocks.
#[derive(Debug)]
pub(super) struct Document {
    text: String,
    lines: Vec<Line>,
    folded: BTreeSet<usize>,
    /// The visible lines.
    visible: Vec<usize>,
    /// Indices of visible lines: the cursor, and the first line in the pane.
    cursor: usize,
    top: usize,
    /// The horizontal scroll offset, in characters.
    shift: usize,
}

/// A line to draw.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown<'a> {
    pub(super) text: &'a str,
    pub(super) kind: Kind,
    /// The summary after a folded line.
    pub(super) folded: Option<String>,
    pub(super) cursor: bool,
}

impl Document {
    /// An exchange's request.
    pub(super) fn request(exchange: &Exchange) -> Self {
        let request = &exchange.request;
        let head = format!("{} {} {}", request.method, request.url, request.http_version);
        Self::new(&head, &request.headers, &request.body)
    }

    /// An exchange's response.
    pub(super) fn response(exchange: &Exchange) -> Self {
        match &exchange.response {
            Some(response) => {
                let head = format!("{} {}", response.status, response.http_version);
                Self::new(&head, &response.headers, &response.body)
            }
            None => {
                let message = exchange.error.as_ref().map_or("", |error| &error.message);
                Self::new(&format!("no response: {} {message}", exchange.outcome), &[], &Body::empty())
            }
        }
    }

    fn new(head: &str, headers: &[Header], body: &Body) -> Self {
        let mut document = Self {
            text: String::new(),
            lines: Vec::new(),
            folded: BTreeSet::new(),
            visible: Vec::new(),
            cursor: 0,
            top: 0,
            shift: 0,
        };
        document.push(Kind::Head, &plain(head));
        for header in headers {
            document.push(Kind::Header, &format!("{}: {}", plain(&header.name), plain(&header.value)));
        }
        document.push(Kind::Note, "");
        document.push_body(body);
        document.refresh();
        document
    }

    fn push(&mut self, kind: Kind, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.lines.push(Line { text: start..self.text.len(), kind, end: None, holds: 0 });
    }

    fn push_body(&mut self, body: &Body) {
        if body.length == 0 {
            return self.push(Kind::Note, "no body");
        }
        let (bytes, _) = body.decoded();
        let Ok(text) = str::from_utf8(&bytes) else {
            return self.push(Kind::Note, &format!("{} of binary data", size(body.length)));
        };
        let json = is_json(text);
        // JSON is truncated after formatting: a truncated document can't be parsed.
        let laid_out = if json { indent(text) } else { text.to_owned() };
        let end = laid_out.char_indices().nth(MAX_TEXT).map_or(laid_out.len(), |(end, _)| end);
        let mut open: Vec<usize> = Vec::new();
        let mut cut = end < laid_out.len();
        for text in laid_out[..end].lines() {
            if self.lines.len() >= MAX_LINES {
                cut = true;
                break;
            }
            let line = self.lines.len();
            let text = plain_lines(text).replace('\t', "    ");
            let bare = text.trim();
            if json && bare.starts_with(['}', ']']) {
                if let Some(begin) = open.pop() {
                    self.lines[begin].end = Some(line);
                }
            } else if let Some(parent) = open.last() {
                self.lines[*parent].holds += 1;
            }
            self.push(Kind::Body, &text);
            if json && bare.ends_with(['{', '[']) {
                open.push(line);
            }
        }
        if let Some(withheld) = body.withheld {
            self.push(Kind::Note, &format!("{} withheld: {}", size(body.length), withheld.reason()));
        } else if cut || body.truncated {
            self.push(Kind::Note, &format!("… truncated, the whole body has {}", size(body.length)));
        }
    }

    /// Recomputes the visible lines.
    fn refresh(&mut self) {
        let at = self.visible.get(self.cursor).copied().unwrap_or(0);
        self.visible.clear();
        let mut line = 0;
        while line < self.lines.len() {
            self.visible.push(line);
            line = match self.lines[line].end {
                Some(end) if self.folded.contains(&line) => end + 1,
                _ => line + 1,
            };
        }
        // A cursor inside a folded block moves to its first line.
        self.cursor = self.visible.partition_point(|line| *line <= at).saturating_sub(1);
    }

    /// The lines for a pane of this height.
    pub(super) fn shown(&self, height: usize) -> impl Iterator<Item = Shown<'_>> {
        let pane = self.visible.iter().enumerate().skip(self.top).take(height);
        pane.map(|(place, line)| {
            let Line { text, kind, end, holds } = &self.lines[*line];
            let folded = end
                .filter(|_| self.folded.contains(line))
                .map(|end| format!(" {holds} … {}", self.text[self.lines[end].text.clone()].trim()));
            Shown { text: &self.text[text.clone()], kind: *kind, folded, cursor: place == self.cursor }
        })
    }

    /// Scrolls horizontally.
    pub(super) fn shift(&mut self, by: isize) {
        let longest = self.lines.iter().map(|line| line.text.len()).max().unwrap_or(0);
        self.shift = self.shift.saturating_add_signed(by).min(longest);
    }

    /// The horizontal scroll offset, in characters.
    pub(super) fn shifted(&self) -> usize {
        self.shift
    }

    /// Moves the cursor, and scrolls a pane of this height to it.
    pub(super) fn go(&mut self, by: isize, height: usize) {
        let last = self.visible.len().saturating_sub(1);
        self.cursor = self.cursor.saturating_add_signed(by).min(last);
        self.scroll(height);
    }

    pub(super) fn scroll(&mut self, height: usize) {
        let lowest = (self.cursor + 1).saturating_sub(height);
        self.top = self.top.clamp(lowest, self.cursor.max(lowest));
    }

    /// Folds or unfolds the block that starts at the cursor's line or contains it.
    pub(super) fn fold(&mut self, height: usize) {
        let Some(&line) = self.visible.get(self.cursor) else { return };
        let begins = |line: &usize| self.lines[*line].end.is_some_and(|end| end > line + 1);
        let around = |begin: &usize| self.lines[*begin].end.is_some_and(|end| end >= line) && begins(begin);
        let Some(begin) = Some(line).filter(begins).or_else(|| (0..line).rev().find(around)) else { return };
        if !self.folded.remove(&begin) {
            self.folded.insert(begin);
        }
        self.refresh();
        self.scroll(height);
    }

    /// Folds everything below the first level, or unfolds all.
    pub(super) fn fold_all(&mut self, height: usize) {
        if self.folded.is_empty() {
            let outermost = self.lines.iter().position(|line| line.end.is_some());
            let begins = self.lines.iter().enumerate().filter(|(_, line)| line.end.is_some());
            self.folded = begins.map(|(place, _)| place).filter(|place| Some(*place) != outermost).collect();
        } else {
            self.folded.clear();
        }
        self.refresh();
        self.scroll(height);
    }

    /// Moves to the next or previous line that contains the text, ignoring case, and unfolds it.
    pub(super) fn search(&mut self, text: &str, forwards: bool, height: usize) -> bool {
        let wanted = text.to_lowercase();
        let at = self.visible.get(self.cursor).copied().unwrap_or(0);
        let count = self.lines.len();
        let steps = (1..=count).map(|step| if forwards { (at + step) % count } else { (at + count - step) % count });
        let has = |line: &usize| self.text[self.lines[*line].text.clone()].to_lowercase().contains(&wanted);
        let Some(found) = steps.into_iter().find(has) else { return false };
        self.folded.retain(|begin| !(*begin < found && self.lines[*begin].end.is_some_and(|end| found <= end)));
        self.refresh();
        self.cursor = self.visible.partition_point(|line| *line < found);
        self.scroll(height);
        true
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_testkit::sample::exchange;

    use super::*;

    fn document(body: &str) -> Document {
        let mut exchange = exchange();
        exchange.request.body = Body::whole(body.to_owned().into());
        Document::request(&exchange)
    }

    fn body(document: &Document) -> Vec<String> {
        let shown = document.shown(1000).filter(|line| line.kind == Kind::Body);
        shown.map(|line| format!("{}{}", line.text, line.folded.unwrap_or_default())).collect()
    }

    #[test]
    fn what_is_folded_says_how_much_it_holds() {
        let mut document = document(r#"{"a":[1,2,{"b":3}],"c":{}}"#);
        document.fold_all(20);
        assert_eq!(body(&document), ["{", r#"  "a": [ 3 … ],"#, r#"  "c": {}"#, "}"]);
        document.fold_all(20);
        assert_eq!(body(&document).len(), 10);
        // On a line within, the cursor folds what is around it.
        assert!(document.search("2,", true, 20));
        document.fold(20);
        assert_eq!(body(&document)[1], r#"  "a": [ 3 … ],"#);
        document.fold(20);
        assert_eq!(body(&document).len(), 10);
    }

    #[test]
    fn a_search_unfolds_what_it_finds() {
        let mut document = document(r#"{"a":[1,2,{"Needle":3}],"c":{}}"#);
        document.fold_all(20);
        assert!(document.search("needle", true, 20));
        let cursor = document.shown(1000).find(|line| line.cursor).unwrap();
        assert_eq!(cursor.text.trim(), r#""Needle": 3"#);
        assert!(!document.search("nowhere", true, 20));
    }

    #[test]
    fn a_body_without_end_is_cut() {
        let wide = document(&format!("[{}1]", "1,".repeat(200_000)));
        assert!(wide.lines.len() <= MAX_LINES + 1);
        let deep = document(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
        assert!(deep.lines.len() <= MAX_LINES + 1);
        assert!(deep.shown(100_000).last().unwrap().text.contains("whole body"));
    }

    #[test]
    fn the_cursor_stays_in_sight() {
        let mut document = document(&format!("[{}1]", "1,".repeat(100)));
        document.go(50, 10);
        assert_eq!(document.shown(10).position(|line| line.cursor), Some(9));
        document.go(-5, 10);
        assert_eq!(document.shown(10).position(|line| line.cursor), Some(4));
        document.go(isize::MIN, 10);
        assert_eq!(document.shown(10).position(|line| line.cursor), Some(0));
    }
}
