//! A declaration that is replaced while a session is reviewed.

use crate::common::*;
use nightaudit_mews::Contracts;
use nightaudit_review::{Basis, Declaration, SessionFacts};

/// Each differs from the others in one key, and the second number says what of it was read with the exchanges.
const DECLARATIONS: [(&str, u8); 9] = [
    ("", 0),
    ("kind = 'private'", 0),
    ("use_case = 'kiosk'", 0),
    ("client = 'Other'\nwebhooks = true", 0),
    ("[operations]\n'configuration/get' = 'a'\n'rates/getAll' = 'b'", 0),
    ("[rules]\n'errors/unresolved' = { silence = true, reason = 'x' }\n'run/short' = { reason = 'y' }", 0),
    ("every_hours = 24", 1),
    ("domains = ['acme.travel']", 2),
    ("[leave_out]\n'01KAS00000000000000000000A' = 'x'", 3),
];

#[test]
fn a_replaced_declaration_gives_the_review_that_it_gives_from_the_beginning_or_is_refused() {
    let day = 26.0 * 3600.0;
    let exchanges = session(among([
        question(1000.0, "x").fails(403, "No."),
        call(2000.0, "customers/add", r#","LastName":"Nowak","Email":"ann@acme.travel""#),
        question(day, "y"),
    ]));
    let basis = Basis::default();
    let read = |text: &str| Declaration::read(text, &Contracts::built_in()).unwrap();
    for (before, by_before) in DECLARATIONS {
        for (after, by_after) in DECLARATIONS {
            let mut reviewer = basis.reviewer(read(before), &SessionFacts::default());
            let (first, rest) = exchanges.split_at(exchanges.len() / 2);
            first.iter().for_each(|exchange| reviewer.push(exchange));
            let accepted = reviewer.redeclare(&read(after));
            assert_eq!(accepted, by_before == by_after, "{before} -> {after}");
            rest.iter().for_each(|exchange| reviewer.push(exchange));
            // Refused, nothing has changed.
            let due = if accepted { after } else { before };
            assert_eq!(reviewer.into_review(), review(&exchanges, &read(due)), "{before} -> {after}");
        }
    }
}
