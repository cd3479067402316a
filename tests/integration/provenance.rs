//! Evidence that isn't any: made with a stand-in and with edited times, by every way through the commands. Nothing that is
//! written of it calls it ready, an answer of Mews Demo, or unaltered.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use nightaudit_exchange::{Authority, Destination, Exchange, Timestamp, Tls, chain};
use nightaudit_review::{Declaration, Reviewer, Verdict};
use nightaudit_testkit::{Authority as Issuer, Process, Upstream, post, send};
use serde_json::Value;

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
    let data = folder.join("recorded");
    let serve = Process::serve_on(BINARY, &data, &[&["--session", "certification"], arguments].concat());
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

/// Everything that is said of the session of a data folder.
fn outputs(data: &Path) -> Vec<(&'static str, String)> {
    let file = |name: &str| data.join(name).to_str().unwrap().to_owned();
    let (zip, ndjson) = (file("evidence.zip"), file("again.ndjson"));
    let mut said = vec![
        ("sessions", run(data, &["sessions"]).0),
        ("review", run(data, &["review"]).0),
        ("review --json", run(data, &["review", "--json"]).0),
        ("review --form", run(data, &["review", "--form"]).0),
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
        // A file of exchanges alone says nothing of the session; what is claimed in it is called a claim.
        let is = if name == "verify ndjson" && !text.contains("not as they were recorded") && is == "imported" {
            "said to"
        } else {
            is
        };
        let tells = !matches!(name, "sessions" | "bundle" | "ndjson");
        // A page sets addresses apart, and a terminal breaks lines.
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        assert!(!tells || flat.contains(is), "{name} doesn't say `{is}`: {text}");
    }
}

fn session(data: &Path) -> Value {
    serde_json::from_str(done(data, &["sessions", "--json"]).lines().next().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_a_stand_in_with_edited_times_is_never_called_mews_or_ready_or_unaltered() {
    let mews = Upstream::answering(200, r#"{"Reservations":[],"Cursor":null}"#).await;
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
    let altered = "50 of 50 exchanges are not as they were recorded";
    let kept = imported(folder, "kept", &forged(&ndjson, Hashes::Kept));
    assert_honest(&kept, altered);
    assert_eq!(session(&kept)["imported"]["edited"], 50);
    assert!(done(&kept, &["sessions"]).contains("imported, 50 of 50 altered"));
    assert_honest(&imported(folder, "removed", &forged(&ndjson, Hashes::Removed)), altered);

    // Nothing washes it off: a name, packing, and another way through a file.
    done(&kept, &["sessions", "rename", "certification", "evidence"]);
    done(&kept, &["log", "compact"]);
    done(&kept, &["log", "reindex"]);
    let again = done(&kept, &["export", "--format", "ndjson", "-o", "-"]);
    let again: String = again.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect();
    assert_honest(&kept, altered);
    assert_honest(&imported(folder, "again", &again), altered);
    // Nor does taking the marks out of the file: they are what the hashes cover.
    let unmarked = again.replace(",\"alteration\":\"edited\"", "");
    assert_ne!(unmarked, again);
    assert_honest(&imported(folder, "unmarked", &unmarked), altered);

    // Hashes that anybody can make prove nothing either.
    let anew = imported(folder, "anew", &anew);
    assert_honest(&anew, "imported");
    let (said, code) = run(&anew, &["review", "--json"]);
    let review: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&review["verdict"], code), (&"not-proven".into(), 0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_of_ones_own_is_no_mews_whatever_it_is_called() {
    let issuer = Issuer::new();
    let mews = Upstream::http(Some(issuer.server_config(&["http/1.1"])), |_| async {
        let body = http_body_util::Full::from(r#"{"Reservations":[],"Cursor":null}"#);
        http::Response::new(http_body_util::BodyExt::boxed(http_body_util::BodyExt::map_err(
            body,
            |never| match never {},
        )))
    })
    .await;
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
