//! Exchanges that the declaration leaves out.

use crate::common::*;
use nightaudit_mews::Contracts;
use nightaudit_review::{Declaration, Rule};

#[test]
fn what_is_left_out_raises_nothing_and_is_shown_with_its_reason() {
    let exchanges = session(among([question(1000.0, "x").fails(403, "No."), question(2000.0, "y").fails(403, "No.")]));
    let failed: Vec<_> = exchanges.iter().filter(|exchange| exchange.status() == Some(403)).collect();
    let declared = |ids: &[String]| {
        let lines: String = ids.iter().map(|id| format!("'{id}' = 'sent by hand'\n")).collect();
        Declaration::read(&format!("[leave_out]\n{lines}"), &Contracts::built_in()).unwrap()
    };
    let ids: Vec<String> = failed.iter().map(|exchange| exchange.id.to_string()).collect();
    let both = review(&exchanges, &declared(&ids));
    assert_eq!((both.findings.len(), both.errors.failed, both.run.missing), (0, 0, 0));
    assert_eq!(both.run.exchanges, exchanges.len() as u64 - 2);
    let shown = |own: &nightaudit_review::LeftOut| (own.exchange, own.reason.clone(), own.status, own.at.is_some());
    let expected: Vec<_> =
        failed.iter().map(|exchange| (exchange.id, "sent by hand".to_owned(), Some(403), true)).collect();
    assert_eq!(both.left_out.iter().map(shown).collect::<Vec<_>>(), expected);

    // Only what is named is left out, and what the session hasn't is said to be nowhere.
    let one = review(&exchanges, &declared(&[ids[0].clone(), "01KAS00000000000000000000A".into()]));
    assert_eq!(one.findings.iter().map(|finding| finding.rule).collect::<Vec<_>>(), [Rule::ErrorsUnresolved]);
    assert_eq!(one.findings[0].exchanges, [failed[1].id]);
    assert_eq!(one.left_out.iter().filter(|own| own.operation.is_none()).count(), 1);
}
