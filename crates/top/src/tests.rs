//! The model without a terminal, and what it looks like on one of ratatui's own.

use std::sync::LazyLock;

use nightaudit_console::{ArchiveState, LimitState, NodeUsage};
use nightaudit_exchange::Filter;
use nightaudit_mews::Contracts;
use nightaudit_testkit::sample::exchanges;
use nightaudit_text::Row;
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

use super::{model::*, *};

const NOW: &str = "2026-11-23T12:00:10Z";

fn model(size: (u16, u16)) -> Model {
    Model::new(size, NOW.parse().unwrap(), Filter::default())
}

/// A row of each kind. To make one takes longer than to show many.
static KINDS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let contracts = Contracts::built_in();
    exchanges().iter().map(|exchange| Row::new(exchange, &contracts)).collect()
});

fn row(number: u32) -> Row {
    let kind = &KINDS[number as usize % KINDS.len()];
    Row {
        id: nightaudit_exchange::ExchangeId::from_parts(u64::from(number), 0),
        started: kind.started.plus(Duration::from_millis(100 * u64::from(number))),
        ..kind.clone()
    }
}

fn add(model: &mut Model, rows: std::ops::Range<u32>) {
    for number in rows {
        model.update(Event::Feed(model.feed_number, Fed::Row(Box::new(row(number)))));
    }
}

/// Adds rows with one layout of the screen for all of them.
fn add_at_once(model: &mut Model, rows: std::ops::Range<u32>) {
    model.update(Event::Feed(model.feed_number, Fed::History(rows.rev().map(row).collect())));
}

/// Types letters and, in angle brackets, the names of keys.
fn press(model: &mut Model, keys: &str) -> Option<Action> {
    let mut action = None;
    let mut rest = keys;
    while let Some(letter) = rest.chars().next() {
        let (code, length) = match rest.find('>') {
            Some(end) if letter == '<' => {
                let code = match &rest[1..end] {
                    "enter" => KeyCode::Enter,
                    "esc" => KeyCode::Esc,
                    "tab" => KeyCode::Tab,
                    "back" => KeyCode::Backspace,
                    other => panic!("{other}"),
                };
                (code, end + 1)
            }
            _ => (KeyCode::Char(letter), letter.len_utf8()),
        };
        rest = &rest[length..];
        action = model.update(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    action
}

fn limits() -> Vec<LimitState> {
    let limit = |key: &str, used, next_free_ms, closed_for_ms| LimitState {
        rule: "published".to_owned(),
        key: key.to_owned(),
        limit: 200,
        window_ms: 30_000,
        used,
        left: 200 - used,
        next_free_ms,
        refused: 3,
        refused_by_mews: 0,
        delayed: 0,
        closed_for_ms,
        nodes: Vec::new(),
    };
    vec![
        limit("REDACTED:b1946ac92492", 12, 0, None),
        limit("REDACTED:591785b79460", 200, 1250, None),
        limit("REDACTED:1121cfccd591", 150, 0, Some(30_000)),
    ]
}

fn picture(model: &Model) -> String {
    let mut terminal = Terminal::new(TestBackend::new(model.size.0, model.size.1)).unwrap();
    terminal.draw(|frame| view::draw(model, &TimeZone::UTC, true, frame)).unwrap();
    terminal.backend().to_string()
}

fn filled(size: (u16, u16)) -> Model {
    let mut model = model(size);
    model.update(Event::Limits(Some(limits()), None));
    model.update(Event::Feed(0, Fed::Connected));
    add(&mut model, 0..40);
    model
}

fn opened(size: (u16, u16)) -> Model {
    let mut model = filled(size);
    let Some(Action::Load(id)) = press(&mut model, "<enter>") else { panic!("nothing is loaded") };
    let mut exchange = exchanges().remove(5);
    exchange.id = id;
    model.update(Event::Loaded(id, Ok(Box::new(exchange))));
    model
}

#[test]
fn the_list_at_80_by_24() {
    insta::assert_snapshot!(picture(&filled((80, 24))));
}

#[test]
fn the_list_at_160_by_40() {
    insta::assert_snapshot!(picture(&filled((160, 40))));
}

#[test]
fn the_archives_lag() {
    let mut model = filled((80, 16));
    let mut tell = |state: ArchiveState| {
        model.update(Event::Archive(Some(state)));
        let picture = picture(&model);
        picture.lines().nth(2).unwrap().to_owned()
    };
    let shipped = ArchiveState { shipped: 12_345, ..ArchiveState::default() };
    let failing = "can't reach the archive postgres://node@db.example.com/audit: connection refused";
    let lines = [
        tell(shipped.clone()),
        tell(ArchiveState { behind: 1, lag_ms: 40, ..shipped.clone() }),
        tell(ArchiveState { behind: 4_120, lag_ms: 95_000, failures: 3, ..shipped.clone() }),
        tell(ArchiveState {
            behind: 4_120,
            lag_ms: 95_000,
            failures: 3,
            failing: Some(failing.to_owned()),
            ..shipped.clone()
        }),
        tell(ArchiveState { failing: Some("a\u{1b}[2Jb".to_owned()), ..shipped }),
    ];
    insta::assert_snapshot!("archive", lines.join("\n"));
    insta::assert_snapshot!("archive_and_list", picture(&model));
    // Without one, and on a tiny screen, there is no line.
    model.update(Event::Size(80, 7));
    assert!(!picture(&model).contains("archive"));
    model.update(Event::Archive(None));
    model.update(Event::Size(80, 16));
    assert!(!picture(&model).contains("archive"));
}

#[test]
fn an_exchange_at_80_by_24() {
    insta::assert_snapshot!(picture(&opened((80, 24))));
}

#[test]
fn the_limits_the_findings_and_the_keys() {
    let mut model = filled((80, 24));
    press(&mut model, "<tab>");
    insta::assert_snapshot!("limits", picture(&model));
    press(&mut model, "<tab>");
    insta::assert_snapshot!("findings", picture(&model));
    press(&mut model, "q?");
    insta::assert_snapshot!("keys", picture(&model));
}

/// As several machines share them.
fn shared() -> Vec<LimitState> {
    let node = |node: &str, used| NodeUsage { node: node.to_owned(), used };
    let mut limits = limits();
    limits[0].nodes = vec![node("kiosk", 12)];
    limits[1].nodes = (1..=9).map(|number| node(&format!("frontdesk-{number}.example"), 30 - number)).collect();
    limits[2].nodes = vec![node("kiosk", 140), node("a-name\u{1b}[31m-that-controls", 10)];
    limits
}

#[test]
fn limits_say_which_machine_used_what() {
    let mut model = filled((80, 24));
    model.update(Event::Limits(Some(shared()), None));
    press(&mut model, "2");
    insta::assert_snapshot!("limits_of_a_fleet", picture(&model));
    // The last one's lines are in sight when it is selected, however small the screen.
    model.update(Event::Size(80, 8));
    press(&mut model, "G");
    let last = picture(&model);
    assert!(last.contains("b1946ac92492") && last.contains("12 by kiosk"), "{last}");
}

#[test]
fn limits_that_cant_be_asked_are_told_of_everywhere() {
    let why = "the limits in redis://10.0.0.1:6379 can't be reached: 10.0.0.1:6379: Connection refused (os error 111)";
    let mut model = filled((80, 24));
    model.update(Event::Limits(None, Some(format!("requests get 503: {why}"))));
    insta::assert_snapshot!("the_list_without_limits", picture(&model));
    press(&mut model, "2");
    insta::assert_snapshot!("limits_that_cant_be_asked", picture(&model));
    model.update(Event::Limits(Some(limits()), Some(format!("this machine goes on with 1/8 of every limit: {why}"))));
    insta::assert_snapshot!("limits_of_a_share", picture(&model));
}

#[test]
fn a_screen_of_any_size_can_be_drawn() {
    let mut models = [filled((80, 24)), opened((80, 24)), filled((80, 24))];
    models[2].update(Event::Limits(Some(shared()), Some("the store is gone".to_owned())));
    for model in &mut models {
        for size in [(1, 1), (10, 3), (20, 5), (59, 9), (300, 100)] {
            model.update(Event::Size(size.0, size.1));
            for keys in ["?", "x", "/ab<esc>", "2", "3", "f"] {
                press(model, keys);
                picture(model);
                press(model, "<esc>");
            }
        }
    }
}

#[test]
fn without_colours_there_are_none() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let colored = |terminal: &Terminal<TestBackend>| {
        terminal.backend().buffer().content.iter().any(|cell| cell.fg != ratatui::style::Color::Reset)
    };
    for colors in [true, false] {
        terminal.draw(|frame| view::draw(&filled((80, 24)), &TimeZone::UTC, colors, frame)).unwrap();
        assert_eq!(colored(&terminal), colors);
    }
}

#[test]
fn it_follows_until_somebody_looks_back() {
    let mut model = filled((80, 24));
    assert_eq!((model.selected, model.follow), (39, true));
    press(&mut model, "k");
    add(&mut model, 40..45);
    assert_eq!((model.selected, model.follow), (38, false));
    press(&mut model, "F");
    assert_eq!((model.selected, model.follow), (44, true));
    press(&mut model, "g");
    assert_eq!((model.selected, model.top), (0, 0));
    press(&mut model, " ");
    assert_eq!(model.selected, layout::list_height(&model) - 1);
    press(&mut model, "G");
    assert_eq!(model.selected, 44);
}

#[test]
fn what_is_kept_is_bounded_and_the_cursor_stays_on_its_row() {
    let mut model = model((80, 24));
    let kept = u32::try_from(KEEP).unwrap();
    add_at_once(&mut model, 0..kept);
    press(&mut model, "kkm");
    let (id, marked) = (model.current().unwrap().id, model.marked.clone());
    assert_eq!(marked.len(), 1);
    add(&mut model, kept..kept + 100);
    assert_eq!(model.rows.len(), KEEP);
    assert!(marked.contains(&id) || model.current().is_some());
    assert!(model.rows.iter().any(|row| marked.contains(&row.id)));
    add_at_once(&mut model, kept + 100..3 * kept);
    assert!(model.marked.is_empty(), "a mark goes with its row");
}

#[test]
fn a_search_goes_round() {
    let mut model = filled((80, 24));
    press(&mut model, "/TIMEOUT<enter>");
    let found = model.selected;
    assert!(model.current().unwrap().events[0].contains("timeout"));
    press(&mut model, "n");
    assert_eq!(model.selected, (found + 7) % 42);
    press(&mut model, "N");
    assert_eq!(model.selected, found);
    press(&mut model, "/nowhere<enter>");
    assert!(model.message.as_ref().is_some_and(|(told, wrong)| *wrong && told.contains("nowhere")));
}

#[test]
fn a_filter_begins_another_feed() {
    let mut model = filled((80, 24));
    let Some(Action::Follow(1, filter)) = press(&mut model, "f4xx<enter>") else { panic!("no other feed") };
    assert_eq!(filter.to_query(), [("status".to_owned(), "4xx".to_owned())]);
    assert!(model.rows.is_empty());
    // What the feed before still brings is not taken in.
    model.update(Event::Feed(0, Fed::Row(Box::new(row(1)))));
    assert!(model.rows.is_empty());
    press(&mut model, "f=<enter>");
    assert!(model.prompt.is_some() && model.message.is_some(), "what can't be meant may be put right");
}

#[test]
fn what_is_marked_is_exported_in_its_order() {
    let mut model = filled((80, 24));
    press(&mut model, "gmjm");
    let Some(Action::Export(ids, path)) = press(&mut model, "x<enter>") else { panic!("nothing is exported") };
    assert_eq!(ids, [row(0).id, row(2).id]);
    assert_eq!(path.to_str(), Some("nightaudit-2-exchanges.har"));
    press(&mut model, "Mx");
    assert_eq!(model.chosen(), [model.current().unwrap().id]);
    press(&mut model, ".pdf<enter>");
    assert!(model.prompt.is_some() && model.message.is_some());
}

#[test]
fn in_an_exchange_the_keys_are_its_own() {
    let mut model = opened((80, 24));
    let detail = |model: &Model| model.detail.as_ref().map(|detail| (detail.id, detail.on_response));
    let (id, _) = detail(&model).unwrap();
    press(&mut model, "<tab>");
    assert_eq!(detail(&model), Some((id, true)));
    // The next one is looked at from the same side.
    assert_eq!(press(&mut model, "K"), Some(Action::Load(row(38).id)));
    assert_eq!(detail(&model), Some((row(38).id, true)));
    // A response that arrives too late is not shown.
    model.update(Event::Loaded(id, Err(nightaudit_log::FindError::Empty.into())));
    assert!(model.detail.as_ref().unwrap().loaded.is_none());
    press(&mut model, "q");
    assert_eq!(detail(&model), None);
    assert_eq!(press(&mut model, "q"), Some(Action::Quit));
}

#[test]
fn a_finding_leads_to_the_exchange_in_which_it_was_last() {
    let mut model = filled((80, 24));
    press(&mut model, "3");
    let first = model.findings().remove(0);
    assert_eq!(press(&mut model, "<enter>"), Some(Action::Load(first.last)));
}

/// Run by the test below in a pseudo-terminal of its own; by itself it does nothing.
#[test]
#[ignore = "it panics on purpose, on a terminal"]
fn a_panic_on_the_screen() {
    let mut screen = Screen::open().unwrap();
    screen.terminal.draw(|frame| view::draw(&filled((80, 24)), &TimeZone::UTC, true, frame)).unwrap();
    panic!("on purpose");
}

#[test]
fn a_panic_puts_the_terminal_back_and_is_told_on_it() {
    let this = std::env::current_exe().unwrap();
    let arguments = ["--ignored", "--exact", "--nocapture", "tests::a_panic_on_the_screen"];
    let arguments: Vec<_> = arguments.iter().map(std::ffi::OsStr::new).collect();
    let mut terminal = nightaudit_testkit::Terminal::start(this.to_str().unwrap(), &arguments, 100, 30);
    let (status, bytes) = terminal.wait();
    assert!(!status.success());
    assert!(String::from_utf8_lossy(&bytes).contains("\u{1b}[?1049h"), "the screen was never opened");
    assert!(terminal.is_put_back());
    terminal.wait_for_text("on purpose");
}
