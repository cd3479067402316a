//! What is shipped around the binary names only what the binary has: the image, the compose file, the examples in
//! `config/`. No container runs here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nightaudit_testkit::{Authority, Process, skip};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const NAME: &str = "nightaudit";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// A Dockerfile's instructions, continued lines joined and comments left out.
fn instructions() -> Vec<(String, String)> {
    let text = read("docker/Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let instruction = |line: &str| {
        let (name, rest) = line.split_once(' ')?;
        Some((name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    joined.lines().filter_map(instruction).collect()
}

/// The arguments of the only instruction of this name.
fn only(name: &str) -> String {
    let mut found = instructions().into_iter().filter(|(other, _)| other == name);
    let (Some((_, rest)), None) = (found.next(), found.next()) else { panic!("not one {name}") };
    rest
}

/// The words of a JSON array that ends a line.
fn words(line: &str) -> Vec<String> {
    serde_json::from_str(&line[line.find('[').unwrap()..]).unwrap()
}

fn environment() -> BTreeMap<String, String> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    only("ENV").split(' ').map(pair).collect()
}

/// The lines of a list in the compose file.
fn listed(key: &str) -> Vec<String> {
    let text = read("docker/compose.yaml");
    let lines = text.lines().skip_while(|line| line.trim() != format!("{key}:")).skip(1);
    let items = lines.map_while(|line| line.trim().strip_prefix("- ").map(|item| item.trim_matches('"').to_owned()));
    let items: Vec<_> = items.collect();
    assert!(!items.is_empty(), "no {key}");
    items
}

fn composed() -> Vec<String> {
    let text = read("docker/compose.yaml");
    words(text.lines().find(|line| line.trim().starts_with("command:")).unwrap())
}

/// Runs the binary with these variables and no others that it could know.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(BINARY)
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A key's value under these variables.
fn setting(key: &str, variables: &[(&str, &str)]) -> Value {
    let output = run(&["config", "show", "--json"], variables);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.into_iter().find(|line| line["key"] == key).unwrap()["value"].clone()
}

fn port(address: &str) -> u16 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

fn default_ports() -> BTreeSet<u16> {
    ["listen", "console"].map(|key| port(setting(key, &[]).as_str().unwrap())).into()
}

#[test]
fn the_image_builds_and_starts_this_binary() {
    let all = instructions();
    let build = all.iter().find(|(name, rest)| name == "RUN" && rest.starts_with("cargo ")).unwrap();
    let built = format!(
        "cargo build --profile \"$PROFILE\" --locked --bin {NAME} && install -D \"target/$PROFILE/{NAME}\" /out/{NAME}"
    );
    assert_eq!(build.1, built);
    // A profile that there is.
    let profile = only("ARG").strip_prefix("PROFILE=").unwrap().to_owned();
    assert!(read("Cargo.toml").contains(&format!("[profile.{profile}]")), "{profile}");
    assert_eq!(Path::new(BINARY).file_stem().unwrap(), NAME);
    let installed = format!("--from=build /out/{NAME} /usr/local/bin/{NAME}");
    assert!(all.contains(&("COPY".to_owned(), installed)), "{all:?}");
    assert_eq!(words(&only("ENTRYPOINT")), [NAME]);
}

#[test]
fn the_image_has_a_compiler_that_is_new_enough() {
    let number = |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().unwrap()).collect() };
    let manifest = read("Cargo.toml");
    let least = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let all = instructions();
    let image = all.iter().find_map(|(_, rest)| rest.strip_prefix("rust:")).unwrap();
    let (version, _) = image.split_once('-').unwrap();
    assert!(number(version) >= number(least), "{version} < {least}");
}

#[test]
fn every_flag_that_is_given_exists() {
    let mut health = words(&only("HEALTHCHECK"));
    assert_eq!(health.remove(0), NAME);
    let mut flags = 0;
    for command in [words(&only("CMD")), health, composed()] {
        let help = run(&[&command[0], "--help"], &[]);
        assert!(help.status.success(), "{command:?}: {}", said(&help));
        let help = String::from_utf8(help.stdout).unwrap();
        let known: BTreeSet<&str> = help.split_whitespace().collect();
        for flag in command.iter().filter(|word| word.starts_with("--")) {
            assert!(known.contains(flag.as_str()), "{} has no {flag}", command[0]);
            flags += 1;
        }
    }
    assert!(flags > 2, "the compose file gives more flags");
}

#[test]
fn the_ports_are_the_ones_of_the_configuration() {
    let ports = default_ports();
    let exposed: BTreeSet<u16> = only("EXPOSE").split(' ').map(|port| port.parse().unwrap()).collect();
    assert_eq!(exposed, ports);
    let mut published = BTreeSet::new();
    for mapping in listed("ports") {
        let parts: Vec<&str> = mapping.split(':').collect();
        assert_eq!((parts[0], parts[1]), ("127.0.0.1", parts[2]), "{mapping} is open to other machines, or moved");
        published.insert(parts[2].parse().unwrap());
    }
    assert_eq!(published, ports);
}

#[test]
fn the_images_variables_are_keys_and_the_data_is_on_the_volume() {
    let environment = environment();
    let variables: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let checked = run(&["config", "check"], &variables);
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(!String::from_utf8_lossy(&checked.stdout).contains("no key"), "{checked:?}");

    let listen = setting("listen", &variables);
    assert_eq!(port(listen.as_str().unwrap()), port(setting("listen", &[]).as_str().unwrap()));
    assert!(listen.as_str().unwrap().starts_with("0.0.0.0:"), "{listen} can't be reached from outside the container");

    let volume = only("VOLUME");
    assert_eq!(setting("data", &variables), volume.as_str());
    assert!(listed("volumes").contains(&format!("data:{volume}")));
    let user = only("USER");
    let all = instructions();
    let made = all.iter().find(|(name, rest)| name == "RUN" && rest.starts_with("useradd ")).unwrap();
    assert!(made.1.contains(&format!(" {user} && install -d -m 0700 -o {user} -g {user} {volume}")), "{}", made.1);
    assert_ne!(user, "root");
}

#[test]
fn the_console_is_opened_by_the_compose_file_alone_and_needs_the_flag_for_it() {
    let command = composed();
    let at = command.iter().position(|word| word == "--console").unwrap();
    let console = command[at + 1].as_str();
    assert!(command.iter().any(|word| word == "--insecure-console"));
    assert!(!environment().keys().any(|name| name.contains("CONSOLE")));

    let refused = run(&["config", "check"], &[("NIGHTAUDIT_CONSOLE", console)]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("--insecure-console"), "{}", said(&refused));
    let allowed =
        run(&["config", "check"], &[("NIGHTAUDIT_CONSOLE", console), ("NIGHTAUDIT_INSECURE_CONSOLE", "true")]);
    assert!(allowed.status.success(), "{}", said(&allowed));
}

#[test]
fn the_health_check_passes_while_serve_runs_and_fails_after() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut health = words(&only("HEALTHCHECK"));
    health.remove(0);
    let check = || {
        let data = data.to_str().unwrap();
        let arguments: Vec<&str> = health.iter().map(String::as_str).collect();
        run(&arguments, &[("NIGHTAUDIT_DATA", data)])
    };
    let serve = Process::serve_on(BINARY, &data, &["--upstream", "http://127.0.0.1:1"]);
    let healthy = check();
    assert!(healthy.status.success(), "{}", said(&healthy));
    let (status, stderr) = serve.stop();
    assert!(status.success(), "{stderr}");
    assert_eq!(check().status.code(), Some(1));
}

#[test]
fn every_example_of_a_configuration_is_good() {
    let authority = Authority::new();
    let trusted = authority.ca_file();
    let mut checked = 0;
    for entry in fs::read_dir(root().join("config")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let path = file.to_str().unwrap();
        let arguments = ["config", "check", "--config", path];
        let output = run(&arguments, &[]);
        checked += 1;
        if output.status.success() {
            continue;
        }
        // The one thing that an example may name and this machine lack.
        let named = said(&output);
        assert!(named.contains("upstream_ca"), "{path}: {named}");
        let output = run(&arguments, &[("NIGHTAUDIT_UPSTREAM_CA", trusted.to_str().unwrap())]);
        assert!(output.status.success(), "{path}: {}", said(&output));
    }
    assert!(checked >= 3, "only {checked} files");
}

/// The value of a key of the systemd unit.
fn unit(key: &str) -> String {
    let text = read("config/nightaudit.service");
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn the_systemd_unit_starts_this_binary_on_paths_that_it_has() {
    let command = unit("ExecStart");
    let mut words = command.split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/nightaudit"));
    assert_eq!(words.next(), Some("serve"));
    let help = run(&["serve", "--help"], &[]);
    let help = String::from_utf8(help.stdout).unwrap();
    let words: Vec<&str> = words.collect();
    for pair in words.chunks(2) {
        assert!(help.contains(pair[0]), "serve has no {}", pair[0]);
    }
    let value = |flag: &str| words[words.iter().position(|word| *word == flag).unwrap() + 1];
    assert_eq!(value("--data"), format!("/var/lib/{}", unit("StateDirectory")));
    // The file that the unit says to install there is one that is shipped.
    assert_eq!(Path::new(value("--config")).file_name(), Path::new("config/nightaudit.toml").file_name());
    let drain = setting("timeouts.drain", &[]);
    let drain: u64 = drain.as_str().unwrap().trim_end_matches('s').parse().unwrap();
    assert!(unit("TimeoutStopSec").parse::<u64>().unwrap() > drain, "systemd kills before it has drained");
}

#[test]
fn systemd_takes_the_unit() {
    // With a binary where the unit says that one is: systemd looks for it.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nightaudit.service");
    fs::write(&file, read("config/nightaudit.service").replace("/usr/local/bin/nightaudit", BINARY)).unwrap();
    let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output() else {
        skip("systemd-analyze is not installed");
        return;
    };
    assert!(output.status.success() && !said(&output).contains("nightaudit.service"), "{}", said(&output));
}
