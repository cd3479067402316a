//! Setting values in JSON text, everything else left as it is.

use serde_json::Value;

use crate::pointer::{Pointer, Segment};

/// Why a value can't be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The pointer leads into a value that has no parts.
    #[error("{0} leads into a value that is neither an object nor an array")]
    NoParts(String),
    /// The pointer names an element that isn't there, and isn't the next one.
    #[error("{0} is not an element of the array, nor the next one after its {1}")]
    NoElement(String, usize),
    /// The pointer has a `*`.
    #[error("{0} names no single place: * can't be set")]
    Many(String),
}

/// Sets the value at a place, which is created if its object or array is there or can be.
///
/// # Errors
///
/// [`SetError`] if the text isn't JSON, or the place can't be made in it.
pub fn set(text: &str, pointer: &Pointer, value: &Value) -> Result<String, SetError> {
    let json = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(json) {
        return Err(SetError::NotJson(error.to_string()));
    }
    let names: Option<Vec<&str>> = pointer.segments().iter().map(named).collect();
    let names = names.ok_or_else(|| SetError::Many(pointer.to_string()))?;
    let bytes = json.as_bytes();
    let mut at = blank(bytes, 0);
    for (depth, name) in names.iter().enumerate() {
        let place = match bytes[at] {
            b'{' => property(bytes, at, name),
            b'[' => element(bytes, at, name).map_err(|length| SetError::NoElement(pointer.to_string(), length))?,
            _ => return Err(SetError::NoParts(pointer.to_string())),
        };
        match place {
            Place::There(start) => at = start,
            Place::Missing { end, is_first } => {
                let nested = names[depth + 1..].iter().rev().fold(value.clone(), |inner, name| {
                    Value::Object([((*name).to_owned(), inner)].into_iter().collect())
                });
                let key = if bytes[at] == b'{' { format!("{}:", Value::from(*name)) } else { String::new() };
                let comma = if is_first { "" } else { "," };
                return Ok(format!("{}{comma}{key}{nested}{}", &json[..end], &json[end..]));
            }
        }
    }
    Ok(format!("{}{value}{}", &json[..at], &json[skip(bytes, at)..]))
}

fn named(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Named(name) => Some(name),
        Segment::Any => None,
    }
}

/// Where a part is, or would be.
enum Place {
    /// Where its value starts.
    There(usize),
    /// Where it can be added, and whether it is the first.
    Missing { end: usize, is_first: bool },
}

// The functions below rely on the text being JSON, which has been checked.

/// The last property of this name, which is the one that counts.
fn property(bytes: &[u8], start: usize, name: &str) -> Place {
    let mut at = blank(bytes, start + 1);
    let (mut found, mut is_first, mut end) = (None, true, start + 1);
    while bytes[at] != b'}' {
        let key = at;
        at = skip(bytes, at);
        let is_named = serde_json::from_slice::<String>(&bytes[key..at]).is_ok_and(|key| key == name);
        at = blank(bytes, blank(bytes, at) + 1);
        if is_named {
            found = Some(at);
        }
        at = skip(bytes, at);
        (is_first, end) = (false, at);
        at = comma(bytes, at);
    }
    found.map_or(Place::Missing { end, is_first }, Place::There)
}

/// The element with this number, or the place after the last one; the error is the number of elements.
fn element(bytes: &[u8], start: usize, name: &str) -> Result<Place, usize> {
    let wanted = name.parse::<usize>();
    let mut at = blank(bytes, start + 1);
    let (mut number, mut end) = (0, start + 1);
    while bytes[at] != b']' {
        if wanted == Ok(number) {
            return Ok(Place::There(at));
        }
        at = skip(bytes, at);
        number += 1;
        end = at;
        at = comma(bytes, at);
    }
    // `-` is the next element (RFC 6901, section 4).
    if name == "-" || wanted == Ok(number) { Ok(Place::Missing { end, is_first: number == 0 }) } else { Err(number) }
}

/// The first byte from `at` that is not white space.
fn blank(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// What follows a value: the next one after a comma, or the end of the object or array.
fn comma(bytes: &[u8], at: usize) -> usize {
    let at = blank(bytes, at);
    if bytes[at] == b',' { blank(bytes, at + 1) } else { at }
}

/// The end of the value that starts at `at`.
fn skip(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    loop {
        match bytes[at] {
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b'"' => at = string(bytes, at),
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            _ => {
                while bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
                    at += 1;
                }
            }
        }
        if depth == 0 {
            return at;
        }
    }
}

/// The end of the string that starts at `at`.
fn string(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn with(text: &str, pointer: &str, value: Value) -> Result<String, SetError> {
        set(text, &pointer.parse().unwrap(), &value)
    }

    #[test]
    fn only_the_value_changes() {
        let text = "{ \"b\" : 1.50,\n \"a\": {\"x\":\"}\\\"{\", \"n\":[1, {\"k\":null} ]}}";
        for (pointer, value, wanted) in [
            ("/b", json!(2), "{ \"b\" : 2,\n \"a\": {\"x\":\"}\\\"{\", \"n\":[1, {\"k\":null} ]}}"),
            ("/a/n/1/k", json!("v"), "{ \"b\" : 1.50,\n \"a\": {\"x\":\"}\\\"{\", \"n\":[1, {\"k\":\"v\"} ]}}"),
            ("/a/n/0", json!([]), "{ \"b\" : 1.50,\n \"a\": {\"x\":\"}\\\"{\", \"n\":[[], {\"k\":null} ]}}"),
            ("/a/n/2", json!(3), "{ \"b\" : 1.50,\n \"a\": {\"x\":\"}\\\"{\", \"n\":[1, {\"k\":null},3 ]}}"),
            ("/a/n/-", json!(3), "{ \"b\" : 1.50,\n \"a\": {\"x\":\"}\\\"{\", \"n\":[1, {\"k\":null},3 ]}}"),
            (
                "/c/d",
                json!(1),
                "{ \"b\" : 1.50,\n \"a\": {\"x\":\"}\\\"{\", \"n\":[1, {\"k\":null} ]},\"c\":{\"d\":1}}",
            ),
        ] {
            assert_eq!(with(text, pointer, value).unwrap(), wanted, "{pointer}");
        }
        assert_eq!(with("{}", "/a~1b", json!(1)).unwrap(), r#"{"a/b":1}"#);
        assert_eq!(with("{\"a\":[ ]}", "/a/0", json!(1)).unwrap(), "{\"a\":[1 ]}");
        // Of duplicate names the last counts, and escapes in names don't hide them.
        assert_eq!(with(r#"{"a":1,"\u0061":2}"#, "/a", json!(3)).unwrap(), r#"{"a":1,"\u0061":3}"#);
    }

    #[test]
    fn a_place_that_can_not_be_is_an_error() {
        for (text, pointer, named) in [
            ("{", "/a", "not JSON"),
            ("", "/a", "not JSON"),
            ("a=b", "/a", "not JSON"),
            ("1", "/a", "/a leads into"),
            (r#"{"a":"b"}"#, "/a/b", "/a/b leads into"),
            (r#"{"a":[1]}"#, "/a/2", "/a/2 is not an element of the array, nor the next one after its 1"),
            (r#"{"a":[1]}"#, "/a/x", "/a/x is not an element"),
            (r#"{"a":[1]}"#, "/a/*", "names no single place"),
        ] {
            let error = with(text, pointer, json!(1)).unwrap_err().to_string();
            assert!(error.contains(named), "{text} {pointer}: {error}");
        }
    }

    proptest! {
        #[test]
        fn the_value_is_there_afterwards_and_the_rest_is_unchanged(
            keys in prop::collection::btree_set("[a-c\"\\\\é]{1,2}", 1..4), chosen in 0usize..4, value in any::<i32>(),
        ) {
            let keys: Vec<String> = keys.into_iter().collect();
            let object = json!({ "outer": keys.iter().map(|key| (key.clone(), json!(["x", {}]))).collect::<serde_json::Map<_, _>>() });
            let key = keys.get(chosen).cloned().unwrap_or_else(|| "new".to_owned());
            let pointer = format!("/outer/{}", crate::pointer::escape(&key));
            for text in [object.to_string(), serde_json::to_string_pretty(&object).unwrap()] {
                let changed: Value = serde_json::from_str(&with(&text, &pointer, json!(value)).unwrap()).unwrap();
                let mut expected = object.clone();
                expected["outer"][&key] = json!(value);
                prop_assert_eq!(&changed, &expected);
            }
        }

        #[test]
        fn never_panics(text in "[{}\\[\\],:\"a1 \\\\]{0,12}", pointer in "(/[a01-]{0,2}){1,3}") {
            let _ = with(&text, &pointer, json!(null));
        }
    }
}
