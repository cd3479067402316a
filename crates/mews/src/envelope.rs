//! The envelope: the tokens and the client name that every request carries.
//!
//! [`read`] takes them from a JSON body, [`Reader`] while the body arrives, [`from_cookies`] from the cookies of a WebSocket
//! handshake.

mod parts;
mod reader;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use self::parts::Name;
pub use self::{parts::Envelope, reader::Reader};

/// Reads the envelope from the top level of a JSON object, which may be truncated anywhere.
///
/// A truncated string is not found. Names are compared ignoring ASCII case, and of duplicate names the last string counts, and
/// the last `Limitation`: so does .NET. Behind a JSON error it reads on as [`Reader`] does. A byte order mark is skipped.
/// Anything but an object gives an empty envelope.
///
/// Strings are borrowed unless they have escapes. The rest of the body is skipped, at one byte of memory per level of
/// nesting.
///
/// ```
/// use nightaudit_mews::envelope;
///
/// let cut = br#"{"AccessToken": "B", "Files": [{"Data": "JVBERi0xLjQKJ"#;
/// assert_eq!(envelope::read(cut).access_token.as_deref(), Some("B"));
/// assert_eq!(envelope::read(b"<html>"), envelope::Envelope::default());
/// ```
pub fn read(body: &[u8]) -> Envelope<'_> {
    let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut envelope = Envelope::default();
    match serde_json::Deserializer::from_slice(json).deserialize_map(TopLevel(&mut envelope)) {
        // A lenient parser may read on, and find other tokens.
        Err(error) if !error.is_eof() => {
            let mut reader = Reader::default();
            reader.read(json);
            reader.into_envelope()
        }
        // Only the end is missing, if anything.
        _ => envelope,
    }
}

/// Reads the envelope from the values of `Cookie` headers: `ClientToken=…; AccessToken=…`.
///
/// Quotes around a value are stripped. Of duplicate names the last counts. Empty values and invalid UTF-8 are ignored.
/// Cookies have neither a `Client` nor pagination.
///
/// ```
/// use nightaudit_mews::envelope;
///
/// let envelope = envelope::from_cookies([&b"ClientToken=A; AccessToken=\"B\""[..]]);
/// assert_eq!(envelope.client_token.as_deref(), Some("A"));
/// assert_eq!(envelope.access_token.as_deref(), Some("B"));
/// ```
pub fn from_cookies<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Envelope<'a> {
    let mut envelope = Envelope::default();
    for cookie in values.into_iter().flat_map(|value| value.split(|&byte| byte == b';')) {
        let Some(equals) = cookie.iter().position(|&byte| byte == b'=') else { continue };
        let (name, value) = (cookie[..equals].trim_ascii(), cookie[equals + 1..].trim_ascii());
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        let Some(value) = std::str::from_utf8(value).ok().filter(|value| !value.is_empty()) else { continue };
        match name {
            b"AccessToken" => envelope.access_token = Some(Cow::Borrowed(value)),
            b"ClientToken" => envelope.client_token = Some(Cow::Borrowed(value)),
            _ => {}
        }
    }
    envelope
}

/// Visits the body's object and fills the envelope.
struct TopLevel<'e, 'de>(&'e mut Envelope<'de>);

impl<'de> Visitor<'de> for TopLevel<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(NameSeed)? {
            match name {
                Name::AccessToken => map.next_value_seed(TextInto(&mut self.0.access_token))?,
                Name::ClientToken => map.next_value_seed(TextInto(&mut self.0.client_token))?,
                Name::Client => map.next_value_seed(TextInto(&mut self.0.client))?,
                Name::Limitation => map.next_value_seed(ObjectInto(&mut self.0.paginated))?,
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads names as bytes, so that invalid UTF-8 in a name doesn't end the reading.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Name, E> {
        Ok(Name::of(name))
    }
}

/// Stores a string; any other value leaves the slot unchanged.
struct TextInto<'e, 'de>(&'e mut Option<Cow<'de, str>>);

impl TextInto<'_, '_> {
    fn other(self) {}
}

/// Notes an object as soon as it starts, so that truncation inside it doesn't hide it.
struct ObjectInto<'e>(&'e mut bool);

impl ObjectInto<'_> {
    fn other(self) {
        *self.0 = false;
    }
}

/// Seed and visitor for a value of any type; skips what it isn't looking for.
macro_rules! any_value {
    ($seed:ty { $($method:item)* }) => {
        impl<'de> DeserializeSeed<'de> for $seed {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_any(self)
            }
        }

        impl<'de> Visitor<'de> for $seed {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<(), E> {
                self.other();
                Ok(())
            }

            fn visit_bool<E>(self, _: bool) -> Result<(), E> {
                self.other();
                Ok(())
            }

            fn visit_i64<E>(self, _: i64) -> Result<(), E> {
                self.other();
                Ok(())
            }

            fn visit_u64<E>(self, _: u64) -> Result<(), E> {
                self.other();
                Ok(())
            }

            fn visit_f64<E>(self, _: f64) -> Result<(), E> {
                self.other();
                Ok(())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
                self.other();
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(())
            }

            $($method)*
        }
    };
}

any_value!(TextInto<'_, 'de> {
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        *self.0 = Some(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        *self.0 = Some(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
});

any_value!(ObjectInto<'_> {
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.other();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        *self.0 = true;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"ClientToken":"C","AccessToken":"A","Client":"Acme 1.0","Extent":{"AccessToken":"inner"},"Limitation":{"Count":10}}"#;

    fn text<'a>(value: &'a Option<Cow<'_, str>>) -> Option<&'a str> {
        value.as_deref()
    }

    #[test]
    fn the_top_level_is_read_and_nothing_below_it() {
        let envelope = read(WHOLE.as_bytes());
        assert_eq!(text(&envelope.client_token), Some("C"));
        assert_eq!(text(&envelope.access_token), Some("A"));
        assert_eq!(text(&envelope.client), Some("Acme 1.0"));
        assert!(envelope.paginated);
        assert!(matches!(envelope.access_token, Some(Cow::Borrowed(_))));
    }

    #[test]
    fn escapes_in_names_and_values_are_read() {
        let envelope = read(br#"{"Access\u0054oken":"A\"\u00e9\ud83d\ude00","\u0043lient":"K\tiosk"}"#);
        assert_eq!(text(&envelope.access_token), Some("A\"é😀"));
        assert_eq!(text(&envelope.client), Some("K\tiosk"));
    }

    #[test]
    fn the_last_string_counts() {
        let envelope =
            read(br#"{"Client":"one","Client":"two","Client":3,"Client":null,"Client":["x"],"Client":{"a":1}}"#);
        assert_eq!(text(&envelope.client), Some("two"));
    }

    #[test]
    fn only_an_object_asks_for_a_page() {
        for limitation in ["null", "10", "-1", "1.5", "true", "\"10\"", "[{}]"] {
            let body = format!(r#"{{"Limitation":{limitation},"Client":"after"}}"#);
            let envelope = read(body.as_bytes());
            assert!(!envelope.paginated, "{limitation}");
            assert_eq!(text(&envelope.client), Some("after"), "{limitation}");
        }
        assert!(read(br#"{"Limitation":{}}"#).paginated);
    }

    #[test]
    fn regression_a_limitation_that_was_taken_back_made_a_request_cheaper() {
        for (limitation, paginated) in
            [("{},\"Limitation\":null", false), ("{},\"limitation\":[{}]", false), ("1,\"Limitation\":{", true)]
        {
            assert_eq!(read(format!(r#"{{"Limitation":{limitation}"#).as_bytes()).paginated, paginated, "{limitation}");
        }
    }

    #[test]
    fn regression_names_in_another_case_were_passed_over() {
        let envelope =
            read(br#"{"AccessToken":"decoy","ACCESSTOKEN":"A","clientToken":"C","client":"K","limitation":{}}"#);
        assert_eq!(text(&envelope.access_token), Some("A"));
        assert_eq!(text(&envelope.client_token), Some("C"));
        assert_eq!((text(&envelope.client), envelope.paginated), (Some("K"), true));
    }

    #[test]
    fn a_cut_takes_away_only_what_follows_it() {
        let cut = &WHOLE.as_bytes()[..WHOLE.find("cme").unwrap()];
        let envelope = read(cut);
        assert_eq!(text(&envelope.access_token), Some("A"));
        assert_eq!(envelope.client, None);
        assert!(!envelope.paginated);
        assert!(read(br#"{"Limitation":{"Cur"#).paginated);
    }

    #[test]
    fn mistakes_further_on_do_no_harm() {
        for rest in [",}", ", 'x': 1}", "} trailing", ", \"\u{1}\": 1}", ", \"x\": 01}"] {
            let body = format!(r#"{{"AccessToken":"A"{rest}"#);
            assert_eq!(text(&read(body.as_bytes()).access_token), Some("A"), "{rest:?}");
        }
    }

    #[test]
    fn regression_a_mistake_hid_what_followed_it() {
        for mistake in
            ["'x':1,", "\"x\":NaN,", "\"x\":01,", "x:[1],", ",", "/* \" */", "// '\n", "\"x\":\"\u{1}\",", "\"x\":1 "]
        {
            let body = format!("{{\"AccessToken\":\"decoy\",{mistake},'AccessToken':'A'}}");
            assert_eq!(text(&read(body.as_bytes()).access_token), Some("A"), "{mistake}");
        }
    }

    #[test]
    fn regression_white_space_that_json_does_not_have_hid_what_followed_it() {
        for space in ["\u{c}", "\u{b}", "\u{85}", "\u{a0}", "\u{2003}", "\u{feff}"] {
            let body = format!("{space}{{{space}\"AccessToken\"{space}:{space}\"A\"{space}}}");
            assert_eq!(text(&read(body.as_bytes()).access_token), Some("A"), "{space:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_passed_over() {
        let envelope = read(b"{\"\xff\":\"\xfe\",\"AccessToken\":\"A\",\"Client\":\"\xff\"}");
        assert_eq!(text(&envelope.access_token), Some("A"));
        assert_eq!(envelope.client, None);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(text(&read(b"\xef\xbb\xbf {\"Client\":\"K\"}").client), Some("K"));
    }

    #[test]
    fn nothing_is_found_in_what_is_no_object() {
        let other =
            ["", " ", "[]", "[{\"AccessToken\":\"A\"}]", "\"AccessToken\"", "null", "AccessToken=A", "{", "\u{0}"];
        for body in other {
            assert_eq!(read(body.as_bytes()), Envelope::default(), "{body:?}");
        }
    }

    #[test]
    fn deep_nesting_is_skipped_without_recursion() {
        let body = format!(r#"{{"a":{}{},"Client":"K"}}"#, "[".repeat(500_000), "]".repeat(500_000));
        assert_eq!(text(&read(body.as_bytes()).client), Some("K"));
        let body = format!(r#"{{"Client":{}"#, "[".repeat(500_000));
        assert_eq!(read(body.as_bytes()), Envelope::default());
    }

    #[test]
    fn cookies_are_read_from_several_headers() {
        let envelope = from_cookies([&b"a=b;ClientToken = C ;x"[..], b"AccessToken=\"A=1\"; clienttoken=no"]);
        assert_eq!(text(&envelope.client_token), Some("C"));
        assert_eq!(text(&envelope.access_token), Some("A=1"));
        assert_eq!(from_cookies([&b"AccessToken=; ClientToken=\xff; AccessToken"[..]]), Envelope::default());
    }

    #[test]
    fn debug_output_holds_no_token() {
        let shown = format!("{:?}", read(br#"{"AccessToken":"SECRET","ClientToken":"SECRET"}"#));
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}
