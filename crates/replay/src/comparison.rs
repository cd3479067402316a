//! When two bodies are alike.

use std::borrow::Cow;

use memchr::memmem;
use nightaudit_exchange::Pseudonym;
use serde_json::{Map, Value};

use crate::pointer::{Pointer, Segment};

/// What every request names about its sender, which is not part of what it asks for.
const SENDER: [&str; 3] = ["AccessToken", "ClientToken", "Client"];

/// What stands for every secret: one token is as good as another.
const SECRET: &str = "REDACTED";

/// Which differences between two bodies don't count: those of sender, secrets, order of properties and white space, and
/// what is ignored by name.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    ignored: Vec<Pointer>,
    /// Properties whose pseudonyms tell values apart, in the form of [`plain`].
    redacted: Vec<String>,
}

impl Comparison {
    /// Ignores these places as well. `redacted_fields` are the properties that the recorder redacts because the
    /// configuration names them: their pseudonyms stand for values, such as a guest's name, not for tokens.
    #[must_use]
    pub fn new(ignored: Vec<Pointer>, redacted_fields: &[String]) -> Self {
        Self { ignored, redacted: redacted_fields.iter().map(|name| plain(name)).collect() }
    }

    /// The form in which alike bodies are equal. `body` is redacted; what isn't JSON stays as it is, but for secrets.
    pub(crate) fn canonical(&self, body: &[u8]) -> Vec<u8> {
        match self.value(body) {
            Some(value) => {
                let mut text = Vec::with_capacity(body.len());
                write(&value, &mut text);
                text
            }
            None => without_secrets(&String::from_utf8_lossy(body)).into_owned().into_bytes(),
        }
    }

    /// A JSON body without what doesn't count; `None` if it isn't JSON.
    pub(crate) fn value(&self, body: &[u8]) -> Option<Value> {
        let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let mut value = serde_json::from_slice(json).ok()?;
        if let Value::Object(properties) = &mut value {
            SENDER.iter().for_each(|name| drop(properties.remove(*name)));
        }
        let ignored: Vec<&[Segment]> = self.ignored.iter().map(Pointer::segments).collect();
        remove(&mut value, &ignored);
        self.hide_secrets(&mut value);
        Some(value)
    }

    fn hide_secrets(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(hidden) = without_secrets(text) {
                    *text = hidden;
                }
            }
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.hide_secrets(element)),
            Value::Object(properties) => {
                for (name, value) in properties {
                    let stands_for_value = !self.redacted.is_empty() && self.redacted.contains(&plain(name));
                    if !stands_for_value {
                        self.hide_secrets(value);
                    }
                }
            }
            _ => {}
        }
    }
}

/// A property's name as the redactor compares them.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// The text with the same word for every pseudonym.
pub(crate) fn without_secrets(text: &str) -> Cow<'_, str> {
    let prefix = Pseudonym::PREFIX.as_bytes();
    let mut hidden = String::new();
    let mut kept = 0;
    for at in memmem::find_iter(text.as_bytes(), prefix) {
        let digits = text.as_bytes().get(at + prefix.len()..at + Pseudonym::LEN);
        if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            hidden.push_str(&text[kept..at]);
            hidden.push_str(SECRET);
            kept = at + Pseudonym::LEN;
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    hidden.push_str(&text[kept..]);
    Cow::Owned(hidden)
}

/// Removes what the pointers name. An element of an array becomes `null`, so that those after it keep their numbers.
fn remove(value: &mut Value, pointers: &[&[Segment]]) {
    if pointers.is_empty() {
        return;
    }
    let below = |name: &str| -> (bool, Vec<&[Segment]>) {
        let tails = pointers.iter().filter_map(|pointer| pointer.split_first());
        let tails = tails.filter(|(segment, _)| segment.is(name)).map(|(_, tail)| tail);
        let (whole, rest): (Vec<_>, Vec<_>) = tails.partition(|tail| tail.is_empty());
        (!whole.is_empty(), rest)
    };
    match value {
        Value::Object(properties) => properties.retain(|name, value| {
            let (is_ignored, rest) = below(name);
            if !is_ignored {
                remove(value, &rest);
            }
            !is_ignored
        }),
        Value::Array(elements) => {
            for (number, element) in elements.iter_mut().enumerate() {
                let (is_ignored, rest) = below(&number.to_string());
                if is_ignored {
                    *element = Value::Null;
                } else {
                    remove(element, &rest);
                }
            }
        }
        _ => {}
    }
}

/// Writes JSON with its properties in the order of their names.
fn write(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Array(elements) => {
            text.push(b'[');
            for (number, element) in elements.iter().enumerate() {
                if number > 0 {
                    text.push(b',');
                }
                write(element, text);
            }
            text.push(b']');
        }
        Value::Object(properties) => {
            text.push(b'{');
            for (number, (name, value)) in in_order(properties).into_iter().enumerate() {
                if number > 0 {
                    text.push(b',');
                }
                // Writing to a vector can't fail, and neither can a string or a number.
                let _ = serde_json::to_writer(&mut *text, name);
                text.push(b':');
                write(value, text);
            }
            text.push(b'}');
        }
        plain => drop(serde_json::to_writer(text, plain)),
    }
}

/// The properties by name, whatever order serde_json keeps.
fn in_order(properties: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = properties.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    sorted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn ignoring(pointers: &[&str]) -> Comparison {
        Comparison::new(pointers.iter().map(|pointer| pointer.parse().unwrap()).collect(), &["Last_Name".to_owned()])
    }

    #[test]
    fn what_does_not_count_makes_no_difference() {
        let comparison = ignoring(&["/UpdatedUtc", "/Limitation/Cursor", "/Items/*/Id"]);
        let recorded = br#"{"ClientToken":"REDACTED:3f9a1c0b7d24","AccessToken":"REDACTED:b1946ac92492","Client":"A 1",
            "UpdatedUtc":{"StartUtc":"x"},"Limitation":{"Count":10,"Cursor":"c"},"Items":[{"Id":1,"Name":"n"}],
            "Key":"at REDACTED:2cf24dba5fb0, too"}"#;
        let asked = br#"{"Items": [{"Name": "n", "Id": 2}], "Limitation": {"Count": 10}, "Key": "at REDACTED:000000000000, too"}"#;
        assert_eq!(comparison.canonical(recorded), comparison.canonical(asked));
        for other in [
            r#"{"Items":[{"Name":"m"}],"Limitation":{"Count":10},"Key":"at REDACTED:2cf24dba5fb0, too"}"#,
            r#"{"Items":[{"Name":"n"}],"Limitation":{"Count":"10"},"Key":"at REDACTED:2cf24dba5fb0, too"}"#,
            r#"{"Items":[{"Name":"n"}],"Limitation":{"Count":10},"Key":"at REDACTED:2cf24dba5f, too"}"#,
            r#"{"Items":[{"Name":"n"}],"Limitation":null,"Key":"at REDACTED:2cf24dba5fb0, too"}"#,
        ] {
            assert_ne!(comparison.canonical(recorded), comparison.canonical(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_redacted_property_still_tells_its_values_apart() {
        let comparison = ignoring(&[]);
        let [one, other] = ["2cf24dba5fb0", "000000000000"]
            .map(|digits| comparison.canonical(format!(r#"{{"LastName":"REDACTED:{digits}"}}"#).as_bytes()));
        assert_ne!(one, other);
    }

    #[test]
    fn the_sender_counts_below_the_top() {
        let comparison = Comparison::default();
        assert_ne!(comparison.canonical(br#"{"A":{"Client":"a"}}"#), comparison.canonical(br#"{"A":{"Client":"b"}}"#));
    }

    #[test]
    fn what_is_not_json_is_compared_as_text() {
        let comparison = Comparison::default();
        let of = |body: &[u8]| comparison.canonical(body);
        assert_eq!(of(b"a=REDACTED:2cf24dba5fb0"), of(b"a=REDACTED:000000000000"));
        assert_ne!(of(b"{\"a\":1"), of(b"{\"a\": 1"));
        assert_eq!(of(b""), b"");
        // More levels than serde_json reads.
        let deep = "[".repeat(100_000);
        assert_eq!(of(deep.as_bytes()), deep.as_bytes());
        assert_eq!(of("\u{feff}{}".as_bytes()), of(b"{ }"));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-d]{1,2}", inner, 0..4)
                    .prop_map(|properties| Value::Object(properties.into_iter().collect())),
            ]
        })
    }

    /// The same JSON with properties in reverse order and blanks between everything.
    fn spread(value: &Value, text: &mut String) {
        match value {
            Value::Array(elements) => {
                text.push_str("[ ");
                for (number, element) in elements.iter().enumerate() {
                    text.push_str(if number > 0 { "\n, " } else { "" });
                    spread(element, text);
                }
                text.push_str(" ]");
            }
            Value::Object(properties) => {
                text.push_str("{ ");
                for (number, (name, value)) in in_order(properties).into_iter().rev().enumerate() {
                    text.push_str(if number > 0 { " ,\t" } else { "" });
                    text.push_str(&format!("{} :  ", Value::from(name.as_str())));
                    spread(value, text);
                }
                text.push_str("}\r\n");
            }
            plain => text.push_str(&plain.to_string()),
        }
    }

    proptest! {
        #[test]
        fn order_and_white_space_make_no_difference_and_everything_else_does(one in json_value(), other in json_value()) {
            let comparison = Comparison::default();
            let (one, other) = (json!({ "a": one }), json!({ "a": other }));
            let mut text = String::new();
            spread(&one, &mut text);
            prop_assert_eq!(comparison.canonical(one.to_string().as_bytes()), comparison.canonical(text.as_bytes()));
            let alike = comparison.canonical(one.to_string().as_bytes()) == comparison.canonical(other.to_string().as_bytes());
            prop_assert_eq!(alike, one == other);
        }

        #[test]
        fn what_is_ignored_makes_no_difference(value in json_value(), one in json_value(), other in json_value()) {
            let comparison = ignoring(&["/here", "/list/*/here"]);
            let with = |ignored: &Value| {
                let body = json!({ "a": value, "here": ignored, "list": [{ "here": ignored, "b": 1 }] });
                comparison.canonical(body.to_string().as_bytes())
            };
            prop_assert_eq!(with(&one), with(&other));
        }

        #[test]
        fn never_panics(body in prop::collection::vec(any::<u8>(), 0..60)) {
            ignoring(&["/a/*"]).canonical(&body);
        }
    }
}
