//! The console's page in a real browser. The tests themselves are in `tests/browser`.

use std::{io::Write as _, path::Path, process::Command};

use crate::browser::browser;

/// Runs a file of `tests/browser`, and fails with the lines it prints.
fn browser_test(name: &str) {
    let Some(browser) = browser("the page in a browser") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(name);
    let mut node = Command::new("node");
    node.arg(script).arg(env!("CARGO_BIN_EXE_nightaudit")).arg(&browser.program).env("NODE_PATH", &browser.packages);
    // The folder for pictures, to look at.
    node.args(std::env::var_os("NIGHTAUDIT_TEST_PICTURES"));
    let output = node.output().unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}:\n{said}{failed}");
    // What it left out, which the test's harness would keep to itself.
    let _ = std::io::stderr().write_all(&output.stderr);
}

#[test]
fn traffic_is_seen_filtered_searched_and_followed() {
    browser_test("traffic.cjs");
}

#[test]
fn scripts_are_sent_as_they_are_written() {
    browser_test("served.cjs");
}

#[test]
fn an_exchange_is_seen_whatever_is_in_it() {
    browser_test("exchange.cjs");
}

#[test]
fn limits_run_and_sessions_are_seen_and_changed() {
    browser_test("run.cjs");
}

#[test]
fn evidence_is_built_and_exports_are_imported() {
    browser_test("evidence.cjs");
}
