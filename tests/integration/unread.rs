//! Output that nobody reads and requests that get no response: neither blocks or ends anything.

use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nightaudit_testkit::{Process, Upstream, post, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

/// Long enough for anything that is meant to happen, on a busy machine too.
const AT_LAST: Duration = Duration::from_secs(30);

/// A process that is killed when it is dropped.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str], data: &Path, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Self {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--data").arg(data).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// How it ended, if it does in time.
    fn ended(&mut self) -> Option<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < AT_LAST {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    fn stops_by(&mut self, signal: &str) {
        self.signal(signal);
        let status = self.ended().unwrap_or_else(|| panic!("it goes on after {signal}"));
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended before, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that is free now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A pipe that holds as much as it can and that nobody reads.
fn full_pipe() -> (io::PipeReader, io::PipeWriter, Running) {
    let (reader, writer) = io::pipe().unwrap();
    let mut filling = Running(Command::new("yes").stdout(writer.try_clone().unwrap()).spawn().unwrap());
    // It is full once `yes` sleeps and nothing more comes.
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", filling.0.id())).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next())
    };
    let begun = Instant::now();
    while state() != Some('S') {
        assert!(begun.elapsed() < AT_LAST, "the pipe isn't full");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(filling.0.try_wait().unwrap().is_none());
    (reader, writer, filling)
}

async fn answers(address: SocketAddr) {
    let begun = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        assert!(begun.elapsed() < AT_LAST, "it doesn't listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = tokio::time::timeout(AT_LAST, send(address, &post("rates/getAll", "{}"))).await;
    assert_eq!(answer.expect("no answer").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_serve_could_not_be_stopped_once_nobody_read_what_it_said() {
    let mews = Upstream::responding(200, "{}").await;
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let (proxy, upstream) = (free(), mews.url());
        let listen = proxy.to_string();
        let arguments =
            ["serve", "--listen", &listen, "--console", "127.0.0.1:0", "--upstream", &upstream, "--log", "debug"];
        // As `serve 2>&1 | head -1` does: the first line is read, and then the reader is gone.
        let (reader, writer) = io::pipe().unwrap();
        let mut serve = Running::start(&arguments, folder.path(), writer.try_clone().unwrap(), writer);
        let mut reader = BufReader::new(reader);
        reader.read_line(&mut String::new()).unwrap();
        drop(reader);
        answers(proxy).await;
        serve.stops_by(signal);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_works_and_stops_while_its_output_is_a_pipe_that_is_full_and_never_read() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let (proxy, upstream) = (free(), mews.url());
    let listen = proxy.to_string();
    let arguments =
        ["serve", "--listen", &listen, "--console", "127.0.0.1:0", "--upstream", &upstream, "--log", "trace"];
    let (_reader, writer, _filling) = full_pipe();
    let mut serve = Running::start(&arguments, folder.path(), writer.try_clone().unwrap(), writer);
    for _ in 0..100 {
        answers(proxy).await;
    }
    serve.stops_by("-TERM");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_starts_where_standard_output_can_not_be_written() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let (proxy, upstream) = (free(), mews.url());
    let listen = proxy.to_string();
    let arguments = ["serve", "--listen", &listen, "--console", "127.0.0.1:0", "--upstream", &upstream];
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut serve = Running::start(&arguments, folder.path(), full(), full());
    answers(proxy).await;
    serve.stops_by("-INT");
}

#[test]
fn simulate_stops_too_and_an_error_is_told_by_the_exit_code_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_reader, writer, _filling) = full_pipe();
    let address = free();
    let listen = address.to_string();
    let (stdout, stderr) = (writer.try_clone().unwrap(), writer.try_clone().unwrap());
    let mut simulate = Running::start(&["simulate", "--listen", &listen], folder.path(), stdout, stderr);
    let begun = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < AT_LAST, "it doesn't listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The address is taken now, which is an error.
    let mut second =
        Running::start(&["simulate", "--listen", &listen], folder.path(), writer.try_clone().unwrap(), writer);
    assert_eq!(second.ended().expect("it hangs with its error").code(), Some(1));
    simulate.stops_by("-TERM");
}

/// Runs a shell's line with the binary as `$0`; its exit code by way of the signal that ended it, if one did.
fn shell(line: &str, data: &Path) -> (Option<i32>, Option<i32>, String) {
    let output = Command::new("bash")
        .args(["-c", line, BINARY])
        .arg(data)
        .env("BASH_ENV", "")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), output.status.signal(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_no_error_for_anything_that_is_piped() {
    let mews = Upstream::responding(200, r#"{"Reservations":[]}"#).await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "piped"]);
    for _ in 0..20 {
        send(serve.proxy(), &post("reservations/getAll/2023-06-06", "{}")).await;
    }
    let id = {
        let lines = serve.run(BINARY, &["tail", "--no-follow", "--json", "-n", "1"]).stdout;
        serde_json::from_slice::<serde_json::Value>(&lines).unwrap()["id"].as_str().unwrap().to_owned()
    };
    for command in [
        "sessions --json",
        "limits --json",
        "tail --no-follow --json",
        "tail --no-follow",
        &format!("show {id} --json"),
        "review --session piped --json --fail-on never",
        "export --format ndjson -o -",
        "export --format har -o -",
    ] {
        // The reader is gone before the command has begun.
        let line = format!("\"$0\" {command} --data \"$1\" | true; exit ${{PIPESTATUS[0]}}");
        let (code, signal, said) = shell(&line, serve.data());
        assert_eq!((code, signal), (Some(0), None), "{command}: {said}");
        assert!(!said.contains("roken pipe") && !said.contains("panicked"), "{command}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_is_watched_ends_well_when_its_reader_does() {
    let mews = Upstream::responding(200, r#"{"Reservations":[]}"#).await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "watched"]);
    send(serve.proxy(), &post("reservations/getAll/2023-06-06", "{}")).await;
    for form in [&["--json"][..], &[]] {
        let (reader, writer) = io::pipe().unwrap();
        let (mut errors, stderr) = io::pipe().unwrap();
        let arguments = [&["review", "--session", "watched", "--watch"][..], form].concat();
        let mut watching = Running::start(&arguments, serve.data(), writer, stderr);
        let mut reader = BufReader::new(reader);
        reader.read_line(&mut String::new()).unwrap();
        drop(reader);
        let begun = Instant::now();
        let status = loop {
            // Each gives it something to say.
            send(serve.proxy(), &post("reservations/getAll/2023-06-06", "{}")).await;
            if let Some(status) = watching.0.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < AT_LAST, "it goes on");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert!(status.success() && said.is_empty(), "{status}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_limit_of_file_sizes_killed_serve() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let (proxy, upstream) = (free(), mews.url());
    let arguments = format!(
        "ulimit -f 2048; exec \"$0\" serve --listen {proxy} --console 127.0.0.1:0 --upstream {upstream} --limit \
         100000/1s --data \"$1\""
    );
    let child = Command::new("bash")
        .args(["-c", &arguments, BINARY])
        .arg(folder.path())
        .env("NIGHTAUDIT_TIMEOUTS_DRAIN", "1s")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut serve = Running(child.unwrap());
    answers(proxy).await;
    // What doesn't compress, until the log can't grow any more. The response that is under way then waits for the log, and
    // further requests are refused.
    let begun = Instant::now();
    let (mut statuses, mut waiting) = (Vec::new(), Vec::new());
    for round in 0_u64.. {
        let noise: String =
            (0..30_000_u64).map(|at| char::from(b' ' + (scramble(round << 32 | at) % 90) as u8)).collect();
        let noise = noise.replace(['"', '\\'], "x");
        let request = post("rates/getAll", &format!("{{\"Noise\":\"{noise}\"}}"));
        let mut answering = tokio::spawn(async move { send(proxy, &request).await.status });
        match tokio::time::timeout(Duration::from_secs(2), &mut answering).await {
            Ok(status) => statuses.push(status.unwrap()),
            Err(_) => waiting.push(answering),
        }
        assert!(serve.0.try_wait().unwrap().is_none(), "it was ended after {} requests", statuses.len());
        if statuses.last() == Some(&503) || begun.elapsed() > AT_LAST {
            break;
        }
    }
    assert_eq!(statuses.last(), Some(&503), "{} requests", statuses.len());
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    serve.signal("-TERM");
    let status = serve.ended().expect("it goes on");
    assert_eq!(status.signal(), None, "{status}");
}

/// Numbers that are as good as random and the same in every run.
fn scramble(number: u64) -> u64 {
    let mut hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_interrupted_leaves_no_file() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    send(serve.proxy(), &post("rates/getAll", "{}")).await;
    // A console that never comes to an end of its answer: so the export is under way when the signal comes.
    let console = Silent::console(serve.data(), Some("HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\n")).await;
    for signal in ["-INT", "-TERM", "-HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out.ndjson");
        let arguments = ["export", "--format", "ndjson", "-o", output.to_str().unwrap()];
        let mut export = Running::start(&arguments, console.data.path(), Stdio::null(), Stdio::null());
        let begun = Instant::now();
        while folder.path().read_dir().unwrap().next().is_none() {
            assert!(begun.elapsed() < AT_LAST && export.0.try_wait().unwrap().is_none());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The file is there a moment before the signals are watched for.
        tokio::time::sleep(Duration::from_millis(300)).await;
        export.signal(signal);
        let status = export.ended().expect("it goes on");
        assert!(status.signal().is_some(), "{status}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "{signal}");
    }
}

/// A console that accepts, and says nothing more than this.
struct Silent {
    data: tempfile::TempDir,
    _task: tokio_util::task::AbortOnDropHandle<()>,
    _locks: [std::fs::File; 2],
}

impl Silent {
    /// For a data folder of its own, which commands take to be in the hands of a `serve` with this console.
    async fn console(like: &Path, says: Option<&'static str>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let data = tempfile::tempdir().unwrap();
        std::fs::copy(like.join("console-token"), data.path().join("console-token")).unwrap();
        std::fs::create_dir(data.path().join("sessions")).unwrap();
        let locks =
            [("lock", std::process::id().to_string()), ("console", format!("http://{address}"))].map(|(name, text)| {
                std::fs::write(data.path().join(name), text + "\n").unwrap();
                let lock = std::fs::File::options().read(true).write(true).open(data.path().join(name)).unwrap();
                lock.lock().unwrap();
                lock
            });
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                if let Some(says) = says {
                    let mut asked = [0; 4096];
                    let length = stream.read(&mut asked).await.unwrap();
                    // The sessions are told; only of the exchanges there is no end.
                    if asked[..length].starts_with(b"GET /api/v1/sessions") {
                        let sessions = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"sessions\":[]}";
                        stream.write_all(sessions).await.unwrap();
                        continue;
                    }
                    stream.write_all(says.as_bytes()).await.unwrap();
                }
                held.push(stream);
            }
        });
        Self { data, _task: tokio_util::task::AbortOnDropHandle::new(task), _locks: locks }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_ask_a_console_that_says_nothing_give_up_and_say_why() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    let console = Silent::console(serve.data(), None).await;
    let commands: [&[&str]; 4] =
        [&["sessions"], &["limits"], &["tail", "--no-follow"], &["export", "--format", "csv", "-o", "-"]];
    let running: Vec<_> = commands
        .iter()
        .map(|arguments| {
            let (errors, stderr) = io::pipe().unwrap();
            (Running::start(arguments, console.data.path(), Stdio::null(), stderr), errors, arguments)
        })
        .collect();
    for (mut command, mut errors, arguments) in running {
        let status = command.ended().unwrap_or_else(|| panic!("{arguments:?} hangs"));
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("no response from the console at ") && said.contains(" within 10s: "),
            "{arguments:?}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_raises_its_limit_of_open_files_and_says_what_it_got() {
    let mews = Upstream::responding(200, "{}").await;
    for (limits, says) in [
        (
            "ulimit -Hn 20000; ulimit -Sn 300",
            "limit of open files 20000 (was 300): fits 4096 connections, 1024 WebSockets",
        ),
        ("ulimit -n 1024", "limit of open files 1024 (was 1024): fits 282 connections, 70 WebSockets"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (proxy, upstream) = (free(), mews.url());
        let line = format!(
            "{limits}; exec \"$0\" serve --listen {proxy} --console 127.0.0.1:0 --upstream {upstream} --data \"$1\""
        );
        let (mut errors, stderr) = io::pipe().unwrap();
        let mut command = Command::new("bash");
        command
            .args(["-c", &line, BINARY])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        let mut serve = Running(command.spawn().unwrap());
        drop(command);
        answers(proxy).await;
        serve.stops_by("-TERM");
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert!(said.contains(says), "{said}");
        assert_eq!(said.contains("less than `max_connections`"), limits.contains("1024"), "{said}");
    }
}
