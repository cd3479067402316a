//! The certification run at the console: what it says is what the command line says.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use nightaudit_testkit::{Process, RawResponse, Upstream, leave, post, send};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Acme 1.0","Email":"ann@example.com"}"#;

/// The configuration of `serve` and of all commands.
const CONFIG: &str = r#"
[redact]
export_fields = ["Email"]

[[limit.rule]]
name = "ours"
key = ["access_token"]
requests = 3
window = "10m"
"#;

/// A `serve` with a limit of its own, and that masks a property in exports.
async fn recording(folder: &Path, mews: &Upstream) -> Process {
    let config = folder.join("nightaudit.toml");
    fs::write(&config, CONFIG).unwrap();
    let arguments = ["--upstream", &mews.url(), "--session", "certification", "--config", config.to_str().unwrap()];
    Process::serve_on(BINARY, &folder.join("data"), &arguments)
}

/// The head of a request to the console.
fn head(serve: &Process, method: &str, path: &str, length: usize) -> String {
    let (host, token) = (serve.console_host(), serve.token());
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )
}

async fn ask(serve: &Process, method: &str, path: &str, body: &[u8]) -> RawResponse {
    let address: SocketAddr = serve.console_host().parse().unwrap();
    let mut request = head(serve, method, path, body.len()).into_bytes();
    request.extend_from_slice(body);
    send(address, &request).await
}

async fn get(serve: &Process, path: &str) -> Value {
    let response = ask(serve, "GET", path, b"").await;
    assert_eq!(response.status, 200, "{path}: {}", String::from_utf8_lossy(&response.body));
    response.json()
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--config").arg(folder.join("nightaudit.toml"));
    command.arg("--data").arg(folder.join("data")).current_dir(folder);
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What `review --json` prints.
fn reviewed(folder: &Path, session: &str) -> Value {
    let output = run(folder, &["review", "--json", "--session", session, "--fail-on", "never"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)))
}

/// The review at the console.
async fn shown(serve: &Process, session: &str) -> Value {
    let mut review = get(serve, &format!("/api/v1/sessions/{session}/review")).await;
    assert_eq!(review["current"], true);
    review.as_object_mut().unwrap().retain(|name, _| name != "upTo" && name != "current");
    review
}

/// Writes a file of evidence at the console and returns its state and its bytes.
async fn written(serve: &Process, format: &str) -> (Value, Vec<u8>) {
    let body = json!({ "session": "certification", "format": format }).to_string();
    let begun = ask(serve, "POST", "/api/v1/evidence", body.as_bytes()).await;
    assert_eq!(begun.status, 202, "{}", String::from_utf8_lossy(&begun.body));
    let path = format!("/api/v1/evidence/{}", begun.json()["id"].as_str().unwrap());
    let done = async {
        loop {
            let job = get(serve, &path).await;
            if job["state"] != "running" {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let job = tokio::time::timeout(Duration::from_secs(60), done).await.expect("a file that is written");
    let file = ask(serve, "GET", &format!("{path}/file"), b"").await;
    assert_eq!(file.status, 200, "{job}");
    assert_eq!(ask(serve, "DELETE", &path, b"").await.status, 204);
    (job, file.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn page_command_report_and_bundle_give_the_same_review() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mews = Upstream::responding(200, "{}").await;
    let serve = recording(folder, &mews).await;
    for operation in ["configuration/get", "customers/getall", "bills/getAll", "bills/getAll", "bills/getAll"] {
        send(serve.proxy(), &post(operation, BODY)).await;
    }
    let toml = "integration = \"Acme\"\n[operations]\n\"bills/getAll\" = \"what is open\"\n\
                [rules]\n\"request/unknown-operation\" = { silence = true, reason = \"a test\" }\n";
    let invalid = json!({ "toml": toml.replace("silence", "silenced") }).to_string();
    let path = "/api/v1/sessions/certification/declaration";
    let refused = ask(&serve, "PUT", path, invalid.as_bytes()).await;
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert_eq!((refused.status, &*error), (400, "line 5: `silenced` is not a key of a rule: did you mean `silence`?"));
    let stored = ask(&serve, "PUT", path, json!({ "toml": toml }).to_string().as_bytes()).await;
    assert_eq!(stored.status, 200, "{}", String::from_utf8_lossy(&stored.body));

    let review = shown(&serve, "certification").await;
    assert_eq!(review["declared"]["integration"], "Acme");
    // The limit of the configuration is judged, too.
    let rules: Vec<_> = review["limits"].as_array().unwrap().iter().map(|limit| limit["rule"].clone()).collect();
    assert!(rules.contains(&"ours".into()), "{rules:?}");
    assert_eq!(review, reviewed(folder, "certification"));

    let (job, bundle) = written(&serve, "bundle").await;
    fs::write(folder.join("page.zip"), &bundle).unwrap();
    let exported = run(folder, &["export", "--session", "certification", "-o", "command.zip"]);
    assert!(exported.status.success(), "{}", told(&exported));
    let fingerprint = job["fingerprint"].as_str().unwrap();
    for file in ["page.zip", "command.zip"] {
        let verified = run(folder, &["verify", file, "--key", fingerprint]);
        assert!(verified.status.success(), "{file}: {}", told(&verified));
    }
    assert_eq!(get(&serve, "/api/v1/key").await["fingerprint"], fingerprint);
    let inside = |zip: &Path, name: &str| -> Vec<u8> {
        let mut archive = zip::ZipArchive::new(fs::File::open(zip).unwrap()).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut archive.by_name(name).unwrap(), &mut bytes).unwrap();
        bytes
    };
    for file in ["page.zip", "command.zip"] {
        let mut reviews: Value = serde_json::from_slice(&inside(&folder.join(file), "review.json")).unwrap();
        // Whether masked values look real can't be seen in the bundle, and is in the review of the log.
        let points = reviews[0]["checklist"].as_array_mut().unwrap();
        let point = points.iter_mut().find(|point| point["id"] == "test-data").unwrap();
        assert_eq!(point["state"], "not-judged", "{point}");
        *point =
            review["checklist"].as_array().unwrap().iter().find(|point| point["id"] == "test-data").unwrap().clone();
        assert_eq!(reviews[0], review, "{file}");
    }
    let exchanges = |file: &str| inside(&folder.join(file), "exchanges.ndjson");
    assert_eq!(exchanges("page.zip"), exchanges("command.zip"));
    assert!(!String::from_utf8(exchanges("page.zip")).unwrap().contains("ann@example.com"));
    let (_, report) = written(&serve, "report").await;
    let report = String::from_utf8(report).unwrap();
    assert!(report.contains("Acme") && report.contains("silenced"), "{report:.500}");

    // With what is recorded afterwards, and with the declaration of the command line.
    send(serve.proxy(), &post("rates/getAll", BODY)).await;
    assert_eq!(shown(&serve, "certification").await, reviewed(folder, "certification"));
    fs::write(folder.join("other.toml"), "integration = \"Other\"\n").unwrap();
    let declared = run(folder, &["sessions", "declare", "certification", "other.toml"]);
    assert!(declared.status.success(), "{}", told(&declared));
    let review = shown(&serve, "certification").await;
    assert_eq!((&review["declared"]["integration"], &review), (&"Other".into(), &reviewed(folder, "certification")));
    let (data, _) = (folder.join("data/evidence"), serve.stop());
    assert!(!data.exists() || fs::read_dir(&data).unwrap().next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_imported_while_exchanges_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let (there, here) = (folder.path().join("there"), folder.path().join("here"));
    fs::create_dir_all(&there).unwrap();
    fs::create_dir_all(&here).unwrap();
    let mews = Upstream::responding(200, "{}").await;
    let recorded = recording(&there, &mews).await;
    for _ in 0..3 {
        send(recorded.proxy(), &post("bills/getAll", BODY)).await;
    }
    let exported = run(&there, &["export", "--session", "certification", "--format", "ndjson", "-o", "all.ndjson"]);
    assert!(exported.status.success(), "{}", told(&exported));
    let ndjson = fs::read(there.join("all.ndjson")).unwrap();

    let serve = recording(&here, &mews).await;
    let address: SocketAddr = serve.console_host().parse().unwrap();
    // The second half comes after an exchange was recorded.
    let mut upload = TcpStream::connect(address).await.unwrap();
    let request = head(&serve, "POST", "/api/v1/import?name=theirs", ndjson.len());
    upload.write_all(request.as_bytes()).await.unwrap();
    let (first, second) = ndjson.split_at(ndjson.len() / 2);
    upload.write_all(first).await.unwrap();
    assert_eq!(send(serve.proxy(), &post("rates/getAll", BODY)).await.status, 200);
    let busy = ask(&serve, "POST", "/api/v1/import", &ndjson).await;
    assert_eq!(busy.status, 503, "{}", String::from_utf8_lossy(&busy.body));
    upload.write_all(second).await.unwrap();
    let imported = nightaudit_testkit::read_response(&mut upload).await;
    assert_eq!(imported.status, 201, "{}", String::from_utf8_lossy(&imported.body));
    let imported = imported.json();
    assert_eq!(
        (&imported["name"], &imported["exchanges"], &imported["also"]),
        (&"theirs".into(), &3.into(), &json!([]))
    );
    let review = shown(&serve, "theirs").await;
    assert_eq!((&review["run"]["exchanges"], &review), (&3.into(), &reviewed(&here, "theirs")));
    assert_eq!(get(&serve, "/api/v1/sessions/certification").await["exchanges"], 1);
    let compared = get(&serve, "/api/v1/compare?a=theirs&b=certification").await;
    let command =
        run(&here, &["review", "--json", "--session", "certification", "--against", "theirs", "--fail-on", "never"]);
    assert_eq!(compared["comparison"], serde_json::from_slice::<Value>(&command.stdout).unwrap());

    // What can't be imported leaves nothing, and says why.
    let broken = [&ndjson[..], b"{\"id\": 5}\n"].concat();
    for (body, status, named) in [
        (&ndjson[..], 409, "is already in the log"),
        (&broken, 409, "is already in the log"),
        (b"{\"id\": 5}", 400, "line 1 is not an exchange"),
        (b"PK\x03\x04rest", 400, "this is a bundle: `unzip"),
        (b"{ \"log\": {}}", 400, "this is not a HAR: it has no `log.entries`"),
        (b"{ \"log\": {\"entries\": []}}", 400, "the file has no exchanges"),
        (b"{ \"log\": {\"entries\": [{}]}}", 400, "log.entries[0] can't be read, at byte 22: missing field `request`"),
        (b"<html>", 400, "the format is unknown"),
        (b"", 400, "the file has no exchanges"),
    ] {
        let refused = ask(&serve, "POST", "/api/v1/import", body).await;
        let error = refused.json()["error"].as_str().unwrap().to_owned();
        assert!(refused.status == status && error.contains(named), "{}: {error}", refused.status);
    }
    assert_eq!(ask(&serve, "DELETE", "/api/v1/sessions/theirs", b"").await.status, 200);
    // A client that leaves in the middle leaves nothing either.
    let mut upload = TcpStream::connect(address).await.unwrap();
    upload.write_all(head(&serve, "POST", "/api/v1/import", ndjson.len()).as_bytes()).await.unwrap();
    upload.write_all(first).await.unwrap();
    leave(upload);
    let free = async {
        while ask(&serve, "POST", "/api/v1/import", b"").await.status == 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), free).await.expect("an import that ends");
    let sessions = get(&serve, "/api/v1/sessions").await;
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(1), "{sessions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_waits_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let mews = Upstream::responding(200, "{}").await;
    let serve = recording(folder.path(), &mews).await;
    send(serve.proxy(), &post("bills/getAll", BODY)).await;
    let address: SocketAddr = serve.console_host().parse().unwrap();
    let request = head(&serve, "GET", "/api/v1/sessions/certification/review?wait=1", 0);
    // As many as may wait at once, over and over.
    for _ in 0..3 {
        let mut waiting = Vec::new();
        for _ in 0..64 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            waiting.push(stream);
        }
        waiting.into_iter().for_each(leave);
    }
    let heard = async {
        loop {
            let response = ask(&serve, "GET", "/api/v1/sessions/certification/review?wait=0", b"").await;
            if response.status == 200 {
                return;
            }
            assert_eq!(response.status, 503);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // Sooner than they would have been answered.
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("a place for another client");
}
