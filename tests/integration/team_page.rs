//! The team's page: the console over an archive.

use std::{fs, path::Path, process::Command, time::Duration};

use nightaudit_testkit::{Postgres, Process, RawResponse, Upstream, post, send};
use serde_json::{Value, json};

use crate::{
    archiving::{archive, node, printed, until},
    browser::browser,
    opening::{Viewer, ask, json},
};

/// Two nodes that have shipped six exchanges each of the session `certification`.
async fn two_nodes(as_node: &str) -> [Process; 2] {
    let mews = Upstream::responding(200, "{}").await;
    let nodes = ["frankfurt", "prague"].map(|name| node(name, &mews.url(), as_node));
    for node in &nodes {
        for number in 0..6 {
            let body = format!(r#"{{"AccessToken":"access-token-0001","Number":{number}}}"#);
            assert_eq!(send(node.proxy(), &post("bills/add", &body)).await.status, 200);
        }
        until(node, "archive_shipped_total", |shipped| shipped == 6).await;
    }
    nodes
}

async fn tell(viewer: &Viewer, method: &str, path: &str, body: &Value) -> RawResponse {
    let (host, body) = (&viewer.host, body.to_string());
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n{body}",
        viewer.token,
        body.len()
    );
    send(host.parse().unwrap(), request.as_bytes()).await
}

/// Builds a file of evidence, and returns it.
async fn evidence(viewer: &Viewer, session: &str, format: &str) -> Vec<u8> {
    let begun = tell(viewer, "POST", "/api/v1/evidence", &json!({ "session": session, "format": format })).await;
    assert_eq!(begun.status, 202, "{session} as {format}: {}", String::from_utf8_lossy(&begun.body));
    let begun: Value = serde_json::from_slice(&begun.body).unwrap();
    let path = format!("/api/v1/evidence/{}", begun["id"].as_str().unwrap());
    let done = async {
        loop {
            let job = json(&viewer.host, &viewer.token, &path).await;
            if job["state"] != "running" {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let job = tokio::time::timeout(Duration::from_secs(60), done).await.unwrap();
    assert_eq!((&job["state"], &job["missing"]), (&"done".into(), &0.into()), "{job}");
    let authorised = format!("Authorization: Bearer {}\r\n", viewer.token);
    ask(&viewer.host, "GET", &format!("{path}/file"), &authorised).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_exported_from_the_teams_page_and_nothing_is_changed_there() {
    let Some(postgres) = Postgres::shared() else { return };
    let (as_node, as_reader) = archive(&postgres);
    let nodes = two_nodes(&as_node).await;
    // The data folder of one that runs: what it has there stays.
    let data = nodes[0].data();
    fs::create_dir(data.join("evidence")).unwrap();
    fs::write(data.join("evidence/of-serve"), "being written").unwrap();
    let viewer = Viewer::start(data, &["--log", &as_reader]);
    assert_eq!(viewer.token, nodes[0].token());
    assert_eq!(json(&viewer.host, &viewer.token, "/api/v1/status").await["readOnly"], true);

    for (session, count) in [("certification", 12), ("certification@prague", 6)] {
        let lines = evidence(&viewer, session, "ndjson").await;
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), count, "{session}");
        let har: Value = serde_json::from_slice(&evidence(&viewer, session, "har").await).unwrap();
        assert_eq!(har["log"]["entries"].as_array().unwrap().len(), count);
        let csv = String::from_utf8(evidence(&viewer, session, "csv").await).unwrap();
        assert_eq!(csv.lines().count(), count + 1, "{csv}");
    }
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.zip");
    let mut verified = String::new();
    for (session, count) in [("certification@prague", 6), ("certification", 12)] {
        let report = String::from_utf8(evidence(&viewer, session, "report").await).unwrap();
        assert_eq!(report.contains("Recorded by 2 nodes"), count == 12, "{session}");
        fs::write(&bundle, evidence(&viewer, session, "bundle").await).unwrap();
        verified = printed(&["verify", bundle.to_str().unwrap()]);
        assert!(verified.contains(&format!("{count} exchanges in 1 session")), "{verified}");
    }
    assert!(verified.contains("certification on prague"), "{verified}");
    let key = json(&viewer.host, &viewer.token, "/api/v1/key").await;
    assert!(verified.contains(key["fingerprint"].as_str().unwrap()), "{verified}");
    assert_eq!(fs::read_to_string(data.join("evidence/of-serve")).unwrap(), "being written");

    let at = "/api/v1/sessions/certification";
    for (method, path, body) in [
        ("POST", "/api/v1/sessions", json!({ "name": "another" })),
        ("PATCH", at, json!({ "note": "seen" })),
        ("POST", &*format!("{at}/end"), json!({})),
        ("POST", "/api/v1/sessions/current/end", json!({})),
        ("PUT", &*format!("{at}/declaration"), json!({ "toml": "" })),
        ("DELETE", at, json!({})),
        ("POST", "/api/v1/import", json!({})),
    ] {
        let refused = tell(&viewer, method, path, &body).await;
        let said = String::from_utf8(refused.body).unwrap();
        assert_eq!(refused.status, 403, "{method} {path}: {said}");
        assert!(said.contains("only read") && said.contains("`nightaudit sessions`"), "{method} {path}: {said}");
    }
    let sessions = json(&viewer.host, &viewer.token, "/api/v1/sessions").await;
    let sessions = sessions["sessions"].as_array().unwrap();
    assert_eq!((sessions.len(), &sessions[0]["note"], &sessions[0]["open"]), (1, &Value::Null, &true.into()));
    // A change where the session is recorded is seen here.
    assert!(
        nodes[0].run(env!("CARGO_BIN_EXE_nightaudit"), &["sessions", "note", "certification", "seen"]).status.success()
    );
    let seen = async {
        while json(&viewer.host, &viewer.token, at).await["note"] != "seen" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap();
    viewer.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_without_a_data_folder_signs_evidence_too() {
    let Some(postgres) = Postgres::shared() else { return };
    let (as_node, as_reader) = archive(&postgres);
    let _nodes = two_nodes(&as_node).await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("none/yet");
    let viewer = Viewer::start(&data, &["--log", &as_reader]);
    assert!(!data.exists(), "looking leaves nothing");
    evidence(&viewer, "certification@prague", "bundle").await;
    assert!(data.join("signing-key").exists());
    let told = json(&viewer.host, &viewer.token, "/api/v1/key").await;
    viewer.stop();
    // The next one has the same key, and a page at an address that stays.
    let viewer = Viewer::start(&data, &["--log", &as_reader]);
    assert_eq!(json(&viewer.host, &viewer.token, "/api/v1/key").await, told);
    let token = viewer.token.clone();
    viewer.stop();
    assert_eq!(Viewer::start(&data, &["--log", &as_reader]).token, token);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_teams_page_has_no_button_that_changes_something() {
    let Some(browser) = browser("the team's page in a browser") else { return };
    let Some(postgres) = Postgres::shared() else { return };
    let (as_node, as_reader) = archive(&postgres);
    let _nodes = two_nodes(&as_node).await;
    let folder = tempfile::tempdir().unwrap();
    let viewer = Viewer::start(folder.path(), &["--log", &as_reader]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/team.cjs");
    let mut node = Command::new("node");
    node.arg(script).arg(env!("CARGO_BIN_EXE_nightaudit")).arg(&browser.program).env("NODE_PATH", &browser.packages);
    node.args(std::env::var_os("NIGHTAUDIT_TEST_PICTURES"));
    node.env("TEAM_PAGE", format!("http://{}/#token={}", viewer.host, viewer.token));
    let output = tokio::task::spawn_blocking(move || node.output().unwrap()).await.unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{failed}");
}
