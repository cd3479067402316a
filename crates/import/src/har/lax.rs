//! Values of a HAR as tools really write them: a number where a string belongs, `null` where nothing is known.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::foreign::MAX_LIST;

/// A string; anything else that has one form as text is that text, the rest is absent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) Option<String>);

impl Text {
    pub(super) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// A number, also one in a string; the rest is absent.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Number(pub(super) Option<f64>);

impl Number {
    /// As a count; `None` if it is negative, which means unknown.
    pub(super) fn count(self) -> Option<u64> {
        let number = self.0.filter(|number| *number >= 0.0)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and it saturates")]
        Some(number as u64)
    }
}

/// Names and values: objects with both, as the standard has it; pairs; or one object of all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

/// A visitor for values of any type, of which everything is absent that isn't said to be otherwise.
macro_rules! any_value {
    ($visitor:ident -> $value:ty { $($method:item)* }) => {
        struct $visitor;

        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($visitor)
            }
        }

        impl<'de> Visitor<'de> for $visitor {
            type Value = $value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Self::Value::default())
            }

            $($method)*
        }
    };
}

any_value!(TextVisitor -> Text {
    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(Some(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Text, E> {
        Ok(Text(Some(text)))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
        Ok(Text(Some(value.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
        Ok(Text(Some(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
        Ok(Text(Some(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
        Ok(Text(Some(number.to_string())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Text, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
});

any_value!(NumberVisitor -> Number {
    fn visit_str<E>(self, text: &str) -> Result<Number, E> {
        Ok(Number(text.trim().parse().ok().filter(|number: &f64| number.is_finite())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
        Ok(Number(None))
    }

    #[expect(clippy::cast_precision_loss, reason = "exact to 2^53, which is 285 years in microseconds")]
    fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
        Ok(Number(Some(number as f64)))
    }

    #[expect(clippy::cast_precision_loss, reason = "exact to 2^53, which is 285 years in microseconds")]
    fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
        Ok(Number(Some(number as f64)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
        Ok(Number(Some(number).filter(|number| number.is_finite())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Number, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }
});

any_value!(PairsVisitor -> Pairs {
    fn visit_str<E>(self, _: &str) -> Result<Pairs, E> {
        Ok(Pairs::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Pairs, E> {
        Ok(Pairs::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Pairs, E> {
        Ok(Pairs::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Pairs, E> {
        Ok(Pairs::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Pairs, E> {
        Ok(Pairs::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(Pair(pair)) = items.next_element()? {
            pairs.extend(pair);
            check(&pairs, "names")?;
        }
        Ok(Pairs(pairs))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Text>()? {
            pairs.push((name, value.0.unwrap_or_default()));
            check(&pairs, "names")?;
        }
        Ok(Pairs(pairs))
    }
});

/// An error if the list takes more memory than one may.
fn check<T, E: serde::de::Error>(list: &[T], what: &str) -> Result<(), E> {
    if size_of_val(list) <= MAX_LIST {
        Ok(())
    } else {
        Err(E::custom(format_args!("more {what} than fit into 64 MiB")))
    }
}

/// Reads a list of messages, or nothing.
pub(super) fn messages<'de, T, D>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<List<T>>::deserialize(deserializer)?.map(|list| list.0))
}

/// A list of messages.
struct List<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                    check(&list, "messages")?;
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// One of [`Pairs`]; `None` if it has no name.
#[derive(Default)]
struct Pair(Option<(String, String)>);

any_value!(PairVisitor -> Pair {
    fn visit_str<E>(self, _: &str) -> Result<Pair, E> {
        Ok(Pair(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Pair, E> {
        Ok(Pair(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Pair, E> {
        Ok(Pair(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Pair, E> {
        Ok(Pair(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Pair, E> {
        Ok(Pair(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Pair, A::Error> {
        let name = items.next_element::<Text>()?.unwrap_or_default();
        let value = items.next_element::<Text>()?.unwrap_or_default();
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Pair(name.0.map(|name| (name, value.0.unwrap_or_default()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pair, A::Error> {
        let (mut name, mut value) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => name = map.next_value::<Text>()?.0,
                "value" => value = map.next_value::<Text>()?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Pair(name.map(|name| (name, value.unwrap_or_default()))))
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_type_are_read_as_far_as_they_mean_something() {
        let text = |json| serde_json::from_str::<Text>(json).unwrap().0;
        assert_eq!(text("\"a\\n\""), Some("a\n".to_owned()));
        assert_eq!((text("12"), text("-1"), text("true")), (Some("12".into()), Some("-1".into()), Some("true".into())));
        assert_eq!((text("null"), text("[1,[2]]"), text("{\"a\":{}}")), (None, None, None));
        let number = |json| serde_json::from_str::<Number>(json).unwrap();
        assert_eq!((number("1.5").0, number("\" 2 \"").0, number("-1").0), (Some(1.5), Some(2.0), Some(-1.0)));
        for absent in ["null", "\"\"", "\"NaN\"", "\"inf\"", "[]", "{}", "true"] {
            assert_eq!(number(absent).0, None, "{absent}");
        }
        assert_eq!(
            (number("-1").count(), number("1e300").count(), number("7.9").count()),
            (None, Some(u64::MAX), Some(7))
        );
    }

    #[test]
    fn headers_are_read_in_every_form_that_tools_write() {
        let expected = Pairs(vec![("a".into(), "1".into()), ("b".into(), "2".into())]);
        for json in [
            r#"[{"name":"a","value":"1"},{"value":2,"comment":"x","name":"b"},{"value":"nameless"},null,7,"x",[]]"#,
            r#"[["a","1"],["b",2,3]]"#,
            r#"{"a":"1","b":2}"#,
        ] {
            assert_eq!(serde_json::from_str::<Pairs>(json).unwrap(), expected, "{json}");
        }
        for none in ["null", "[]", "\"x\"", "1", "{}"] {
            assert_eq!(serde_json::from_str::<Pairs>(none).unwrap(), Pairs::default(), "{none}");
        }
    }
}
