//! Forged evidence, from a stand-in and with edited times, through every command: no output calls it ready, a response of
//! Mews Demo, or unaltered.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use nightaudit_exchange::{Authority, Destination, Exchange, Timestamp, Tls, chain};
use nightaudit_review::{Declaration, Reviewer, Verdict};
use nightaudit_testkit::{Authority as Issuer, Process, Terminal, Upstream, post, send};
use rustls::ServerConfig;
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
/// Requests of a run: one for each hour of 49, once the times are edited.
const REQUESTS: u32 = 50;

/// What a command said, both outputs, and its exit code.
fn run(data: &Path, arguments: &[&str]) -> (String, i32) {
    // Beside the data folder, where no declaration lies.
    let output = Command::new(BINARY).args(arguments).arg("--data").arg(data).current_dir(data).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (said, output.status.code().unwrap())
}

fn done(data: &Path, arguments: &[&str]) -> String {
    let (said, code) = run(data, arguments);
    assert_eq!(code, 0, "{arguments:?}: {said}");
    said
}

/// A good integration's run against a stand-in.
async fn recorded(folder: &Path, arguments: &[&str]) -> PathBuf {
    recorded_with(folder, arguments, &[]).await
}

async fn recorded_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> PathBuf {
    let data = folder.join("recorded");
    let arguments = [&["--session", "certification"], arguments].concat();
    let serve = Process::serve_with(BINARY, &data, &arguments, variables);
    for number in 0..REQUESTS {
        let body = format!(
            r#"{{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Acme Kiosk 2.1.0",
            "ReservationIds":["{number:08x}-0000-4000-8000-000000000000"],"Limitation":{{"Count":100}}}}"#
        );
        send(serve.proxy(), &post("reservations/getAll/2023-06-06", &body)).await;
    }
    assert!(serve.stop().0.success());
    data
}

/// How the hashes of edited exchanges are treated.
#[derive(Clone, Copy, PartialEq)]
enum Hashes {
    Kept,
    Removed,
    MadeAnew,
}

/// The exchanges as those of 49 hours with Mews Demo.
fn forged(ndjson: &str, hashes: Hashes) -> String {
    let mut last = None;
    let mut forged = String::new();
    for (number, line) in ndjson.lines().enumerate() {
        let mut exchange: Exchange = serde_json::from_str(line).unwrap();
        let hours = i64::try_from(number).unwrap() * 3_600_000_000;
        exchange.started_at = Timestamp::from_micros(1_795_161_600_000_000 + hours);
        exchange.environment = "demo".into();
        let path = exchange.request.url.splitn(4, '/').nth(3).unwrap().to_owned();
        exchange.request.url = format!("https://api.mews-demo.com/{path}");
        exchange.destination = Some(Destination {
            address: "https://api.mews-demo.com".into(),
            remote: None,
            tls: Some(Tls { server_name: "api.mews-demo.com".into(), authority: Authority::Public }),
            proxy: None,
        });
        let response = exchange.response.as_mut().unwrap();
        response.headers.retain(|header| !header.name.eq_ignore_ascii_case("date"));
        let before = last.unwrap_or_else(|| chain::genesis(exchange.session));
        match hashes {
            Hashes::Kept => {}
            Hashes::Removed => (exchange.previous_hash, exchange.hash) = (None, None),
            Hashes::MadeAnew => {
                exchange.previous_hash = Some(before);
                exchange.hash = Some(chain::hash(before, &exchange));
            }
        }
        last = exchange.hash;
        forged.push_str(&serde_json::to_string(&exchange).unwrap());
        forged.push('\n');
    }
    forged
}

fn imported(folder: &Path, name: &str, ndjson: &str) -> PathBuf {
    let (data, file) = (folder.join(name), folder.join(format!("{name}.ndjson")));
    fs::create_dir(&data).unwrap();
    fs::write(&file, ndjson).unwrap();
    done(&data, &["log", "import", file.to_str().unwrap()]);
    data
}

const ALTERED: &str = "50 of 50 exchanges are not as they were recorded";
const NOT_VOUCHED: &str = "certificate not from a public authority";

/// Everything that is said of the session of a data folder.
fn outputs(data: &Path) -> Vec<(&'static str, String)> {
    let file = |name: &str| data.join(name).to_str().unwrap().to_owned();
    let (zip, ndjson) = (file("evidence.zip"), file("again.ndjson"));
    let id = last(data);
    let mut said = vec![
        ("sessions", run(data, &["sessions"]).0),
        ("review", run(data, &["review"]).0),
        ("review --json", run(data, &["review", "--json"]).0),
        ("review --form", run(data, &["review", "--form"]).0),
        ("review --against", run(data, &["review", "--against", "certification"]).0),
        ("show", done(data, &["show", &id])),
        ("tail", done(data, &["tail", "--no-follow"])),
        ("log info", done(data, &["log", "info"])),
        ("log check", done(data, &["log", "check"])),
        ("csv", done(data, &["export", "--format", "csv", "-o", "-"])),
        ("har", done(data, &["export", "--format", "har", "-o", "-"])),
        ("curl", done(data, &["export", "--format", "curl", "-o", "-"])),
        ("report", done(data, &["export", "--format", "html", "-o", "-"])),
        ("bundle", done(data, &["export", "-o", &zip, "--force"])),
        ("ndjson", done(data, &["export", "-o", &ndjson, "--force"])),
        ("verify bundle", run(data, &["verify", &zip]).0),
        ("verify --json", run(data, &["verify", "--json", &zip]).0),
        ("verify ndjson", run(data, &["verify", &ndjson]).0),
        ("verify log", run(data, &["verify"]).0),
    ];
    let mut archive = zip::ZipArchive::new(fs::File::open(&zip).unwrap()).unwrap();
    for name in ["report.html", "review.json", "README.txt", "manifest.json"] {
        let mut text = String::new();
        archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
        said.push((name, text));
    }
    said
}

/// That nothing in it calls the session what it is not, and that each place where one looks says what it is.
fn assert_honest(data: &Path, is: &str) {
    for (name, text) in outputs(data) {
        for lie in [
            "Ready",
            "early ready",
            "Answered by api.mews-demo.com",
            "nothing was altered",
            "\"verdict\":\"ready\"",
            "\"verdict\": \"ready\"",
            "\"standing\":\"demo\"",
            "\"standing\": \"demo\"",
            "\"proven\":true",
        ] {
            assert!(!text.contains(lie), "{name} says {lie}: {text}");
        }
        // Some say it of each exchange; a file of exchanges alone says nothing of the session, and what is claimed in it is
        // called a claim.
        let stand_in = is.strip_prefix("not mews: ");
        let is = match (name, is) {
            ("tail", _) if stand_in.is_some() => "not mews",
            ("tail", NOT_VOUCHED) => "not proven to be mews",
            ("show", NOT_VOUCHED) => "not proven to be mews: https://api.mews-demo.com",
            ("show", ALTERED) => "altered since it was recorded",
            ("tail", ALTERED) => "altered",
            ("csv", ALTERED) => ",edited",
            ("csv", NOT_VOUCHED) => ",https://api.mews-demo.com,configured,",
            ("har", ALTERED) => "\"alteration\":\"edited\"",
            ("har", NOT_VOUCHED) => "\"authority\":\"configured\"",
            ("csv" | "har", _) => stand_in.unwrap_or(""),
            ("verify ndjson", "imported") => "claims to",
            // Whether it was imported is the session's, and not the exchange's; who answered isn't the log's.
            ("tail", "imported") | ("curl", _) => "",
            ("log info" | "log check", _) if is != "imported" && is != ALTERED => "",
            _ => is,
        };
        let tells = !matches!(name, "sessions" | "bundle" | "ndjson" | "review --against");
        // A page sets addresses apart, and a terminal breaks lines.
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        assert!(!tells || flat.replace("\": \"", "\":\"").contains(is), "{name} doesn't say `{is}`: {text}");
    }
}

fn session(data: &Path) -> Value {
    serde_json::from_str(done(data, &["sessions", "--json"]).lines().next().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_a_stand_in_with_edited_times_is_never_called_mews_or_ready_or_unaltered() {
    let mews = Upstream::responding(200, r#"{"Reservations":[],"Cursor":null}"#).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = recorded(folder, &["--upstream", &mews.url()]).await;
    let not_mews = format!("not mews: {}", mews.url());
    assert_honest(&data, &not_mews);
    assert_eq!(session(&data)["environment"], "stand-in");
    let ndjson = done(&data, &["export", "--format", "ndjson", "-o", "-"]);
    let exchanges = |text: &str| text.lines().filter(|line| line.starts_with("{\"id\"")).count();
    assert!(exchanges(&ndjson) == 50 && !ndjson.contains("\"environment\":\"demo\""), "{ndjson}");
    let ndjson: String = ndjson.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect();

    // As it was recorded, elsewhere.
    let moved = imported(folder, "moved", &ndjson);
    assert_honest(&moved, &not_mews);
    assert_eq!(session(&moved)["imported"]["edited"], 0);

    // What would be evidence of 48 good hours, if it were believed.
    let anew = forged(&ndjson, Hashes::MadeAnew);
    let mut reviewer = Reviewer::new(Declaration::default());
    anew.lines().for_each(|line| reviewer.push(&serde_json::from_str(line).unwrap()));
    assert_eq!(reviewer.into_review().verdict, Verdict::Ready);

    // Each of its exchanges is marked, whether its hash doesn't fit or is not there.
    let kept = imported(folder, "kept", &forged(&ndjson, Hashes::Kept));
    assert_honest(&kept, ALTERED);
    assert_eq!(session(&kept)["imported"]["edited"], 50);
    assert!(done(&kept, &["sessions"]).contains("imported, 50 of 50 altered"));
    assert_honest(&imported(folder, "removed", &forged(&ndjson, Hashes::Removed)), ALTERED);

    // Nothing washes it off: a name, packing, and another way through a file.
    done(&kept, &["sessions", "rename", "certification", "evidence"]);
    done(&kept, &["log", "compact"]);
    done(&kept, &["log", "reindex"]);
    let again = done(&kept, &["export", "--format", "ndjson", "-o", "-"]);
    let again: String = again.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect();
    assert_honest(&kept, ALTERED);
    assert_honest(&imported(folder, "again", &again), ALTERED);
    // Nor does taking the marks out of the file: they are what the hashes cover.
    let unmarked = again.replace(",\"alteration\":\"edited\"", "");
    assert_ne!(unmarked, again);
    assert_honest(&imported(folder, "unmarked", &unmarked), ALTERED);

    // Hashes that anybody can make prove nothing either.
    let anew = imported(folder, "anew", &anew);
    assert_honest(&anew, "imported");
    let (said, code) = run(&anew, &["review", "--json"]);
    let review: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&review["verdict"], code), (&"not-proven".into(), 0), "{said}");
}

/// A stand-in over TLS.
async fn over_tls(tls: Arc<ServerConfig>) -> Upstream {
    Upstream::http(Some(tls), |_| async {
        let body = http_body_util::Full::from(r#"{"Reservations":[],"Cursor":null}"#);
        http::Response::new(http_body_util::BodyExt::boxed(http_body_util::BodyExt::map_err(
            body,
            |never| match never {},
        )))
    })
    .await
}

/// A stand-in that has a certificate for Mews' own name, and a corporate proxy that leads every host there.
async fn impostor(issuer: &Issuer) -> (Upstream, Upstream) {
    let mews = over_tls(issuer.server_config_for(&["api.mews-demo.com", "localhost"], &["http/1.1"])).await;
    let target = mews.address();
    let proxy = Upstream::raw(move |mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut upstream = TcpStream::connect(target).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
    })
    .await;
    (mews, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_certificate_behind_a_proxy_is_never_mews_demo_whoever_vouches_for_it() {
    let issuer = Issuer::new();
    let (mews, proxy) = impostor(&issuer).await;
    let via = format!("http://{}", proxy.address());
    let ca = issuer.ca_file();
    let ca = ca.to_str().unwrap();
    // By the configuration's file; then by the machine's own list, which a variable puts another in the place of.
    for (arguments, variables, authority) in [
        (vec!["--upstream-ca", ca], vec![], "configured"),
        (vec![], vec![("SSL_CERT_FILE", ca), ("SSL_CERT_DIR", "/nowhere")], "system"),
        // Mews' address as an upstream of one's own is the same address.
        (vec!["--upstream", "https://api.mews-demo.com", "--upstream-ca", ca], vec![], "configured"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [&["--upstream-proxy", &via][..], &arguments].concat();
        let data = recorded_with(folder.path(), &arguments, &variables).await;
        let (line, _) = run(&data, &["tail", "--no-follow", "--json", "-n", "1"]);
        let exchange: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
        assert_eq!(exchange["response"]["status"], 200, "{line}");
        let destination = &exchange["destination"];
        assert_eq!(destination["address"], "https://api.mews-demo.com");
        assert_eq!(destination["proxy"], proxy.address().to_string());
        assert_eq!(destination["tls"]["authority"], authority);
        if authority == "configured" {
            assert_honest(&data, NOT_VOUCHED);
        } else {
            let (review, _) = run(&data, &["review", "--json"]);
            let review: Value = serde_json::from_str(&review).unwrap();
            assert_eq!(review["provenance"]["standing"], "not-vouched");
            assert!(done(&data, &["show", exchange["id"].as_str().unwrap()]).contains("of the machine only"));
        }
    }
    assert_eq!(mews.seen().len(), 3 * REQUESTS as usize);

    // The right name at another port, or at loopback, is not Mews.
    let port = format!("https://localhost:{}", mews.address().port());
    for (upstream, proxied) in [("https://api.mews-demo.com:8443", true), (&*port, false)] {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = vec!["--upstream", upstream, "--upstream-ca", ca];
        if proxied {
            arguments.extend(["--upstream-proxy", &via]);
        }
        let data = recorded(folder.path(), &arguments).await;
        assert_honest(&data, &format!("not mews: {upstream}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn top_marks_what_mews_did_not_answer() {
    let mews = Upstream::responding(200, r#"{"Reservations":[],"Cursor":null}"#).await;
    let folder = tempfile::tempdir().unwrap();
    let data = recorded(folder.path(), &["--upstream", &mews.url()]).await;
    let mut top = Terminal::nightaudit(BINARY, &data, &["top"], 160, 24);
    // Rows come as they are read.
    top.wait_for("marks", |screen| screen.contents().matches("not Mews").count() > 10);
    top.press("\r");
    top.wait_for("the exchange", |screen| screen.contents().contains(&format!("sent to {}", mews.url())));
    top.press("qq");
    assert!(top.wait().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_not_imported_a_har_proves_nothing_and_what_is_packed_again_is_found_out() {
    let mews = Upstream::responding(200, r#"{"Reservations":[],"Cursor":null}"#).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = recorded(folder, &["--upstream", &mews.url()]).await;
    let other = folder.join("other");
    fs::create_dir(&other).unwrap();
    let (zip, har) = (folder.join("evidence.zip"), folder.join("exchanges.har"));
    for file in [&zip, &har] {
        done(&data, &["export", "-o", file.to_str().unwrap()]);
    }
    let destination = |address: &str, tls: &str| format!(r#""destination":{{"address":"{address}"{tls},"#);
    let tls = r#","tls":{"serverName":"api.mews-demo.com","authority":"public"}"#;
    let edited = fs::read_to_string(&har).unwrap();
    let edited = edited.replace(&destination(&mews.url(), ""), &destination("https://api.mews-demo.com", tls));
    let edited = edited.replace(&mews.url(), "https://api.mews-demo.com");
    let (pretty, forged_har) = (folder.join("pretty.har"), folder.join("forged.har"));
    fs::write(&forged_har, &edited).unwrap();
    let value: Value = serde_json::from_str(&edited).unwrap();
    fs::write(&pretty, serde_json::to_string_pretty(&value).unwrap()).unwrap();
    let (said, code) = run(&other, &["log", "import", zip.to_str().unwrap()]);
    assert_eq!((code, said.contains("this is a bundle"), said.contains("ndjson")), (1, true, true), "{said}");
    assert!(!other.join("sessions").exists(), "a refused import begins no log");
    // Whatever an edited HAR says of its origin is a claim.
    for har in [&forged_har, &pretty] {
        let said = done(&other, &["log", "import", har.to_str().unwrap(), "--session", "certification"]);
        assert!(said.contains("50 exchanges in 1 session imported\nrecorded by nightaudit 0.1.0"), "{said}");
        assert_honest(&other, "imported");
        fs::remove_dir_all(&other).unwrap();
        fs::create_dir(&other).unwrap();
    }

    // An edited HAR, by itself.
    let (said, code) = run(&data, &["verify", forged_har.to_str().unwrap()]);
    // Addresses are not what a HAR's digests cover: it is said to prove nothing of them.
    assert!(
        code == 0 && said.contains("fits       bodies and hash chain match") && said.contains("a HAR can't prove"),
        "{said}"
    );
    assert!(!said.contains("nothing was") && !said.contains("good"), "{said}");
    let body = edited.replacen("\\\"Cursor\\\":null", "\\\"Cursor\\\":true", 1);
    assert_ne!(body, edited);
    fs::write(&forged_har, body).unwrap();
    assert_eq!(run(&data, &["verify", forged_har.to_str().unwrap()]).1, 1);

    // A bundle whose files were edited, each of them alone and all of them.
    let names = ["exchanges.ndjson", "session.har", "report.html", "review.json", "README.txt", "manifest.json"];
    let rewritten = |text: &str| {
        text.replace(&mews.url(), "https://api.mews-demo.com")
            .replace("not-mews", "ready")
            .replace("Not Mews: https://api.mews-demo.com", "Ready")
            .replace("Not Mews", "Ready")
    };
    for edits in names.iter().map(std::slice::from_ref).chain([&names[..]]) {
        let packed = folder.join("packed.zip");
        let mut out = zip::ZipWriter::new(fs::File::create(&packed).unwrap());
        let mut archive = zip::ZipArchive::new(fs::File::open(&zip).unwrap()).unwrap();
        let mut changed = 0;
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            let name = file.name().unwrap().into_owned();
            let new = if edits.contains(&&*name) { rewritten(&text) } else { text.clone() };
            changed += usize::from(new != text);
            out.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            out.write_all(new.as_bytes()).unwrap();
        }
        out.finish().unwrap();
        assert!(changed > 0, "{edits:?} had nothing to edit");
        for json in [&[][..], &["--json"]] {
            let (said, code) = run(&data, &[&["verify", packed.to_str().unwrap()], json].concat());
            assert_eq!(code, 1, "{edits:?}: {said}");
            assert!(!said.contains("nothing was altered") && !said.contains("\"whole\":true"), "{edits:?}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_edited_by_hand_is_not_whole() {
    let mews = Upstream::responding(200, r#"{"Reservations":[],"Cursor":null}"#).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = recorded(folder, &["--upstream", &mews.url()]).await;
    let ndjson = done(&data, &["export", "--format", "ndjson", "-o", "-"]);
    let ndjson: String = ndjson.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect();
    let kept = imported(folder, "kept", &forged(&ndjson, Hashes::Kept));
    let session = |data: &Path| fs::read_dir(data.join("sessions")).unwrap().next().unwrap().unwrap().path();

    // What is said of the import in the session's file can be taken out, and stays in the exchanges.
    let file = session(&kept).join("session.json");
    let mut json: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert!(json.as_object_mut().unwrap().remove("imported").is_some());
    json["environment"] = "demo".into();
    fs::write(&file, json.to_string()).unwrap();
    let (review, _) = run(&kept, &["review", "--json"]);
    let review: Value = serde_json::from_str(&review).unwrap();
    assert_eq!((&review["verdict"], &review["provenance"]["imported"]["edited"]), (&"not-ready".into(), &50.into()));
    assert!(done(&kept, &["show", &last(&kept)]).contains("altered since it was recorded"));

    // A byte of a segment, whichever it is: nothing is said to be whole.
    let segment = fs::read_dir(session(&data)).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment
        .filter(|path| path.file_name().unwrap() != "session.json")
        .max_by_key(|path| fs::metadata(path).unwrap().len());
    let segment = segment.unwrap();
    let bytes = fs::read(&segment).unwrap();
    for place in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 40] {
        let mut edited = bytes.clone();
        edited[place] ^= 1;
        fs::write(&segment, &edited).unwrap();
        for arguments in [&["log", "check"][..], &["verify"], &["review"]] {
            let (said, code) = run(&data, arguments);
            assert_ne!(code, 0, "{arguments:?} with byte {place} of {}: {said}", bytes.len());
            assert!(!said.contains("nothing was altered") && !said.contains("Ready"), "{said}");
        }
    }
}

fn last(data: &Path) -> String {
    let line = done(data, &["tail", "--no-follow", "--json", "-n", "1"]);
    let exchange: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    exchange["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_of_ones_own_is_no_mews_whatever_it_is_called() {
    let issuer = Issuer::new();
    let mews = over_tls(issuer.server_config(&["http/1.1"])).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nightaudit.toml");
    let own = format!("environment = \"mews-demo\"\n[environments.mews-demo]\napi = \"{}\"\n", mews.url());
    fs::write(&config, own).unwrap();
    let ca = issuer.ca_file();
    let arguments = ["--config", config.to_str().unwrap(), "--upstream-ca", ca.to_str().unwrap()];
    let data = recorded(folder.path(), &arguments).await;
    assert_honest(&data, &format!("not mews: {}", mews.url()));
    let (line, _) = run(&data, &["tail", "--no-follow", "--json", "-n", "1"]);
    let exchange: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    let destination = &exchange["destination"];
    assert_eq!(
        (&destination["address"], &destination["remote"]),
        (&mews.url().into(), &mews.address().to_string().into())
    );
    assert_eq!(destination["tls"]["authority"], "configured");
}
