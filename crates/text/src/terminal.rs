//! Standard output that escapes control characters on a terminal.
//!
//! Recorded data is untrusted. Control characters can make a terminal write to the clipboard (OSC 52), set its title or
//! overwrite text, and bidirectional controls can disguise text. On a terminal they are escaped; files and pipes get the
//! raw bytes.

use std::io::{self, IsTerminal as _, Stdout, Write};

use serde::Serialize;

/// Whether a character controls a terminal: C0 and C1 controls, bidirectional controls (Unicode Standard Annex 9), and
/// line separators.
pub fn is_terminal_control(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{206a}'..='\u{206f}'
        )
}

/// Standard output for recorded bytes.
pub fn stdout() -> Visible<Stdout> {
    let stdout = io::stdout();
    Visible::new(stdout.is_terminal(), stdout)
}

/// Prints a value as one line of JSON.
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut out = stdout();
    out.write_all(&line)?;
    out.flush()
}

/// Passes bytes on, escaping control characters on a terminal as `\u001b`, which means the same within JSON. Invalid UTF-8
/// becomes `\x9b`.
#[derive(Debug)]
pub struct Visible<W> {
    is_terminal: bool,
    out: W,
    /// A partial character, or a CR that a line feed may follow.
    held: Vec<u8>,
}

impl<W: Write> Visible<W> {
    /// Writes to `out`, escaping if it is a terminal.
    pub fn new(is_terminal: bool, out: W) -> Self {
        Self { is_terminal, out, held: Vec::new() }
    }

    fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (whole, held) = bytes.split_at(bytes.len() - unfinished(bytes));
        self.held = held.to_vec();
        for chunk in whole.utf8_chunks() {
            self.show_text(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(self.out, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }

    fn show_text(&mut self, text: &str) -> io::Result<()> {
        let mut shown = String::with_capacity(text.len());
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\n' | '\t' => shown.push(letter),
                '\r' if letters.peek() == Some(&'\n') => shown.push(letter),
                letter if is_terminal_control(letter) => shown.push_str(&format!("\\u{:04x}", u32::from(letter))),
                letter => shown.push(letter),
            }
        }
        self.out.write_all(shown.as_bytes())
    }

    /// Writes the held bytes at the end of the input.
    fn finish(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        match &held[..] {
            b"\r" => self.out.write_all(b"\\u000d"),
            held => held.iter().try_for_each(|byte| write!(self.out, "\\x{byte:02x}")),
        }
    }
}

/// How many bytes at the end may mean something else once more follow: a partial character, or a CR before a line feed.
fn unfinished(bytes: &[u8]) -> usize {
    let Some(last) = bytes.utf8_chunks().last() else { return 0 };
    match str::from_utf8(last.invalid()) {
        Ok(_) => usize::from(last.valid().ends_with('\r')),
        Err(error) if error.error_len().is_none() => last.invalid().len(),
        Err(_) => 0,
    }
}

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_terminal {
            return self.out.write(bytes);
        }
        if self.held.is_empty() {
            self.show(bytes)?;
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(bytes);
            self.show(&joined)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.finish()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(is_terminal: bool, bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut out = Visible::new(is_terminal, Vec::new());
        bytes.chunks(piece).for_each(|piece| out.write_all(piece).unwrap());
        out.flush().unwrap();
        out.out
    }

    #[test]
    fn a_terminal_is_shown_what_it_would_obey() {
        for (given, visible) in [
            (&b"\x1b]52;c;ZXZpbA==\x07"[..], r"\u001b]52;c;ZXZpbA==\u0007"),
            (b"a\tb\r\nc\n", "a\tb\r\nc\n"),
            (b"progress\rover", r"progress\u000dover"),
            (b"end\r", r"end\u000d"),
            ("{\"a\":\"\u{9b}31m\"}".as_bytes(), r#"{"a":"\u009b31m"}"#),
            ("user\u{202e}gnp.exe\u{2066}".as_bytes(), r"user\u202egnp.exe\u2066"),
            (b"raw \x9b31m, cut \xe2\x80", r"raw \x9b31m, cut \xe2\x80"),
            // A CR that no line feed follows, whatever does.
            (b"a\r\xffb", r"a\u000d\xffb"),
            (b"a\r\xe2\x80", r"a\u000d\xe2\x80"),
            (b"\r\r\n\r\xff", "\\u000d\r\n\\u000d\\xff"),
            (b"\x7f\x00\x08", r"\u007f\u0000\u0008"),
            ("Caf\u{e9} 日本 \u{1f600}".as_bytes(), "Caf\u{e9} 日本 \u{1f600}"),
        ] {
            for piece in [1, 2, 3, 1000] {
                let text = String::from_utf8(shown(true, given, piece)).unwrap();
                assert_eq!(text, visible, "in pieces of {piece}");
                assert!(
                    !text.chars().any(|letter| is_terminal_control(letter) && !matches!(letter, '\t' | '\r' | '\n'))
                );
            }
            assert_eq!(shown(false, given, 3), given);
        }
    }

    #[test]
    fn json_means_the_same_on_a_terminal() {
        let json = serde_json::to_vec(&serde_json::json!({"a": "\u{9b}\u{202e}\u{1b}x\u{7f}\u{2028}"})).unwrap();
        let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(read(&shown(true, &json, 7)), read(&json));
    }
}
