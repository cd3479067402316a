//! The browser that reports and the page are opened in, where there is one.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nightaudit_testkit::skip;

/// The folder of npm packages, if all of these are in it; none, and `what` is said to be skipped, if not.
pub(crate) fn packages(what: &str, names: &[&str]) -> Option<PathBuf> {
    let packages = folder();
    let missing: Vec<&str> = names.iter().copied().filter(|name| !packages.join(name).is_dir()).collect();
    if missing.is_empty() && found("node").is_some() {
        return Some(packages);
    }
    skip(&format!("{what} (node: {}, npm packages that are missing: {missing:?})", found("node").is_some()));
    None
}

fn folder() -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser/node_modules");
    std::env::var_os("TEST_NODE_MODULES").map_or(packages, PathBuf::from)
}

/// The program of this name in the `PATH`.
fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The browser. No other test has one until this is dropped.
pub(crate) struct Browser {
    pub(crate) program: PathBuf,
    /// The folder of the packages that drive it.
    pub(crate) packages: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// Waits until no other test has the browser: each is a dozen processes, and several at once would starve the other tests.
/// None, and `what` is reported as skipped, where something is not installed.
pub(crate) fn browser(what: &str) -> Option<Browser> {
    static TURN: Mutex<()> = Mutex::new(());
    let packages = folder();
    let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(found);
    match (chromium, found("node"), packages.join("puppeteer-core").is_dir()) {
        (Some(program), Some(_), true) => {
            // A test that failed has closed its browser.
            let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
            Some(Browser { program, packages, _turn: turn })
        }
        (chromium, node, installed) => {
            let (chromium, node) = (chromium.is_some(), node.is_some());
            skip(&format!("{what} (chromium: {chromium}, node: {node}, npm packages: {installed})"));
            None
        }
    }
}
