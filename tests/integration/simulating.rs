//! The simulated Mews as a process: alone, behind the proxy, and exercised by a third-party client.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use nightaudit_mews::PUBLISHED_TOKENS;
use nightaudit_testkit::{Process, Simulated, post, send, skip};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

fn request(fields: &str) -> String {
    let tokens = PUBLISHED_TOKENS[0];
    let (client, access) = (tokens.client, tokens.access);
    format!(r#"{{"ClientToken":"{client}","AccessToken":"{access}","Client":"Test 1.0.0"{fields}}}"#)
}

#[tokio::test]
async fn it_prints_its_address_and_stops_cleanly() {
    let simulated = Simulated::start(BINARY, &[]);
    assert_eq!(send(simulated.address(), &post("currencies/getAll", &request(""))).await.status, 200);
    assert_eq!(simulated.stop().code(), Some(0));
}

#[tokio::test]
async fn serve_records_it_over_its_self_signed_tls() {
    let simulated = Simulated::start(BINARY, &["--tls", "--limit", "2/30s"]);
    assert!(simulated.url().starts_with("https://"), "{}", simulated.url());
    let ca = simulated.data().join("simulator-ca.pem");
    let upstream = ["--upstream", simulated.url(), "--upstream-ca", ca.to_str().unwrap(), "--limit", "100/30s"];
    let process = Process::serve(BINARY, &upstream);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(send(process.proxy(), &post("currencies/getAll", &request(""))).await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    let tail = process.run(BINARY, &["tail", "--no-follow", "--json"]);
    let lines = String::from_utf8(tail.stdout).unwrap();
    assert_eq!(lines.lines().filter(|line| line.contains(r#""outcome":"answered""#)).count(), 3, "{lines}");
}

#[tokio::test]
async fn it_checks_requests_against_a_given_document() {
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("mews.yaml");
    let schema = "{type: object, required: [Whatever]}";
    let content = format!("{{post: {{requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}}}}}");
    std::fs::write(&document, format!("openapi: 3.1.0\npaths: {{/api/connector/v1/new/getAll: {content}}}")).unwrap();
    let simulated = Simulated::start(BINARY, &["--openapi", document.to_str().unwrap()]);
    let address = simulated.address();
    assert_eq!(send(address, &post("new/getAll", &request(""))).await.status, 400);
    assert_eq!(send(address, &post("new/getAll", &request(r#","Whatever":1"#))).await.status, 200);
    assert_eq!(send(address, &post("currencies/getAll", &request(""))).await.status, 200);
}

#[test]
fn invalid_options_are_rejected_in_one_line() {
    for (arguments, named) in [
        (&["--limit", "fast"][..], "200/30s"),
        (&["--latency", "5"], "80ms"),
        (&["--fail", "5xx=200%"], "5xx=1%"),
        (&["--webhook", "https://example.com"], "http://127.0.0.1"),
        (&["--tls-ca", "x.pem"], "--tls"),
        (&["--openapi", "/nowhere.json"], "/nowhere.json"),
    ] {
        let output = Command::new(BINARY).arg("simulate").args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(named), "{error}");
    }
}

/// A check-in with a real HTTP library: keep-alive, compression, its own headers.
const PYTHON: &str = r#"
import sys, requests
base, client, access = sys.argv[1:]
session = requests.Session()
def call(operation, status=200, headers=None, **fields):
    body = dict(ClientToken=client, AccessToken=access, Client="Foreign 1.0.0", **fields)
    answer = session.post(f"{base}/api/connector/v1/{operation}", json=body, headers=headers, timeout=30)
    assert answer.status_code == status, (operation, answer.status_code, answer.text)
    assert answer.headers["Request-Id"], operation
    return answer.json() if answer.content else None
seen, cursor = [], None
while True:
    page = call("reservations/getAll/2023-06-06", States=["Confirmed"], Limitation={"Count": 10, "Cursor": cursor})
    seen += page["Reservations"]
    cursor = page["Cursor"]
    if cursor is None:
        break
assert len(seen) > 10 and len({one["Id"] for one in seen}) == len(seen)
guest = call("customers/add", LastName="Ø’Brien", OverwriteExisting=False)
call("customers/update", CustomerId=guest["Id"], FirstName="Ada")
found = call("customers/getAll", CustomerIds=[guest["Id"]], Extent={"Customers": True}, Limitation={"Count": 1})
assert [found["Customers"][0][name] for name in ("FirstName", "LastName")] == ["Ada", "Ø’Brien"]
assert call("reservations/start", ReservationId=seen[0]["Id"]) == {}
started = call("reservations/getAll/2023-06-06", ReservationIds=[seen[0]["Id"]], Limitation={"Count": 1})
assert started["Reservations"][0]["State"] == "Started"
nothing = dict(CustomerIds=["nobody"], Extent={"Customers": True}, Limitation={"Count": 1})
assert call("customers/getAll", status=204, headers={"Prefer": "return=minimal"}, **nothing) is None
call("customers/getAll/", status=404, **nothing)
call("customers/getAll", status=400, Limitation={"Count": 0})
big = call("currencies/getAll", headers={"X-Simulator": "size=5MB"})
assert len(big["Padding"]) > 4_900_000
print("walked")
"#;

const NODE: &str = r#"
const [base, client, access] = process.argv.slice(2);
const assert = require("node:assert");
async function call(operation, fields, { status = 200, headers = {} } = {}) {
  const body = JSON.stringify({ ClientToken: client, AccessToken: access, Client: "Foreign 1.0.0", ...fields });
  const sent = { method: "POST", body, headers: { "Content-Type": "application/json", ...headers } };
  const answer = await fetch(`${base}/api/connector/v1/${operation}`, sent);
  assert.strictEqual(answer.status, status, operation);
  assert(answer.headers.get("request-id"), operation);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}
(async () => {
  const seen = [];
  let cursor = null;
  do {
    const page = await call("reservations/getAll/2023-06-06", { States: ["Confirmed"], Limitation: { Count: 10, Cursor: cursor } });
    seen.push(...page.Reservations);
    cursor = page.Cursor;
  } while (cursor !== null);
  assert(seen.length > 10 && new Set(seen.map((one) => one.Id)).size === seen.length);
  const guest = await call("customers/add", { LastName: "Ø’Brien", OverwriteExisting: false });
  await call("customers/update", { CustomerId: guest.Id, FirstName: "Ada" });
  const one = { Extent: { Customers: true }, Limitation: { Count: 1 } };
  const found = await call("customers/getAll", { CustomerIds: [guest.Id], ...one });
  assert.deepStrictEqual([found.Customers[0].FirstName, found.Customers[0].LastName], ["Ada", "Ø’Brien"]);
  assert.deepStrictEqual(await call("reservations/start", { ReservationId: seen[0].Id }), {});
  const started = await call("reservations/getAll/2023-06-06", { ReservationIds: [seen[0].Id], Limitation: { Count: 1 } });
  assert.strictEqual(started.Reservations[0].State, "Started");
  const minimal = { status: 204, headers: { Prefer: "return=minimal" } };
  assert.strictEqual(await call("customers/getAll", { CustomerIds: ["nobody"], ...one }, minimal), null);
  await call("customers/getAll/", one, { status: 404 });
  await call("customers/getAll", { Limitation: { Count: 0 } }, { status: 400 });
  const big = await call("currencies/getAll", {}, { headers: { "X-Simulator": "size=5MB" } });
  assert(big.Padding.length > 4_900_000);
  console.log("walked");
})();
"#;

fn walk(program: &str, arguments: &[&str], probe: &[&str], name: &str) -> bool {
    let is_there = Command::new(program).args(probe).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        skip(&format!("{name} is not installed"));
        return false;
    }
    let simulated = Simulated::start(BINARY, &[]);
    let process = Process::serve(BINARY, &["--upstream", simulated.url(), "--session", "walk"]);
    let (base, tokens) = (format!("http://{}", process.proxy()), PUBLISHED_TOKENS[0]);
    let output = Command::new(program).args(arguments).args([&*base, tokens.client, tokens.access]).output().unwrap();
    let told = |output: &Output| String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(output.status.success() && output.stdout.starts_with(b"walked"), "{}", told(&output));
    let tail = process.run(BINARY, &["tail", "--no-follow", "-n", "100", "--json"]);
    let recorded = String::from_utf8(tail.stdout).unwrap();
    for operation in ["customers/add", "customers/getAll/", "reservations/start", "currencies/getAll"] {
        assert!(recorded.contains(&format!(r#""operation":"{operation}""#)), "{operation}: {recorded}");
    }
    true
}

/// A third-party client library, through the proxy to the simulator.
#[test]
fn third_party_clients_work_through_proxy_and_simulator() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let python = script("walk.py", PYTHON);
    let node = script("walk.cjs", NODE);
    let walked = [
        walk("python3", &[&python], &["-c", "import requests"], "Python's `requests`"),
        walk("node", &[&node], &["-e", "fetch"], "Node with `fetch`"),
    ];
    if walked == [false, false] {
        skip("no third-party client is installed");
    }
}

/// The tour, and every command it suggests at the end, run as printed.
#[test]
fn the_tours_suggested_commands_work() {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY)
        .args(["try", "--pace", "0s", "--limit", "50/1s"])
        .env("TMPDIR", temporary.path())
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("  refused by 50/1s"), "{told}");
    // The simulator is not Mews, and the verdict says so. Without a browser the report's path is printed instead.
    assert!(told.contains("No response is from Mews.") && told.contains("Verdict: Not Mews"), "{told}");
    // Once is enough.
    assert!(!told.contains("not Mews"), "{told}");
    let report = told.lines().find_map(|line| line.strip_prefix("Report:  ")).unwrap_or_else(|| panic!("{told}"));
    assert!(std::fs::read_to_string(report).unwrap().contains("<html"), "{report}");
    // Equal refusals are collapsed into one line with a count.
    let refused = told.lines().filter(|line| line.contains("  429  ")).count();
    let folded = told.lines().filter(|line| line.contains("429 × ")).count();
    assert!(refused < 10 && folded >= 1, "{told}");
    for status in ["  200  ", "  400  ", "  401  ", "  404  ", "  429  "] {
        assert!(told.contains(status), "{status}: {told}");
    }
    let (_, last) = told.split_once("Explore the log:").unwrap();
    let commands: Vec<_> = last.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let [export, commands @ ..] = &commands[..] else { panic!("{told}") };
    assert!(export.starts_with("export NIGHTAUDIT_DATA=") && commands.len() == 3, "{told}");
    for command in commands {
        let typed = format!("{export}; {command}");
        let output = Command::new("sh").args(["-c", &typed]).current_dir(temporary.path()).output().unwrap();
        let code = output.status.code();
        // A review may have findings; that is its purpose.
        assert!(code == Some(0) || command.contains(" review ") && code == Some(1), "{command}: {output:?}");
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{command}");
    }
    let log = std::fs::read_dir(temporary.path()).unwrap().filter_map(Result::ok);
    let log = log.map(|entry| entry.path()).find(|path| is_log(path)).unwrap();
    let check = Command::new(BINARY).args(["log", "check", "--data"]).arg(log).output().unwrap();
    assert!(check.status.success(), "{check:?}");
}

fn is_log(path: &Path) -> bool {
    path.is_dir() && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nightaudit-try-"))
}

#[test]
fn the_tour_can_be_stopped_early() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child =
        Command::new(BINARY).arg("try").env("TMPDIR", temporary.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The greeting, an empty line and the first exchange.
    for _ in 0..3 {
        lines.next().unwrap().unwrap();
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(rest.iter().any(|line| line.starts_with("Requests recorded: ")), "{rest:?}");
}
