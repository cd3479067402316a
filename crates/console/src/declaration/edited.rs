//! The text of a declaration with other values, and with its comments and layout.

use toml_edit::{DocumentMut, Item, TableLike, Value};

/// `text` with the values of `wanted`; `wanted` itself if the text can't be made to say the same.
pub(super) fn edited(text: &str, wanted: &str) -> String {
    let values = |text: &str| toml::from_str::<toml::Table>(text).ok();
    merged(text, wanted).filter(|merged| values(merged) == values(wanted)).unwrap_or_else(|| wanted.to_owned())
}

fn merged(text: &str, wanted: &str) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let wanted: DocumentMut = wanted.parse().ok()?;
    update(document.as_table_mut(), wanted.as_table());
    Some(document.to_string())
}

/// Gives a table the values of another one. What is the same stays as it is written.
fn update(table: &mut dyn TableLike, wanted: &dyn TableLike) {
    let gone: Vec<String> =
        table.iter().map(|(key, _)| key.to_owned()).filter(|key| !wanted.contains_key(key)).collect();
    gone.iter().for_each(|key| remove(table, key));
    for (key, item) in wanted.iter() {
        let Some(known) = table.get_mut(key) else {
            table.insert(key, at_the_end(item));
            continue;
        };
        match (known.is_table_like(), item.as_table_like()) {
            (true, Some(item)) => {
                if let Some(known) = known.as_table_like_mut() {
                    update(known, item);
                }
            }
            _ if is_same(known, item) => {}
            _ => replace(known, item),
        }
    }
}

/// Removes a key with the comment right above it. What is above an empty line belongs to what follows.
fn remove(table: &mut dyn TableLike, key: &str) {
    let above = table.get(key).and_then(|item| match item {
        Item::Table(own) => own.decor().prefix(),
        _ => table.key(key)?.leaf_decor().prefix(),
    });
    let above = above.and_then(|text| text.as_str()).unwrap_or_default();
    let kept = above.rfind("\n\n").map(|end| above[..end + 2].to_owned()).filter(|kept| kept.contains('#'));
    let next = table.iter().map(|(key, _)| key).skip_while(|other| *other != key).nth(1).map(str::to_owned);
    table.remove(key);
    let (Some(kept), Some(next)) = (kept, next) else { return };
    let Some((mut key, item)) = table.get_key_value_mut(&next) else { return };
    let decor = match item {
        Item::Table(own) => own.decor_mut(),
        _ => key.leaf_decor_mut(),
    };
    let own = decor.prefix().and_then(|text| text.as_str()).unwrap_or_default();
    decor.set_prefix(kept + own.trim_start_matches('\n'));
}

/// An item to be written after all others.
fn at_the_end(item: &Item) -> Item {
    let mut item = item.clone();
    if let Item::Table(table) = &mut item {
        let inner: Vec<(String, Item)> = table.iter().map(|(key, inner)| (key.to_owned(), at_the_end(inner))).collect();
        for (key, inner) in inner {
            if let Some(known) = table.get_mut(&key) {
                *known = inner;
            }
        }
        table.set_position(None);
    }
    item
}

/// Puts a value in the place of another one, before the comment that follows it.
fn replace(known: &mut Item, item: &Item) {
    let Ok(mut value) = item.clone().into_value() else { return };
    if let Item::Value(old) = known {
        *value.decor_mut() = old.decor().clone();
    }
    *known = Item::Value(value);
}

/// Whether two items have the same value, however it is written.
fn is_same(known: &Item, item: &Item) -> bool {
    fn values(known: &Value, value: &Value) -> bool {
        match (known, value) {
            (Value::String(known), Value::String(value)) => known.value() == value.value(),
            (Value::Integer(known), Value::Integer(value)) => known.value() == value.value(),
            (Value::Boolean(known), Value::Boolean(value)) => known.value() == value.value(),
            (Value::Array(known), Value::Array(value)) => {
                known.len() == value.len() && known.iter().zip(value).all(|(known, value)| values(known, value))
            }
            _ => false,
        }
    }
    known.as_value().zip(item.as_value()).is_some_and(|(known, value)| values(known, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# Certification of the kiosk.
# Kept by the integrations team.

# As in the Marketplace.
integration = 'Kiosk' # the old name
every_hours = 24

[operations]
# Twice a day.
'configuration/get' = 'the time zone'   # asked by Mews
"customers/getAll" = "guests"

# Agreed on the phone.
[rules]
'run/short' = { reason = 'a first run' } # only explained
"#;

    fn checked(wanted: &str, expected: &str) {
        let made = edited(TEXT, wanted);
        assert_eq!(made, expected);
        assert_eq!(toml::from_str::<toml::Table>(&made).unwrap(), toml::from_str::<toml::Table>(wanted).unwrap());
    }

    #[test]
    fn what_is_the_same_stays_as_it_was_written() {
        let same = toml::to_string(&toml::from_str::<toml::Table>(TEXT).unwrap()).unwrap();
        checked(&same, TEXT);
    }

    #[test]
    fn a_changed_value_keeps_the_comments_around_it() {
        let wanted = "integration = \"Kiosk 2\"\nevery_hours = 12\n[operations]\n\"configuration/get\" = \"zones\"\n\
                      \"customers/getAll\" = \"guests\"\n[rules.\"run/short\"]\nreason = \"a second run\"\n";
        let expected = TEXT
            .replace("'Kiosk' #", "\"Kiosk 2\" #")
            .replace("every_hours = 24", "every_hours = 12")
            .replace("'the time zone'", "\"zones\"")
            .replace("'a first run'", "\"a second run\"");
        checked(wanted, &expected);
    }

    #[test]
    fn a_removed_key_takes_its_own_comment_with_it() {
        let wanted = "every_hours = 24\n[operations]\n\"customers/getAll\" = \"guests\"\n\
                      [rules.\"run/short\"]\nreason = \"a first run\"\n";
        let expected = TEXT
            .replace("# As in the Marketplace.\nintegration = 'Kiosk' # the old name\n", "")
            .replace("# Twice a day.\n'configuration/get' = 'the time zone'   # asked by Mews\n", "");
        checked(wanted, &expected);
        let wanted = "integration = \"Kiosk\"\nevery_hours = 24\n";
        checked(wanted, TEXT.split("\n[operations]").next().unwrap());
    }

    #[test]
    fn what_is_new_comes_after_what_is_there() {
        let wanted = "pilot = \"Prague\"\nintegration = \"Kiosk\"\nevery_hours = 24\n[operations]\n\
                      \"configuration/get\" = \"the time zone\"\n\"customers/getAll\" = \"guests\"\n\
                      \"bills/add\" = \"payments\"\n[rules.\"run/short\"]\nreason = \"a first run\"\n\
                      [rules.\"run/gap\"]\nsilence = true\nreason = \"a night\"\n[leave_out]\n\
                      01KAS00000000000000000000A = \"by hand\"\n";
        let made = edited(TEXT, wanted);
        assert_eq!(toml::from_str::<toml::Table>(&made).unwrap(), toml::from_str::<toml::Table>(wanted).unwrap());
        let lines: Vec<&str> = made.lines().filter(|line| line.contains(['#', '['])).collect();
        assert_eq!(made.matches('#').count(), TEXT.matches('#').count(), "{made}");
        assert_eq!(lines.last(), Some(&"[leave_out]"), "{made}");
    }

    #[test]
    fn any_layout_says_what_it_is_to_say() {
        let wanted = "integration = \"B\"\ndomains = [\"a.example\", \"b.example\"]\n[operations]\n\"bills/add\" = \"x\"\n\
                      [rules.\"run/gap\"]\nreason = \"y\"\n";
        for text in [
            "",
            "# nothing but a comment",
            "operations.'bills/add' = 'other'\nrules.'run/gap'.reason = 'other'",
            "operations = { 'bills/add' = 'other', 'rates/getAll' = 'gone' }\ndomains = [\n  'a.example', # ours\n]",
            "[rules.'run/gap']\nreason = 'other'\nsilence = true\n[rules.'run/short']\nreason = 'gone'\n",
            "[rules]\n[operations]\n",
            "integration = ['of', 'another', 'type']\nrules = 1",
            "this is = not TOML",
        ] {
            let made = edited(text, wanted);
            let values = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
            assert_eq!(values(&made), values(wanted), "{text}: {made}");
        }
        assert!(edited("# nothing but a comment", wanted).contains("# nothing but a comment"));
        assert_eq!(edited("# gone with what it is about\npilot = 'x'\n", ""), "");
    }
}
