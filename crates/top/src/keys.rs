//! Key bindings, as in mitmproxy, vi and less.

use std::path::PathBuf;

use nightaudit_export::Format;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    document::Document,
    layout,
    model::{Action, Loaded, Model, Tab},
    prompt::{Asked, Prompt, Typed, format_of, parse_filter, write_filter},
};

/// All key bindings, as shown by `?`.
pub(super) const HELP: [(&str, &str); 19] = [
    ("j k ↓ ↑", "down, up"),
    ("space b PgDn PgUp", "page down, up"),
    ("g G", "first, last"),
    ("enter", "open an exchange; in it: fold or unfold"),
    ("tab 1 2 3", "exchanges, limits, findings; or request, response"),
    ("J K", "in an exchange: next, previous exchange"),
    ("z", "in an exchange: fold or unfold all"),
    ("h l ← →", "in an exchange: scroll left, right"),
    ("w", "in an exchange: show one side or both"),
    ("F", "follow new exchanges, or stop following"),
    ("f", "filter; empty shows all"),
    ("/", "search"),
    ("n N", "next, previous match"),
    ("m", "mark or unmark"),
    ("M", "unmark all"),
    ("x", "export the marked exchanges, or the current one"),
    ("ctrl-l", "redraw"),
    ("?", "this help"),
    ("q esc", "back; q in the list quits"),
];

impl Model {
    /// Handles a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if let Some(prompt) = &mut self.prompt {
            return match prompt.press(key) {
                Typed::More => None,
                Typed::Cancelled => {
                    self.prompt = None;
                    None
                }
                Typed::Done => {
                    let prompt = self.prompt.take()?;
                    self.typed(prompt)
                }
            };
        }
        self.message = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Some(Action::Quit),
                KeyCode::Char('l') => Some(Action::Redraw),
                _ => None,
            };
        }
        if self.help {
            // Any key dismisses the message.
            self.help = false;
            return None;
        }
        match key.code {
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('/') => self.prompt = Some(Prompt::new(Asked::Search, String::new())),
            KeyCode::Char('f') => self.prompt = Some(Prompt::new(Asked::Filter, write_filter(&self.filter))),
            KeyCode::Char('x') if !self.chosen().is_empty() => {
                self.prompt = Some(Prompt::new(Asked::Export, self.file_name()));
            }
            KeyCode::Char('x') => self.message = Some(("nothing to export".to_owned(), true)),
            KeyCode::Char('q') | KeyCode::Esc if self.detail.is_some() => self.detail = None,
            KeyCode::Char('q') | KeyCode::Esc if self.tab != Tab::Exchanges => self.show(Tab::Exchanges),
            KeyCode::Char('q') => return Some(Action::Quit),
            KeyCode::Esc => self.search = None,
            code if self.detail.is_some() => return self.press_in_detail(code),
            code => return self.press_in_list(code),
        }
        None
    }

    fn press_in_list(&mut self, code: KeyCode) -> Option<Action> {
        match code {
            KeyCode::Tab => self.show(match self.tab {
                Tab::Exchanges => Tab::Limits,
                Tab::Limits => Tab::Findings,
                Tab::Findings => Tab::Exchanges,
            }),
            KeyCode::BackTab => self.show(match self.tab {
                Tab::Exchanges => Tab::Findings,
                Tab::Limits => Tab::Exchanges,
                Tab::Findings => Tab::Limits,
            }),
            KeyCode::Char('1') => self.show(Tab::Exchanges),
            KeyCode::Char('2') => self.show(Tab::Limits),
            KeyCode::Char('3') => self.show(Tab::Findings),
            code if self.tab != Tab::Exchanges => return self.press_in_table(code),
            KeyCode::Enter => return self.open(),
            KeyCode::Char('F') => {
                self.follow = !self.follow;
                if self.follow {
                    self.go(isize::MAX);
                }
            }
            KeyCode::Char('G') | KeyCode::End => self.go(isize::MAX),
            KeyCode::Char('m') => {
                let id = self.current()?.id;
                if !self.marked.remove(&id) {
                    self.marked.insert(id);
                }
                if !self.follow {
                    self.go(1);
                }
            }
            KeyCode::Char('M') => self.marked.clear(),
            KeyCode::Char('n') => self.search(true),
            KeyCode::Char('N') => self.search(false),
            code => {
                let by = step(code, layout::list_height(self))?;
                self.go(by);
            }
        }
        None
    }

    /// Keys in the limits and the findings.
    fn press_in_table(&mut self, code: KeyCode) -> Option<Action> {
        let findings = if self.tab == Tab::Findings { self.findings() } else { Vec::new() };
        let lines = match self.tab {
            Tab::Findings => findings.len(),
            _ => self.limits.as_ref().map_or(0, Vec::len),
        };
        if code == KeyCode::Enter {
            // The exchange that last showed the finding.
            let last = findings.get(self.place)?.last;
            (self.selected, self.follow) = (self.rows.iter().rposition(|row| row.id == last)?, false);
            return self.open();
        }
        let by = if code == KeyCode::Char('G') { isize::MAX } else { step(code, layout::table_height(self))? };
        self.place = self.place.saturating_add_signed(by).min(lines.saturating_sub(1));
        None
    }

    fn press_in_detail(&mut self, code: KeyCode) -> Option<Action> {
        let height = layout::pane_height(self);
        match code {
            KeyCode::Char('J') => {
                self.follow = false;
                self.go(1);
                return self.open();
            }
            KeyCode::Char('K') => {
                self.go(-1);
                return self.open();
            }
            KeyCode::Char('m') => {
                let id = self.detail.as_ref()?.id;
                if !self.marked.remove(&id) {
                    self.marked.insert(id);
                }
            }
            KeyCode::Tab | KeyCode::BackTab => {
                let detail = self.detail.as_mut()?;
                detail.on_response = !detail.on_response;
            }
            KeyCode::Char('h') | KeyCode::Left => self.pane()?.shift(-8),
            KeyCode::Char('l') | KeyCode::Right => self.pane()?.shift(8),
            KeyCode::Char('w') => self.wide = !self.wide,
            KeyCode::Enter => self.pane()?.fold(height),
            KeyCode::Char('z') => self.pane()?.fold_all(height),
            KeyCode::Char('n') => self.search_pane(true),
            KeyCode::Char('N') => self.search_pane(false),
            KeyCode::Char('G') | KeyCode::End => self.pane()?.go(isize::MAX, height),
            code => {
                let by = step(code, height)?;
                self.pane()?.go(by, height);
            }
        }
        None
    }

    /// The focused pane.
    fn pane(&mut self) -> Option<&mut Document> {
        let detail = self.detail.as_mut()?;
        let Some(Ok(Loaded { request, response, .. })) = &mut detail.loaded else { return None };
        Some(if detail.on_response { response } else { request })
    }

    fn search_pane(&mut self, forwards: bool) {
        let (Some(text), height) = (self.search.clone(), layout::pane_height(self)) else { return };
        if self.pane().is_some_and(|pane| !pane.search(&text, forwards, height)) {
            self.message = Some((format!("`{text}` not found: tab switches to the other side"), true));
        }
    }

    fn show(&mut self, tab: Tab) {
        (self.tab, self.place) = (tab, 0);
    }

    /// Handles a completed prompt.
    fn typed(&mut self, prompt: Prompt) -> Option<Action> {
        match prompt.asked {
            Asked::Search => {
                let text = prompt.text.trim();
                self.search = (!text.is_empty()).then(|| text.to_owned());
                if self.search.is_some() && self.detail.is_some() {
                    self.search_pane(true);
                } else if self.search.is_some() {
                    self.search(true);
                }
                None
            }
            Asked::Filter => match parse_filter(&prompt.text, self.now) {
                Ok(filter) => Some(self.set_filter(filter)),
                Err(wrong) => {
                    self.message = Some((wrong.to_string(), true));
                    self.prompt = Some(prompt);
                    None
                }
            },
            Asked::Export => {
                let path = PathBuf::from(prompt.text.trim());
                match format_of(&path) {
                    Ok(_) => Some(Action::Export(self.chosen(), path)),
                    Err(wrong) => {
                        self.message = Some((wrong.to_string(), true));
                        self.prompt = Some(prompt);
                        None
                    }
                }
            }
        }
    }

    /// A descriptive default name for an export.
    fn file_name(&self) -> String {
        let what = match &self.chosen()[..] {
            [one] => one.to_string(),
            several => format!("{}-exchanges", several.len()),
        };
        format!("nightaudit-{what}.{}", Format::Har.extension())
    }
}

/// How far a key moves in a pane of this height.
fn step(code: KeyCode, height: usize) -> Option<isize> {
    let page = isize::try_from(height.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
    match code {
        KeyCode::Char('j') | KeyCode::Down => Some(1),
        KeyCode::Char('k') | KeyCode::Up => Some(-1),
        KeyCode::Char(' ') | KeyCode::PageDown => Some(page),
        KeyCode::Char('b') | KeyCode::PageUp => Some(-page),
        KeyCode::Char('g') | KeyCode::Home => Some(isize::MIN),
        _ => None,
    }
}
