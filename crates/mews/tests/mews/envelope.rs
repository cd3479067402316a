//! Rules of the envelope that hold for every body, whole or cut.

use nightaudit_mews::{Envelope, envelope};
use proptest::prelude::*;
use serde_json::Value;

/// Names of the envelope and others, so that documents often hold an envelope, at the top or below.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec!["AccessToken", "ClientToken", "Client", "Limitation"]).prop_map(String::from),
        1 => any::<String>(),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    });
    prop::collection::btree_map(name(), value, 0..8).prop_map(|map| map.into_iter().collect())
}

/// The envelope as the whole tree has it.
fn expected(document: &Value) -> Envelope<'_> {
    let text = |name: &str| document.get(name).and_then(Value::as_str).map(Into::into);
    Envelope {
        access_token: text("AccessToken"),
        client_token: text("ClientToken"),
        client: text("Client"),
        paginated: document.get("Limitation").is_some_and(Value::is_object),
    }
}

proptest! {
    #[test]
    fn a_whole_body_gives_what_its_tree_holds(document in document()) {
        let body = document.to_string();
        prop_assert_eq!(envelope::read(body.as_bytes()), expected(&document));
    }

    #[test]
    fn any_start_of_a_body_gives_nothing_that_the_whole_does_not(document in document()) {
        let body = document.to_string();
        let whole = expected(&document);
        for end in 0..=body.len() {
            let cut = envelope::read(&body.as_bytes()[..end]);
            prop_assert!(cut.access_token.is_none() || cut.access_token == whole.access_token);
            prop_assert!(cut.client_token.is_none() || cut.client_token == whole.client_token);
            prop_assert!(cut.client.is_none() || cut.client == whole.client);
            prop_assert!(!cut.paginated || whole.paginated);
        }
    }

    #[test]
    fn no_bytes_do_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = envelope::read(&body);
        let _ = envelope::from_cookies([&body[..]]);
    }
}
