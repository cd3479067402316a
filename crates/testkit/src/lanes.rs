//! What a test leaves out, said where it is seen.

use std::io::Write as _;

/// Says what is left out. Not through `eprintln!`, which the tests' harness keeps to itself when a test passes.
pub fn skip(what: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

/// The number of nodes for long proofs of limits that several nodes share, `NIGHTAUDIT_TEST_NODES`; `None`, said aloud, outside
/// the long lane of `.ci/run`, which sets it. A test asks once.
#[must_use]
pub fn long_lane() -> Option<usize> {
    if let Some(nodes) = std::env::var_os("NIGHTAUDIT_TEST_NODES") {
        return Some(nodes.to_str().and_then(|nodes| nodes.parse().ok()).expect("NIGHTAUDIT_TEST_NODES is a number"));
    }
    // The harness names each test's thread after it.
    let thread = std::thread::current();
    skip(&format!("{} is left for the long lane (NIGHTAUDIT_TEST_NODES=8)", thread.name().unwrap_or("the rest")));
    None
}
