//! Recorded requests, sent again.

use std::{
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output, Stdio},
};

use nightaudit_testkit::{Process, Upstream, open_web_socket, post, read_response, send};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{ "AccessToken":"access-token-0001","ClientToken":"client-token-0001","Client":"Kiosk 1.0","Limitation":{"Count":100} }"#;

fn resend(serve: &Process, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("resend").args(arguments).arg("--data").arg(serve.data()).stdin(Stdio::null());
    command.env_remove("VISUAL").envs(variables.iter().copied()).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// The newest exchanges, newest first.
fn newest(serve: &Process, count: usize) -> Vec<Value> {
    let tail = serve.run(BINARY, &["tail", "--no-follow", "--json", "-n", &count.to_string()]);
    let mut lines: Vec<Value> =
        String::from_utf8(tail.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.reverse();
    lines
}

/// What the upstream got: the body, and the names of the headers.
fn seen(mews: &Upstream) -> Vec<(String, Vec<String>)> {
    let bodies = mews.seen().into_iter().map(|seen| {
        let names = seen.head.headers.keys().map(|name| name.as_str().to_owned()).collect();
        (String::from_utf8(seen.body.to_vec()).unwrap(), names)
    });
    bodies.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_again_as_it_was_and_recorded_as_another() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    let request = String::from_utf8(post("rates/getAll", BODY)).unwrap();
    let request = request.replace("Host: proxy\r\n", "Host: proxy\r\nX-Own: mine\r\nX-Nightaudit-Session: other\r\n");
    assert_eq!(send(serve.proxy(), request.as_bytes()).await.status, 200);
    let original = newest(&serve, 1).remove(0);
    let output = resend(&serve, &["last"], &[]);
    assert!(output.status.success(), "{}", told(&output));
    let [first, again] = &seen(&mews)[..] else { panic!("two") };
    assert_eq!(again.0, BODY);
    assert!(again.1.contains(&"x-own".to_owned()) && !again.1.iter().any(|name| name.starts_with("x-nightaudit")));
    // The connection's own headers aside, in the same order.
    let end_to_end = |names: &[String]| {
        names
            .iter()
            .filter(|name| !["host", "connection", "content-length"].contains(&name.as_str()))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(end_to_end(&again.1), end_to_end(&first.1));
    let new = newest(&serve, 1).remove(0);
    assert_eq!((&new["resentFrom"], &new["outcome"]), (&original["id"], &json!("answered")));
    assert_eq!(new["envelope"]["accessToken"], original["envelope"]["accessToken"]);
    assert!(
        told(&output).starts_with(&format!("{}  200  rates/getAll", new["id"].as_str().unwrap())),
        "{}",
        told(&output)
    );
    let shown = serve.run(BINARY, &["show", "last"]);
    let line = format!("sent again from: {}", original["id"].as_str().unwrap());
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&line), "{}", told(&shown));
    // The evidence has it, and holds.
    let file = serve.data().join("all.har");
    let exported = serve.run(BINARY, &["export", "--format", "har", "-o", file.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", told(&exported));
    assert!(std::fs::read_to_string(&file).unwrap().contains("\"resentFrom\""));
    let checked = serve.run(BINARY, &["log", "check"]);
    assert!(checked.status.success(), "{}", told(&checked));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_changed_repeated_and_kept_within_the_limits() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--limit", "3/1h"]);
    assert_eq!(send(serve.proxy(), &post("rates/getAll", BODY)).await.status, 200);
    let arguments = ["last", "--set", "/Limitation/Count=10", "--set", "/New/State=Started", "--times", "3", "--json"];
    let output = resend(&serve, &arguments, &[]);
    assert!(output.status.success(), "{}", told(&output));
    let statuses: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["status"].clone())
        .collect();
    assert_eq!(statuses, [200, 200, 429]);
    let changed = BODY.replace("100", "10").replace("} }", "},\"New\":{\"State\":\"Started\"} }");
    let bodies: Vec<String> = seen(&mews).into_iter().map(|(body, _)| body).collect();
    assert_eq!(bodies, [BODY, &changed, &changed]);
    let outcomes: Vec<Value> = newest(&serve, 4).into_iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(outcomes, ["refused", "answered", "answered", "answered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_this_run_has_not_seen_are_given() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url()]);
    assert_eq!(send(serve.proxy(), &post("rates/getAll", BODY)).await.status, 200);
    drop(serve);
    let variables =
        [("NIGHTAUDIT_ACCESS_TOKEN", "access-token-0002"), ("NIGHTAUDIT_CLIENT_TOKEN", "client-token-0002")];
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url()]);
    let output = resend(&serve, &["last"], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    for named in ["2 secrets were replaced", "the access token", "the client token", "NIGHTAUDIT_ACCESS_TOKEN"] {
        assert!(told(&output).contains(named), "{named}: {}", told(&output));
    }
    let output = resend(&serve, &["last"], &variables);
    assert!(output.status.success() && !told(&output).contains("not a configuration key"), "{}", told(&output));
    assert_eq!(seen(&mews)[1].0, BODY.replace("0001", "0002"));
    // Now that run has seen them. Whoever turns that off has to give them.
    assert!(resend(&serve, &["last"], &[]).status.success());
    drop(serve);
    let off = [("NIGHTAUDIT_RESEND_TOKENS", "false")];
    let serve = Process::serve_with(BINARY, &data, &["--upstream", &mews.url()], &off);
    assert!(resend(&serve, &["last"], &variables).status.success());
    assert_eq!(resend(&serve, &["last"], &[]).status.code(), Some(1));
    for secret in ["access-token-000", "client-token-000"] {
        let found = Command::new("grep").args(["-r", secret]).arg(&data).output().unwrap();
        assert!(found.stdout.is_empty(), "{}", told(&found));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_environment_is_named_and_production_asked_for() {
    let (mews, other) = (Upstream::responding(200, "{}").await, Upstream::responding(201, "{}").await);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nightaudit.toml");
    std::fs::write(&config, format!("[environments.other]\napi = \"{}\"\n", other.url())).unwrap();
    let config = config.to_str().unwrap();
    let serve =
        Process::serve_on(BINARY, &folder.path().join("data"), &["--upstream", &mews.url(), "--config", config]);
    assert_eq!(send(serve.proxy(), &post("rates/getAll", BODY)).await.status, 200);
    // Tokens of one environment are not sent to another.
    let output = resend(&serve, &["last", "--to", "other"], &[]);
    assert!(output.status.code() == Some(1) && told(&output).contains("the access token"), "{}", told(&output));
    let variables = [("NIGHTAUDIT_ACCESS_TOKEN", "other-token-0001"), ("NIGHTAUDIT_CLIENT_TOKEN", "other-token-0002")];
    let output = resend(&serve, &["last", "--to", "other"], &variables);
    assert!(output.status.success(), "{}", told(&output));
    assert!(seen(&other)[0].0.contains("other-token-0001"));
    assert_eq!(newest(&serve, 1)[0]["environment"], "other");
    // Nobody can be asked, and nothing is sent.
    let output = resend(&serve, &["last", "--to", "production"], &variables);
    assert!(output.status.code() == Some(2) && told(&output).contains("--yes"), "{}", told(&output));
    let output = resend(&serve, &["last", "--to", "moon"], &[]);
    assert!(
        output.status.code() == Some(2) && told(&output).contains("use stand-in, demo, production, other"),
        "{}",
        told(&output)
    );
    assert_eq!((seen(&mews).len(), seen(&other).len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_is_edited_and_filters_choose_what_is_sent() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    for operation in ["rates/getAll", "bills/getAll", "rates/getAll"] {
        assert_eq!(send(serve.proxy(), &post(operation, BODY)).await.status, 200);
    }
    let folder = tempfile::tempdir().unwrap();
    let editor = folder.path().join("editor");
    // It sees the body indented, and without tokens.
    std::fs::write(
        &editor,
        "#!/bin/sh\ngrep -q '^  \"AccessToken\": *\"REDACTED:' \"$2\" && sed -i \"s/100/$1/\" \"$2\"\n",
    )
    .unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o700)).unwrap();
    let edited = |with: &str| {
        let command = format!("{} {with}", editor.display());
        resend(&serve, &["last", "--edit"], &[("EDITOR", &command)])
    };
    let output = edited("7");
    assert!(output.status.success(), "{}", told(&output));
    let body: Value = serde_json::from_str(&seen(&mews)[3].0).unwrap();
    assert_eq!((&body["Limitation"]["Count"], &body["AccessToken"]), (&json!(7), &json!("access-token-0001")));
    let failed = resend(&serve, &["last", "--edit"], &[("EDITOR", "false")]);
    assert!(failed.status.code() == Some(1) && told(&failed).contains("nothing was sent"), "{}", told(&failed));
    let filters = ["--operation", "rates/*"];
    let asked = resend(&serve, &filters, &[]);
    assert!(asked.status.code() == Some(2) && told(&asked).contains("--yes"), "{}", told(&asked));
    let output = resend(&serve, &[&filters[..], &["--yes"]].concat(), &[]);
    assert!(output.status.success() && told(&output).lines().count() == 3, "{}", told(&output));
    let none = resend(&serve, &["--operation", "nothing/*"], &[]);
    assert!(none.status.code() == Some(1) && told(&none).contains("no request matches"), "{}", told(&none));
    assert_eq!(seen(&mews).len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_is_not_sent_again() {
    let mews = Upstream::raw(|mut stream| async move {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(head).await.unwrap();
    })
    .await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    let mut stream = TcpStream::connect(serve.proxy()).await.unwrap();
    stream.write_all(&open_web_socket("")).await.unwrap();
    assert_eq!(read_response(&mut stream).await.status, 101);
    let handshake = newest(&serve, 2).into_iter().find(|one| one["response"]["status"] == 101).unwrap();
    let output = resend(&serve, &[handshake["id"].as_str().unwrap()], &[]);
    assert!(output.status.code() == Some(1) && told(&output).contains("of a WebSocket"), "{}", told(&output));
}
