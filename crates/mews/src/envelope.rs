//! The envelope: the tokens and the client name that every request carries.
//!
//! [`read`] takes them from a prefix of a JSON body, [`from_cookies`] from the cookies of a WebSocket handshake.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The sender of a request. Fields that the request doesn't have are `None`.
///
/// The tokens are plain secrets, so `Debug` shows only whether they are present.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `AccessToken`: the enterprise on whose behalf the request is made.
    pub access_token: Option<Cow<'a, str>>,
    /// `ClientToken`: the integration.
    pub client_token: Option<Cow<'a, str>>,
    /// `Client`: name and version of the integration.
    pub client: Option<Cow<'a, str>>,
    /// Whether the request asks for a page: it has an object `Limitation`.
    pub paginated: bool,
}

/// Reads the envelope from the top level of a JSON object, which may be truncated anywhere.
///
/// Values before the end or the first JSON error are found; a truncated string is not. Of duplicate names the last string
/// counts, as it does for Mews. A byte order mark is skipped. Anything but an object gives an empty envelope.
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
    read_prefix(body).0
}

/// Like [`read`], and whether the envelope is final: more of the body can't change it, because the object has ended, there is
/// none, or it has a JSON error.
///
/// ```
/// use nightaudit_mews::envelope;
///
/// let (envelope, is_final) = envelope::read_prefix(br#"{"AccessToken": "B", "#);
/// assert_eq!((envelope.access_token.as_deref(), is_final), (Some("B"), false));
/// assert!(envelope::read_prefix(br#"{"AccessToken": "B"}"#).1);
/// assert!(envelope::read_prefix(b"a=b").1);
/// ```
pub fn read_prefix(body: &[u8]) -> (Envelope<'_>, bool) {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let json = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut envelope = Envelope::default();
    // An error only marks where reading stopped; `envelope` has what came before.
    let stopped = serde_json::Deserializer::from_slice(json).deserialize_map(TopLevel(&mut envelope));
    let is_cut = stopped.is_err_and(|error| error.is_eof()) || BYTE_ORDER_MARK.starts_with(body);
    (envelope, !is_cut)
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

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |token: &Option<Cow<'_, str>>| token.as_ref().map(|_| format_args!("…").to_string());
        f.debug_struct("Envelope")
            .field("access_token", &hidden(&self.access_token))
            .field("client_token", &hidden(&self.client_token))
            .field("client", &self.client)
            .field("paginated", &self.paginated)
            .finish()
    }
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

enum Name {
    AccessToken,
    ClientToken,
    Client,
    Limitation,
    Other,
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
        Ok(match name {
            b"AccessToken" => Name::AccessToken,
            b"ClientToken" => Name::ClientToken,
            b"Client" => Name::Client,
            b"Limitation" => Name::Limitation,
            _ => Name::Other,
        })
    }
}

/// Stores a string; any other value leaves the slot unchanged.
struct TextInto<'e, 'de>(&'e mut Option<Cow<'de, str>>);

/// Notes an object as soon as it starts, so that truncation inside it doesn't hide it.
struct ObjectInto<'e>(&'e mut bool);

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
                Ok(())
            }

            fn visit_bool<E>(self, _: bool) -> Result<(), E> {
                Ok(())
            }

            fn visit_i64<E>(self, _: i64) -> Result<(), E> {
                Ok(())
            }

            fn visit_u64<E>(self, _: u64) -> Result<(), E> {
                Ok(())
            }

            fn visit_f64<E>(self, _: f64) -> Result<(), E> {
                Ok(())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
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
    fn a_cut_takes_away_only_what_follows_it() {
        let cut = &WHOLE.as_bytes()[..WHOLE.find("cme").unwrap()];
        let envelope = read(cut);
        assert_eq!(text(&envelope.access_token), Some("A"));
        assert_eq!(envelope.client, None);
        assert!(!envelope.paginated);
        assert!(read(br#"{"Limitation":{"Cur"#).paginated);
    }

    #[test]
    fn an_envelope_is_final_once_nothing_can_change_it() {
        for cut in (0..WHOLE.len()).filter(|cut| *cut < WHOLE.len()) {
            assert!(!read_prefix(&WHOLE.as_bytes()[..cut]).1, "{cut}");
        }
        for body in [WHOLE, "{}", "[", "a=b", "\"text\"", "{\"AccessToken\":\"A\",}", "\u{feff}{}", "\u{feff}a"] {
            assert!(read_prefix(body.as_bytes()).1, "{body}");
        }
        for body in ["", " \n", "\u{feff}", "\u{feff} {", "{\"Client\":\"K"] {
            assert!(!read_prefix(body.as_bytes()).1, "{body}");
        }
        assert!(!read_prefix(b"\xef\xbb").1);
    }

    #[test]
    fn mistakes_further_on_do_no_harm() {
        for rest in [",}", ", 'x': 1}", "} trailing", ", \"\u{1}\": 1}", ", \"x\": 01}"] {
            let body = format!(r#"{{"AccessToken":"A"{rest}"#);
            assert_eq!(text(&read(body.as_bytes()).access_token), Some("A"), "{rest:?}");
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
