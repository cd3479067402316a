//! Tests through the console's router.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use nightaudit_exchange::{Body, PseudonymKey};
use nightaudit_export::{SigningKey, VerifyOptions, verify};
use nightaudit_log::{ReadLog, testing, testing::MemoryLog};
use serde_json::{Value, json};

use super::{LIFETIME, MOST, MOST_RUNNING};
use crate::{
    EvidenceTools, Gauges,
    slow::Slow,
    tests::{Opened, ask, console_over, send},
};

struct Made {
    opened: Opened,
    data: tempfile::TempDir,
}

/// A console that makes evidence, over a log with 30 exchanges.
fn made() -> Made {
    let log = MemoryLog::default();
    made_over(log.clone(), Arc::new(log))
}

fn made_over(log: MemoryLog, read: Arc<dyn ReadLog>) -> Made {
    let data = tempfile::tempdir().unwrap();
    let opened = console_over(log, read, gauges(data.path()));
    for mut exchange in testing::exchanges(1, "a", 30) {
        exchange.request.body = Body::whole(r#"{"Email":"ann@example.com"}"#.into());
        opened.log.record(exchange);
    }
    Made { opened, data }
}

fn gauges(data: &Path) -> Gauges {
    let folder = data.to_owned();
    let evidence = EvidenceTools {
        folder: data.to_owned(),
        keys: data.to_owned(),
        masked_fields: vec!["Email".to_owned()],
        mask_key: Box::new(|| PseudonymKey([7; 32])),
        signing_key: Box::new(move || Ok(SigningKey::load_or_create(&folder)?)),
    };
    Gauges { evidence: Some(evidence), ..Gauges::default() }
}

impl Made {
    async fn begin(&self, format: &str) -> (StatusCode, Value) {
        let body = json!({ "session": "a", "format": format }).to_string();
        let (status, text) = send(&self.opened, "POST", "/api/v1/evidence", &body).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let (status, text) = ask(&self.opened, "GET", path, true).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    async fn delete(&self, id: &str) -> StatusCode {
        send(&self.opened, "DELETE", &format!("/api/v1/evidence/{id}"), "").await.0
    }

    /// The job once it has ended.
    async fn ended(&self, id: &str) -> Value {
        let ended = async {
            loop {
                let (status, job) = self.get(&format!("/api/v1/evidence/{id}")).await;
                assert_eq!(status, StatusCode::OK);
                if job["state"] != "running" {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("a file that is written")
    }

    async fn file(&self, id: &str) -> (String, Vec<u8>) {
        let response = self.opened.get(&format!("/api/v1/evidence/{id}/file"), None).await;
        assert_eq!(response.status(), StatusCode::OK);
        let length = response.headers()[header::CONTENT_LENGTH].to_str().unwrap().to_owned();
        let name = response.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().to_owned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        assert_eq!(length, bytes.len().to_string());
        (name, bytes)
    }

    /// What is in the folder for files.
    fn left(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.data.path().join("evidence")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    async fn nothing_left(&self) {
        let gone = async {
            while !self.left().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap_or_else(|_| panic!("{:?}", self.left()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_is_written_downloaded_and_removed() {
    let made = made();
    assert_eq!(made.get("/api/v1/key").await.1, json!({ "fingerprint": null }));
    let mut ids = Vec::new();
    for (format, extension, begins) in [
        ("ndjson", "ndjson", "{\"id\""),
        ("har", "har", "{\"log\""),
        ("report", "html", "<!DOCTYPE html>"),
        ("bundle", "zip", "PK\u{3}\u{4}"),
    ] {
        let (status, job) = made.begin(format).await;
        assert_eq!((status, &job["of"], &job["format"]), (StatusCode::ACCEPTED, &30.into(), &format.into()));
        let id = job["id"].as_str().unwrap().to_owned();
        let job = made.ended(&id).await;
        assert_eq!(
            (&job["state"], &job["exchanges"], &job["error"]),
            (&"done".into(), &30.into(), &Value::Null),
            "{job}"
        );
        let (name, bytes) = made.file(&id).await;
        assert!(name.starts_with("attachment; filename=\"nightaudit-a-"), "{name}");
        assert!(name.ends_with(&format!("Z.{extension}\"")), "{name}");
        assert!(bytes.starts_with(begins.as_bytes()) && job["bytes"] == bytes.len(), "{format}");
        assert!(!String::from_utf8_lossy(&bytes).contains("ann@example.com"), "{format}");
        if format == "bundle" {
            let path = made.data.path().join("bundle.zip");
            fs::write(&path, &bytes).unwrap();
            let options = VerifyOptions { scratch: made.data.path().to_owned(), ..VerifyOptions::default() };
            let verified = verify(fs::File::open(&path).unwrap(), &options, &mut |_| {}).unwrap();
            assert_eq!(verified.exchanges, 30);
            let key = verified.signed_by.unwrap().key.to_string();
            assert_eq!(job["fingerprint"], key);
            assert_eq!(made.get("/api/v1/key").await.1["fingerprint"], key);
        } else {
            assert_eq!(job["fingerprint"], Value::Null);
        }
        ids.push(id);
    }
    let (_, list) = made.get("/api/v1/evidence").await;
    let listed: Vec<_> = list["evidence"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(listed, ids);
    assert_eq!(made.left().len(), 4);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&made.data.path().join("evidence")), mode(&made.left()[0])), (0o700, 0o600));
    for id in &ids {
        assert_eq!(made.delete(id).await, StatusCode::NO_CONTENT);
        assert_eq!(made.delete(id).await, StatusCode::NOT_FOUND);
        assert_eq!(made.get(&format!("/api/v1/evidence/{id}/file")).await.0, StatusCode::NOT_FOUND);
    }
    made.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_file_leaves_nothing_and_few_are_written_at_once() {
    let slow = Slow::default();
    let made = made_over(slow.log.clone(), Arc::new(slow.clone()));
    let mut ids = Vec::new();
    for _ in 0..MOST_RUNNING {
        let (status, job) = made.begin("bundle").await;
        assert_eq!(status, StatusCode::ACCEPTED);
        ids.push(job["id"].as_str().unwrap().to_owned());
    }
    let (status, refused) = made.begin("har").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused["error"].as_str().unwrap().starts_with("too many files are being written"), "{refused}");
    let (status, early) = made.get(&format!("/api/v1/evidence/{}/file", ids[0])).await;
    assert_eq!((status, &early["error"]), (StatusCode::CONFLICT, &"the file is still being written".into()));
    assert_eq!(made.delete(&ids[0]).await, StatusCode::NO_CONTENT);
    // Its place is free at once.
    assert_eq!(made.begin("ndjson").await.0, StatusCode::ACCEPTED);
    slow.go_on();
    let done = made.ended(&ids[1]).await;
    assert_eq!(done["state"], "done");
    let (_, list) = made.get("/api/v1/evidence").await;
    for job in list["evidence"].as_array().unwrap() {
        let id = job["id"].as_str().unwrap();
        made.ended(id).await;
        assert_eq!(made.delete(id).await, StatusCode::NO_CONTENT);
    }
    made.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_files_is_bounded_and_the_oldest_makes_room() {
    let made = made();
    let mut ids = Vec::new();
    for _ in 0..MOST + 2 {
        let (_, job) = made.begin("ndjson").await;
        let id = job["id"].as_str().unwrap().to_owned();
        made.ended(&id).await;
        ids.push(id);
    }
    assert_eq!(made.left().len(), MOST);
    assert_eq!(made.get(&format!("/api/v1/evidence/{}", ids[1])).await.0, StatusCode::NOT_FOUND);
    assert_eq!(made.get(&format!("/api/v1/evidence/{}", ids[2])).await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_removed_after_an_hour_and_at_the_next_start() {
    let made = made();
    let (_, job) = made.begin("ndjson").await;
    let path = format!("/api/v1/evidence/{}", job["id"].as_str().unwrap());
    // The clock stands; the file is written by another thread.
    while made.get(&path).await.1["state"] == "running" {
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(5));
    }
    // The task that removes it sets its timer once the thread is done.
    for _ in 0..100 {
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(1));
    }
    tokio::time::advance(LIFETIME - Duration::from_secs(60)).await;
    assert_eq!(made.get(&path).await.0, StatusCode::OK);
    tokio::time::advance(Duration::from_secs(120)).await;
    while made.get(&path).await.0 == StatusCode::OK {
        tokio::task::yield_now().await;
    }
    assert_eq!(made.left(), [""; 0].map(PathBuf::from));

    let left = made.data.path().join("evidence/left");
    fs::write(&left, "of a process that was killed").unwrap();
    let log = MemoryLog::default();
    let again = console_over(log.clone(), Arc::new(log), gauges(made.data.path()));
    assert!(!left.exists());
    drop(again);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_said_in_the_file_and_a_session_that_isnt_there_has_none() {
    let made = made();
    made.opened.log.damage(testing::exchange(1, "a", 7).id);
    let (_, job) = made.begin("ndjson").await;
    let job = made.ended(job["id"].as_str().unwrap()).await;
    assert_eq!((&job["state"], &job["exchanges"], &job["missing"]), (&"done".into(), &29.into(), &1.into()));
    let (_, bytes) = made.file(job["id"].as_str().unwrap()).await;
    let last: Value =
        serde_json::from_slice(bytes.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(last["missing"]["ranges"], json!([[7, 7]]));

    send(&made.opened, "POST", "/api/v1/sessions", r#"{"name":"empty"}"#).await;
    for (body, status, named) in [
        (json!({ "session": "none", "format": "har" }), 404, "there is no session `none`"),
        (json!({ "session": "empty", "format": "har" }), 409, "session `empty` has no exchanges yet"),
        (json!({ "session": "a", "format": "exe" }), 400, "unknown variant `exe`"),
        (json!({ "session": "a" }), 400, "missing field `format`"),
        (json!({ "session": "a", "format": "har", "path": "/etc/passwd" }), 400, "unknown field `path`"),
        (json!({ "session": "x".repeat(5000), "format": "har" }), 413, "larger than 4 KiB"),
    ] {
        let (answered, text) = send(&made.opened, "POST", "/api/v1/evidence", &body.to_string()).await;
        assert!(answered.as_u16() == status && text.contains(named), "{body:.60}: {answered} {text}");
    }
    // A declaration that has become invalid fails the report, and is named.
    let body = json!({ "declaration": "pilt = 'A'" }).to_string();
    assert_eq!(send(&made.opened, "PATCH", "/api/v1/sessions/a", &body).await.0, StatusCode::OK);
    let (_, job) = made.begin("report").await;
    let job = made.ended(job["id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "failed");
    assert_eq!(job["error"], "the declaration: line 1: `pilt` is not a key of a declaration: did you mean `pilot`?");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_data_folder_no_evidence_is_made() {
    let opened = crate::tests::console();
    opened.record();
    let body = r#"{"session":"certification","format":"har"}"#;
    let (status, text) = send(&opened, "POST", "/api/v1/evidence", body).await;
    assert!(status == StatusCode::CONFLICT && text.contains("use `nightaudit export`"), "{text}");
    assert_eq!(ask(&opened, "GET", "/api/v1/key", true).await.1, r#"{"fingerprint":null}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_an_export_of_the_console_masked_nothing() {
    let made = made();
    for format in ["ndjson", "har", "curl"] {
        let path = format!("/api/v1/export?session=a&format={format}");
        let (status, text) = ask(&made.opened, "GET", &path, true).await;
        assert!(status == StatusCode::OK && text.contains("Email") && !text.contains("ann@example.com"), "{format}");
    }
    // What is no export is as the log has it.
    assert!(ask(&made.opened, "GET", "/api/v1/exchanges", true).await.1.contains("ann@example.com"));
}
