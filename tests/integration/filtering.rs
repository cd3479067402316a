//! Filters, and the ways to name an exchange: the real binary over a real log.

use std::process::{Command, Output};

use nightaudit_testkit::{Process, Terminal, Upstream, post, send};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0",
    "Name":"caf\u00e9"}"#;

async fn recorded(operations: &[&str]) -> (Upstream, Process) {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "certification"]);
    for operation in operations {
        let response = send(serve.proxy(), &post(operation, BODY)).await;
        assert_eq!((response.status, &*response.body), (200, &b"{}"[..]), "{operation}");
    }
    (mews, serve)
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tail_prints_finds_an_exchange_again() {
    let (_mews, serve) = recorded(&["bills/getAll", "rates/getAll", "languages/getAll"]).await;
    let tail = |arguments: &[&str]| {
        let all: Vec<&str> = ["tail", "--no-follow"].iter().chain(arguments).copied().collect();
        serve.run(BINARY, &all)
    };
    let listed = tail(&["--json"]);
    let ids: Vec<String> = out(&listed)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3, "{listed:?}");
    let lines = out(&tail(&[]));
    let mut words = lines.lines().map(|line| line.split_whitespace());
    let (time, end) = words.by_ref().nth(1).map(|mut words| (words.next().unwrap(), words.next().unwrap())).unwrap();
    assert!(ids[1].ends_with(end), "{end} of {ids:?}");
    for which in [end, &end.to_lowercase(), &ids[1]] {
        let shown = serve.run(BINARY, &["show", which]);
        assert!(out(&shown).contains("rates/getAll"), "{which}: {}", err(&shown));
    }
    let last = serve.run(BINARY, &["show", "last"]);
    assert!(out(&last).contains("languages/getAll"), "{last:?}");
    let nothing = serve.run(BINARY, &["show", "last-error"]);
    assert!(!nothing.status.success() && err(&nothing).contains("no exchange in the log has an error"), "{nothing:?}");
    // Of several all are named.
    let several = serve.run(BINARY, &["show", &ids[0][..6]]);
    assert!(ids.iter().all(|id| err(&several).contains(id)), "{several:?}");

    let shown = |arguments: &[&str]| out(&tail(arguments)).lines().count();
    assert_eq!(shown(&["--operation", "!languages/*"]), 2);
    assert_eq!(shown(&["--operation", "!languages/*,bills/*"]), 1);
    assert_eq!((shown(&["--status", "!2xx"]), shown(&["--session", "!certification"])), (0, 0));
    assert_eq!((shown(&["--session", "last"]), shown(&["--client", "!Other*"])), (3, 3));
    for text in ["é", "CAFÉ", r"caf\u00e9"] {
        assert_eq!(shown(&["--contains", text]), 3, "{text}");
        assert_eq!(shown(&["--contains", &format!("!{text}")]), 0, "{text}");
    }
    // The time on the line is where this exchange begins, and ends what came before it.
    assert_eq!((shown(&["--since", time]), shown(&["--until", time])), (2, 1));
    // All of it once more without `serve`.
    let data = serve.data().to_owned();
    let folder = tempfile::tempdir().unwrap();
    assert!(Command::new("cp").arg("-r").arg(&data).arg(folder.path().join("copy")).status().unwrap().success());
    assert!(serve.stop().0.success());
    let alone = |arguments: &[&str]| {
        Command::new(BINARY).args(arguments).arg("--data").arg(folder.path().join("copy")).output().unwrap()
    };
    assert!(out(&alone(&["show", end])).contains("rates/getAll"));
    assert_eq!(out(&alone(&["tail", "--no-follow", "--operation", "!bills/*"])).lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_can_match_nothing_says_so() {
    let (_mews, serve) = recorded(&["bills/getAll"]).await;
    for (flags, said) in [
        (["--status", "9xx"], "HTTP statuses end at 599"),
        (["--operation", "bill/*"], "did you mean 'bills/*'?"),
        (["--operation", "!bill/getAll"], "did you mean 'bills/getAll'?"),
    ] {
        let output = serve.run(BINARY, &["tail", "--no-follow", flags[0], flags[1]]);
        assert!(err(&output).contains(said), "{flags:?}: {output:?}");
        // Without a match the exit code is 1, as grep's.
        assert_eq!(output.status.code(), Some(i32::from(out(&output).is_empty())), "{flags:?}: {output:?}");
    }
    let output = serve.run(BINARY, &["tail", "--no-follow", "--operation", "bills/*"]);
    assert_eq!(err(&output), "", "nothing is wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_in_the_zone_that_tz_names() {
    let (_mews, serve) = recorded(&["bills/getAll"]).await;
    let hour = |zone: &str, arguments: &[&str]| {
        let output = Command::new(BINARY)
            .args(["tail", "--no-follow"])
            .args(arguments)
            .arg("--data")
            .arg(serve.data())
            .env("TZ", zone)
            .output()
            .unwrap();
        (out(&output).get(..2).and_then(|hour| hour.parse::<u32>().ok()), err(&output))
    };
    let utc = hour("UTC", &[]).0.unwrap();
    for (zone, hours) in [("Asia/Kolkata", 5), ("Asia/Tokyo", 9), ("America/Phoenix", 17)] {
        // India is half an hour further.
        let local = hour(zone, &[]).0.unwrap();
        assert!([(utc + hours) % 24, (utc + hours + 1) % 24].contains(&local), "{zone}: {local}, {utc} in UTC");
    }
    // Winter or summer.
    let prague = hour("Europe/Prague", &[]).0.unwrap();
    assert!((1..=3).any(|hours| (utc + hours) % 24 == prague), "{prague}, {utc} in UTC");
    let (_, said) = hour("Mars/Olympus", &[]);
    assert!(said.contains("TZ=Mars/Olympus is not a known time zone"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_take_the_room_of_columns_that_stay_the_same() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "certification", "--limit", "1/1h"]);
    for _ in 0..3 {
        send(serve.proxy(), &post("reservations/getAll/2023-06-06", BODY)).await;
    }
    for columns in [80, 132] {
        let mut tail = Terminal::nightaudit(BINARY, serve.data(), &["tail", "--no-follow"], columns, 24);
        let (status, bytes) = tail.wait();
        let text = anstream::adapter::strip_bytes(&bytes).into_vec();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(status.success() && text.contains("reservations/getAll"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(columns), "{line}");
        }
        let refused: Vec<&str> = text.lines().filter(|line| line.contains("429")).collect();
        assert_eq!(refused.len(), 2, "{text}");
        if columns == 132 {
            assert!(refused[1].contains("refused by 1/1h"), "{text}");
        }
    }
}
