//! How a request differs from a recorded one.

use serde::Serialize;
use serde_json::Value;

use crate::pointer::escape;

/// A place where two bodies differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Difference {
    /// A JSON pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// The value asked for, shortened; `None` if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The recorded value, shortened; `None` if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
}

/// How two bodies differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    /// The first of them.
    pub(crate) first: Vec<Difference>,
    /// How many values differ, those inside absent objects and arrays included: the smaller, the nearer.
    pub(crate) count: usize,
}

/// The most that are listed.
const MAX_LISTED: usize = 20;
/// The most characters of a value.
const MAX_VALUE: usize = 200;

impl Differences {
    /// The differences between two JSON values.
    pub(crate) fn between(asked: &Value, recorded: &Value) -> Self {
        let mut found = Self::default();
        found.compare(&mut String::new(), asked, recorded);
        found
    }

    /// Those of bodies of which one isn't JSON.
    pub(crate) fn of_text(asked: &[u8], recorded: &[u8]) -> Self {
        let shown = |text: &[u8]| Some(shorten(&String::from_utf8_lossy(text)));
        let whole = Difference { pointer: String::new(), asked: shown(asked), recorded: shown(recorded) };
        // Anything else is nearer.
        Self { first: vec![whole], count: usize::MAX }
    }

    fn compare(&mut self, pointer: &mut String, asked: &Value, recorded: &Value) {
        match (asked, recorded) {
            (Value::Object(asked), Value::Object(recorded)) => {
                for (name, value) in asked {
                    self.within(pointer, &escape(name), Some(value), recorded.get(name));
                }
                for (name, value) in recorded.iter().filter(|(name, _)| !asked.contains_key(*name)) {
                    self.within(pointer, &escape(name), None, Some(value));
                }
            }
            (Value::Array(asked), Value::Array(recorded)) => {
                for number in 0..asked.len().max(recorded.len()) {
                    self.within(pointer, &number.to_string(), asked.get(number), recorded.get(number));
                }
            }
            (asked, recorded) if asked == recorded => {}
            (asked, recorded) => self.add(pointer, Some(asked), Some(recorded)),
        }
    }

    fn within(&mut self, pointer: &mut String, segment: &str, asked: Option<&Value>, recorded: Option<&Value>) {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(segment);
        match (asked, recorded) {
            (Some(asked), Some(recorded)) => self.compare(pointer, asked, recorded),
            _ => self.add(pointer, asked, recorded),
        }
        pointer.truncate(length);
    }

    fn add(&mut self, pointer: &str, asked: Option<&Value>, recorded: Option<&Value>) {
        let size = |value: Option<&Value>| value.map_or(0, leaves);
        self.count = self.count.saturating_add(size(asked).max(size(recorded)));
        if self.first.len() < MAX_LISTED {
            let shown = |value: Option<&Value>| value.map(|value| shorten(&value.to_string()));
            let pointer = pointer.to_owned();
            self.first.push(Difference { pointer, asked: shown(asked), recorded: shown(recorded) });
        }
    }
}

/// The number of values in a value, itself included if it holds none.
fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(elements) => elements.iter().map(leaves).sum::<usize>().max(1),
        Value::Object(properties) => properties.values().map(leaves).sum::<usize>().max(1),
        _ => 1,
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(asked: &Value, recorded: &Value) -> Vec<String> {
        Differences::between(asked, recorded).first.into_iter().map(|one| one.pointer).collect()
    }

    #[test]
    fn each_place_is_named() {
        let asked = json!({ "Limitation": { "Count": 10 }, "States": ["a", "b"], "a/b~c": 1, "Only": {} });
        let recorded = json!({ "Limitation": { "Count": 100, "Cursor": null }, "States": ["a"], "a/b~c": "1" });
        let mut found = pointers(&asked, &recorded);
        found.sort();
        assert_eq!(found, ["/Limitation/Count", "/Limitation/Cursor", "/Only", "/States/1", "/a~1b~0c"]);
        assert_eq!(pointers(&asked, &asked), [""; 0]);
        assert_eq!(pointers(&json!([]), &json!({})), [""]);
    }

    #[test]
    fn values_say_what_was_asked_and_what_was_recorded() {
        let found = Differences::between(&json!({ "A": 1, "B": "x".repeat(500) }), &json!({ "A": 2 })).first;
        assert_eq!((found[0].asked.as_deref(), found[0].recorded.as_deref()), (Some("1"), Some("2")));
        assert_eq!(found[1].asked.as_ref().unwrap().chars().count(), MAX_VALUE + 1);
        assert_eq!(found[1].recorded, None);
    }

    #[test]
    fn the_nearest_has_the_fewest_values_that_differ() {
        let asked = json!({ "A": [1, 2, 3], "B": 1 });
        let near = Differences::between(&asked, &json!({ "A": [1, 2, 4], "B": 2 }));
        let far = Differences::between(&asked, &json!({ "B": 1 }));
        assert_eq!((near.count, far.count), (2, 3));
        let many: Value = (0..100).collect::<Vec<_>>().into();
        let all = Differences::between(&many, &json!([]));
        assert_eq!((all.count, all.first.len()), (100, MAX_LISTED));
    }
}
