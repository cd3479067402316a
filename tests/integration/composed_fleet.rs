//! `docker/compose.fleet.yaml`: what it says is what the program takes, and its services, as processes on this machine, are a
//! fleet. No container runs here.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use nightaudit_testkit::{Postgres, Process, Redis, Upstream, post, send};
use serde_json::{Map, Value};

use crate::opening::{Viewer, ask, json};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

/// The compose file.
struct Compose(Value);

impl Compose {
    fn read() -> Self {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/compose.fleet.yaml")).unwrap();
        let kept = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let mut anchors = Map::new();
        let mut lines = text.lines().filter(kept).peekable();
        Self(block(&mut lines, 0, &mut anchors))
    }

    fn services(&self) -> &Map<String, Value> {
        self.0["services"].as_object().unwrap()
    }

    fn service(&self, name: &str) -> &Value {
        &self.0["services"][name]
    }

    fn command(&self, name: &str) -> Vec<String> {
        serde_json::from_value(self.service(name)["command"].clone()).unwrap()
    }

    fn environment(&self, name: &str) -> Vec<(String, String)> {
        let pairs = self.service(name)["environment"].as_object().into_iter().flatten();
        pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
    }
}

/// A mapping of the YAML that the file has: nested mappings, lists in brackets, anchors that are merged, and texts.
fn block<'t>(
    lines: &mut std::iter::Peekable<impl Iterator<Item = &'t str>>,
    indent: usize,
    anchors: &mut Map<String, Value>,
) -> Value {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut all = Map::new();
    while let Some(line) = lines.next_if(|line| depth(line) == indent) {
        let (key, rest) = line.trim().split_once(':').unwrap_or_else(|| panic!("{line}"));
        let (rest, anchor) = match rest.trim().strip_prefix('&') {
            Some(anchor) => ("", Some(anchor)),
            None => (rest.trim(), None),
        };
        let below = lines.peek().map_or(0, |line| depth(line));
        let value = match rest {
            "" if key == "- source" || below <= indent => Value::Null,
            "" if lines.peek().is_some_and(|line| line.trim().starts_with("- ")) => {
                // A list of mappings: their lines as they are.
                let mut items = Vec::new();
                while let Some(line) = lines.next_if(|line| depth(line) >= below) {
                    items.push(Value::from(line.trim()));
                }
                Value::Array(items)
            }
            "" => block(lines, below, anchors),
            "|" => {
                let mut text = String::new();
                while let Some(line) = lines.next_if(|line| depth(line) >= below) {
                    text = text + line.trim() + "\n";
                }
                Value::from(text)
            }
            rest if rest.starts_with('*') => anchors[&rest[1..]].clone(),
            rest => scalar(rest),
        };
        if let Some(anchor) = anchor {
            anchors.insert(anchor.to_owned(), value.clone());
        }
        match (key, value) {
            ("<<", Value::Object(merged)) => merged.into_iter().for_each(|(key, value)| {
                all.entry(key).or_insert(value);
            }),
            (key, value) => drop(all.insert(key.to_owned(), value)),
        }
    }
    Value::Object(all)
}

fn scalar(text: &str) -> Value {
    if let Some(list) = text.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        return list.split(", ").map(scalar).collect();
    }
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(quoted) => Value::from(quoted),
        None => Value::from(text),
    }
}

#[test]
fn its_services_volumes_flags_and_keys_are_ones_that_there_are() {
    let compose = Compose::read();
    let services: BTreeSet<_> = compose.services().keys().map(String::as_str).collect();
    assert_eq!(services, BTreeSet::from(["node-a", "node-b", "page", "postgres", "redis", "setup"]));
    let volumes: BTreeSet<_> = compose.0["volumes"].as_object().unwrap().keys().cloned().collect();
    let mut mounted = BTreeSet::new();
    let mut published = BTreeSet::new();
    for (name, service) in compose.services() {
        for needed in service["depends_on"].as_object().into_iter().flatten() {
            assert!(services.contains(needed.0.as_str()), "{name} depends on {}", needed.0);
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let (volume, place) = volume.as_str().unwrap().split_once(':').unwrap();
            assert!(mounted.insert(volume.to_owned()), "two services have the volume {volume}");
            assert!(name == "postgres" || place == "/data", "{name}: {place}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            let (host, port) = port.as_str().unwrap().split_once(':').unwrap();
            assert_eq!(host, "127.0.0.1", "{name} is open to other machines");
            assert!(published.insert(port.split(':').next().unwrap().to_owned()), "{port} is taken twice");
        }
        if service["image"] != "nightaudit" {
            continue;
        }
        let command = compose.command(name);
        let subcommand: Vec<_> = command.iter().take_while(|word| !word.starts_with("--")).collect();
        let help = Command::new(BINARY).args(&subcommand).arg("--help").output().unwrap();
        assert!(help.status.success(), "{command:?}");
        let help = String::from_utf8(help.stdout).unwrap();
        let known: BTreeSet<_> = help.split_whitespace().collect();
        for flag in command.iter().filter(|word| word.starts_with("--")) {
            assert!(known.contains(flag.as_str()), "{name}: {} has no {flag}", command[0]);
        }
        let home = tempfile::tempdir().unwrap();
        let mut check = Command::new(BINARY);
        check.args(["config", "check"]).env_clear().env("HOME", home.path()).envs(compose.environment(name));
        let checked = check.output().unwrap();
        assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
        assert!(!String::from_utf8_lossy(&checked.stdout).contains("no key"), "{checked:?}");
    }
    assert_eq!(mounted, volumes);
    // Nodes by other names would be one.
    let name = |service: &str, key: &str| compose.service(service)["environment"][key].clone();
    for key in ["NIGHTAUDIT_ARCHIVE_NODE", "NIGHTAUDIT_LIMIT_NODE"] {
        assert_ne!(name("node-a", key), name("node-b", key), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_services_are_a_fleet() {
    let compose = Compose::read();
    let command = compose.command("redis");
    assert_eq!(command[0], "redis-server");
    let arguments: Vec<_> = command[1..].iter().map(String::as_str).collect();
    let (Some(redis), Some(postgres)) = (Redis::with(&arguments), Postgres::start()) else { return };
    // As its image does when it is first started.
    let database = compose.service("postgres")["environment"]["POSTGRES_DB"].as_str().unwrap();
    postgres.create(database);
    postgres.sql(database, compose.0["configs"]["logins"]["content"].as_str().unwrap());
    let as_owner = format!(
        "postgres://{}:{}@postgres/{database}",
        compose.service("postgres")["environment"]["POSTGRES_USER"].as_str().unwrap(),
        compose.service("postgres")["environment"]["POSTGRES_PASSWORD"].as_str().unwrap()
    );
    // What has other names here than between containers.
    let here = |text: &str| {
        let text = text.replace(&as_owner, &postgres.owner(database));
        let text = text.replace("@postgres/", &format!("@127.0.0.1:{}/", postgres.port()));
        text.replace("redis://redis:6379", &redis.url())
    };
    let folder = tempfile::tempdir().unwrap();
    let setup: Vec<_> = compose.command("setup").iter().map(|word| here(word)).collect();
    let made = Command::new(BINARY).args(&setup).arg("--data").arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let mews = Upstream::responding(200, "{}").await;
    let nodes = ["node-a", "node-b"].map(|name| {
        let command = compose.command(name);
        assert_eq!(command[0], "serve");
        let url = mews.url();
        // A short window: a Redis that is used the first time counts as full for one.
        let more = ["--upstream", url.as_str(), "--limit", "200/3s"];
        let arguments: Vec<_> = command[1..].iter().map(String::as_str).chain(more).collect();
        let variables: Vec<_> =
            compose.environment(name).into_iter().map(|(name, value)| (name, here(&value))).collect();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Process::serve_with(BINARY, &folder.path().join(name), &arguments, &variables)
    });
    let command = compose.command("page");
    assert_eq!(command[0], "console");
    let listen = command.iter().position(|word| word == "--listen").unwrap();
    assert!(command[listen + 1].starts_with("0.0.0.0:"), "{command:?} can't be reached from outside the container");
    let given = command.iter().enumerate().skip(1).filter(|(place, _)| !(listen..listen + 2).contains(place));
    let given: Vec<_> = given.map(|(_, word)| here(word)).collect();
    let page = Viewer::start(&folder.path().join("page"), &given.iter().map(String::as_str).collect::<Vec<_>>());

    let body = r#"{"AccessToken":"access-token-0001"}"#;
    let budget = async {
        loop {
            for node in &nodes {
                send(node.proxy(), &post("bills/add", body)).await;
            }
            // One budget: either node sees what both used.
            let limits = json(nodes[0].console_host(), nodes[0].token(), "/api/v1/limits").await;
            let usages = limits["limits"][0]["nodes"].as_array().into_iter().flatten();
            let users: BTreeSet<_> =
                usages.filter(|usage| usage["used"] != 0).map(|usage| usage["node"].as_str().unwrap()).collect();
            if users == BTreeSet::from(["node-a", "node-b"]) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), budget).await.expect("both send by one budget");
    let arrived = async {
        loop {
            let mut all = true;
            for name in ["fleet@node-a", "fleet@node-b"] {
                let path = format!("/api/v1/histogram?outcome=answered&session={name}");
                let found = ask(&page.host, "GET", &path, &format!("Authorization: Bearer {}\r\n", page.token)).await;
                let found: Value = serde_json::from_slice(&found.body).unwrap();
                all &= found["total"].as_u64().is_some_and(|total| total > 0);
            }
            if all {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), arrived).await.expect("what both recorded is on the page");
    let sessions = json(&page.host, &page.token, "/api/v1/sessions").await;
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1, "{sessions}");
    assert_eq!(sessions["sessions"][0]["name"], "fleet");
    let chains = sessions["sessions"][0]["chains"].as_array().unwrap();
    let names: BTreeSet<_> = chains.iter().map(|chain| chain["node"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["node-a", "node-b"]));
    page.stop();
    for node in nodes {
        let (status, messages) = node.stop();
        assert!(status.success(), "{messages}");
    }
}
