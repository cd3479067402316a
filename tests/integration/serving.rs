//! The real binary: its output, its log, and its shutdown.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use nightaudit_exchange::Digest;
use nightaudit_testkit::{Process, Upstream, post, read_response, send, send_slowly};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn lines_of_json(output: &Output) -> Vec<Value> {
    succeeded(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a command that must fail, and gives what it says on stderr.
fn fails(arguments: &[&str], data: &Path, code: i32) -> String {
    let output = Command::new(BINARY)
        .args(arguments)
        .args(["--data".as_ref(), data.as_os_str()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty());
    said
}

const FREE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"];

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job() {
    let mews = Upstream::responding(200, r#"{"Reservations":[],"Cursor":null}"#).await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "certification"]);
    for _ in 0..201 {
        send(serve.proxy(), &post("reservations/getAll/2023-06-06", BODY)).await;
    }
    let refused = send(serve.proxy(), &post("reservations/getAll/2023-06-06", BODY)).await;
    assert_eq!((refused.status, refused.header("x-nightaudit-limited")), (429, Some("stand-in/published")));
    assert_eq!(mews.seen().len(), 200);

    let recorded = lines_of_json(&serve.run(BINARY, &["tail", "--no-follow", "--json", "-n", "1000"]));
    assert_eq!(recorded.len(), 202);
    assert_eq!(recorded[0]["operation"], "reservations/getAll/2023-06-06");
    assert_eq!(recorded[0]["sessionName"], "certification");
    assert_eq!(recorded[201]["outcome"], "refused");

    let (status, said) = serve.stop();
    assert!(status.success());
    assert!(said.contains("202 exchanges recorded"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_way_to_mews_it_starts_and_records_why_each_request_failed() {
    let serve = Process::serve(BINARY, &["--upstream", "http://mews.invalid"]);
    let response = send(serve.proxy(), &post("configuration/get", BODY)).await;
    assert_eq!((response.status, response.header("x-nightaudit-error")), (502, Some("resolve")));
    let recorded = lines_of_json(&serve.run(BINARY, &["tail", "--no-follow", "--json"]));
    assert_eq!((&recorded[0]["outcome"], &recorded[0]["error"]["kind"]), (&"failed".into(), &"resolve".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_disk() {
    let mews = Upstream::responding(200, r#"{"Echo":"access-token-0001","Set":"cl\u0069ent-token-0001"}"#).await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url()]);
    assert_eq!(send(serve.proxy(), &post("bills/add", BODY)).await.status, 200);
    let request = "GET /x?AccessToken=access-token-0002 HTTP/1.1\r\nHost: a\r\nCookie: ClientToken=client-token-0003; \
         AccessToken=access-token-0003\r\nAuthorization: Bearer bearer-token-0004\r\nConnection: close\r\n\r\n";
    assert_eq!(send(serve.proxy(), request.as_bytes()).await.status, 200);
    let tail = serve.run(BINARY, &["tail", "--no-follow", "--json"]);
    let both = lines_of_json(&tail);
    assert_eq!(both.len(), 2, "{}", String::from_utf8_lossy(&tail.stderr));
    assert!(serve.stop().0.success());
    let mut folders = vec![data];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(7).any(|window| window == b"-token-");
            assert!(!found, "a token stands in {}", path.display());
        }
    }
    assert!(files > 3);
    // Segments are compressed, so what they hold is looked at as well.
    assert!(!both.iter().any(|exchange| exchange.to_string().contains("-token-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_responses_that_cannot_be_compressed_are_recorded_whole_and_leave_no_file() {
    const SIZE: usize = 3 << 19;
    let noise = Arc::new(pseudo_random(SIZE));
    let sent = Arc::clone(&noise);
    let upstream = Upstream::raw(move |mut stream| {
        let sent = Arc::clone(&sent);
        async move {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&sent).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &upstream.url()]);
    let address = serve.proxy();
    let requests = (0..3).map(|_| tokio::spawn(async move { send(address, &post("images/getAll", BODY)).await }));
    for request in requests.collect::<Vec<_>>() {
        assert!(request.await.unwrap().body == *noise);
    }
    let before: BTreeSet<_> = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let recorded = lines_of_json(&serve.run(BINARY, &["export", "--format", "ndjson", "--output", "-"]));
    assert_eq!(recorded.len(), 3);
    for exchange in recorded {
        let response = &exchange["response"];
        assert_eq!((&response["bodyLength"], &response["truncated"]), (&SIZE.into(), &false.into()));
        assert_eq!(response["bodySha256"], Digest::of(&noise).to_string());
        assert_eq!(response["body"].as_str().map(str::len), Some(SIZE.div_ceil(3) * 4));
    }
    assert!(serve.stop().0.success());
    let after: BTreeSet<_> = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(before, after);
    // Their bytes have these digests.
    let check = Command::new(BINARY).args(["log", "check", "--data"]).arg(&data).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

/// Bytes that can't be compressed, beginning as a picture does.
fn pseudo_random(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    b"\xff\xd8\xff\xe0".iter().copied().chain(noise).take(length).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_fills_no_window() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["--upstream", &mews.url(), "--limit", "5/1h", "--session", "certification"];
    let serve = Process::serve_on(BINARY, &data, &arguments);
    for _ in 0..3 {
        assert_eq!(send(serve.proxy(), &post("bills/add", BODY)).await.status, 200);
    }
    serve.kill();
    let serve = Process::serve_on(BINARY, &data, &arguments);
    let statuses = [
        send(serve.proxy(), &post("bills/add", BODY)).await.status,
        send(serve.proxy(), &post("bills/add", BODY)).await.status,
        send(serve.proxy(), &post("bills/add", BODY)).await.status,
    ];
    assert_eq!(statuses, [200, 200, 429]);
    let limits = lines_of_json(&serve.run(BINARY, &["limits", "--json"]));
    assert_eq!((&limits[0]["used"], &limits[0]["left"]), (&5.into(), &0.into()));
    let sessions = lines_of_json(&serve.run(BINARY, &["sessions", "list", "--json"]));
    assert_eq!((sessions.len(), &sessions[0]["exchanges"]), (1, &6.into()), "the session of that name goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_finishes_when_serve_is_told_to_stop() {
    let (release, released) = tokio::sync::watch::channel(false);
    let mews = Upstream::scripted(move |_| {
        let mut released = released.clone();
        async move {
            released.wait_for(|released| *released).await.unwrap();
            let body = http_body_util::Full::from("{}");
            http::Response::new(http_body_util::BodyExt::boxed(http_body_util::BodyExt::map_err(body, |never| {
                match never {}
            })))
        }
    })
    .await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    let address = serve.proxy();
    let mut under_way = TcpStream::connect(address).await.unwrap();
    send_slowly(&mut under_way, &[&post("bills/add", BODY)]).await;
    while mews.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::task::spawn_blocking(move || serve.stop());
    // No new connection is taken any more: then it is stopping.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.send_replace(true);
    assert_eq!(read_response(&mut under_way).await.status, 200);
    let (status, said) = stopping.await.unwrap();
    assert!(status.success() && said.contains("1 exchange"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_follows_what_is_recorded() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    let mut tail = tokio::process::Command::new(BINARY)
        .args(["tail", "--json", "-n", "0", "--data"])
        .arg(serve.data())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(tail.stdout.take().unwrap()));
    // Whatever is sent before the tail has begun to follow, it does not show: send until it shows something.
    let sending = async {
        loop {
            send(serve.proxy(), &post("bills/add", BODY)).await;
        }
    };
    let first = tokio::select! {
        line = lines.next_line() => line.unwrap().unwrap(),
        () = sending => unreachable!("it sends for ever"),
    };
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["operation"], "bills/add");
    for number in 0..50 {
        send(serve.proxy(), &post(&format!("number/{number}"), BODY)).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 50 {
        let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        let operation = line["operation"].as_str().unwrap().to_owned();
        if operation.starts_with("number/") {
            seen.push(operation);
        }
    }
    assert_eq!(seen, (0..50).map(|number| format!("number/{number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_is_behind_its_token_and_its_name() {
    let serve = Process::serve(BINARY, &["--upstream", "http://mews.invalid"]);
    let (host, token) = (serve.console_host(), serve.token());
    let address = host.parse().unwrap();
    let ask = |host: &str, extra: &str| {
        format!("GET /api/v1/sessions HTTP/1.1\r\nHost: {host}\r\n{extra}Connection: close\r\n\r\n").into_bytes()
    };
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(send(address, &ask(host, &bearer)).await.status, 200);
    assert_eq!(send(address, &ask(host, "")).await.status, 401);
    assert_eq!(send(address, &ask(host, "Authorization: Bearer wrong\r\n")).await.status, 401);
    assert_eq!(send(address, &ask("rebound.example", &bearer)).await.status, 421);
}

#[test]
fn an_unknown_key_is_named_with_its_neighbour() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nightaudit.toml");
    std::fs::write(&config, "enviroment = \"demo\"\n").unwrap();
    let said = fails(&["serve", "--config", config.to_str().unwrap()], folder.path(), 2);
    assert!(said.contains("enviroment") && said.contains("environment"), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
}

#[test]
fn an_impossible_value_is_named_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nightaudit.toml");
    for (line, named) in [
        ("durability = \"sometimes\"", "durability"),
        ("timeouts.connect = \"soon\"", "connect"),
        ("listen = \"nowhere\"", "listen"),
        ("[[limit.rule]]\nname = \"a\"\nkey = [\"colour\"]\nrequests = 1\nwindow = \"30s\"", "colour"),
        ("[[limit.rule]]\nname = \"none\"\nkey = [\"access_token\"]\nrequests = 0\nwindow = \"30s\"", "none"),
        ("[[limit.rule]]\nname = \"short\"\nkey = [\"access_token\"]\nrequests = 1\nwindow = \"10ms\"", "short"),
        ("[[limit.rule]]\nname = \"big\"\nkey = [\"access_token\"]\nrequests = 1\nburst = 2\nwindow = \"30s\"", "big"),
    ] {
        std::fs::write(&config, line).unwrap();
        let said = fails(&["serve", "--config", config.to_str().unwrap()], folder.path(), 2);
        assert!(said.contains(named), "{line}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = fails(&["serve", "--listen", &address, "--console", "127.0.0.1:0"], &folder.path().join("data"), 1);
    assert!(said.lines().last().is_some_and(|line| line.contains(&address) && line.contains("--listen")), "{said}");
}

#[test]
fn a_data_folder_that_can_not_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "not a folder").unwrap();
    let said = fails(&FREE, &file.join("data"), 1);
    assert!(said.contains("a-file"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_serve_on_the_same_data_is_refused_and_harms_nothing() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    let said = fails(&FREE, serve.data(), 1);
    assert!(said.contains(&serve.id().to_string()) && said.contains("--data"), "{said}");
    assert_eq!(send(serve.proxy(), &post("bills/add", BODY)).await.status, 200);
    assert!(serve.stop().1.contains("1 exchange"));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_does_not_keep_serve_from_stopping() {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "[timeouts]\ndrain = \"1s\"\n").unwrap();
    let serve =
        Process::serve(BINARY, &["--upstream", "http://mews.invalid", "--config", config.path().to_str().unwrap()]);
    let mut half = TcpStream::connect(serve.proxy()).await.unwrap();
    half.write_all(b"POST / HTTP/1.1\r\nHo").await.unwrap();
    let (status, said) = tokio::task::spawn_blocking(move || serve.stop()).await.unwrap();
    assert!(status.success(), "{said}");
}

#[test]
fn serve_says_which_proxy_it_goes_through_and_no_password() {
    let through = ["--upstream", "http://127.0.0.1:9", "--upstream-proxy", "http://me:sec@ret@127.0.0.1:3128"];
    let (status, said) = Process::serve(BINARY, &through).stop();
    assert!(status.success(), "{said}");
    assert!(said.contains("connecting to http://127.0.0.1:9 through the proxy 127.0.0.1:3128"), "{said}");
    assert!(!said.contains("sec@ret") && !said.contains("me:") && said.matches("3128").count() == 1, "{said}");
    let (_, said) = Process::serve(BINARY, &["--upstream", "http://127.0.0.1:9", "--upstream-proxy", "none"]).stop();
    assert!(!said.contains("through the proxy"), "{said}");
}

#[test]
fn regression_a_proxy_in_the_environment_that_can_not_be_used_was_used_or_silently_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["https://me:secret@p.example", "socks4://p.example", "http://[bad", "http://p.example:99999"] {
        let flag = [&FREE[..], &["--upstream-proxy", address]].concat();
        let expected = fails(&flag, folder.path(), 2);
        for (name, command) in [
            ("HTTPS_PROXY", &FREE[..]),
            ("https_proxy", &FREE),
            ("ALL_PROXY", &FREE),
            ("HTTPS_PROXY", &["config", "check"]),
        ] {
            let output = Command::new(BINARY)
                .args(command)
                .args(["--data".as_ref(), folder.path().as_os_str()])
                .env_remove("https_proxy")
                .env_remove("HTTPS_PROXY")
                .env_remove("no_proxy")
                .env_remove("NO_PROXY")
                .env(name, address)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            let last = |said: &str| said.lines().last().unwrap_or_default().to_owned();
            assert_eq!(last(&said), last(&expected).replace("upstream_proxy", name));
            assert!(said.contains("is not a valid proxy address") && !said.contains("secret"), "{said}");
        }
    }
}
