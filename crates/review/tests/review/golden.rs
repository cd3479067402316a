//! A whole review as JSON.

use crate::common::*;
use nightaudit_mews::Contracts;
use nightaudit_review::{Declaration, Review};

#[test]
fn a_review_in_json_is_as_it_was() {
    let declaration = r#"
        partner = "INT12345"
        integration = "Acme Kiosk"
        client = "Acme Kiosk"
        use_case = "kiosk"

        [operations]
        "configuration/get" = "the property's time zone"
        "reservations/getAll/2023-06-06" = "arrivals"

        [rules]
        "limits/refused-by-mews" = { silence = true, reason = "a sample" }
        "run/short" = { reason = "a sample" }
        "habits/unfiltered" = { severity = "note", reason = "a sample" }
    "#;
    let declaration = Declaration::read(declaration, &Contracts::built_in()).unwrap();
    let calls = vec![
        question(0.0, "a"),
        question(1.0, "b").too_many(Some(5)),
        question(2.0, "b"),
        question(9.0, "b"),
        call(20.0, "reservations/cancel", r#""ReservationIds":["a"],"Notes":"write to ann.lee@gmail.com""#)
            .fails(403, "Too late."),
        call(30.0, RESERVATIONS, r#""States":["Started","Startd"],"Limitation":{"Count":5000}"#),
    ];
    let review = review(&session(calls), &declaration);
    insta::assert_json_snapshot!(review);
    // What is written can be read again.
    let text = serde_json::to_string(&review).unwrap();
    assert_eq!(serde_json::from_str::<Review>(&text).unwrap(), review);
}
