//! Text from the network, made safe to display.

use nightaudit_exchange::{Direction, WebSocket};

/// Whether a character is invisible, reorders text, or breaks a line.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text on one line, with invisible, reordering and line-breaking characters replaced by U+FFFD.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if is_hidden(character) { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

/// A text from an untrusted file, safe to print on one line of a terminal.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).collect();
    shown = printable(&shown);
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// Recorded message bytes in one direction.
pub(crate) fn message_bytes(part: &WebSocket, direction: Direction) -> u64 {
    let messages = part.messages.iter().filter(|message| message.direction == direction);
    messages.map(|message| message.body.length).fold(0, u64::saturating_add)
}
