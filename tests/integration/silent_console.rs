//! A console that accepts connections and never responds: every command times out.

use std::{
    io::Read as _,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nightaudit_console::Token;
use nightaudit_store::{Log, StoreConfig};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

/// Far longer than any command waits, on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(120);

/// Starts a command on a data folder.
fn start(data: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--data").arg(data).current_dir(data);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Whether a command succeeded, and what it said on standard error; it is ended where it hangs.
fn ended(mut child: Child, deadline: Instant) -> Result<(bool, String), &'static str> {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let mut text = String::new();
            child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            return Ok((status.success(), text));
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err("it hangs");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn no_command_hangs_at_a_console_that_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = Log::open(StoreConfig::new(&data, &nightaudit_mews::API)).unwrap();
    Token::load_or_create(&data).unwrap();
    // The system takes the connections; nobody reads what they say, or answers.
    let console = TcpListener::bind("127.0.0.1:0").unwrap();
    log.set_console(&format!("http://{}", console.local_addr().unwrap())).unwrap();

    let commands: [&[&str]; 15] = [
        &["tail", "--no-follow"],
        &["show", "01KAS"],
        &["sessions"],
        &["sessions", "start", "x"],
        &["sessions", "end", "x"],
        &["sessions", "rename", "x", "y"],
        &["sessions", "note", "x", "y"],
        &["sessions", "delete", "x", "--yes"],
        &["limits"],
        &["review"],
        &["export", "--format", "har", "-o", "-"],
        &["export", "--format", "html", "-o", "report.html"],
        &["export", "--format", "bundle", "-o", "evidence.zip"],
        &["verify"],
        &["mews", "diff", "--session", "x"],
    ];
    let started: Vec<_> = commands.iter().map(|arguments| (arguments, start(&data, arguments))).collect();
    let deadline = Instant::now() + DEADLINE;
    for (arguments, child) in started {
        let (success, said) = ended(child, deadline).unwrap_or_else(|hangs| panic!("{arguments:?}: {hangs}"));
        assert!(
            !success && said.contains("no response from the console at ") && said.contains(" within 10s: "),
            "{arguments:?}: {said}"
        );
    }
    log.close();
}
