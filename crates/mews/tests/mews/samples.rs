//! The documentation's own sample requests against the contracts of the documentation's own tables.

use std::fs;
use std::path::Path;

use nightaudit_mews::{check_request, operation};

/// The operations and their samples; in the files' names dots stand for slashes.
fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut samples: Vec<_> = fs::read_dir(folder)
        .expect("the samples lie beside the tests")
        .map(|entry| entry.expect("the folder is readable").path())
        .map(|file| {
            let name = file.file_stem().and_then(|name| name.to_str()).expect("its name is the operation's");
            (name.replace('.', "/"), fs::read(&file).expect("it is readable"))
        })
        .collect();
    samples.sort();
    samples
}

/// Most samples pass. Those that don't are the documentation's contradictions with itself: the golden file lists them,
/// so that a change of the contracts shows what it changes.
#[test]
fn samples_fit_but_for_the_documented_contradictions() {
    let samples = samples();
    assert_eq!(samples.len(), 58);
    let mut misfits = String::new();
    for (path, body) in samples {
        let operation = operation(&path).unwrap_or_else(|| panic!("{path} is not in the catalogue"));
        let findings = check_request(operation, &body);
        if !findings.is_empty() {
            misfits.push_str(&format!("{path}\n"));
        }
        for finding in findings {
            misfits.push_str(&format!("  {finding}\n"));
        }
    }
    insta::assert_snapshot!(misfits);
}
