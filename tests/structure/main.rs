//! The modules of each crate depend on each other one way.
//!
//! A module depends on another if it names something that is defined there. `mod` and `pub use` alone name nothing: a
//! parent may declare its parts and hand on their names. Tests don't count. Methods are not seen: an `impl` of a type
//! that another module defines counts as a use of that type only.
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod imports;
mod modules;
mod source;

use std::{collections::BTreeSet, fs, path::Path};

use modules::Modules;

/// The circles that stay.
const ACCEPTED: [&[&str]; 2] = [
    // A value may be an object, whose properties are values: the recursion of JSON itself.
    &["mews/src/check/object.rs", "mews/src/check/value.rs"],
    // What the routes share holds the reviews and the files being written, which read the log that is part of it.
    &[
        "console/src/evidence.rs",
        "console/src/evidence/job.rs",
        "console/src/review.rs",
        "console/src/review/kept.rs",
        "console/src/review/reading.rs",
        "console/src/shared.rs",
    ],
];

#[test]
fn modules_depend_on_each_other_one_way() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let mut accepted: BTreeSet<Vec<String>> =
        ACCEPTED.iter().map(|circle| circle.iter().map(|file| (*file).to_owned()).collect()).collect();
    let mut report = String::new();
    let mut checked = 0;
    for entry in fs::read_dir(&crates).unwrap() {
        let folder = entry.unwrap().path();
        let root = [folder.join("src/lib.rs"), folder.join("main.rs")].into_iter().find(|file| file.exists());
        let Some(root) = root else { continue };
        let modules = Modules::read(&root);
        checked += 1;
        for circle in modules.circles() {
            let name =
                |module: &usize| modules.file(*module).strip_prefix(&crates).unwrap().to_str().unwrap().to_owned();
            let mut names: Vec<String> = circle.iter().map(name).collect();
            names.sort();
            if !accepted.remove(&names) {
                report += &format!("{}\n{}\n", names.join(", "), modules.uses(&circle));
            }
        }
    }
    assert!(checked > 10, "only {checked} crates were found");
    assert!(report.is_empty(), "move what both sides use to a module below them; modules in a circle:\n{report}");
    assert!(accepted.is_empty(), "no longer circles, so no longer to be accepted: {accepted:?}");
}
