//! `nightaudit mews`: showing and updating contracts, and comparing them with a session's calls.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use nightaudit_mews::PUBLISHED_TOKENS;
use nightaudit_testkit::{Process, Simulated, post, send};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

fn mews(data: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).arg("mews").args(arguments).arg("--data").arg(data).stdin(Stdio::null()).output().unwrap()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line with which it was refused.
fn refused(output: &Output) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(output.stdout, b"", "{error}");
    error
}

/// A checkout of documentation with one operation, and the field `Shelf` where it is wanted.
fn checkout(folder: &Path, more: &str) {
    let operations = folder.join("connector-api/operations");
    let changelog = folder.join("connector-api/changelog");
    fs::create_dir_all(&operations).unwrap();
    fs::create_dir_all(&changelog).unwrap();
    fs::write(changelog.join("README.md"), "{% update date=\"2027-01-15\" %}\n").unwrap();
    let page = format!(
        "# Currencies\n\n## Get all currencies\n\nAll of them.\n\n### Request\n\n\
         `[PlatformAddress]/api/connector/v1/currencies/getAll`\n\n\
         | Property | Type | Contract | Description |\n| :-- | :-- | :-- | :-- |\n\
         | `ClientToken` | string | required | Who. |\n| `AccessToken` | string | required | For whom. |\n\
         | `Client` | string | required | With what. |\n{more}\n"
    );
    fs::write(operations.join("currencies.md"), page).unwrap();
}

const SHELF: &str =
    "| `Shelf` | [Shelf](#shelf) | required | Which. |\n\n#### Shelf\n\n* `Upper`\n* `Lower` - Deprecated.\n";

/// A document by which `currencies/getAll` requires a field.
fn document() -> String {
    let schema =
        json!({"type": "object", "required": ["Region"], "properties": {"Region": {"type": "string", "maxLength": 2}}});
    json!({"openapi": "3.0.4", "paths": {"/api/connector/v1/currencies/getAll": {"post": {"requestBody": {
        "content": {"application/json": {"schema": schema}}}}}}})
    .to_string()
}

#[test]
fn an_operation_is_shown_in_eighty_columns() {
    let data = tempfile::tempdir().unwrap();
    for operation in ["customers/getAll", "reservations/price"] {
        let shown = succeeded(&mews(data.path(), &["show", operation]));
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        insta::assert_snapshot!(operation.replace('/', "_"), shown);
    }
    assert_eq!(
        succeeded(&mews(data.path(), &["show", "/api/connector/v1/customers/getAll"])),
        succeeded(&mews(data.path(), &["show", "customers/getAll"]))
    );
    let object: Value =
        serde_json::from_str(&succeeded(&mews(data.path(), &["show", "customers/getAll", "--json"]))).unwrap();
    assert_eq!((&object["operation"], &object["title"]), (&json!("customers/getAll"), &json!("Get all customers")));
    let count = object["fields"].as_array().unwrap().iter().find(|field| field["field"] == "Limitation.Count").unwrap();
    assert_eq!(count["rules"], json!(["required", "1 to 1000"]));
}

#[test]
fn an_operation_that_is_not_documented_is_refused_with_what_is_meant() {
    let data = tempfile::tempdir().unwrap();
    let error = refused(&mews(data.path(), &["show", "curencies/getAll"]));
    assert!(error.contains("did you mean currencies/getAll?"), "{error}");
    for unknown in ["", "/", "\u{1b}[31m", &"x".repeat(5000)] {
        let error = refused(&mews(data.path(), &["show", unknown]));
        assert!(error.contains("no documented operation"), "{error}");
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
}

#[test]
fn a_folder_of_documentation_is_kept_and_given_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let (data, docs) = (folder.path().join("data"), folder.path().join("docs"));
    checkout(&docs, SHELF);
    let from = docs.to_str().unwrap();
    let said = succeeded(&mews(&data, &["update", from, "--dry-run"]));
    assert!(said.contains("\ncurrencies/getAll: Shelf: new, one of Lower (deprecated), Upper, required\n"), "{said}");
    assert!(said.contains("\ncustomers/getAll: gone\n"), "{said}");
    assert!(said.contains("1 operation, revision 2027-01-15: would be stored in "), "{said}");
    assert!(!data.join("mews").exists(), "a dry run keeps nothing");

    // The folder itself and that of its operations serve as well.
    for from in [docs.clone(), docs.join("connector-api"), docs.join("connector-api/operations")] {
        let said = succeeded(&mews(&data, &["update", from.to_str().unwrap()]));
        assert!(said.contains("1 operation, revision 2027-01-15: stored in "), "{said}");
        let shown = succeeded(&mews(&data, &["show", "currencies/getAll"]));
        assert!(shown.contains("documentation of 2027-01-15") && shown.contains("Shelf"), "{shown}");
    }
    let again = succeeded(&mews(&data, &["update", from]));
    assert!(again.starts_with("Nothing changes. "), "{again}");

    let said = succeeded(&mews(&data, &["update", "--builtin", "--dry-run"]));
    assert!(said.contains("currencies/getAll: Shelf: gone"), "{said}");
    assert!(said.ends_with("The built-in revision 2026-08-07 would be used again.\n"), "{said}");
    assert!(succeeded(&mews(&data, &["show", "currencies/getAll"])).contains("Shelf"), "a dry run changes nothing");
    let said = succeeded(&mews(&data, &["update", "--builtin"]));
    assert!(said.ends_with("The built-in revision 2026-08-07 is used again.\n"), "{said}");
    assert!(!succeeded(&mews(&data, &["show", "currencies/getAll"])).contains("Shelf"));
    let again = succeeded(&mews(&data, &["update", "--builtin"]));
    assert!(again.starts_with("Nothing changes. "), "{again}");
}

#[test]
fn an_openapi_document_is_kept_over_what_is_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("mews.json"));
    fs::write(&file, document()).unwrap();
    let from = file.to_str().unwrap();
    let said = succeeded(&mews(&data, &["update", from]));
    assert!(
        said.starts_with(
            "currencies/getAll: Region: new, string, required, at most 2 characters\n1 change in 1 operation. "
        ),
        "{said}"
    );
    assert!(said.contains(", revision mews.json: stored in "), "{said}");
    assert!(succeeded(&mews(&data, &["show", "customers/getAll"])).contains("Get all customers"));
    let lines = succeeded(&mews(&data, &["update", "--builtin", "--dry-run", "--json"]));
    let change: Value = serde_json::from_str(lines.trim()).expect("nothing but objects");
    assert_eq!((&change["field"], &change["kind"]), (&json!("Region"), &json!("removed")));
    succeeded(&mews(&data, &["update", from, "--revision", "of today\u{7}"]));
    assert!(succeeded(&mews(&data, &["show", "currencies/getAll"])).contains("documentation of of today\n"));
}

#[test]
fn what_is_neither_a_document_nor_a_checkout_is_refused_and_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("words.txt"), "hello\n").unwrap();
    fs::write(path("empty.yaml"), "").unwrap();
    fs::write(path("broken.json"), "{\"openapi\":").unwrap();
    fs::write(path("other.json"), r#"{"openapi":"3.0.4","paths":{"/v1/pets":{"post":{}}}}"#).unwrap();
    fs::write(path("bytes"), [0xff, 0xfe, 0, 1]).unwrap();
    fs::File::create(path("huge.json")).unwrap().set_len((64 << 20) + 1).unwrap();
    fs::create_dir_all(path("nothing")).unwrap();
    fs::create_dir_all(path("bare/connector-api/operations")).unwrap();
    for (name, reason) in [
        ("words.txt", "no operation below /api/connector/v1/"),
        ("empty.yaml", "OpenAPI document"),
        ("broken.json", "broken JSON"),
        ("other.json", "no operation below /api/connector/v1/"),
        ("bytes", "UTF-8"),
        ("huge.json", "larger than 64 MiB"),
        ("nothing", "has no folder `operations`"),
        ("bare", "no page has an operation"),
        ("nowhere", "can't be read"),
    ] {
        let from = path(name);
        let error = refused(&mews(&data, &["update", from.to_str().unwrap()]));
        assert!(error.contains(from.to_str().unwrap()) && error.contains(reason), "{name}: {error}");
    }
    assert!(!data.join("mews").exists());
}

/// Regression: the remedy that the error names failed with the same error.
#[test]
fn a_damaged_file_is_named_with_a_remedy_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let (data, document_file) = (folder.path().join("data"), folder.path().join("mews.json"));
    fs::write(&document_file, document()).unwrap();
    let kept = data.join("mews/contracts.json");
    succeeded(&mews(&data, &["update", document_file.to_str().unwrap()]));
    let good = fs::read(&kept).unwrap();
    let foreign = br#"{"kind":"data","revision":"x","content":"[[["}"#.to_vec();
    for damaged in [vec![], good[..good.len() / 2].to_vec(), vec![0xff; 100], foreign] {
        for remedy in [&["update", "--builtin"][..], &["update", document_file.to_str().unwrap()]] {
            fs::write(&kept, &damaged).unwrap();
            for command in [&["show", "customers/getAll"][..], &["diff"]] {
                let output = mews(&data, command);
                let error = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(2), "{error}");
                assert!(error.contains("contracts.json") && error.contains("mews update --builtin"), "{error}");
            }
            succeeded(&mews(&data, remedy));
            succeeded(&mews(&data, &["show", "customers/getAll"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_told_which_of_its_operations_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("mews.json"));
    let simulated = Simulated::start(BINARY, &[]);
    let serve = Process::serve_on(BINARY, &data, &["--upstream", simulated.url(), "--session", "night"]);
    let tokens = PUBLISHED_TOKENS[0];
    let body = format!(
        r#"{{"ClientToken":"{}","AccessToken":"{}","Client":"Test 1.0.0","Limitation":{{"Count":1}}}}"#,
        tokens.client, tokens.access
    );
    for operation in ["currencies/getAll", "countries/getAll", "currencies/getAll", "nothing/known"] {
        send(serve.proxy(), &post(operation, &body)).await;
    }
    let said = succeeded(&mews(&data, &["diff", "--session", "night"]));
    assert_eq!(said, "You call 2 operations; 0 have changed between revisions 2026-08-07 and 2026-08-07.\n");
    let mut more: Value = serde_json::from_str(&document()).unwrap();
    let paths = &mut more["paths"];
    paths["/api/connector/v1/customers/getAll"] = paths["/api/connector/v1/currencies/getAll"].clone();
    fs::write(&file, more.to_string()).unwrap();
    let said = succeeded(&mews(&data, &["update", file.to_str().unwrap()]));
    assert!(said.contains("2 changes in 2 operations"), "{said}");
    let expected = "currencies/getAll: Region: new, string, required, at most 2 characters\n\
        You call 2 operations; 1 has changed between revisions 2026-08-07 and mews.json.\n";
    assert_eq!(succeeded(&mews(&data, &["diff"])), expected);
    // The same once nobody records.
    drop(serve);
    assert_eq!(succeeded(&mews(&data, &["diff", "--session", "night"])), expected);
    let lines = succeeded(&mews(&data, &["diff", "--json"]));
    let change: Value = serde_json::from_str(lines.trim()).expect("one object and no more");
    assert_eq!(change["operation"], "currencies/getAll");
    let error = refused(&mews(&data, &["diff", "--session", "other"]));
    assert!(error.contains("other"), "{error}");
}
