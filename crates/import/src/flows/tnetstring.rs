//! Typed netstrings, in mitmproxy's dialect: a length in decimal, a colon, so many bytes, and a byte for the type.
//!
//! Nothing is built: a list or dictionary is walked when something of it is asked for, so that memory and time are bounded
//! by the bytes, whatever they nest.

/// A value, as a slice of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item<'a> {
    kind: u8,
    data: &'a [u8],
}

/// The most digits of a length.
pub(super) const MAX_DIGITS: usize = 12;

/// The length with which a text begins, and how many bytes state it, colon included; `None` if it begins otherwise.
pub(super) fn length(text: &[u8]) -> Option<(usize, usize)> {
    let digits = text.iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > MAX_DIGITS || text.get(digits) != Some(&b':') {
        return None;
    }
    let length = str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((length, digits + 1))
}

impl<'a> Item<'a> {
    /// The value at the beginning of a text, and what follows it; `None` if there is none.
    pub(super) fn take(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (length, begin) = length(text)?;
        let rest = text.get(begin..)?;
        let data = rest.get(..length)?;
        let kind = *rest.get(length)?;
        b",;#^!~]}".contains(&kind).then_some((Self { kind, data }, &rest[length + 1..]))
    }

    pub(super) fn is_dictionary(self) -> bool {
        self.kind == b'}'
    }

    /// Whether it is there: not `None`.
    pub(super) fn is_some(self) -> bool {
        self.kind != b'~'
    }

    /// A string, of bytes or text.
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        matches!(self.kind, b',' | b';').then_some(self.data)
    }

    /// A string as text; what isn't UTF-8 is read as Latin-1.
    pub(super) fn text(self) -> Option<String> {
        let bytes = self.bytes()?;
        Some(str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|byte| char::from(*byte)).collect(), str::to_owned))
    }

    pub(super) fn boolean(self) -> Option<bool> {
        (self.kind == b'!').then_some(self.data == b"true")
    }

    pub(super) fn integer(self) -> Option<i64> {
        if self.kind != b'#' { None } else { str::from_utf8(self.data).ok()?.parse().ok() }
    }

    /// A number of either kind.
    pub(super) fn number(self) -> Option<f64> {
        let number = matches!(self.kind, b'#' | b'^').then(|| str::from_utf8(self.data).ok()?.parse().ok()).flatten();
        number.filter(|number: &f64| number.is_finite())
    }

    /// The items of a list.
    pub(super) fn items(self) -> Option<Items<'a>> {
        (self.kind == b']').then_some(Items { rest: self.data })
    }

    /// The value of a dictionary's key; `None` if it isn't one, or doesn't have the key before anything broken.
    pub(super) fn get(self, key: &str) -> Option<Item<'a>> {
        if !self.is_dictionary() {
            return None;
        }
        let mut rest = self.data;
        loop {
            let (name, after) = Self::take(rest)?;
            let (value, next) = Self::take(after)?;
            if name.bytes() == Some(key.as_bytes()) {
                return Some(value);
            }
            rest = next;
        }
    }

    /// The value of the first of these keys that there is.
    pub(super) fn any(self, keys: &[&str]) -> Option<Item<'a>> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// Whether every value in it, a level down, is one.
    pub(super) fn is_sound(self) -> bool {
        let mut rest = self.data;
        if !matches!(self.kind, b']' | b'}') {
            return true;
        }
        while !rest.is_empty() {
            let Some((_, next)) = Self::take(rest) else { return false };
            rest = next;
        }
        true
    }
}

/// The items of a list; ends before anything broken.
#[derive(Debug, Clone)]
pub(super) struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let (item, rest) = Item::take(self.rest)?;
        self.rest = rest;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Item<'_> {
        Item::take(text.as_bytes()).unwrap().0
    }

    #[test]
    fn values_of_each_type_are_read() {
        assert_eq!(item("5:a:b,c,").bytes(), Some(&b"a:b,c"[..]));
        assert_eq!(item("2:\u{e9};").text(), Some("é".to_owned()));
        assert_eq!(Item::take(b"1:\xe9,").unwrap().0.text(), Some("é".to_owned()));
        assert_eq!((item("3:-12#").integer(), item("3:-12#").number()), (Some(-12), Some(-12.0)));
        assert_eq!((item("3:1.5^").number(), item("3:nan^").number(), item("1:1,").number()), (Some(1.5), None, None));
        assert_eq!((item("4:true!").boolean(), item("5:false!").boolean()), (Some(true), Some(false)));
        assert!(!item("0:~").is_some());
        let list = item("11:1:1#0:~1:2#]");
        assert_eq!(list.items().unwrap().map(Item::integer).collect::<Vec<_>>(), [Some(1), None, Some(2)]);
        let dictionary = item("19:1:a,1:1#1:b;4:true!}");
        assert_eq!(
            (dictionary.get("a").unwrap().integer(), dictionary.get("b").unwrap().boolean()),
            (Some(1), Some(true))
        );
        assert_eq!((dictionary.get("c"), list.get("a"), dictionary.any(&["c", "b"]).is_some()), (None, None, true));
    }

    #[test]
    fn what_is_broken_is_no_value() {
        for broken in
            ["", "1", "1:", "1:a", ":a,", "-1:a,", "2:a,", "1:a?", "a:b,", "9999999999999:a,", "999999999999:a,"]
        {
            assert_eq!(Item::take(broken.as_bytes()), None, "{broken}");
        }
        let list = item("8:1:1#9:2#]");
        assert_eq!((list.items().unwrap().count(), list.is_sound()), (1, false));
        assert!(item("4:1:1#]").is_sound() && item("1:x,").is_sound());
    }
}
