//! Reading the envelope while the body passes.

use std::borrow::Cow;

use memchr::memchr2;

use super::parts::{Envelope, Name};

/// Reads the envelope of a JSON body that arrives in pieces, cut anywhere, in memory that doesn't grow with the body.
///
/// It finds what [`read`](super::read) finds in valid JSON. Of invalid JSON it reads on where lenient readers do, some of those
/// for .NET among them: it knows comments, single quotes and names without quotes, and passes over anything else. So a
/// mistake hides nothing that follows it.
///
/// ```
/// use nightaudit_mews::envelope::Reader;
///
/// let mut reader = Reader::default();
/// assert!(!reader.read(br#"{"Files": [], "AccessTo"#));
/// assert!(reader.read(br#"ken": "B", "#));
/// assert_eq!(reader.envelope().access_token.as_deref(), Some("B"));
/// assert!(!reader.is_final());
/// ```
#[derive(Debug, Default)]
pub struct Reader {
    envelope: Envelope<'static>,
    /// How many brackets are open.
    depth: usize,
    state: State,
    /// What comes next at the top level.
    expected: Expected,
    /// The name or value that is being read, as far as it is wanted.
    text: Vec<u8>,
    /// Whether it is longer than is kept.
    is_cut: bool,
    /// The first half of a character that two escapes stand for.
    high: Option<u16>,
    /// Whether a value was too long to be kept.
    is_too_long: bool,
    /// Whether a value changed since the last piece.
    changed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Between,
    /// After the `/` that may start a comment.
    Slash,
    /// In a comment of several lines; true after a `*`.
    Comment(bool),
    /// In a comment up to the end of the line.
    Line,
    /// In a string; whether it is wanted.
    Text { quote: u8, wanted: bool },
    /// After its backslash.
    Escape { quote: u8, wanted: bool },
    /// In the four digits of `\u`: how many are missing, and their value so far.
    Digits { quote: u8, missing: u8, unit: u16 },
    /// In a name without quotes.
    Word,
    /// The object has ended, or there is none.
    Ended,
}

#[derive(Debug, Clone, Copy, Default)]
enum Expected {
    #[default]
    Name,
    /// The value of this name.
    Value(Name),
    /// A comma.
    Next,
}

impl Reader {
    /// The longest token and the longest `Client` that are read, in bytes.
    pub const MAX_VALUE: usize = 16 << 10;
    /// Longer names than this, in bytes, are none of the envelope's.
    const MAX_NAME: usize = 16;

    /// Reads the next piece. Returns whether it changed the envelope.
    pub fn read(&mut self, mut bytes: &[u8]) -> bool {
        self.changed = false;
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.state {
                State::Ended => break,
                State::Text { quote, wanted } => {
                    let length = memchr2(quote, b'\\', bytes).unwrap_or(bytes.len());
                    if wanted && length > 0 {
                        self.keep(&bytes[..length]);
                    }
                    if let Some(&end) = bytes.get(length) {
                        bytes = &bytes[length + 1..];
                        if end == quote {
                            self.end_text(wanted);
                        } else {
                            self.state = State::Escape { quote, wanted };
                        }
                    } else {
                        bytes = &[];
                    }
                    continue;
                }
                State::Escape { quote, wanted } => self.escape(byte, quote, wanted),
                State::Digits { quote, missing, unit } => {
                    let digit = char::from(byte).to_digit(16).unwrap_or(0) as u16;
                    let unit = unit << 4 | digit;
                    self.state = if missing > 1 {
                        State::Digits { quote, missing: missing - 1, unit }
                    } else {
                        self.unit(unit);
                        State::Text { quote, wanted: true }
                    };
                }
                State::Slash => {
                    self.state = match byte {
                        b'*' => State::Comment(false),
                        b'/' => State::Line,
                        _ if self.depth == 0 => State::Ended,
                        _ => State::Between,
                    };
                    if matches!(self.state, State::Between) {
                        continue;
                    }
                }
                State::Comment(after_star) => {
                    self.state = if after_star && byte == b'/' { State::Between } else { State::Comment(byte == b'*') };
                }
                State::Line => {
                    if matches!(byte, b'\n' | b'\r') {
                        self.state = State::Between;
                    }
                }
                State::Word => {
                    if is_of_word(byte) {
                        self.keep(&[byte]);
                    } else {
                        self.end_text(true);
                        continue;
                    }
                }
                State::Between => self.between(byte),
            }
            bytes = rest;
        }
        self.changed
    }

    /// What was read so far.
    #[must_use]
    pub fn envelope(&self) -> &Envelope<'static> {
        &self.envelope
    }

    /// What was read.
    #[must_use]
    pub fn into_envelope(self) -> Envelope<'static> {
        self.envelope
    }

    /// Whether more of the body can't change the envelope: its object has ended, or there is none.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether the envelope had a value that is too long, [`MAX_VALUE`](Self::MAX_VALUE), so that it isn't known whole.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.is_too_long
    }

    /// Outside of strings.
    fn between(&mut self, byte: u8) {
        if self.depth == 0 {
            self.state = match byte {
                b'{' => {
                    self.depth = 1;
                    State::Between
                }
                b'/' => State::Slash,
                byte if is_space(byte) => State::Between,
                _ => State::Ended,
            };
            return;
        }
        let top = self.depth == 1;
        match byte {
            b':' => {}
            byte if is_space(byte) => {}
            b',' if top => self.expected = Expected::Name,
            b',' => {}
            b'/' => self.state = State::Slash,
            b'"' | b'\'' => {
                let wanted = top
                    && match self.expected {
                        Expected::Name => true,
                        Expected::Value(Name::Limitation) => {
                            self.value_is(false);
                            false
                        }
                        Expected::Value(name) => !matches!(name, Name::Other),
                        Expected::Next => false,
                    };
                self.start_text();
                self.state = State::Text { quote: byte, wanted };
            }
            b'{' | b'[' => {
                if top {
                    self.value_is(byte == b'{');
                }
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.state = State::Ended;
                }
            }
            _ if top => match self.expected {
                Expected::Name if is_of_word(byte) => {
                    self.start_text();
                    self.keep(&[byte]);
                    self.state = State::Word;
                }
                _ => self.value_is(false),
            },
            _ => {}
        }
    }

    /// A value at the top level that is no string starts.
    fn value_is(&mut self, is_object: bool) {
        if let Expected::Value(name) = self.expected {
            self.expected = Expected::Next;
            if matches!(name, Name::Limitation) {
                self.changed |= self.envelope.paginated != is_object;
                self.envelope.paginated = is_object;
            }
        }
    }

    fn start_text(&mut self) {
        self.text.clear();
        (self.is_cut, self.high) = (false, None);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.high.take().is_some() {
            self.text.extend_from_slice("\u{fffd}".as_bytes());
        }
        let max = if matches!(self.expected, Expected::Name) { Self::MAX_NAME } else { Self::MAX_VALUE };
        let room = max.saturating_sub(self.text.len());
        self.is_cut |= bytes.len() > room;
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn escape(&mut self, byte: u8, quote: u8, wanted: bool) {
        self.state = State::Text { quote, wanted };
        if !wanted {
            return;
        }
        match byte {
            b'u' => self.state = State::Digits { quote, missing: 4, unit: 0 },
            b'n' => self.keep(b"\n"),
            b't' => self.keep(b"\t"),
            b'r' => self.keep(b"\r"),
            b'b' => self.keep(b"\x08"),
            b'f' => self.keep(b"\x0c"),
            _ => self.keep(&[byte]),
        }
    }

    /// Keeps the character of a `\u`, or the first half of it.
    fn unit(&mut self, unit: u16) {
        let high = self.high.take();
        match (high, char::decode_utf16(high.into_iter().chain([unit])).next()) {
            (_, Some(Ok(character))) => self.keep(character.encode_utf8(&mut [0; 4]).as_bytes()),
            (None, _) if (0xd800..0xdc00).contains(&unit) => self.high = Some(unit),
            (None, _) => self.keep("\u{fffd}".as_bytes()),
            (Some(_), _) => {
                self.keep("\u{fffd}".as_bytes());
                self.unit(unit);
            }
        }
    }

    /// A string or a word has ended.
    fn end_text(&mut self, wanted: bool) {
        self.state = State::Between;
        if !wanted {
            if self.depth == 1 {
                self.expected = Expected::Next;
            }
            return;
        }
        // An unfinished character.
        self.keep(b"");
        match std::mem::replace(&mut self.expected, Expected::Next) {
            Expected::Name => {
                let name = if self.is_cut { Name::Other } else { Name::of(&self.text) };
                self.expected = Expected::Value(name);
            }
            Expected::Value(name) => self.end_value(name),
            Expected::Next => {}
        }
        if self.text.capacity() > 1024 {
            self.text = Vec::new();
        }
    }

    fn end_value(&mut self, name: Name) {
        let Envelope { access_token, client_token, client, .. } = &mut self.envelope;
        let slot = match name {
            Name::AccessToken => access_token,
            Name::ClientToken => client_token,
            Name::Client => client,
            Name::Limitation | Name::Other => return,
        };
        if self.is_cut {
            // Who sends a request is known without the client's name.
            self.is_too_long |= !matches!(name, Name::Client);
        } else if let Ok(text) = std::str::from_utf8(&self.text)
            && slot.as_deref() != Some(text)
        {
            *slot = Some(Cow::Owned(text.to_owned()));
            self.changed = true;
        }
    }
}

/// Whether it is of a byte order mark, or white space, of which .NET knows more than JSON. Nothing else starts so.
fn is_space(byte: u8) -> bool {
    byte <= b' ' || !byte.is_ascii()
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Reader {
        let mut reader = Reader::default();
        for piece in pieces {
            let before = reader.envelope().clone();
            // It may have changed more than once.
            assert!(reader.read(piece) || before == *reader.envelope());
        }
        reader
    }

    #[test]
    fn an_envelope_is_final_once_nothing_can_change_it() {
        let whole =
            br#"{"ClientToken":"C","AccessToken":"A","Extent":{"AccessToken":"inner"},"Limitation":{"Count":10}}"#;
        for cut in 0..whole.len() {
            assert!(!read(&[&whole[..cut]]).is_final(), "{cut}");
        }
        for body in ["{}", "[", "a=b", "\"text\"", "{\"AccessToken\":\"A\",}", "\u{feff}{}", "\u{feff}a", "/a"] {
            assert!(read(&[body.as_bytes()]).is_final(), "{body}");
        }
        for body in ["", " \n", "\u{feff}", "\u{feff} {", "{\"Client\":\"K", "/* {} */", "{a=b", "//\n"] {
            assert!(!read(&[body.as_bytes()]).is_final(), "{body}");
        }
        // What follows the object is not read, neither by the first parsers nor by later ones.
        assert_eq!(read(&[b"{}{\"AccessToken\":\"A\"}"]).envelope(), &Envelope::default());
    }

    #[test]
    fn values_are_bounded_and_those_that_are_not_wanted_are_not_kept() {
        let long = "x".repeat(Reader::MAX_VALUE + 1);
        let reader = read(&[br#"{"AccessToken":"A","AccessToken":""#, long.as_bytes(), b"\","]);
        assert!(reader.is_too_long() && !reader.is_final());
        let reader = read(&[br#"{"Client":""#, long.as_bytes(), br#"","Other":""#, long.as_bytes(), b"\"}"]);
        assert!(!reader.is_too_long() && reader.is_final());
        assert_eq!(reader.envelope(), &Envelope::default());
        assert!(reader.text.capacity() <= 64);
        let reader = read(&[b"{\"", long.as_bytes()]);
        assert!(reader.text.capacity() <= 64);
        assert!(!read(&[&b"{\"x\":"[..], &vec![b'['; 1 << 20]]).is_final());
    }

    fn json() -> impl Strategy<Value = String> {
        let name = prop_oneof![
            Just("\"AccessToken\""),
            Just("\"accessToken\""),
            Just("\"ClientToken\""),
            Just("\"Client\""),
            Just("\"Limitation\""),
            Just("\"Access\\u0054oken\""),
            Just("\"a\\\"\""),
            Just("\"AccessTokenAccessToken\""),
        ];
        let value = prop_oneof![
            Just("null".to_owned()),
            Just("-1.5e3".to_owned()),
            Just("{}".to_owned()),
            Just("[{\"Client\":\"x\"}]".to_owned()),
            Just("{\"AccessToken\":\"inner\",\"b\":[\"]\"]}".to_owned()),
            Just("\"\\ud83d\\ude00\\n\\/\"".to_owned()),
            "\"[a-zé😀:,{}\\[\\]/' ]{0,6}\"",
            "\"(\\\\\\\\|\\\\\"|b)*\"",
        ];
        prop::collection::vec((name, value), 0..8).prop_map(|pairs| {
            let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name} : {value}")).collect();
            format!("{{{}}}", pairs.join(" ,"))
        })
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(json in json(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok(), "{}", json);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(json.len() + 1)).chain([0, json.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &json.as_bytes()[cut[0]..cut[1]]).collect();
            let reader = read(&pieces);
            prop_assert!(reader.is_final());
            prop_assert_eq!(reader.envelope(), &super::super::read(json.as_bytes()), "{}", json);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\"'\\u/*,:AccessToken"[..])], 0..300)) {
            let mut reader = Reader::default();
            for piece in bytes.chunks(7) {
                reader.read(piece);
            }
            let _ = super::super::read(&bytes);
        }
    }
}
