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

/// Profiles inherit what `release` leaves unoptimised, and two of them must not.
#[test]
fn what_is_shipped_and_measured_is_optimised() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let levels = |profile: &str| -> std::collections::BTreeMap<String, String> {
        let packages = manifest["profile"][profile]["package"].as_table().unwrap();
        packages.iter().map(|(name, own)| (name.clone(), own["opt-level"].to_string())).collect()
    };
    let release = levels("release");
    assert!(release.values().any(|level| *level == "0"));
    let dist = levels("dist");
    for (name, _) in release.iter().filter(|(_, level)| **level != "3") {
        let level = dist.get(name).unwrap_or_else(|| panic!("{name} is as in `release`"));
        assert!(["3", "\"s\""].contains(&level.as_str()), "{name}: {level}");
    }
    // On a request's way, or where many exchanges are read. sled for size would fill 20 MiB that it never reads.
    for name in ["log", "store", "export", "import", "review", "compare"].map(|name| format!("nightaudit-{name}")) {
        assert_eq!(dist.get(&name).map(String::as_str), Some("3"), "{name}");
    }
    for name in ["sled", "zstd-sys"] {
        assert_eq!(dist.get(name).map(String::as_str), Some("3"), "{name}");
    }
    assert_eq!(levels("bench"), dist);
}
